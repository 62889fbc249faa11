//! Pictures that the server draws: the mask's classes over the frame, as a JPEG. The page draws by the same rules.
//!
//! Invariant: pixels of the background, and of classes that are filtered out, stay as the camera took them.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};

use super::{
    frame::{Frame, FrameError, Mask},
    jpeg::JpegEncoder,
    look::{ClassSet, Look, View},
    runs::runs,
};
use crate::plugin_host::InstanceInfo;

/// Opacities and shares are whole numbers of this many parts.
const ONE: u32 = 1 << 16;

/// An outline is a pixel wide for every so many pixels of the mask's width.
const WIDTH_PER_LINE_PX: usize = 320;

/// Buffers that are used again from frame to frame.
#[derive(Default)]
pub(super) struct Painter {
    resizer: Resizer,
    picture: Vec<u8>,
    /// Twice as wide, for the frame and the picture side by side.
    wide: Vec<u8>,
    /// Which pixels of a row are outline.
    is_line: Vec<bool>,
    jpeg: JpegEncoder,
}

impl Painter {
    /// Appends a JPEG as `look` says, at the mask's size; the classes that are drawn in it.
    pub(super) fn encode(
        &mut self,
        look: &Look,
        frame: &Frame<'_>,
        mask: &Mask<'_>,
        info: &InstanceInfo,
        quality: u8,
        out: &mut Vec<u8>,
    ) -> Result<ClassSet, FrameError> {
        self.shrink(frame, mask)?;
        let colours = Colours::of(look, info);
        let mut width_px = mask.width_px;
        match look.view {
            View::Filled => fill(&mut self.picture, mask.labels, &colours, look.opacity),
            View::Contour => outline(&mut self.picture, mask, &colours, &mut self.is_line),
            View::Blend => blend(&mut self.picture, mask.labels, &colours),
            View::SideBySide => {
                self.widen(mask, &colours, look.opacity);
                width_px *= 2;
            }
        }
        let picture = if look.view == View::SideBySide { &self.wide } else { &self.picture };
        self.jpeg.encode(picture, width_px, quality, out)?;
        Ok(drawn_classes(mask.labels, &colours))
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

    /// The picture, and beside it the same one filled, in `self.wide`.
    fn widen(&mut self, mask: &Mask<'_>, colours: &Colours, opacity: f64) {
        let row_len = 3 * mask.width_px as usize;
        self.wide.resize(2 * self.picture.len(), 0);
        let rows = self.picture.chunks_exact(row_len).zip(mask.labels.chunks_exact(row_len / 3));
        for (wide, (row, labels)) in self.wide.chunks_exact_mut(2 * row_len).zip(rows) {
            let (left, right) = wide.split_at_mut(row_len);
            left.copy_from_slice(row);
            right.copy_from_slice(row);
            fill(right, labels, colours, opacity);
        }
    }
}

/// The colour of each class that is drawn.
struct Colours([Option<[u8; 3]>; 256]);

impl Colours {
    fn of(look: &Look, info: &InstanceInfo) -> Self {
        let mut colours = [None; 256];
        for (id, (label, &colour)) in info.labels.iter().zip(&info.palette).enumerate().take(colours.len()) {
            colours[id] = look.draws(id, label).then_some(colour);
        }
        Self(colours)
    }

