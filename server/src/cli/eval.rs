//! `segue eval`: how right a mode is, against ground truth.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{
    CliResult, Failure,
    local::{self, Local},
    places::{PlaceArguments, ProfileArguments},
    progress,
};
use crate::{file, plugin_host::InstanceInfo, telemetry::Stage};

/// What ground truth has where nothing counts.
const VOID: u8 = 255;
const PICTURES: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Arguments of `segue eval`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  segue eval --mode balanced --images voc/images --masks voc/masks\n  \
    segue eval --mode fast --images voc/images --masks voc/masks --labels voc   # selfie knows a person and nothing else\n  \
    segue eval --mode accurate --images ade/images --masks ade/annotations --zero-is-void\n\n\
    The mask of NAME.jpg is NAME.png: class ids in 8 bits, 255 counts nowhere. A class's IoU is over all pictures together, the \
    mean over the classes that the ground truth has. Pictures are segmented at their own size.")]
pub(super) struct Eval {
    /// Mode to judge; the profile's default mode when not given
    #[arg(long, value_name = "M")]
    mode: Option<String>,
    /// Folder of pictures: JPEG, PNG or WebP
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Folder of their masks
    #[arg(long, value_name = "DIR")]
    masks: PathBuf,
    /// Label set of the masks, a file of models/labels/, if it is not the model's own: classes are matched by name, and those
    /// that the model does not know are its background
    #[arg(long, value_name = "SET")]
    labels: Option<String>,
    /// In the masks 0 counts nowhere and 1 is the first class, as in ADE20K's
    #[arg(long)]
    zero_is_void: bool,
    /// Only the first N pictures, by name
    #[arg(long, value_name = "N")]
    first: Option<usize>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    profile: ProfileArguments,
    #[command(flatten)]
    places: PlaceArguments,
}

/// What came out, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    mode: String,
    model: String,
    pictures: usize,
    mean_iou: f64,
    pixel_accuracy: f64,
    infer_millis_p50: f64,
    classes: Vec<ClassReport>,
}

#[derive(Serialize)]
struct ClassReport {
    id: usize,
    label: String,
    iou: f64,
    truth_pixels: u64,
    predicted_pixels: u64,
}

/// How often each class was taken for each other one: truth by prediction.
struct Confusion {
    classes: usize,
    counts: Vec<u64>,
}

impl Eval {
    pub(super) fn run(self) -> CliResult {
        let pictures = self.pictures()?;
        let name = match &self.mode {
            Some(name) => name.clone(),
            None => self.profile.load()?.profile.server.default_mode,
        };
        let local = Local::load(&self.profile, &self.places, std::slice::from_ref(&name), |profile| {
            // Masks of the pictures' own size.
            profile.result.max_width_px = profile.limits.max_picture_dimension_px;
            profile.result.max_height_px = profile.limits.max_picture_dimension_px;
        })?;
        let (mode, model) = local.mode(&name)?;
        let ids = self.ids(&model.info)?;
        let mut confusion = Confusion::new(model.info.labels.len());
        let mut infer_micros = Vec::new();
        let bar = progress::bar(pictures.len(), self.json);
        for picture in &pictures {
            let (truth, width_px, height_px) = self.truth(picture)?;
            let labels = local.labels(&mode, read(picture, local.largest_picture_len_bytes())?)?;
            if (labels.width_px, labels.height_px) != (width_px, height_px) {
                return Err(Failure::does_not_hold(format!(
                    "{}: is {}x{}, and its mask {width_px}x{height_px}",
                    picture.display(),
                    labels.width_px,
                    labels.height_px
                )));
            }
            confusion.add(&truth, &labels.ids, &ids);
            infer_micros.push(labels.trace.micros(Stage::Infer));
            bar.inc(1);
        }
        bar.finish_and_clear();
        infer_micros.sort_unstable();
        let report = Report {
            mode: name,
            model: mode.model.clone(),
            pictures: pictures.len(),
            mean_iou: confusion.mean_iou(),
            pixel_accuracy: confusion.pixel_accuracy(),
            infer_millis_p50: f64::from(infer_micros[infer_micros.len() / 2]) / 1000.0,
            classes: confusion.report(&model.info.labels),
        };
        print(&report, self.json)
    }

