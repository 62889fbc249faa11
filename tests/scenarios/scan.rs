//! An outside scanner, schemathesis, goes over everything that `/v1/openapi.json` describes. `cargo xtask test scan`
//! installs it.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use segue_tests::Server;
use serde_json::Value;

const TOKEN: &str = "a-long-secret-token";

/// 503 is an answer like any other: the mode has no weights, the server is stopping.
const SETTINGS: &str = "[checks.not_a_server_error]\nexpected-statuses = [\"1xx\", \"2xx\", \"3xx\", \"4xx\", 503]\n";

/// The one stops the server, the other waits for as long as it is told.
const LEFT_OUT: [&str; 2] = ["/v1/admin/drain", "/v1/admin/capture"];

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[test]
fn everything_that_is_served_is_described() -> Result<()> {
    let description: Value = serde_json::from_str(&fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../server/src/http/openapi.json"
    ))?)?;
    ensure!(description["info"]["version"] == env!("CARGO_PKG_VERSION"), "{}", description["info"]);
    let source = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../server/src/http/mod.rs"))?;
    let (admin, public) = source
        .split_once("Router::new()")
        .and_then(|(_, rest)| rest.split_once("Router::new()"))
        .context("no routers")?;
    let mut routes = 0;
    for (prefix, router) in [("/v1/admin", admin), ("", public)] {
        for route in router.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once("\", ").context("no path")?;
            let (method, _) = rest.split_once('(').context("no method")?;
            let path =
                if prefix.is_empty() { path.to_owned() } else { format!("{prefix}{}", path.trim_end_matches('/')) };
            ensure!(description["paths"][&path][method].is_object(), "{method} {path} is not described");
            routes += 1;
        }
    }
    let described: usize = description["paths"]
        .as_object()
        .context("no paths")?
        .values()
        .map(|path| path.as_object().map_or(0, |path| path.len()))
        .sum();
    ensure!(routes == described && routes > 15, "{routes} routes, {described} described");
    Ok(())
}

#[test]
#[ignore = "it needs schemathesis: cargo xtask test scan"]
fn a_scanner_finds_no_fault() -> Result<()> {
    let scanner = std::env::var("SEGUE_SCHEMATHESIS").context("cargo xtask test scan sets SEGUE_SCHEMATHESIS")?;
    let token = format!("security.admin_token={TOKEN}");
    let server = Server::start(&["--set", &token, "--set", "limits.request_timeout_millis=2000"])?;
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("schemathesis.toml");
    fs::write(&settings, SETTINGS)?;
    let mut scan = Command::new(scanner);
    scan.current_dir(folder.path()).arg("--config-file").arg(settings).args([
        "run",
        "--no-color",
        "--continue-on-failure",
    ]);
    scan.arg(server.url("/v1/openapi.json")).args(["--checks", CHECKS, "--max-examples", "200"]);
    scan.args(["--header", &format!("Authorization: Bearer {TOKEN}")]);
    scan.args(LEFT_OUT.iter().flat_map(|path| ["--exclude-path", path]));
    let output = scan.output()?;
    println!("{}", String::from_utf8_lossy(&output.stdout));
    ensure!(output.status.success(), "schemathesis found something: see above");
    ensure!(server.get("/healthz")?.0 == 200, "the server does not answer any more");
    Ok(())
}