    fn get(&self, id: u8) -> Option<[u8; 3]> {
        self.0[usize::from(id)]
    }
}

/// The drawn classes of which there is a pixel.
fn drawn_classes(labels: &[u8], colours: &Colours) -> ClassSet {
    let mut classes = ClassSet::default();
    for (_, id) in runs(labels).filter(|&(_, id)| colours.get(id).is_some()) {
        classes.insert(id);
    }
    classes
}

/// Calls `paint` with the pixels and the colour of each run of a drawn class.
fn each_run(picture: &mut [u8], labels: &[u8], colours: &Colours, mut paint: impl FnMut(&mut [[u8; 3]], [u8; 3])) {
    let (mut rest, _) = picture.as_chunks_mut::<3>();
    for (len, id) in runs(labels) {
        let (pixels, after) = rest.split_at_mut(len);
        if let Some(colour) = colours.get(id) {
            paint(pixels, colour);
        }
        rest = after;
    }
}

/// `picture * (1 - opacity) + colour * opacity`, rounded; the opacity in 65,536 steps.
fn fill(picture: &mut [u8], labels: &[u8], colours: &Colours, opacity: f64) {
    let of_colour = (opacity * f64::from(ONE)).round() as u32;
    each_run(picture, labels, colours, |pixels, colour| {
        let added = colour.map(|part| u32::from(part) * of_colour + ONE / 2);
        for pixel in pixels {
            for (part, added) in pixel.iter_mut().zip(added) {
                *part = ((u32::from(*part) * (ONE - of_colour) + added) >> 16) as u8;
            }
        }
    });
}

/// A pixel is outline when one of another class is near it, in its row or in its column.
fn outline(picture: &mut [u8], mask: &Mask<'_>, colours: &Colours, is_line: &mut Vec<bool>) {
    let width = mask.width_px as usize;
    let reach = ((width + WIDTH_PER_LINE_PX / 2) / WIDTH_PER_LINE_PX).max(1);
    let row_at = |y: usize| &mask.labels[y * width..(y + 1) * width];
    let height = mask.height_px as usize;
    for (y, pixels) in picture.chunks_exact_mut(3 * width).enumerate() {
        let row = row_at(y);
        is_line.clear();
        is_line.resize(width, false);
        for other in (y.saturating_sub(reach)..height.min(y + reach + 1)).filter(|&other| other != y) {
            mark_differences(is_line, row, row_at(other));
        }
        for distance in 1..=reach.min(width - 1) {
            mark_differences(&mut is_line[distance..], &row[distance..], &row[..width - distance]);
            mark_differences(&mut is_line[..width - distance], &row[..width - distance], &row[distance..]);
        }
        let (pixels, _) = pixels.as_chunks_mut::<3>();
        for ((pixel, &id), _) in pixels.iter_mut().zip(row).zip(&*is_line).filter(|(_, is_line)| **is_line) {
            if let Some(colour) = colours.get(id) {
                *pixel = colour;
            }
        }
    }
}

/// Plain loops over slices of one length, which compilers turn into many places at a time.
fn mark_differences(is_different: &mut [bool], one: &[u8], other: &[u8]) {
    for ((is_different, one), other) in is_different.iter_mut().zip(one).zip(other) {
        *is_different |= one != other;
    }
}

fn blend(picture: &mut [u8], labels: &[u8], colours: &Colours) {
    each_run(picture, labels, colours, |pixels, colour| {
        let Some(shares) = shares_of_hue(colour) else { return };
        pixels.iter_mut().for_each(|pixel| *pixel = with_hue(*pixel, shares));
    });
}

/// What share of a pixel's span each of its parts lacks, with the hue (of HSV) of this colour, of [`ONE`]; `None` for
/// greys, which have no hue.
fn shares_of_hue(colour: [u8; 3]) -> Option<[u32; 3]> {
    let [red, green, blue] = colour.map(u32::from);
    let (high, low) = (red.max(green).max(blue), red.min(green).min(blue));
    let span = high - low;
    (span > 0).then(|| [red, green, blue].map(|part| ((high - part) * ONE + span / 2) / span))
}

/// The pixel's saturation and value (of HSV), with another hue.
fn with_hue(pixel: [u8; 3], shares: [u32; 3]) -> [u8; 3] {
    let [red, green, blue] = pixel;
    let high = red.max(green).max(blue);
    let span = u32::from(high - red.min(green).min(blue));
    shares.map(|share| high - ((span * share + ONE / 2) >> 16) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH_PX: u32 = 643;
    const HEIGHT_PX: u32 = 5;

    fn info() -> InstanceInfo {
        InstanceInfo {
            labels: ["background", "person", "wall", "cat"].map(String::from).to_vec(),
            palette: vec![[0, 0, 0], [38, 166, 255], [120, 120, 120], [250, 10, 240]],
            input_size_px: None,
            has_confidence: false,
            memory_bytes: 0,
        }
    }

    /// Stripes of all classes, and single pixels.
    fn labels() -> Vec<u8> {
        (0..WIDTH_PX * HEIGHT_PX).map(|at| if at % 97 == 0 { 3 } else { (at / 7 % 4) as u8 }).collect()
    }

    fn drawn(view: View, opacity: f64, classes: ClassSet) -> (Painter, Vec<u8>, ClassSet) {
        let labels = labels();
        let rgb: Vec<u8> = (0..3 * WIDTH_PX * HEIGHT_PX).map(|at| (at * at / 5) as u8).collect();
        let mask = Mask { labels: &labels, confidence: None, width_px: WIDTH_PX, height_px: HEIGHT_PX };
        let frame = Frame { rgb: &rgb, width_px: WIDTH_PX, height_px: HEIGHT_PX };
        let mut painter = Painter::default();
        let look = Look { view, opacity, classes };
        let found = painter.encode(&look, &frame, &mask, &info(), 60, &mut Vec::new()).unwrap();
        (painter, rgb, found)
    }

    fn without(classes: &[u8]) -> ClassSet {
        let mut set = ClassSet::default();
        (0..4).filter(|id| !classes.contains(id)).for_each(|id| set.insert(id));
        set
    }

    #[test]
    fn a_filled_pixel_is_the_rounded_mixture_and_others_stay() {
        for opacity in [0.0, 0.3, 0.6, 1.0] {
            let (painter, rgb, found) = drawn(View::Filled, opacity, without(&[3]));
            assert_eq!(found.names(&info().labels).collect::<Vec<_>>(), ["person", "wall"]);
            for (at, id) in labels().into_iter().enumerate() {
                for part in 0..3 {
                    let (was, now) = (rgb[3 * at + part], painter.picture[3 * at + part]);
                    let colour = f64::from(info().palette[usize::from(id)][part]);
                    let mixed = f64::from(was) * (1.0 - opacity) + colour * opacity;
                    let expected = if [0, 3].contains(&id) { f64::from(was) } else { mixed };
                    assert!((f64::from(now) - expected).abs() < 0.501, "{now} in place of {expected}");
                }
            }
        }
    }

    #[test]
    fn an_outline_is_as_wide_as_the_mask_wants_it() {
        let (painter, rgb, _) = drawn(View::Contour, 0.6, ClassSet::ALL);
        let (labels, width, reach) = (labels(), WIDTH_PX as usize, 2);
        for (at, &id) in labels.iter().enumerate() {
            let (x, y) = (at % width, at / width);
            let differs = |x: Option<usize>, y: Option<usize>| match (x, y) {
                (Some(x), Some(y)) if x < width && y < HEIGHT_PX as usize => labels[y * width + x] != id,
                _outside => false,
            };
            let is_line = (1..=reach).any(|far| {
                differs(x.checked_sub(far), Some(y))
                    || differs(Some(x + far), Some(y))
                    || differs(Some(x), y.checked_sub(far))
                    || differs(Some(x), Some(y + far))
            });
            let expected = if is_line && id != 0 { &info().palette[usize::from(id)] } else { &rgb[3 * at..3 * at + 3] };
            assert_eq!(&painter.picture[3 * at..3 * at + 3], expected, "{x},{y}");
        }
    }

    #[test]
    fn the_right_of_side_by_side_is_the_filled_picture() {
        let (painter, rgb, _) = drawn(View::SideBySide, 0.35, without(&[2]));
        let (filled, ..) = drawn(View::Filled, 0.35, without(&[2]));
        let row_len = 3 * WIDTH_PX as usize;
        for (wide, (left, right)) in painter
            .wide
            .chunks_exact(2 * row_len)
            .zip(rgb.chunks_exact(row_len).zip(filled.picture.chunks_exact(row_len)))
        {
            assert_eq!((&wide[..row_len], &wide[row_len..]), (left, right));
        }
    }

    #[test]
    fn a_blend_changes_the_hue_alone_and_greys_have_none() {
        let (painter, rgb, _) = drawn(View::Blend, 0.6, ClassSet::ALL);
        let pixels = rgb.as_chunks::<3>().0.iter().zip(painter.picture.as_chunks::<3>().0);
        for ((was, now), id) in pixels.zip(labels()) {
            if [0, 2].contains(&id) {
                assert_eq!(was, now, "class {id} has no hue");
            }
            let ends = |pixel: &[u8; 3]| (pixel.iter().max().copied(), pixel.iter().min().copied());
            assert_eq!(ends(was), ends(now), "saturation and value stay");
        }
        for colour in [[255, 0, 0], [12, 200, 30], [38, 166, 255], [250, 10, 240], [7, 6, 5]] {
            assert_eq!(with_hue(colour, shares_of_hue(colour).unwrap()), colour, "its own hue changes nothing");
        }
    }
}