    /// All pictures that have a name, in its order.
    fn pictures(&self) -> Result<Vec<PathBuf>, Failure> {
        let unreadable = |error| Failure::wrong_usage(format!("{}: {error}", self.images.display()));
        let is_picture = |path: &PathBuf| {
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            ending.is_some_and(|ending| PICTURES.contains(&&*ending))
        };
        let entries = fs::read_dir(&self.images).map_err(unreadable)?;
        let mut pictures: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_picture).collect();
        pictures.sort();
        pictures.truncate(self.first.unwrap_or(usize::MAX));
        match pictures.is_empty() {
            true => Err(Failure::wrong_usage(format!("{}: has no JPEG, PNG or WebP file", self.images.display()))),
            false => Ok(pictures),
        }
    }

    fn truth(&self, picture: &Path) -> Result<(Vec<u8>, u32, u32), Failure> {
        let path = self.masks.join(picture.file_stem().unwrap_or_default()).with_extension("png");
        let named = |error: &dyn std::fmt::Display| Failure::does_not_hold(format!("{}: {error}", path.display()));
        let content = file::read(&path, 1 << 30).map_err(|error| named(&error))?;
        local::read_ids(&content).map_err(|error| named(&error))
    }

    /// The model's class for each id of the masks; [`VOID`] where nothing counts.
    fn ids(&self, info: &InstanceInfo) -> Result<[u8; 256], Failure> {
        let mut ids = [VOID; 256];
        let first = usize::from(self.zero_is_void);
        let Some(set) = &self.labels else {
            let count = info.labels.len().min(usize::from(VOID) - first);
            (0..count).for_each(|class| ids[class + first] = class as u8);
            return Ok(ids);
        };
        let labels = self.places.places()?.catalog().label_set(set).map_err(Failure::wrong_usage)?;
        let class_of = |label: &str| local::position(&info.labels, label).and_then(|class| u8::try_from(class).ok());
        let background = class_of("background");
        for (id, class) in labels.iter().take(usize::from(VOID) - first).enumerate() {
            ids[id + first] = class_of(&class.label).or(background).unwrap_or(VOID);
        }
        Ok(ids)
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    file::read(path, most).map_err(|error| Failure::does_not_hold(format!("{}: {error}", path.display())))
}

impl Confusion {
    fn new(classes: usize) -> Self {
        Self { classes, counts: vec![0; classes * classes] }
    }

    fn add(&mut self, truth: &[u8], predicted: &[u8], ids: &[u8; 256]) {
        for (truth, predicted) in truth.iter().zip(predicted) {
            let (truth, predicted) = (usize::from(ids[usize::from(*truth)]), usize::from(*predicted));
            if truth < self.classes && predicted < self.classes {
                self.counts[truth * self.classes + predicted] += 1;
            }
        }
    }

    fn right(&self, class: usize) -> u64 {
        self.counts[class * self.classes + class]
    }

    fn truth(&self, class: usize) -> u64 {
        self.counts[class * self.classes..][..self.classes].iter().sum()
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.counts[truth * self.classes + class]).sum()
    }

    fn iou(&self, class: usize) -> f64 {
        let union = self.truth(class) + self.predicted(class) - self.right(class);
        self.right(class) as f64 / union.max(1) as f64
    }

    /// Over the classes that the ground truth has.
    fn mean_iou(&self) -> f64 {
        let ious: Vec<_> =
            (0..self.classes).filter(|&class| self.truth(class) > 0).map(|class| self.iou(class)).collect();
        ious.iter().sum::<f64>() / ious.len().max(1) as f64
    }

    fn pixel_accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.right(class)).sum();
        right as f64 / self.counts.iter().sum::<u64>().max(1) as f64
    }

    /// Classes that occur, in truth or prediction.
    fn report(&self, labels: &[String]) -> Vec<ClassReport> {
        let class = |(id, label): (usize, &String)| ClassReport {
            id,
            label: label.clone(),
            iou: self.iou(id),
            truth_pixels: self.truth(id),
            predicted_pixels: self.predicted(id),
        };
        let classes = labels.iter().enumerate().map(class);
        classes.filter(|class| class.truth_pixels + class.predicted_pixels > 0).collect()
    }
}

fn print(report: &Report, json: bool) -> CliResult {
    if json {
        println!("{}", serde_json::to_string(report).map_err(Failure::does_not_hold)?);
        return Ok(());
    }
    println!("{:>4}  {:<24} {:>7} {:>12}", "ID", "CLASS", "IOU", "PIXELS");
    for ClassReport { id, label, iou, truth_pixels, .. } in &report.classes {
        println!("{id:>4}  {label:<24} {:>6.1}% {truth_pixels:>12}", 100.0 * iou);
    }
    println!(
        "\n{} ({}), {} pictures: mIoU {:.1} %, pixel accuracy {:.1} %, inference p50 {:.1} ms",
        report.mode,
        report.model,
        report.pictures,
        100.0 * report.mean_iou,
        100.0 * report.pixel_accuracy,
        report.infer_millis_p50
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iou_counts_pixels_of_both_and_void_of_neither() {
        let mut ids = [VOID; 256];
        (0..3).for_each(|class| ids[class] = class as u8);
        let mut confusion = Confusion::new(3);
        confusion.add(&[0, 0, 1, 1, 255, 1], &[0, 1, 1, 1, 1, 2], &ids);
        assert_eq!(confusion.iou(0), 0.5);
        assert_eq!(confusion.iou(1), 0.5);
        // Class 2 is predicted and in no mask: it counts against class 1 and not in the mean.
        assert_eq!(confusion.mean_iou(), 0.5);
        assert_eq!(confusion.pixel_accuracy(), 0.6);
        assert_eq!(confusion.report(&["a".into(), "b".into(), "c".into()]).len(), 3);
    }
}
