//! A bad edit changes nothing, says where and why, and stands until it is mended.

use std::fs;

use anyhow::{Context, Result, ensure};
use insta::assert_snapshot;
use segue_tests::{Client, Live, Profiles, Server, gradient_jpeg};
use serde_json::{Value, json};

/// Waits until the last receipt is one of `outcome`; the receipt.
fn last_receipt(server: &Server, outcome: &str) -> Result<Value> {
    let line = if outcome == "rejected" { "Configuration rejected" } else { "Configuration applied" };
    server.log_until(line)?;
    let reloads = server.reloads()?;
    ensure!(reloads["reloads"][0]["outcome"] == outcome, "{reloads:#}");
    Ok(reloads)
}

/// What is said of each bad edit, in the order in which they are made, and that each changes nothing.
async fn expect_rejected(profiles: &Profiles, server: &Server, edits: &[(&str, Vec<u8>)]) -> Result<String> {
    let (mut said, good) = (String::new(), profiles.text("default")?);
    let live = Live::start(server.address(), gradient_jpeg(64, 48)?).await?;
    let mut number = server.reloads()?["reloads"][0]["number"].as_u64().context("no receipt")?;
    for (name, content) in edits {
        let before = server.get("/v1/profile")?;
        profiles.write("default", content)?;
        let reloads = last_receipt(server, "rejected").with_context(|| format!("{name} is not rejected"))?;
        let receipt = &reloads["reloads"][0];
        number += 1;
        ensure!(receipt["number"] == number, "{name} was tried more than once: {reloads:#}");
        assert_eq!(reloads["standing"], *receipt, "{name} does not stand");
        assert_eq!(reloads["last_reload_successful"], false);
        assert_eq!(server.metric("segue_config_last_reload_successful")?, 0);
        assert_eq!(server.get("/v1/profile")?, before, "{name} changed something");
        let faults = receipt["faults"].as_array().context("no faults")?;
        let faults: Vec<_> =
            faults.iter().filter_map(Value::as_str).map(|fault| profiles.without_place(fault)).collect();
        said.push_str(&format!("# {name}\n{}\n", faults.join("\n")));
        number += 1;
        profiles.write("default", format!("{good}# mended after {name}\n"))?;
        server.log_until("nothing changed")?;
        let reloads = server.reloads()?;
        assert_eq!((&reloads["standing"], &reloads["last_reload_successful"]), (&Value::Null, &json!(true)), "{name}");
        assert_eq!(server.metric("segue_config_last_reload_successful")?, 1);
    }
    let flow = live.finish().await?;
    ensure!(flow.dropped.is_empty() && flow.answered == flow.sent, "{flow:?}");
    Ok(said)
}

fn overlay(lines: &str) -> Vec<u8> {
    format!("extends = \"base\"\n{lines}").into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_edits_are_told_by_place_and_mend() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&[])?;
    let large = format!("extends = \"base\"\n{}", "# ten million bytes of remarks\n".repeat(330_000));
    let edits = [
        ("half a file, cut in a table's heading", overlay("[capture]\njpeg_quality = 40\n[resu")),
        ("half a file, cut in a text", overlay("[telemetry]\nlog = \"inf")),
        ("a wrong type", overlay("[capture]\njpeg_quality = \"high\"\n")),
        ("out of range", overlay("[capture]\njpeg_quality = 140\n")),
        ("an unknown key", overlay("[capture]\njpeg_qualty = 40\n")),
        ("a key of another section", overlay("[capture]\nmax_width_px = 640\n")),
        ("a circle", b"extends = \"default\"\n".to_vec()),
        ("a missing base", b"extends = \"nowhere\"\n".to_vec()),
        ("no base", b"[capture]\njpeg_quality = 40\n".to_vec()),
        ("a mode of a model that is not", overlay("[modes.mine]\nmodel = \"slefie\"\n")),
        ("a mode of a variant that is not", overlay("[modes.fast]\nvariant = \"portrait\"\n")),
        ("a mode whose backend knows no such setting", overlay("[modes.fast.settings]\nsharpnes = 3\n")),
        ("a default mode that is not", overlay("[server]\ndefault_mode = \"quick\"\n")),
        ("ten megabytes", large.into_bytes()),
        ("no UTF-8", b"extends = \"base\"\n# \xFF\n".to_vec()),
        (
            "many faults at once",
            overlay(
                "[capture]\njpeg_quality = 0\nmax_in_flight = true\n[limits]\nmax_age_milis = 3\n[reload]\nwatch = \"no\"\n",
            ),
        ),
    ];
    assert_snapshot!(expect_rejected(&profiles, &server, &edits).await?);
    Ok(())
}

