//! `segue plugins verify`: a plugin that keeps its contract passes, one that lies fails with the reason.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};
use segue_abi::padded;
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

/// Verifies the plugin that tells `lie`: all that it says is to be one broken promise, `promise`, for the reason
/// `reason`, and whatever that entails.
fn catch(lie: &str, promise: &str, reason: &str, arguments: &[&str]) -> Result<()> {
    let model = format!("backend = \"lying\"\ntitle = \"A lie\"\nlicence = \"MIT\"\n\n[settings]\nlie = \"{lie}\"\n");
    let said = verify_with(&built("liblying.so")?, &model, &[&["--quick"], arguments].concat())?;
    let everything = format!("{lie}: {:?}\n{}{}", said.code, said.stdout, said.stderr);
    ensure!(said.code == Some(1) && said.stderr.contains("does not keep its contract"), "{everything}");
    let first = *said.failures().first().context("no failure is told")?;
    ensure!(first.starts_with(promise) && first.contains(reason), "{everything}");
    Ok(())
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
    let fills = "It fills every pixel with a class that it has";
    catch("class-out-of-range", fills, "frame 1x1, mask 1x1: pixel 0 is of class 200, and there are 2 classes", &[])?;
    catch("leaves-a-pixel", fills, "pixel 0 was not written", &[])?;
    catch("writes-beyond-the-mask", fills, "it wrote beyond the mask", &[])?;
    let gap = "bytes of 255 lie between rows";
    catch("reads-the-gap", "It never reads the gap between rows", gap, &[])?;
    let same = "It gives the same mask for the same frame";
    catch("differs-from-call-to-call", same, "differ when the same frame comes again", &[])?;
    catch("differs-from-instance-to-instance", same, "differ on a second instance", &[])
}

#[test]
fn lies_about_classes_are_told_by_their_reason() -> Result<()> {
    let names = "It names its classes";
    catch("same-label-twice", names, "labels 0 and 1 are both \"dark\"", &[])?;
    catch("empty-label", names, "label 1 is empty", &[])?;
    catch("no-palette", names, "it has 2 classes and no palette", &[])?;
    catch("other-info-each-time", names, "its info differs when it is asked again", &[])
}

#[test]
fn a_cancelled_call_that_goes_on_is_noticed() -> Result<()> {
    let ends = "A cancelled call ends soon";
    catch("dawdles-when-cancelled", ends, "cancelled before it began went on for", &[])?;
    catch("forgets-when-cancelled", ends, "differ after a call that was cancelled before it began", &[])?;
    catch("hangs-when-cancelled", ends, "it took longer than 3 s", &["--timeout", "3"])
}

#[test]
fn instances_and_calls_that_get_in_each_others_way_are_noticed() -> Result<()> {
    let at_once = "Instances that are called at once give the same masks as alone";
    catch("shares-a-static", at_once, "differ when 2 calls run at once", &[])?;
    let calls = "One instance takes as many calls at once as it says";
    catch("overstates-concurrency", calls, "differ when 4 calls run at once", &[])
}

#[test]
fn memory_that_is_kept_from_frame_to_frame_is_noticed() -> Result<()> {
    let reason = "KiB over 300 frames of 64x48";
    catch("leaks", "It does not grow from frame to frame", reason, &["--frames", "300"])
}

#[test]
fn a_crash_a_hang_and_an_exit_fail_the_promise_that_was_checked() -> Result<()> {
    let fills = "It fills every pixel with a class that it has";
    catch("crashes-at-one-pixel", fills, "its process was ended by SIGSEGV", &[])?;
    catch("leaves-at-a-width", fills, "its process ended by itself with 0", &[])?;
    catch("panics-at-a-width", fills, "status PANICKED (panicked: 17 is too much", &[])?;
    catch("hangs-at-a-width", fills, "it took longer than 2 s", &["--timeout", "2"])?;
    let same = "It gives the same mask for the same frame";
    catch("crashes-when-destroyed", same, "SIGABRT; its last words: not without a fight", &[])
}

