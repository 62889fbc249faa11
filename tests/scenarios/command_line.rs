//! The command line, as its users type it.

use std::{fs, process::Output};

use anyhow::Result;
use insta::assert_snapshot;
use segue_tests::{gradient_jpeg, segue};
use serde_json::Value;

fn run(arguments: &[&str]) -> Result<Output> {
    Ok(segue(arguments).output()?)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_teaches_every_command() -> Result<()> {
    let help = stdout(&run(&["--help"])?);
    for command in ["serve", "segment", "models", "plugins", "profile", "bench", "check"] {
        assert!(help.contains(command), "{help}");
        let output = run(&[command, "--help"])?;
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Usage: segue"), "{command}");
    }
    assert_eq!(run(&["nonsense"])?.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_check_of_what_is_shipped_finds_nothing() -> Result<()> {
    let output = run(&["check"])?;
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    // Larger models are not fetched by themselves: that they are not here is no fault, and is told.
    let said = stdout(&output);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("All is right: profiles (9), modes (9"), "{said}");
    assert!(said.lines().all(|line| line == last || line.starts_with("Not installed: profiles/")), "{said}");
    let strict = run(&["check", "--strict"])?;
    assert_eq!(strict.status.code(), Some(if said.lines().count() == 1 { 0 } else { 1 }));
    Ok(())
}

/// Checks `base.toml` with an overlay on it; what was said, with the folder's name taken out.
fn check_overlay(overlay: &[u8]) -> Result<(Option<i32>, String)> {
    let folder = tempfile::tempdir()?;
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles/base.toml"), folder.path().join("base.toml"))?;
    fs::write(folder.path().join("mine.toml"), overlay)?;
    let path = folder.path().to_string_lossy().into_owned();
    let output = run(&["check", "--profile", "mine", "--profiles", &path])?;
    Ok((output.status.code(), stderr(&output).replace(&path, "profiles")))
}

#[test]
fn a_bad_profile_is_told_by_file_line_key_and_mend() -> Result<()> {
    let cases = [
        ("extends = \"base\"\n[capture]\njpeg_quality = 140\n", "out of range"),
        ("extends = \"base\"\n\n[capture]\njpeg_qualty = 40\n", "misspelt"),
        ("extends = \"base\"\n[capture]\njpeg_quality = \"high\"\n", "wrong type"),
        ("extends = \"base\"\n[capture\njpeg_quality = 4\n", "no TOML"),
        ("extends = \"mine\"\n", "circle"),
        ("extends = \"nowhere\"\n", "missing base"),
        ("extends = \"base\"\n[server]\ndefault_mode = \"quick\"\n", "no such mode"),
        ("extends = \"base\"\n[capture]\njpeg_quality = 0\nmax_in_flight = 0\n", "two at once"),
    ];
    let mut said = String::new();
    for (overlay, name) in cases {
        let (code, text) = check_overlay(overlay.as_bytes())?;
        assert_eq!(code, Some(2), "{name}");
        said.push_str(&format!("# {name}\n{text}"));
    }
    assert_snapshot!(said);
    assert!(check_overlay(b"extends = \"base\"\n# \xFF\n")?.1.contains("mine.toml:2: is not UTF-8"));
    Ok(())
}

#[test]
fn a_bad_override_is_told_by_its_own_words() -> Result<()> {
    let said = |arguments: &[&str]| -> Result<String> {
        let output = run(&[&["check"], arguments].concat())?;
        assert_eq!(output.status.code(), Some(2));
        Ok(stderr(&output))
    };
    assert_snapshot!(said(&["--set", "capture.jpeg_quality"])?);
    assert_snapshot!(said(&["--set", "capture.jpeg_quality=140"])?);
    assert_snapshot!(said(&["--set", "telemetry.log=segue=[["])?);
    let output = segue(&["check"]).env("SEGUE_CFG__CAPTURE__JPEG_QUALITY", "140").output()?;
    assert_snapshot!(stderr(&output));
    Ok(())
}

#[test]
fn a_mode_without_a_model_is_told_by_its_name() -> Result<()> {
    let (code, text) = check_overlay(b"extends = \"base\"\n[modes.fast]\nmodel = \"slefie\"\nvariant = \"\"\n")?;
    assert_eq!(code, Some(1));
    assert!(
        text.contains("mine.toml:3: modes.fast.model: there is no model \"slefie\" in the catalog; there are: deeplabv3-mobilenet-v2, "),
        "{text}"
    );
    Ok(())
}

#[test]
fn a_setting_that_a_backend_does_not_know_is_told_by_its_line() -> Result<()> {
    let (code, text) = check_overlay(b"extends = \"base\"\n[modes.fast.settings]\nsharpnes = 3\n")?;
    assert_eq!(code, Some(1));
    assert!(text.contains("mine.toml:2: modes.fast.settings: ") && text.contains("unknown field `sharpnes`"), "{text}");
    assert!(!text.contains("column"), "{text}");
    Ok(())
}

#[test]
fn segment_writes_a_mask_a_picture_and_json() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("picture.jpg").to_string_lossy().into_owned();
    fs::write(&picture, gradient_jpeg(120, 80)?)?;
    let mask = folder.path().join("mask.png").to_string_lossy().into_owned();
    let drawn = folder.path().join("drawn.jpg").to_string_lossy().into_owned();
    assert!(run(&["segment", &picture, "--mode", "landscape", "-o", &mask])?.status.success());
    assert!(run(&["segment", &picture, "--view", "contour", "-o", &drawn])?.status.success());
    assert!(fs::read(&mask)?.starts_with(b"\x89PNG") && fs::read(&drawn)?.starts_with(&[0xFF, 0xD8]));
    let output = run(&["segment", &picture, "--json"])?;
    let document: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((document["width"].as_u64(), document["height"].as_u64()), (Some(120), Some(80)));
    Ok(())
}

#[test]
fn segment_says_what_is_wrong() -> Result<()> {
    let missing = run(&["segment", "no-such.jpg", "-o", "x.png"])?;
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("no-such.jpg: No such file"), "{}", stderr(&missing));
    let no_picture = run(&["segment", "Cargo.toml", "-o", "x.png"])?;
    assert!(stderr(&no_picture).contains("it is no JPEG, PNG or WebP"), "{}", stderr(&no_picture));
    let no_mode = run(&["segment", "Cargo.toml", "--mode", "quick", "-o", "x.png"])?;
    assert_eq!(no_mode.status.code(), Some(2));
    assert_snapshot!(stderr(&no_mode), @r#"segue: there is no mode "quick"; there are: accurate, balanced, fast, landscape, sota"#);
    Ok(())
}

#[test]
fn models_are_listed_verified_and_taken_from_a_file() -> Result<()> {
    let list: Value = serde_json::from_slice(&run(&["models", "list", "--json"])?.stdout)?;
    let of_selfie = |list: &Value| list.as_array()?.iter().find(|entry| entry["name"] == "selfie").cloned();
    assert_eq!(of_selfie(&list).map(|entry| entry["files_missing"].clone()), Some(0.into()));
    let verified: Value = serde_json::from_slice(&run(&["models", "verify", "--json"])?.stdout)?;
    let states = serde_json::json!({"general": "here", "landscape": "here"});
    assert_eq!(of_selfie(&verified).map(|entry| entry["variants"].clone()), Some(states));
    let folder = tempfile::tempdir()?;
    let cache = folder.path().to_string_lossy().into_owned();
    let nothing_there = run(&["models", "verify", "--cache", &cache])?;
    assert_eq!(nothing_there.status.code(), Some(0), "what is not here is not wrong");
    let cached = folder.path().join("models/selfie");
    fs::create_dir_all(&cached)?;
    fs::write(cached.join("selfie_segmentation.tflite"), "other weights")?;
    let changed = run(&["models", "verify", "--cache", &cache])?;
    assert_eq!(changed.status.code(), Some(1));
    assert!(stderr(&changed).contains("this mends it: `segue models pull selfie`"), "{}", stderr(&changed));
    let foreign = run(&["models", "pull", "selfie", "--from", "Cargo.toml", "--cache", &cache])?;
    assert_eq!(foreign.status.code(), Some(1));
    assert!(stderr(&foreign).contains("is none of the files of model \"selfie\""), "{}", stderr(&foreign));
    Ok(())
}

#[test]
fn whoever_reads_no_further_is_no_fault() -> Result<()> {
    for arguments in [&["models"][..], &["profile", "show"], &["profile", "schema"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let output = segue(arguments).stdout(writer).output()?;
        assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]), "{arguments:?}");
    }
    Ok(())
}
