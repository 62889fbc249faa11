//! From a frame's pixels to a network's input, for backends that bring no kernels of their own.
//!
//! Backends on `segue-nn` use its `Preprocessor`, which does all of this in one pass.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};

use crate::{Error, Frame, Result};

/// In which order a network wants its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Pixel by pixel, channels together: height x width x 3.
    Nhwc,
    /// Plane by plane: 3 x height x width.
    Nchw,
}

/// What a network's input looks like: `value = (byte / 255 - mean) / deviation`, by channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputRule {
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// Order of the values.
    pub layout: Layout,
    /// Mean of each channel, of 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub deviation: [f32; 3],
}

impl InputRule {
    /// Values from 0 to 1 as they are, NHWC.
    pub fn unit(width_px: u32, height_px: u32) -> Self {
        Self { width_px, height_px, layout: Layout::Nhwc, mean: [0.0; 3], deviation: [1.0; 3] }
    }

    /// The mean and the deviation of ImageNet, as torchvision's models want them, NCHW.
    pub fn image_net(width_px: u32, height_px: u32) -> Self {
        let (mean, deviation) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
        Self { width_px, height_px, layout: Layout::Nchw, mean, deviation }
    }
}

/// Turns frames into network inputs; its memory is used again from frame to frame.
pub struct Preprocessor {
    rule: InputRule,
    resizer: Resizer,
    packed: Vec<u8>,
    resized: Vec<u8>,
    values: Vec<f32>,
}

impl Preprocessor {
    /// A preprocessor for this rule.
    pub fn new(rule: InputRule) -> Self {
        Self { rule, resizer: Resizer::new(), packed: Vec::new(), resized: Vec::new(), values: Vec::new() }
    }

    /// The frame stretched to the rule's size (bilinear, antialiased when it shrinks) and normalised.
    pub fn run(&mut self, frame: &Frame<'_>) -> Result<&[f32]> {
        self.resize(frame)?;
        let InputRule { layout, mean, deviation, .. } = self.rule;
        let pixels = self.resized.as_chunks::<3>().0;
        self.values.resize(self.resized.len(), 0.0);
        for channel in 0..3 {
            let (scale, offset) = (1.0 / (255.0 * deviation[channel]), mean[channel] / deviation[channel]);
            let value = |pixel: &[u8; 3]| f32::from(pixel[channel]) * scale - offset;
            match layout {
                Layout::Nchw => {
                    let plane = &mut self.values[channel * pixels.len()..][..pixels.len()];
                    plane.iter_mut().zip(pixels).for_each(|(to, pixel)| *to = value(pixel));
                }
                Layout::Nhwc => {
                    let places = self.values.iter_mut().skip(channel).step_by(3);
                    places.zip(pixels).for_each(|(to, pixel)| *to = value(pixel));
                }
            }
        }
        Ok(&self.values)
    }

    fn resize(&mut self, frame: &Frame<'_>) -> Result<()> {
        let InputRule { width_px, height_px, .. } = self.rule;
        self.resized.resize(3 * width_px as usize * height_px as usize, 0);
        let row_len = 3 * frame.width_px() as usize;
        let source = if frame.stride_bytes() == row_len {
            &frame.bytes()[..row_len * frame.height_px() as usize]
        } else {
            self.packed.clear();
            (0..frame.height_px()).for_each(|y| self.packed.extend_from_slice(frame.row(y)));
            &self.packed
        };
        let source = TypedImageRef::<U8x3>::from_buffer(frame.width_px(), frame.height_px(), source)?;
        let mut target = TypedImage::<U8x3>::from_buffer(width_px, height_px, &mut self.resized)?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize_typed(&source, &mut target, &options).map_err(Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn layouts_hold_the_same_values_in_another_order() {
        let bytes: Vec<u8> = (0..4 * 2 * 3).map(|value| value * 10).collect();
        let frame = Frame::new(&bytes, 4, 2, 12).unwrap();
        let rule = InputRule::image_net(4, 2);
        let planes = Preprocessor::new(rule).run(&frame).unwrap().to_vec();
        let pixels = Preprocessor::new(InputRule { layout: Layout::Nhwc, ..rule }).run(&frame).unwrap().to_vec();
        for at in 0..8 {
            for channel in 0..3 {
                assert!(close(planes[channel * 8 + at], pixels[at * 3 + channel]));
            }
        }
        assert!(close(pixels[0], (0.0 - 0.485) / 0.229) && close(pixels[23], (230.0 / 255.0 - 0.406) / 0.225));
    }

    #[test]
    fn a_gap_between_rows_is_not_part_of_the_picture() {
        let (mut padded, plain) = (vec![255; 7 * 30], vec![40; 7 * 15]);
        padded.chunks_mut(30).for_each(|row| row[..15].fill(40));
        let mut preprocessor = Preprocessor::new(InputRule::unit(3, 3));
        let from_padded = preprocessor.run(&Frame::new(&padded, 5, 7, 30).unwrap()).unwrap().to_vec();
        assert_eq!(from_padded, preprocessor.run(&Frame::new(&plain, 5, 7, 15).unwrap()).unwrap());
    }
}
