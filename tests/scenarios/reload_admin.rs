//! The admin API, `segue profile`, and what is told of the configuration in force.

use std::process::Output;

use anyhow::{Result, ensure};
use insta::assert_snapshot;
use segue_tests::{Client, Profiles, Server, segue};
use serde_json::{Value, json};

const TOKEN: &str = "a-long-secret-token";

fn document(answer: (u16, String)) -> Result<(u16, Value)> {
    Ok((answer.0, serde_json::from_str(&answer.1)?))
}

fn switch(server: &Server, token: &str, body: &str) -> Result<(u16, Value)> {
    document(server.post_as(token, "/v1/admin/profile", body)?)
}

#[test]
fn without_a_token_the_admin_api_is_shut_and_says_how_to_open_it() -> Result<()> {
    let server = Server::start(&[])?;
    for token in ["", "anything"] {
        let (status, answer) = switch(&server, token, "{\"profile\":\"lan\"}")?;
        assert_eq!((status, &answer["code"]), (403, &json!("admin_off")));
        ensure!(answer["message"].as_str().is_some_and(|said| said.contains("SEGUE_CFG__SECURITY__ADMIN_TOKEN")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_holds_the_token_switches_profiles_live() -> Result<()> {
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", &format!("security.admin_token={TOKEN}")])?;
    for wrong in ["", "wrong", "a-long-secret-toke", "a-long-secret-tokenn"] {
        assert_eq!(switch(&server, wrong, "{\"profile\":\"lan\"}")?.0, 401, "{wrong:?}");
    }
    assert_eq!(server.get("/v1/admin")?.0, 401, "no header at all");
    assert_eq!(document(server.get_as(TOKEN, "/v1/admin")?)?.1["profile"], "default");
    let mut client = Client::connect(server.address()).await?;
    let (status, receipt) = switch(&server, TOKEN, "{\"profile\":\"lan\"}")?;
    assert_eq!((status, &receipt["outcome"], &receipt["generation"]), (200, &json!("applied"), &json!(2)));
    assert_eq!(client.text_of("limits").await?["max_dimension_px"], 960);
    let (status, answer) = switch(&server, TOKEN, "{\"profile\":\"../../etc/passwd\"}")?;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_profile")));
    assert_eq!(switch(&server, TOKEN, "{\"name\":\"lan\"}")?.0, 422);
    assert_eq!(switch(&server, TOKEN, "lan")?.0, 400);
    profiles.overlay("mine", "[capture]\njpeg_quality = 400")?;
    let (status, answer) = switch(&server, TOKEN, "{\"profile\":\"mine\"}")?;
    assert_eq!((status, &answer["code"]), (422, &json!("rejected")));
    let fault = profiles.without_place(answer["attempt"]["faults"][0].as_str().unwrap_or_default());
    assert_snapshot!(fault, @"profiles/mine.toml:3: capture.jpeg_quality: 400 is out of range; write 1 to 100");
    // The same profile under another name: clients are told its name.
    profiles.write("twin", profiles.text("lan")?)?;
    assert_eq!(switch(&server, TOKEN, "{\"profile\":\"twin\"}")?.1["generation"], 3);
    let limits = client.text_of("limits").await?;
    assert_eq!(
        (&limits["generation"], &limits["profile"], &limits["jpeg_quality"]),
        (&json!(3), &json!("twin"), &json!(70))
    );
    assert_eq!(Client::connect(server.address()).await?.hello["profile"], "twin");
    assert_eq!(switch(&server, TOKEN, "{\"profile\":\"lan\"}")?.0, 200);
    assert_eq!(client.text_of("limits").await?["profile"], "lan");
    // The files in force are as good as before.
    assert_eq!(server.reloads()?["last_reload_successful"], true);
    let (status, receipt) = document(server.post_as(TOKEN, "/v1/admin/reload", "")?)?;
    assert_eq!((status, &receipt["outcome"], &receipt["profile"]), (200, &json!("unchanged"), &json!("lan")));
    // An edit of the profile that was left changes nothing, one of the new profile does.
    profiles.overlay("default", "[capture]\njpeg_quality = 1")?;
    profiles.replace("lan", "jpeg_quality = 70", "jpeg_quality = 71")?;
    assert_eq!(client.text_of("limits").await?["jpeg_quality"], 71);
    Ok(())
}

#[test]
fn the_hash_of_a_token_opens_as_the_token_does_and_nothing_else_opens() -> Result<()> {
    let hash = hash_of(TOKEN)?;
    let server = Server::start(&["--set", &format!("security.admin_token=sha256:{hash}")])?;
    assert_eq!(server.get_as(TOKEN, "/v1/admin")?.0, 200);
    for wrong in [hash.as_str(), &format!("sha256:{hash}"), ""] {
        assert_eq!(server.get_as(wrong, "/v1/admin")?.0, 401, "{wrong:?}");
    }
    let nothing = format!("security.admin_token=sha256:{}", hash_of("")?);
    let refused = segue(&["check", "--set", &nothing]).output()?;
    assert_eq!(refused.status.code(), Some(2), "the hash of nothing is no token");
    Ok(())
}

fn hash_of(text: &str) -> Result<String> {
    let output = std::process::Command::new("sh").args(["-c", "printf %s \"$0\" | sha256sum", text]).output()?;
    Ok(String::from_utf8(output.stdout)?.chars().take(64).collect())
}

#[test]
fn a_switch_that_would_shut_the_door_behind_it_is_refused() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", &format!("[security]\nadmin_token = \"{TOKEN}\""))?;
    let server = profiles.serve(&[])?;
    let (status, answer) = switch(&server, TOKEN, "{\"profile\":\"lan\"}")?;
    assert_eq!(status, 422);
    ensure!(answer["message"].as_str().is_some_and(|said| said.contains("lan has no admin token")), "{answer}");
    assert_eq!(server.get_as(TOKEN, "/v1/admin")?.0, 200);
    Ok(())
}

#[test]
fn every_key_has_its_origin_and_no_secret_is_told() -> Result<()> {
    let profiles = Profiles::copy()?;
    profiles.overlay("default", &format!("[capture]\njpeg_quality = 41\n[security]\nadmin_token = \"{TOKEN}\""))?;
    let directory = profiles.directory();
    let mut command = segue(&["serve", "--listen", "127.0.0.1:0", "--set", "capture.max_in_flight=3"]);
    command.args(["--profiles", &directory.to_string_lossy()]).env("SEGUE_CFG__RESULT__JPEG_QUALITY", "61");
    let server = Server::start_command(&mut command)?;
    let (_, profile) = document(server.get("/v1/profile")?)?;
    let origin = |key: &str| profiles.without_place(profile["keys"][key]["origin"].as_str().unwrap_or_default());
    assert_eq!(origin("capture.jpeg_quality"), "profiles/default.toml:3");
    assert_eq!(origin("capture.max_in_flight"), "--set capture.max_in_flight");
    assert_eq!(origin("result.jpeg_quality"), "environment variable SEGUE_CFG__RESULT__JPEG_QUALITY");
    assert_eq!(origin("modes.fast.threads"), "default");
    ensure!(origin("limits.max_sessions").starts_with("profiles/base.toml:"));
    let size = &profile["keys"]["capture.max_dimension_px"];
    assert_eq!((&size["value"], &size["unit"]), (&json!(640), &json!("px")));
    profiles.overlay("default", "[capture]\njpeg_quality = 42\n[security]\nadmin_token = \"another-long-secret\"")?;
    server.applied(2)?;
    let said = [server.get("/v1/profile")?.1, server.get("/v1/reloads")?.1, server.get("/metrics")?.1].concat();
    ensure!(said.contains("security.admin_token"), "the change of the token is told");
    for secret in [TOKEN, "another-long-secret", &hash_of(TOKEN)?] {
        ensure!(!said.contains(secret), "{secret} is told");
    }
    profiles.overlay("default", "security = \"another-long-secret\"")?;
    server.log_until("security: is a table")?;
    ensure!(!server.get("/v1/reloads")?.1.contains("another-long-secret"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reads_the_files_though_nobody_watches_them_but_not_half_of_one() -> Result<()> {
    use std::io::Write;
    let profiles = Profiles::copy()?;
    let server = profiles.serve(&["--set", "reload.watch=off"])?;
    let mut client = Client::connect(server.address()).await?;
    profiles.overlay("default", "[capture]\njpeg_quality = 41")?;
    server.signal("HUP")?;
    assert_eq!(client.text_of("limits").await?["jpeg_quality"], 41);
    let watching = profiles.serve(&[])?;
    let mut file = std::fs::File::create(profiles.file("default"))?;
    file.write_all(b"extends = \"base\"\n[capture]\n")?;
    watching.signal("HUP")?;
    watching.log_until("is being written; try again when that is done")?;
    file.write_all(b"jpeg_quality = 43\n")?;
    drop(file);
    watching.applied(2)?;
    assert_eq!(Client::connect(watching.address()).await?.hello["limits"]["jpeg_quality"], 43);
    Ok(())
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_command_line_shows_compares_and_switches_profiles() -> Result<()> {
    let shown = stdout(&segue(&["profile", "show", "lan"]).output()?);
    let line = shown.lines().find(|line| line.starts_with("capture.max_dimension_px")).unwrap_or_default();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>()[1..], ["960", "px", "profiles/lan.toml:7"]);
    let compared = stdout(&segue(&["profile", "diff", "lan", "mobile"]).output()?);
    assert_snapshot!(compared);
    let names = stdout(&segue(&["profile", "list"]).output()?);
    assert_eq!(names.split_whitespace().count(), 9, "{names}");
    let server = Server::start(&["--set", &format!("security.admin_token={TOKEN}")])?;
    let used = |token: &str, name: &str| {
        segue(&["profile", "use", name, "--url", &server.url(""), "--token", token, "--json"])
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .output()
    };
    let receipt: Value = serde_json::from_str(&stdout(&used(TOKEN, "mobile")?))?;
    assert_eq!((&receipt["profile"], &receipt["generation"]), (&json!("mobile"), &json!(2)));
    let running: Value =
        serde_json::from_str(&stdout(&segue(&["profile", "show", "--json", "--url", &server.url("")]).output()?))?;
    assert_eq!(running["keys"]["capture.max_dimension_px"]["value"], 480);
    assert_eq!(used("wrong", "mobile")?.status.code(), Some(1));
    assert_eq!(used(TOKEN, "nowhere")?.status.code(), Some(1));
    Ok(())
}

#[test]
fn the_benchmark_of_reloading_prints_its_figures() -> Result<()> {
    let output = segue(&["bench", "reload", "--edits", "10", "--clients", "1", "--json"]).output()?;
    let figures: Value = serde_json::from_str(&stdout(&output))?;
    assert_eq!((&figures["edits"], &figures["frames_dropped"]), (&json!(10), &json!(0)), "{figures}");
    ensure!(figures["p50_millis"].as_f64() >= figures["settle_millis"].as_f64(), "{figures}");
    Ok(())
}
