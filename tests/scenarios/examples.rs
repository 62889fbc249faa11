//! The backends in C and C++ are built as their comments say, keep the contract, and give the masks that they promise. The
//! client in Python prints what its comment promises.
#![allow(unsafe_code, reason = "a plugin's file is opened here to be run through the contract")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use segue_testkit::{ModelUnderTest, Report, check};
use segue_tests::{Client, Decoded, Lab, built, jpeg};
use serde_json::json;

const GREEN_SCREEN: &str = "examples/green-screen/green_screen.c";
const IN_FOCUS: &str = "examples/in-focus/in_focus.cpp";

/// A library, and the folder that it lies in.
struct Built {
    _folder: tempfile::TempDir,
    library: PathBuf,
}

/// Runs the command that the comment at the start of `source` gives, on two lines; no warning may come of it.
fn build(source: &str) -> Result<Built> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let folder = tempfile::tempdir()?;
    let text = fs::read_to_string(Path::new(root).join(source))?;
    let comment = text.lines().take_while(|line| !line.starts_with(" */"));
    let command: String = comment.filter_map(|line| line.strip_prefix(" *     ")).take(2).collect();
    let command = command.replace('\\', "").replace("target/release/plugins", &folder.path().to_string_lossy());
    let status = Command::new("sh").arg("-c").arg(format!("{command} -Werror -pedantic")).current_dir(root).status()?;
    ensure!(status.success(), "{command} ended with {status}");
    let made = fs::read_dir(folder.path())?.next().with_context(|| format!("{command} made nothing"))?;
    let library = made?.path();
    Ok(Built { _folder: folder, library })
}

/// What the contract says of a library, with these settings.
fn contract(library: &Path, settings_json: &str) -> Result<Report> {
    // SAFETY: the examples run no code when they are opened.
    let opened = unsafe { libloading::Library::new(library) }?;
    // SAFETY: the ABI has this symbol be a `Plugin`, and the examples keep to it.
    let plugin = unsafe { opened.get::<*const segue_abi::Plugin>(segue_abi::PLUGIN_SYMBOL) }?;
    let model = ModelUnderTest { settings_json: settings_json.into(), ..ModelUnderTest::default() };
    // SAFETY: the static lives as long as `opened`, and so beyond this call.
    Ok(check(unsafe { &**plugin }, &model))
}

/// Serves the library, and sends it one picture; the labels of its mode, and the mask with confidence.
async fn served(library: &Path, backend: &str, settings: &str, picture: &[u8]) -> Result<(serde_json::Value, Decoded)> {
    let lab = Lab::install(library, backend, settings)?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "view", "soft_edge": true, "picture": null})).await?;
    client.frame(1, picture).await?;
    let mask = client.result().await?;
    Ok((client.hello["modes"][0]["labels"].clone(), mask))
}

fn at(plane: &[u8], mask: &Decoded, (x, y): (usize, usize)) -> u8 {
    plane[y * usize::from(mask.width) + x]
}

#[test]
fn the_example_in_c_keeps_the_contract() -> Result<()> {
    let built = build(GREEN_SCREEN)?;
    contract(&built.library, "{}")?.expect_all();
    contract(&built.library, r#" { "threshold" : 12 } "#)?.expect_all();
    for settings in ["", "{}}", r#"{"threshold":256}"#, r#"{"threshold":-1}"#, r#"{"level":1}"#, r#"{"threshold":"9"}"#]
    {
        let report = contract(&built.library, settings)?;
        assert!(report.failures().any(|failure| failure.contains("threshold = 0 to 255")), "{settings}: {report}");
    }
    Ok(())
}

#[test]
fn the_example_in_cpp_keeps_the_contract() -> Result<()> {
    let built = build(IN_FOCUS)?;
    contract(&built.library, " { }\n")?.expect_all();
    let report = contract(&built.library, r#"{"threshold":1}"#)?;
    assert!(report.failures().any(|failure| failure.contains("this backend takes none")), "{report}");
    Ok(())
}

#[tokio::test]
async fn the_example_in_c_tells_a_subject_from_a_green_screen() -> Result<()> {
    let picture = jpeg(320, 180, |x, _| if x < 160 { [30, 220, 40] } else { [200, 150, 120] })?;
    let built = build(GREEN_SCREEN)?;
    let (labels, mask) = served(&built.library, "green-screen", "threshold = 60", &picture).await?;
    assert_eq!(labels, json!(["background", "subject"]));
    assert_eq!((at(&mask.labels, &mask, (80, 90)), at(&mask.labels, &mask, (240, 90))), (0, 1));
    assert!((0.45..0.55).contains(&mask.share(1)), "{} of the picture is the subject", mask.share(1));
    assert!(at(&mask.confidence, &mask, (80, 90)) > 240, "a clear case is a certain one");
    Ok(())
}

#[tokio::test]
async fn the_example_in_cpp_tells_what_is_in_focus() -> Result<()> {
    let picture = jpeg(320, 180, |x, y| if x < 160 && (x / 4 + y / 4) % 2 == 0 { [230; 3] } else { [60; 3] })?;
    let built = build(IN_FOCUS)?;
    let (labels, mask) = served(&built.library, "in-focus", "", &picture).await?;
    assert_eq!(labels, json!(["background", "sharp"]));
    assert_eq!((at(&mask.labels, &mask, (80, 90)), at(&mask.labels, &mask, (240, 90))), (1, 0));
    assert!((0.45..0.55).contains(&mask.share(1)), "{} of the picture is sharp", mask.share(1));
    let (inside, edge) = (at(&mask.confidence, &mask, (300, 90)), at(&mask.confidence, &mask, (161, 90)));
    assert!(inside > edge, "it is surer far from the edge ({inside}) than at it ({edge})");
    Ok(())
}

#[test]
fn the_example_in_python_prints_the_share_of_each_class() -> Result<()> {
    // A Python that has the package `websockets`; `cargo xtask test` makes one.
    let Some(python) = std::env::var_os("SEGUE_PYTHON") else {
        eprintln!("SKIPPED: the example client in Python: SEGUE_PYTHON names none");
        return Ok(());
    };
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "threshold = 100")?;
    // Whatever sessions begin with, the example wants masks.
    lab.profile("[result]\nformat = \"picture\"")?;
    let server = lab.serve()?;
    let run = |places: &[PathBuf]| {
        let mut command = Command::new(&python);
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/python/client.py"));
        command.arg(format!("ws://{}/ws", server.address())).args(places).output()
    };
    let frames = lab.path("frames");
    fs::create_dir(&frames)?;
    for (name, bright) in [("1.jpg", 240), ("2.jpg", 80), ("3.jpg", 320)] {
        fs::write(frames.join(name), jpeg(320, 16, |x, _| if x < bright { [220; 3] } else { [20; 3] })?)?;
    }
    let done = run(&[frames.clone(), frames.join("2.jpg")])?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines =
        ["1.jpg {'bright': 0.75, 'dark': 0.25}", "2.jpg {'bright': 0.25, 'dark': 0.75}", "3.jpg {'bright': 1.0}"];
    assert_eq!(String::from_utf8(done.stdout)?.lines().collect::<Vec<_>>(), [&lines[..], &lines[1..2]].concat());
    fs::write(frames.join("2.jpg"), "no picture")?;
    let refused = run(&[frames])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("2.jpg: the picture can't be decoded"), "{said}");
    Ok(())
}
