//! Files that are no plugin, or not for this server, are refused in one sentence; a plugin's panic costs one frame.

use std::{
    fs,
    mem::offset_of,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use segue_abi::{MAGIC, Plugin};
use segue_tests::{Client, Lab, built, gradient_jpeg, segue};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The built `selfie` plugin, as the server finds it.
fn plugin_bytes() -> Result<Vec<u8>> {
    Ok(fs::read(built("plugins/libselfie.so")?)?)
}

/// The plugin with `bytes` written over a field of its descriptor.
fn with_field(at: usize, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut file = plugin_bytes()?;
    let magic = MAGIC.to_le_bytes();
    let starts: Vec<_> = (0..file.len() - 8).filter(|&at| file[at..at + 8] == magic && at % 8 == 0).collect();
    ensure!(!starts.is_empty(), "the descriptor is not found");
    // The compiler keeps the number in code, too: the descriptor is the place that is followed by version 1.2.
    let start = starts.into_iter().find(|&at| file[at + 8..at + 12] == [1, 0, 2, 0]).context("no descriptor")?;
    file[start + at..start + at + bytes.len()].copy_from_slice(bytes);
    Ok(file)
}

/// What `segue plugins inspect` says of a file with this content.
fn inspect(content: &[u8]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("libtest.so");
    fs::write(&path, content)?;
    said_of(&path)
}

fn said_of(path: &Path) -> Result<String> {
    let output = segue(&["plugins", "inspect"]).arg(path).output()?;
    let said = String::from_utf8(output.stderr)?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    ensure!(output.status.code() == Some(1), "{said}");
    Ok(said.replace(&path.display().to_string(), "libtest.so").trim_end().to_owned())
}

#[test]
fn a_good_plugin_is_described_without_being_run() -> Result<()> {
    let said = inspect(&plugin_bytes()?)?;
    assert!(said.starts_with("name     selfie\nversion  0.1.0\n"), "{said}");
    assert!(said.contains("ABI      1.2"), "{said}");
    // One of an older minor is as good.
    let older = inspect(&with_field(offset_of!(Plugin, abi_minor), &0_u16.to_le_bytes())?)?;
    assert!(older.contains("ABI      1.0"), "{older}");
    Ok(())
}

#[test]
fn a_plugin_of_another_abi_is_refused() -> Result<()> {
    assert_snapshot!(inspect(&with_field(offset_of!(Plugin, abi_major), &2_u16.to_le_bytes())?)?);
    assert_snapshot!(inspect(&with_field(offset_of!(Plugin, abi_minor), &9_u16.to_le_bytes())?)?);
    assert_snapshot!(inspect(&with_field(offset_of!(Plugin, sizeof_host), &4096_u32.to_le_bytes())?)?);
    assert_snapshot!(inspect(&with_field(offset_of!(Plugin, magic), b"NOTSEGUE")?)?);
    Ok(())
}

#[test]
fn a_plugin_of_another_architecture_is_refused() -> Result<()> {
    let mut file = plugin_bytes()?;
    // e_machine of the ELF header: 183 is 64-bit Arm, 62 is x86-64.
    let other: u16 = if cfg!(target_arch = "aarch64") { 62 } else { 183 };
    file[18..20].copy_from_slice(&other.to_le_bytes());
    let said = inspect(&file)?;
    assert!(said.contains("it is built for") && said.contains(std::env::consts::ARCH), "{said}");
    Ok(())
}

#[test]
fn stray_and_truncated_files_are_refused() -> Result<()> {
    let file = plugin_bytes()?;
    for content in
        [&b""[..], b"#!/bin/sh\necho hello\n", &file[..100], &file[..file.len() / 2], &file[..file.len() - 1]]
    {
        let said = inspect(content)?;
        assert!(said.contains("cut short"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    Ok(())
}

#[test]
fn what_is_no_regular_file_is_refused_and_waited_for_by_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let pipe = folder.path().join("libpipe.so");
    ensure!(Command::new("mkfifo").arg(&pipe).status()?.success(), "no mkfifo");
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("libzero.so"))?;
    fs::create_dir(folder.path().join("libfolder.so"))?;
    let path = folder.path().to_string_lossy().into_owned();
    let listed = String::from_utf8(segue(&["plugins", "list", "--plugins", &path]).output()?.stdout)?;
    assert_eq!(listed.matches("it is no regular file").count(), 3, "{listed}");
    Ok(())
}

/// Compiles `source` to a shared library with `cc`.
fn compile(source: &str, folder: &Path) -> Result<PathBuf> {
    let (code, library) = (folder.join("code.c"), folder.join("libtest.so"));
    fs::write(&code, source)?;
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&code).status()?;
    ensure!(status.success(), "cc ended with {status}");
    Ok(library)
}

#[test]
fn a_library_that_is_no_plugin_is_refused_and_never_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let trap = "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\n";
    assert_snapshot!(said_of(&compile(trap, folder.path())?)?);
    let empty = format!("{trap}int segue_plugin_v1;\n");
    assert_snapshot!(said_of(&compile(&empty, folder.path())?)?);
    Ok(())
}

