//! One run of a reference network.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use segue_nn::Shape;
use serde::Deserialize;

use crate::MOST_ERROR;

/// What `make_reference.py` wrote.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Its name.
    #[serde(rename = "case")]
    pub name: String,
    /// The key list of its checkpoint.
    pub keys: String,
    /// The formula's gain.
    pub gain: f64,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of the labels.
    pub target: [usize; 2],
    tensors: BTreeMap<String, Tensor>,
    labels: Labels,
}

/// Some values of a tensor.
#[derive(Debug, Deserialize)]
pub struct Tensor {
    shape: Vec<usize>,
    mean: f64,
    std: f64,
    max_abs: f64,
    f32_error: f64,
    samples: Vec<f32>,
}

#[derive(Debug, Deserialize)]
struct Labels {
    png: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

impl Case {
    /// The case `name`.
    pub fn read(name: &str) -> Result<Self> {
        let path = folder().join(format!("{name}.json"));
        let file = File::open(&path).with_context(|| path.display().to_string())?;
        serde_json::from_reader(BufReader::new(file)).with_context(|| path.display().to_string())
    }

    /// The names of all cases that begin with `start`.
    pub fn names(start: &str) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(folder())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<_> = entries.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
        names.retain(|name| name.starts_with(start));
        names.sort();
        Ok(names)
    }

    /// One of its tensors.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.get(name).with_context(|| format!("{} has no tensor {name}", self.name))
    }

    /// The class of each pixel.
    pub(crate) fn labels(&self) -> Result<Vec<u8>> {
        let file = BufReader::new(File::open(folder().join(&self.labels.png))?);
        let mut reader = png::Decoder::new(file).read_info()?;
        let mut labels = vec![0; self.target[0] * self.target[1]];
        reader.next_frame(&mut labels)?;
        Ok(labels)
    }
}

impl Tensor {
    /// Holds an image's values (pixel by pixel) to the tensor's (`1 x channels x height x width`).
    pub fn check_image(&self, shape: Shape, values: &[f32]) -> Result<()> {
        let Shape { height, width, channels } = shape;
        ensure!(self.shape == [1, channels, height, width], "{shape:?} in place of {:?}", self.shape);
        self.check(|at| {
            let (channel, pixel) = (at / (height * width), at % (height * width));
            values[pixel * channels + channel]
        })
    }

    /// Holds rows of values to the tensor's (`1 x rows x columns`).
    pub fn check_rows(&self, shape: Shape, values: &[f32]) -> Result<()> {
        ensure!(self.shape == [1, shape.pixels(), shape.channels], "{shape:?} in place of {:?}", self.shape);
        self.check(|at| values[at])
    }

    fn check(&self, value: impl Fn(usize) -> f32) -> Result<()> {
        let len: usize = self.shape.iter().product();
        let error =
            |(k, sample): (usize, &f32)| f64::from((value(k * 2_654_435_761 % len) - sample).abs()) / self.max_abs;
        let largest = self.samples.iter().enumerate().map(error).fold(0.0, f64::max);
        let mean = (0..len).map(|at| f64::from(value(at))).sum::<f64>() / len as f64;
        println!("relative error {largest:.1e} (f32's own: {:.1e})", self.f32_error / self.max_abs);
        ensure!(largest <= MOST_ERROR, "relative error {largest:.2e} is above {MOST_ERROR:.0e}");
        ensure!(
            (mean - self.mean).abs() <= MOST_ERROR * self.std.max(self.max_abs),
            "mean {mean}, expected {}",
            self.mean
        );
        Ok(())
    }
}
