//! `segue models inspect`: what the catalog would have to say of a graph.

use std::{fmt::Write as _, path::Path, time::Instant};

use segue_plugin::{Error, Result};
use segue_tensors::{Element, Kind, Tensor};

use crate::{backend::Loaded, graph::Graph, settings::Settings};

/// Operators of a graph that are named before "and others".
const NAMED_OPERATORS: usize = 12;

/// An entry for the graph in `file`; `None` when that is no ONNX file by its name.
pub(crate) fn propose(file: &Path) -> Result<Option<String>> {
    if file.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("onnx")) {
        return Ok(None);
    }
    let (graph, settings) = (Graph::read(file)?, Settings::default());
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let loaded =
        Loaded::load(file, &settings, threads).map_err(|error| Error::new(format!("{error}. {}", outside(&graph))))?;
    let spent = start.elapsed().as_millis();
    entry(file, &graph, &loaded, spent).map(Some).map_err(Error::from)
}

/// What the graph takes, gives and is made of.
fn outside(graph: &Graph) -> String {
    let list = |tensors: &[Tensor]| tensors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut operators: Vec<_> = graph.operators.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if operators.len() > NAMED_OPERATORS {
        operators.truncate(NAMED_OPERATORS);
        operators.push("others".into());
    }
    let (inputs, outputs) = (list(&graph.inputs), list(&graph.outputs));
    format!("The graph takes {inputs}; it gives {outputs}; its operators are {}", operators.join(", "))
}

fn entry(file: &Path, graph: &Graph, loaded: &Loaded, spent_millis: u128) -> Result<String, std::fmt::Error> {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let file_name = file.file_name().unwrap_or_default().to_string_lossy();
    let (input, output) = (&loaded.input, &loaded.output);
    let mode = mode_name(&name);
    let mut text = String::new();
    let producer = if graph.producer.is_empty() { "somebody" } else { &graph.producer };
    writeln!(text, "# Save as models/{mode}.toml, with {file_name} beside it; then:")?;
    writeln!(text, "#   segue serve --set modes.{mode}.model={mode}")?;
    writeln!(text, "# Made by {producer}.")?;
    graph.inputs.iter().try_for_each(|input| writeln!(text, "#   takes {input}"))?;
    graph.outputs.iter().try_for_each(|output| writeln!(text, "#   gives {output}"))?;
    let gave: Vec<_> = loaded.gave.iter().map(ToString::to_string).collect();
    let (engine, gave) = (loaded.engine.name(), gave.join(" x "));
    writeln!(text, "# {engine} loaded it and ran it once, in {spent_millis} ms: {:?} was {gave}.", output.name)?;
    writeln!(text, "backend = \"onnx\"\ntitle = {}", quoted(&name))?;
    writeln!(text, "licence = \"unknown\"          # as its author says; SPDX where there is one")?;
    writeln!(text, "file = {}", quoted(&file_name))?;
    let classes = output.classes();
    if let Some((labels, of)) = classes.filter(|_| output.kind() == Kind::Scores).and_then(label_set) {
        writeln!(text, "labels = \"{labels}\"             # a guess: {of} has as many classes")?;
    }
    writeln!(text, "\n[settings]")?;
    writeln!(
        text,
        "# The graph doesn't tell how a pixel's byte becomes a number; whoever trained it does: \"imagenet\" (by"
    )?;
    writeln!(
        text,
        "# ImageNet's mean and deviation), \"unit\" (0 to 1), \"signed\" (-1 to 1), \"bytes\", or mean and deviation."
    )?;
    writeln!(text, "values = \"{}\"", if input.element == Element::U8 { "bytes" } else { "imagenet" })?;
    writeln!(text, "fit = \"stretch\"              # or \"pad\": shrunk to fit, the rest grey{}", keep(input.is_free))?;
    if input.is_free {
        writeln!(text, "input_size_px = [512, 512]   # the graph takes any")?;
    }
    if graph.outputs.len() > 1 {
        writeln!(text, "output = {}", quoted(&output.name))?;
    }
    writeln!(text, "kind = \"{}\"", output.kind().name())?;
    match (output.kind(), classes) {
        (Kind::Scores, Some(count)) if label_set(count).is_none() => unnamed_classes(&mut text, count),
        (Kind::Labels, _) => unnamed_classes(&mut text, 2),
        _ => Ok(()),
    }?;
    Ok(text)
}

fn keep(is_free: bool) -> &'static str {
    if is_free { "; or \"keep\": the aspect stays" } else { "" }
}

fn unnamed_classes(text: &mut String, count: usize) -> std::fmt::Result {
    writeln!(text, "\n# One for each class, in the order of their ids; `background` is left undrawn.")?;
    (0..count).try_for_each(|class| {
        let [red, green, blue] = segue_plugin::Class::numbered(class).colour;
        writeln!(text, "[[classes]]\nlabel = \"class {class}\"\ncolour = [{red}, {green}, {blue}]")
    })
}

/// A set of labels that has so many, and whose it is.
fn label_set(classes: usize) -> Option<(&'static str, &'static str)> {
    match classes {
        19 => Some(("cityscapes", "Cityscapes")),
        21 => Some(("voc", "PASCAL VOC")),
        150 => Some(("ade20k", "ADE20K")),
        _ => None,
    }
}

/// As TOML has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name that a profile can have as a key, from that of a file.
fn mode_name(stem: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    stem.chars().map(plain).collect()
}