#[tokio::test]
async fn a_mode_whose_plugin_is_not_there_waits_for_it_and_replaces_none_that_serves() -> Result<()> {
    let profiles = Profiles::copy()?;
    let models = profiles.outside().join("models");
    fs::create_dir(&models)?;
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/selfie.toml"), models.join("selfie.toml"))?;
    fs::write(models.join("lab.toml"), "backend = \"nowhere\"\ntitle = \"Lab\"\nlicence = \"MIT\"\n")?;
    let server = profiles.serve(&["--models", &models.to_string_lossy()])?;
    profiles.overlay("default", "[modes.lab]\nmodel = \"lab\"")?;
    server.applied(2)?;
    let modes: Value = serde_json::from_str(&server.get("/v1/modes")?.1)?;
    let lab = modes["modes"].as_array().and_then(|modes| modes.iter().find(|mode| mode["name"] == "lab"));
    let message = lab.and_then(|lab| lab["message"].as_str()).unwrap_or_default();
    ensure!(message.contains("no plugin in ") && message.contains("is called \"nowhere\""), "{modes}");
    // What serves is not given up for what is not there.
    profiles.overlay("default", "[modes.fast]\nmodel = \"lab\"\nvariant = \"\"")?;
    let reloads = last_receipt(&server, "rejected")?;
    let fault = reloads["standing"]["faults"][0].as_str().unwrap_or_default();
    ensure!(fault.contains("default.toml:3: modes.fast.model: no plugin in "), "{fault}");
    Ok(())
}

#[tokio::test]
async fn what_can_not_change_is_refused_by_name() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", "[server]\nlisten = \"127.0.0.1:0\"")?;
    let directory = profiles.directory();
    let mut command = segue_tests::segue(&["serve", "--profiles", &directory.to_string_lossy()]);
    let server = Server::start_command(&mut command)?;
    profiles.overlay("default", "[capture]\njpeg_quality = 41\n[server]\nlisten = \"127.0.0.1:1\"")?;
    let reloads = last_receipt(&server, "rejected")?;
    let fault = profiles.without_place(reloads["standing"]["faults"][0].as_str().unwrap_or_default());
    assert_snapshot!(fault, @r#"profiles/default.toml:5: server.listen: can't change while the server runs; restart it, or write "127.0.0.1:0", which is in force"#);
    let client = Client::connect(server.address()).await?;
    assert_eq!(client.hello["limits"]["jpeg_quality"], 50, "the rest of the edit must not be applied either");
    Ok(())
}

#[tokio::test]
async fn a_file_that_stays_away_is_told_and_the_next_good_one_is_applied() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "reload.poll_interval_millis=50"])?;
    fs::remove_file(profiles.file("default"))?;
    let reloads = last_receipt(&server, "rejected")?;
    let fault = reloads["standing"]["faults"][0].as_str().unwrap_or_default();
    ensure!(fault.contains("there is no profile \"default\"; there are: base, development"), "{fault}");
    fs::create_dir(profiles.file("default"))?;
    let reloads = last_receipt(&server, "rejected")?;
    let fault = reloads["standing"]["faults"][0].as_str().unwrap_or_default();
    ensure!(fault.contains("can't be read: it is no regular file"), "{fault}");
    fs::remove_dir(profiles.file("default"))?;
    profiles.write("default", "")?;
    let reloads = last_receipt(&server, "rejected")?;
    let fault = reloads["standing"]["faults"][0].as_str().unwrap_or_default();
    ensure!(fault.contains("is missing; start the file with `extends = \"base\"`"), "{fault}");
    profiles.overlay("default", "[capture]\njpeg_quality = 42")?;
    let reloads = last_receipt(&server, "applied")?;
    assert_eq!(reloads["standing"], Value::Null);
    Ok(())
}