#[test]
fn a_plugin_that_aborts_on_panic_is_refused() -> Result<()> {
    let target = built("built-to-abort")?;
    let status = Command::new(env!("CARGO"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["rustc", "--quiet", "--package", "segue-brightness", "--crate-type", "cdylib"])
        .args(["--config", "profile.dev.panic=\"abort\"", "--target-dir"])
        .arg(&target)
        .status()?;
    ensure!(status.success(), "cargo ended with {status}");
    let file = target.join("debug/libbrightness.so");
    assert_snapshot!(said_of(&file)?);
    Ok(())
}

#[tokio::test]
async fn a_lab_serves_its_own_plugin_by_dropping_files() -> Result<()> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "threshold = 100")?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    assert_eq!(client.hello["modes"][0]["labels"], json!(["dark", "bright"]));
    client.frame(1, &gradient_jpeg(256, 256)?).await?;
    let bright = client.result().await?.share(1);
    assert!((0.6..0.9).contains(&bright), "{bright} of the gradient is brighter than 100");
    Ok(())
}

#[tokio::test]
async fn a_panic_a_failure_and_a_lie_cost_their_frame_and_nothing_else() -> Result<()> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "")?;
    let server = lab.serve()?;
    server.log_until("expect the worst")?;
    let mut client = Client::connect(server.address()).await?;
    let cases = [
        (101, "panicked: frame 1 is too much"),
        (102, "frames of this width are not to its taste"),
        (103, "its mask has class 200, and it has 2 classes"),
        (101, "panicked: frame"),
    ];
    for (frame_id, (width, reason)) in (0..).step_by(2).zip(cases) {
        client.frame(frame_id, &gradient_jpeg(width, 50)?).await?;
        let dropped = client.text_of("dropped").await?;
        assert_eq!((&dropped["frame_id"], &dropped["reason"]), (&json!(frame_id), &json!("backend_failed")));
        assert!(dropped["message"].as_str().is_some_and(|message| message.contains(reason)), "{dropped}");
        client.frame(frame_id + 1, &gradient_jpeg(64, 50)?).await?;
        assert_eq!(client.result().await?.share(1), 1.0);
    }
    Ok(())
}

#[test]
fn settings_that_a_backend_does_not_know_make_its_mode_unavailable_by_name() -> Result<()> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "brigthness = 1")?;
    let (status, reason) = lab.serve()?.get("/readyz")?;
    assert_eq!(status, 503);
    assert!(reason.contains("unknown field `brigthness`"), "{reason}");
    Ok(())
}

/// What `segue check` says of a lab's mode `lab`.
fn checked(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let places = lab.places();
    let places: Vec<_> = places.iter().map(String::as_str).collect();
    let output = segue(&[&["check", "--profile", "default"], &places[..], arguments].concat()).output()?;
    Ok(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn what_everybody_may_write_is_not_run() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    for place in ["plugins", "plugins/libmisbehaving.so", "models", "models/lab.toml"] {
        let path = lab.path(place);
        let before = fs::metadata(&path)?.permissions();
        let mut open = before.clone();
        open.set_mode(before.mode() | 0o002);
        fs::set_permissions(&path, open)?;
        let said = checked(&lab, &[])?;
        let mend = format!("everybody may write to {0}; chmod o-w {0}", path.display());
        ensure!(said.contains(&mend), "{place}: {said}");
        fs::set_permissions(&path, before)?;
    }
    let said = checked(&lab, &[])?;
    ensure!(!said.contains("everybody may write"), "{said}");
    Ok(())
}

#[tokio::test]
async fn only_plugins_that_are_allowed_are_run_and_the_list_is_followed() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    let hash = |file: &str| -> Result<String> { Ok(hex::encode(Sha256::digest(fs::read(lab.path(file))?))) };
    let (selfie, misbehaving) = (hash("plugins/libselfie.so")?, hash("plugins/libmisbehaving.so")?);
    let mode = "[modes.lab]\nmodel = \"lab\"\ninstances = 1\n";
    let allow = |hashes: &str| lab.profile(&format!("security.allowed_plugins = [{hashes}]\n{mode}"));
    allow(&format!("\"{selfie}\""))?;
    let server = lab.serve()?;
    let state = || -> Result<String> {
        let modes: serde_json::Value = serde_json::from_str(&server.get("/v1/modes")?.1)?;
        let modes = modes["modes"].as_array().context("no modes")?;
        Ok(modes.iter().find(|mode| mode["name"] == "lab").context("no lab")?.to_string())
    };
    let wanted = format!("its SHA-256 is {misbehaving}, which is not in security.allowed_plugins");
    ensure!(state()?.contains(&wanted), "{}", state()?);

    allow(&format!("\"{selfie}\", \"{misbehaving}\""))?;
    server.applied(2)?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "set_mode", "mode": "lab"})).await?;
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;

    // What serves can't be forbidden while a mode needs it: the edit is refused, with the key.
    allow(&format!("\"{selfie}\""))?;
    server.log_until(&wanted)?;
    client.frame(2, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    Ok(())
}
