//! Pictures that the server draws: the mask's classes over the frame, as a JPEG.
//!
//! Invariant: pixels of the background stay as the camera took them.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use serde::{Deserialize, Serialize};

use super::frame::{Frame, FrameError, Mask};
use crate::plugin_host::InstanceInfo;

/// How strongly a class's colour covers the picture, of 256.
const OPACITY: u32 = 154;

/// A way to draw a mask over its frame.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Classes covered by their colours.
    Filled,
    /// Outlines of the classes.
    Contour,
    /// The frame, and beside it the classes' colours.
    SideBySide,
    /// The classes' hues, with the frame's saturation and brightness.
    Blend,
}

/// What may be asked of a single picture, on the command line and by `/v1/segment`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "those of `View`, and the mask itself")]
pub enum OutputView {
    Mask,
    Filled,
    Contour,
    SideBySide,
    Blend,
}

impl OutputView {
    /// How the picture is drawn; `None` for the mask itself.
    pub fn picture(self) -> Option<View> {
        match self {
            Self::Mask => None,
            Self::Filled => Some(View::Filled),
            Self::Contour => Some(View::Contour),
            Self::SideBySide => Some(View::SideBySide),
            Self::Blend => Some(View::Blend),
        }
    }
}

/// Buffers that are used again from frame to frame.
#[derive(Default)]
pub(super) struct Painter {
    resizer: Resizer,
    picture: Vec<u8>,
}

impl Painter {
    /// Appends a JPEG of `view`, at the mask's size.
    pub(super) fn encode(
        &mut self,
        view: View,
        frame: &Frame<'_>,
        mask: &Mask<'_>,
        info: &InstanceInfo,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), FrameError> {
        self.shrink(frame, mask)?;
        let mut width_px = mask.width_px;
        match view {
            View::Filled => fill(&mut self.picture, mask, info),
            View::Contour => outline(&mut self.picture, mask, info),
            View::Blend => blend(&mut self.picture, mask, info),
            View::SideBySide => {
                self.picture = beside(&self.picture, mask, info);
                width_px *= 2;
            }
        }
        let size = |px: u32| u16::try_from(px).map_err(|error| FrameError::Unencodable(error.to_string()));
        jpeg_encoder::Encoder::new(out, quality)
            .encode(&self.picture, size(width_px)?, size(mask.height_px)?, jpeg_encoder::ColorType::Rgb)
            .map_err(|error| FrameError::Unencodable(error.to_string()))
    }

    /// The frame at the mask's size, in `self.picture`.
    fn shrink(&mut self, frame: &Frame<'_>, mask: &Mask<'_>) -> Result<(), FrameError> {
        self.picture.resize(3 * mask.labels.len(), 0);
        if (frame.width_px, frame.height_px) == (mask.width_px, mask.height_px) {
            self.picture.copy_from_slice(frame.rgb);
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| FrameError::Unencodable(error.to_string());
        let source = TypedImageRef::<U8x3>::from_buffer(frame.width_px, frame.height_px, frame.rgb)
            .map_err(|error| failed(&error))?;
        let mut target = TypedImage::<U8x3>::from_buffer(mask.width_px, mask.height_px, &mut self.picture)
            .map_err(|error| failed(&error))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))
    }
}

/// The colour of each class that is drawn; the background is not.
fn drawn_colours(info: &InstanceInfo) -> Vec<Option<[u8; 3]>> {
    let is_drawn = |label: &String| label != "background";
    info.labels.iter().zip(&info.palette).map(|(label, &colour)| is_drawn(label).then_some(colour)).collect()
}

fn pixels(picture: &mut [u8]) -> &mut [[u8; 3]] {
    picture.as_chunks_mut::<3>().0
}

fn cover(pixel: &mut [u8; 3], colour: [u8; 3]) {
    for (part, over) in pixel.iter_mut().zip(colour) {
        *part = ((u32::from(*part) * (256 - OPACITY) + u32::from(over) * OPACITY) / 256) as u8;
    }
}

