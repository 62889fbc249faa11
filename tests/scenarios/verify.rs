//! `segue plugins verify`: a plugin that keeps its contract passes, one that lies fails with the reason.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use segue_tests::{program, segue};
use serde_json::Value;

/// The file of a plugin that was built beside the program.
fn built(library: &str) -> Result<PathBuf> {
    Ok(program().parent().context("the program lies in no directory")?.join(library))
}

/// What a run of `segue plugins verify` said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Said {
    /// The lines of promises that are not kept.
    fn failures(&self) -> Vec<&str> {
        self.stdout.lines().filter_map(|line| line.strip_prefix("FAIL  ")).collect()
    }
}

/// Verifies `file`, with nothing in the catalog but `model`.
fn verify_with(file: &Path, model: &str, arguments: &[&str]) -> Result<Said> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("test.toml"), model)?;
    let mut command = segue(&["plugins", "verify"]);
    command.arg(file).args(arguments);
    command.arg("--models").arg(folder.path()).arg("--cache").arg(folder.path());
    Ok(command.output()?.into())
}

/// Verifies the plugin that tells `lie`: why it fails, and how many other promises it breaks.
fn caught(lie: &str, arguments: &[&str]) -> Result<String> {
    let model = format!("backend = \"lying\"\ntitle = \"A lie\"\nlicence = \"MIT\"\n\n[settings]\nlie = \"{lie}\"\n");
    let said = verify_with(&built("liblying.so")?, &model, &[&["--quick"], arguments].concat())?;
    ensure!(said.code == Some(1), "{lie}: {:?}\n{}{}", said.code, said.stdout, said.stderr);
    ensure!(said.stderr.contains("does not keep its contract"), "{lie}: {}", said.stderr);
    let failures = said.failures();
    ensure!(failures.len() == 1, "{lie}: {}", said.stdout);
    Ok(failures[0].to_owned())
}

#[test]
fn the_example_keeps_its_contract() -> Result<()> {
    let said = verify_with(&built("libbrightness.so")?, "", &["--frames", "500"])?;
    assert_eq!((said.code, said.failures()), (Some(0), vec![]), "{}{}", said.stdout, said.stderr);
    assert!(
        said.stderr.contains("Checked without a model: the catalog has none for \"brightness\""),
        "{}",
        said.stderr
    );
    let last = said.stdout.lines().last().context("nothing was said")?;
    assert!(last.starts_with("All 21 promises are kept ("), "{last}");
    Ok(())
}

#[test]
fn the_default_backend_keeps_its_contract() -> Result<()> {
    let file = built("plugins/libselfie.so")?;
    let said = Said::from(segue(&["plugins", "verify", "--frames", "300"]).arg(&file).output()?);
    if said.stderr.contains("Checked without a model") {
        ensure!(std::env::var_os("SEGUE_REQUIRE_WEIGHTS").is_none(), "SEGUE_REQUIRE_WEIGHTS is set: {}", said.stderr);
        eprintln!("SKIPPED: selfie without weights; run `segue models pull selfie`");
        return Ok(());
    }
    assert!(said.stderr.contains("Checked with the model \"selfie\""), "{}", said.stderr);
    assert_eq!((said.code, said.failures()), (Some(0), vec![]), "{}{}", said.stdout, said.stderr);
    Ok(())
}

#[test]
fn a_backend_that_lies_in_nothing_passes() -> Result<()> {
    let said = verify_with(&built("liblying.so")?, "", &["--quick"])?;
    assert_eq!((said.code, said.failures()), (Some(0), vec![]), "{}{}", said.stdout, said.stderr);
    Ok(())
}

#[test]
fn lies_about_masks_are_told_by_their_reason() -> Result<()> {
    for lie in [
        "class-out-of-range",
        "leaves-a-pixel",
        "writes-beyond-the-mask",
        "reads-the-gap",
        "differs-from-call-to-call",
        "differs-from-instance-to-instance",
    ] {
        assert_snapshot!(lie, caught(lie, &[])?);
    }
    Ok(())
}

#[test]
fn lies_about_classes_are_told_by_their_reason() -> Result<()> {
    for lie in ["same-label-twice", "empty-label", "no-palette", "other-info-each-time"] {
        assert_snapshot!(lie, caught(lie, &[])?);
    }
    Ok(())
}
