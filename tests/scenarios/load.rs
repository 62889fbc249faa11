//! `segue bench`: a load on a running server, and its verdict.

use std::{
    process::{Output, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result};
use segue_tests::{Lab, Server, built, gradient_jpeg, segue};
use serde_json::Value;

fn bench(server: &Server, arguments: &[&str]) -> Result<Output> {
    Ok(segue(&["bench", "--seconds", "2", "--url", &server.url("")]).args(arguments).output()?)
}

fn figures(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn lab() -> Result<Lab> {
    Lab::install(&built("libnull.so")?, "null", "")
}

#[test]
fn every_frame_of_a_load_is_accounted_for() -> Result<()> {
    let server = lab()?.serve()?;
    let output = bench(&server, &["--clients", "3", "--fps", "10", "--json"])?;
    let figures = figures(&output)?;
    let count = |name: &str| figures["frames"][name].as_u64().unwrap_or_default();
    assert!(count("sent") >= 3 * 20, "{figures}");
    assert_eq!(count("sent"), count("answered") + count("dropped"), "{figures}");
    assert_eq!(figures["clients"], 3);
    // A frame takes as long on the whole as in its parts, and both were measured.
    let p50 = |stage: &str| figures["server_micros"][stage]["p50"].as_f64().unwrap_or_default();
    assert!(p50("decode") > 0.0 && p50("total") >= p50("decode"), "{figures}");
    assert!(figures["latency_millis"]["p50"].as_f64() > Some(p50("total") / 2e3), "{figures}");
    let verdict = figures["verdict"].as_array().context("no verdict")?;
    let holds = verdict.iter().all(|check| check["holds"] == true);
    assert_eq!((figures["holds"].as_bool(), output.status.code()), (Some(holds), Some(i32::from(!holds))));
    Ok(())
}

#[test]
fn frames_of_a_folder_are_sent_as_the_page_would_send_them() -> Result<()> {
    let pictures = tempfile::tempdir()?;
    std::fs::write(pictures.path().join("large.jpg"), gradient_jpeg(2000, 1000)?)?;
    let server =
        lab()?.serve_with(&["--set", "capture.max_dimension_px=320", "--set", "limits.max_frame_pixels=60000"])?;
    let source = pictures.path().to_string_lossy().into_owned();
    let output = bench(&server, &["--fps", "0", "--source", &source, "--json"])?;
    // At its own size, the server would have refused it.
    assert_eq!(figures(&output)?["frames"]["dropped"], 0);
    Ok(())
}

#[test]
fn a_backend_that_is_too_slow_fails_the_verdict() -> Result<()> {
    let lab = Lab::install(&built("libmisbehaving.so")?, "misbehaving", "dawdle_millis = \"600\"")?;
    let server = lab.serve_with(&["--set", "capture.max_dimension_px=112"])?;
    let output = bench(&server, &[])?;
    assert_eq!(output.status.code(), Some(1));
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("FAIL latency: p95") && said.contains("a faster mode"), "{said}");
    assert!(failed.contains("the verdict does not hold: latency; frames in flight"), "{failed}");
    Ok(())
}

#[test]
fn a_load_that_can_not_be_is_refused_with_the_mend() -> Result<()> {
    let server = lab()?.serve()?;
    let refused = |arguments: &[&str], code: i32, words: &str| -> Result<()> {
        let output = bench(&server, arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
        Ok(())
    };
    refused(&["--mode", "nonsense"], 2, "there is no mode \"nonsense\"; there are: fast")?;
    refused(&["--fps", "5000"], 2, "0 to 1000")?;
    refused(&["--source", "/nowhere"], 2, "/nowhere: No such file")?;
    refused(&["--source", "/dev/null"], 1, "/dev/null")?;
    let nobody = segue(&["bench", "--url", "http://127.0.0.1:9"]).output()?;
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(nobody.status.code() == Some(1) && said.contains("is a server running there?"), "{said}");
    Ok(())
}

#[test]
fn whoever_else_is_there_is_counted_and_costs_nobody_a_frame() -> Result<()> {
    let server = lab()?.serve()?;
    let crowd = "--idle 5 --slow-readers 1 --greedy 1 --hostile 12 --connects 300";
    let output = bench(&server, &[&["--clients", "2", "--fps", "10", "--json"][..], &words(crowd)].concat())?;
    let figures = figures(&output)?;
    let (frames, crowd) = (&figures["frames"], &figures["crowd"]);
    assert_eq!((&frames["sent"], &frames["dropped"]), (&frames["answered"], &0.into()), "{figures}");
    assert!(crowd["attacks"].as_u64() >= Some(12) && crowd["visits"].as_u64() >= Some(10), "{figures}");
    assert_eq!(crowd["failed_visits"], serde_json::json!({}), "{figures}");
    assert!(figures["idle_session_bytes"].as_f64() < Some(1e6), "{figures}");
    Ok(())
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn clients_are_back_within_two_seconds_when_the_server_is_killed_and_started_again() -> Result<()> {
    let lab = lab()?;
    let server = lab.serve()?;
    let address = server.address().to_owned();
    let arguments = ["bench", "--url", &server.url(""), "--clients", "8", "--seconds", "4", "--reconnect", "--json"];
    let load = segue(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    sleep(Duration::from_millis(2500));
    server.signal("KILL")?;
    server.wait()?;
    let _again = Server::start_command(segue(&["serve", "--listen", &address]).args(lab.places()))?;
    let figures = figures(&load.wait_with_output()?)?;
    let (frames, back) = (&figures["frames"], &figures["back_millis"]);
    let count = |name: &str| frames[name].as_u64().unwrap_or_default();
    assert!(back["max"].as_f64().is_some_and(|millis| millis < 2000.0), "{figures}");
    assert_eq!(count("sent"), count("answered") + count("dropped") + count("lost"), "{figures}");
    // Those that were on their way, and no more.
    assert!(count("lost") <= 8 * 3, "{figures}");
    Ok(())
}