#[test]
fn what_can_not_be_used_is_to_be_refused_with_a_reason() -> Result<()> {
    let frames = "It refuses malformed frames";
    catch("aborts-on-a-short-frame", frames, "SIGABRT; its last words: a short frame is the end", &[])?;
    catch("accepts-a-short-frame", frames, "it ended with status OK", &[])?;
    catch("fails-without-reason", frames, "it gives no reason", &[])?;
    catch("takes-any-settings", "It refuses settings", "it loaded with the settings `not json`", &[])
}

#[test]
fn a_descriptor_that_is_not_whole_is_told_by_its_field() -> Result<()> {
    let mut file = fs::read(built("libbrightness.so")?)?;
    let name_and_version: Vec<u8> = [padded::<32>("brightness"), padded::<32>(env!("CARGO_PKG_VERSION"))].concat();
    let name = file.windows(64).position(|bytes| bytes == name_and_version).context("no descriptor")?;
    file[name + 32..name + 64].fill(0);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("libtest.so");
    fs::write(&path, &file)?;
    let said = verify_with(&path, "", &["--quick"])?;
    assert_eq!((said.code, said.failures()), (Some(1), vec!["Its descriptor is whole: it has no version text"]));
    Ok(())
}

#[test]
fn a_file_that_is_no_plugin_fails_without_being_run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("libtest.so");
    fs::write(&path, "#!/bin/sh\necho hello\n")?;
    let said = verify_with(&path, "", &[])?;
    assert_eq!(said.code, Some(1));
    assert!(said.failures()[0].contains("it is not a shared library"), "{}", said.stdout);
    assert!(said.stdout.contains("0 of 21 promises are kept; 20 were not checked"), "{}", said.stdout);
    Ok(())
}

#[test]
fn wrong_usage_is_told_by_its_mend() -> Result<()> {
    let brightness = built("libbrightness.so")?;
    let model = "backend = \"another\"\ntitle = \"Another\"\nlicence = \"MIT\"\n";
    let said = |file: &Path, arguments: &[&str]| -> Result<String> {
        let said = verify_with(file, model, arguments)?;
        ensure!(said.code == Some(2), "{:?}\n{}{}", said.code, said.stdout, said.stderr);
        Ok(said.stderr)
    };
    assert!(said(Path::new("/nonexistent/libtest.so"), &[])?.contains("/nonexistent/libtest.so: "));
    assert!(said(&brightness, &["--model", "tset"])?.contains("there is no model \"tset\"; there are: test"));
    let other = "model \"test\" is for the backend \"another\", not for \"brightness\"";
    assert!(said(&brightness, &["--model", "test"])?.contains(other));
    assert!(said(&brightness, &["--frames", "0"])?.contains("--frames"));
    Ok(())
}

#[test]
fn json_is_one_document_with_every_promise() -> Result<()> {
    let said = verify_with(&built("libbrightness.so")?, "", &["--quick", "--json"])?;
    let document: Value = serde_json::from_str(&said.stdout)?;
    assert_eq!((said.code, &document["name"], &document["model"]), (Some(0), &"brightness".into(), &Value::Null));
    let promises = document["promises"].as_array().context("no promises")?;
    assert_eq!((promises.len(), &document["not_checked"]), (21, &serde_json::json!([])));
    assert!(promises.iter().all(|promise| promise["kept"] == true), "{document}");
    Ok(())
}

#[test]
fn its_help_teaches_with_an_example() -> Result<()> {
    let help = Said::from(segue(&["plugins", "verify", "--help"]).output()?).stdout;
    assert!(help.contains("segue plugins verify target/debug/libmine.so --quick"), "{help}");
    let group = Said::from(segue(&["plugins", "--help"]).output()?).stdout;
    assert!(group.contains("verify") && !group.contains("trial"), "{group}");
    Ok(())
}
