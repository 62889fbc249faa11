//! Both networks compute what a TFLite runtime computes (`reference/make_reference.py`), on every instruction
//! set of this CPU and with one and two threads.

mod common;

use std::collections::BTreeMap;

use segue_nn::Level;
use selfie::network::Network;
use serde::Deserialize;

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    grid_step: usize,
    networks: BTreeMap<String, Vec<Case>>,
}

#[derive(Deserialize)]
struct Case {
    formula: Option<String>,
    clip: Option<String>,
    frame: Option<u64>,
    sha256: Option<String>,
    mean: f32,
    min: f32,
    max: f32,
    person: f32,
    grid: Vec<f32>,
    /// Undecided pixels, by place.
    soft: Vec<(usize, f32)>,
}

impl Case {
    fn input(&self, width: usize, height: usize) -> Option<Vec<f32>> {
        match (&self.formula, &self.clip, self.frame, &self.sha256) {
            (Some(formula), ..) => Some(common::synthetic(formula, width, height)),
            (_, Some(clip), Some(frame), Some(sha256)) => common::clip_frame(clip, frame, sha256, width, height),
            _ => panic!("a reference names neither a formula nor a clip"),
        }
    }

    fn name(&self) -> &str {
        self.formula.as_deref().or(self.clip.as_deref()).unwrap_or("?")
    }

    fn compare(&self, plane: &[f32], width: usize, step: usize) -> Result<(), String> {
        let grid = plane.chunks(width).step_by(step).flat_map(|row| row.iter().step_by(step));
        for (i, (ours, theirs)) in grid.zip(&self.grid).enumerate() {
            close(&format!("grid value {i}"), *ours, *theirs, TOLERANCE)?;
        }
        for &(place, theirs) in &self.soft {
            close(&format!("pixel {place}"), plane[place], theirs, TOLERANCE)?;
        }
        let count = plane.len() as f32;
        close("mean", plane.iter().sum::<f32>() / count, self.mean, TOLERANCE)?;
        close("min", plane.iter().copied().fold(1.0, f32::min), self.min, TOLERANCE)?;
        close("max", plane.iter().copied().fold(0.0, f32::max), self.max, TOLERANCE)?;
        // A pixel this close to one half may fall on either side.
        let undecided = plane.iter().filter(|p| (*p - 0.5).abs() < TOLERANCE).count() as f32 / count;
        close(
            "share of person",
            plane.iter().filter(|&&p| p >= 0.5).count() as f32 / count,
            self.person,
            undecided + 1e-6,
        )
    }
}

fn close(what: &str, ours: f32, theirs: f32, tolerance: f32) -> Result<(), String> {
    if (ours - theirs).abs() <= tolerance { Ok(()) } else { Err(format!("{what}: {ours}, reference {theirs}")) }
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../reference/reference.json")).expect("reference.json is well-formed")
}

fn network_matches(file: &str) {
    let Some(bytes) = common::weights(file) else {
        return;
    };
    let reference = reference();
    for threads in [1, 2] {
        for level in Level::available() {
            let mut network = Network::load_at(level, &bytes, threads).expect("the network loads");
            let (width, height) = (network.input_width(), network.input_height());
            let mut plane = vec![0.0; width * height];
            for case in &reference.networks[file] {
                let Some(input) = case.input(width, height) else {
                    continue;
                };
                network.forward(&input, &mut plane);
                if let Err(difference) = case.compare(&plane, width, reference.grid_step) {
                    panic!("{file}, {}, {level:?}, {threads} threads: {difference}", case.name());
                }
            }
        }
    }
}

#[test]
fn the_general_network_computes_what_tflite_computes() {
    network_matches(common::FILES[0]);
}

#[test]
fn the_landscape_network_computes_what_tflite_computes() {
    network_matches(common::FILES[1]);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_or_on_earlier_frames() {
    let Some(bytes) = common::weights(common::FILES[0]) else {
        return;
    };
    let mut single = Network::load(&bytes, 1).expect("the network loads");
    let mut several = Network::load(&bytes, 3).expect("the network loads");
    let input = common::synthetic("figure", single.input_width(), single.input_height());
    let noise = common::synthetic("noise", single.input_width(), single.input_height());
    let (mut once, mut again) = (vec![0.0; 256 * 256], vec![0.0; 256 * 256]);
    single.forward(&input, &mut once);
    for _ in 0..20 {
        several.forward(&noise, &mut again);
        several.forward(&input, &mut again);
        assert!(once == again, "two threads, or an earlier frame, changed the result");
    }
}