fn fill(picture: &mut [u8], mask: &Mask<'_>, info: &InstanceInfo) {
    let colours = drawn_colours(info);
    for (pixel, &id) in pixels(picture).iter_mut().zip(mask.labels) {
        if let Some(colour) = colours[usize::from(id)] {
            cover(pixel, colour);
        }
    }
}

fn outline(picture: &mut [u8], mask: &Mask<'_>, info: &InstanceInfo) {
    let (width, height) = (mask.width_px as usize, mask.height_px as usize);
    let (pixels, colours) = (pixels(picture), drawn_colours(info));
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let id = mask.labels[at];
            let differs = |other: usize| mask.labels[other] != id;
            let on_edge = (x > 0 && differs(at - 1))
                || (x + 1 < width && differs(at + 1))
                || (y > 0 && differs(at - width))
                || (y + 1 < height && differs(at + width));
            if let (true, Some(colour)) = (on_edge, colours[usize::from(id)]) {
                pixels[at] = colour;
            }
        }
    }
}

fn beside(picture: &[u8], mask: &Mask<'_>, info: &InstanceInfo) -> Vec<u8> {
    let width = mask.width_px as usize;
    let mut out = Vec::with_capacity(2 * picture.len());
    for (row, labels) in picture.chunks_exact(3 * width).zip(mask.labels.chunks_exact(width)) {
        out.extend_from_slice(row);
        out.extend(labels.iter().flat_map(|&id| info.palette[usize::from(id)]));
    }
    out
}

fn blend(picture: &mut [u8], mask: &Mask<'_>, info: &InstanceInfo) {
    let hues: Vec<Option<f32>> = drawn_colours(info).into_iter().map(|colour| colour.and_then(hue)).collect();
    for (pixel, &id) in pixels(picture).iter_mut().zip(mask.labels) {
        if let Some(hue) = hues[usize::from(id)] {
            *pixel = with_hue(*pixel, hue);
        }
    }
}

/// The hue of HSV in sixths of a turn; `None` for greys.
fn hue([red, green, blue]: [u8; 3]) -> Option<f32> {
    let [r, g, b] = [red, green, blue].map(f32::from);
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let span = high - low;
    if span == 0.0 {
        return None;
    }
    Some(if high == r {
        ((g - b) / span).rem_euclid(6.0)
    } else if high == g {
        (b - r) / span + 2.0
    } else {
        (r - g) / span + 4.0
    })
}

/// The pixel's saturation and value of HSV, with this hue.
fn with_hue(pixel: [u8; 3], hue: f32) -> [u8; 3] {
    let high = f32::from(pixel.into_iter().max().unwrap_or(0));
    let span = high - f32::from(pixel.into_iter().min().unwrap_or(0));
    [5.0, 3.0, 1.0].map(|offset: f32| {
        let place = (offset + hue).rem_euclid(6.0);
        (high - span * place.min(4.0 - place).clamp(0.0, 1.0)).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hue_given_back_to_its_own_colour_changes_nothing() {
        for colour in [[255, 0, 0], [12, 200, 30], [38, 166, 255], [250, 10, 240], [7, 6, 5]] {
            assert_eq!(with_hue(colour, hue(colour).unwrap()), colour);
        }
        assert_eq!(hue([9, 9, 9]), None);
    }

    #[test]
    fn the_background_stays_as_it_was() {
        let info = InstanceInfo {
            labels: vec!["background".into(), "person".into()],
            palette: vec![[0, 0, 0], [38, 166, 255]],
            input_size_px: None,
            has_confidence: false,
            memory_bytes: 0,
        };
        let labels = [0, 1, 0, 1];
        let mask = Mask { labels: &labels, confidence: None, width_px: 4, height_px: 1 };
        for draw in [fill, outline, blend] {
            let mut picture = [100, 50, 20].repeat(4);
            draw(&mut picture, &mask, &info);
            assert_eq!(picture[..3], [100, 50, 20]);
            assert_ne!(picture[3..6], [100, 50, 20]);
        }
    }
}
