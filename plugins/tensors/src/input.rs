//! From a frame to the network's input.

use half::{f16, slice::HalfFloatSliceExt};
use segue_nn::{Layout, Level, Pool, Preprocessor, RgbFrame};
use segue_plugin::{Error, Frame, Result};

use crate::{Channels, Element, Fit, Rules, Tensor, Values};

/// The byte beside a frame that does not fill the input.
const BESIDE: u8 = 127;
/// What the sides of an input of any size are multiples of.
const MULTIPLE_OF: usize = 32;
/// Width and height for a network that takes any, where nobody says.
const USUAL_SIZE_PX: [usize; 2] = [512, 512];
/// Below, the deepest stages have no pixels; above, memory ends.
const SIZES_PX: std::ops::RangeInclusive<usize> = 16..=4096;

/// How a frame becomes the network's input; its memory is used again from frame to frame.
pub struct Input {
    /// Its name in the network.
    pub name: String,
    /// Whether a plane of each channel lies apart.
    pub planes_apart: bool,
    /// What it holds.
    pub element: Element,
    /// Width and height.
    size: [usize; 2],
    /// Whether the network leaves its size open.
    pub is_free: bool,
    fit: Fit,
    channels: Channels,
    preprocessor: Preprocessor,
    pixels: Vec<f32>,
    planes: Vec<f32>,
    halves: Vec<f16>,
    bytes: Vec<u8>,
}

impl Input {
    /// The input as the network's own `tensors` and the `rules` have it.
    pub fn of(tensors: &[Tensor], rules: &Rules) -> Result<Self> {
        let tensor = choose(tensors, rules)?;
        let wrong = |why: &str| Error::new(format!("its input is {tensor}: {why}"));
        let &[frames, a, b, c] = tensor.shape.as_slice() else {
            return Err(wrong("a frame has four sides there, such as 1 x 3 x height x width"));
        };
        if frames.is_some_and(|frames| frames != 1) {
            return Err(wrong("it takes several frames at once; export it for one, or with that side open"));
        }
        let planes_apart = match (a, c) {
            (Some(3), _) => true,
            (_, Some(3)) => false,
            (None, None) => true,
            _ => return Err(wrong("a frame has three channels, red, green and blue")),
        };
        if !matches!(tensor.element, Element::F32 | Element::F16 | Element::U8) {
            return Err(wrong("a frame becomes float32, float16 or uint8"));
        }
        let (height, width) = if planes_apart { (b, c) } else { (a, b) };
        let asked = rules.input_size_px;
        let side = |of_graph: Option<usize>, at: usize| of_graph.unwrap_or(asked.unwrap_or(USUAL_SIZE_PX)[at]);
        let size = [side(width, 0), side(height, 1)];
        if asked.is_some_and(|asked| asked != size) {
            let [width, height] = size;
            return Err(Error::new(format!(
                "input_size_px: the network's input has {width} x {height} pixels, and no others"
            )));
        }
        if size.iter().any(|side| !SIZES_PX.contains(side)) {
            return Err(wrong("sides of 16 to 4096 pixels are possible"));
        }
        let is_free = width.is_none() && height.is_none();
        if rules.fit == Fit::Keep && !is_free {
            return Err(wrong("fit = \"keep\" is for networks that take any size; write \"stretch\" or \"pad\""));
        }
        Ok(Self {
            name: tensor.name.clone(),
            planes_apart,
            element: tensor.element.clone(),
            size,
            is_free,
            fit: rules.fit,
            channels: rules.channels,
            preprocessor: Preprocessor::new(Level::best(), rules.normalisation(tensor.element == Element::U8))
                .with_beside(BESIDE),
            pixels: Vec::new(),
            planes: Vec::new(),
            halves: Vec::new(),
            bytes: Vec::new(),
        })
    }

    /// Width and height, if all frames become the same.
    pub fn size_px(&self) -> Option<(u32, u32)> {
        let [width, height] = self.size;
        (self.fit == Fit::Stretch).then_some((width as u32, height as u32))
    }

    /// Where a frame of this width and height goes.
    pub fn layout(&self, (width, height): (usize, usize)) -> Layout {
        let canvas = (self.size[0], self.size[1]);
        let across = (canvas.0 as f64 / width as f64).min(canvas.1 as f64 / height as f64).min(1.0);
        let side = |pixels: usize, scale: f64| ((pixels as f64 * scale).round() as usize).max(1);
        match self.fit {
            Fit::Stretch => Layout::whole(canvas),
            Fit::Pad => Layout { picture: (side(width, across), side(height, across)), canvas },
            Fit::Keep => {
                let scale = (canvas.0.max(canvas.1) as f64 / width.max(height) as f64).min(1.0);
                let side = |pixels| side(pixels, scale).next_multiple_of(MULTIPLE_OF);
                Layout::whole((side(width), side(height)))
            }
        }
    }

    /// The frame as the network takes it, and its shape there.
    pub fn fill(&mut self, pool: &mut Pool, frame: &Frame<'_>) -> (Values<'_>, [usize; 4]) {
        let pixels = RgbFrame {
            bytes: frame.bytes(),
            width: frame.width_px() as usize,
            height: frame.height_px() as usize,
            stride: frame.stride_bytes(),
        };
        let layout = self.layout((pixels.width, pixels.height));
        let (width, height) = layout.canvas;
        self.pixels.resize(3 * width * height, 0.0);
        self.preprocessor.run(pool, pixels, layout, &mut self.pixels);
        let values = if self.planes_apart {
            self.planes.resize(self.pixels.len(), 0.0);
            split(&self.pixels, &mut self.planes, self.channels);
            &self.planes
        } else {
            if self.channels == Channels::Bgr {
                self.pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
            }
            &self.pixels
        };
        let shape = if self.planes_apart { [1, 3, height, width] } else { [1, height, width, 3] };
        let values = match self.element {
            Element::F16 => {
                self.halves.resize(values.len(), f16::ZERO);
                self.halves.convert_from_f32_slice(values);
                Values::F16(&self.halves)
            }
            Element::U8 => {
                self.bytes.clear();
                self.bytes.extend(values.iter().map(|value| value.round() as u8));
                Values::U8(&self.bytes)
            }
            _ => Values::F32(values),
        };
        (values, shape)
    }
}

/// The input that the settings name, or the only one.
fn choose<'a>(tensors: &'a [Tensor], rules: &Rules) -> Result<&'a Tensor> {
    let names: Vec<_> = tensors.iter().map(|input| input.name.as_str()).collect();
    let [only] = tensors else {
        return Err(Error::new(format!("the network has the inputs {}, and a frame is one", names.join(", "))));
    };
    match &rules.input {
        Some(name) if *name != only.name => {
            Err(Error::new(format!("input = {name:?}: the network's input is {:?}", only.name)))
        }
        _ => Ok(only),
    }
}

/// Pixel by pixel to plane by plane.
fn split(pixels: &[f32], planes: &mut [f32], channels: Channels) {
    let (first, rest) = planes.split_at_mut(pixels.len() / 3);
    let (second, third) = rest.split_at_mut(pixels.len() / 3);
    let (red, blue) = if channels == Channels::Rgb { (first, third) } else { (third, first) };
    let places = red.iter_mut().zip(second).zip(blue);
    for (pixel, ((red, green), blue)) in pixels.as_chunks::<3>().0.iter().zip(places) {
        [*red, *green, *blue] = *pixel;
    }
}
