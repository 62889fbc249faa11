//! Who is let in: tokens of clients, TLS, and what a proxy says of an address.

use std::{fs, path::Path, process::Output, sync::Arc};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use segue_tests::{Client, Profiles, Server, gradient_jpeg, segue};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring::default_provider,
        pki_types::{CertificateDer, ServerName},
    },
};
use tokio_tungstenite::tungstenite::ClientRequestBuilder;

const TOKEN: &str = "the token of the lab";
const ADMIN: &str = "the token of the admin";

fn guarded() -> Result<Server> {
    Server::start(&[
        "--set",
        &format!("security.client_tokens.lab=\"{TOKEN}\""),
        "--set",
        &format!("security.admin_token=\"{ADMIN}\""),
    ])
}

async fn socket_is_let_in(server: &Server, protocol: &str, header: Option<(&str, &str)>) -> Result<bool> {
    let mut request = ClientRequestBuilder::new(format!("ws://{}/ws", server.address()).parse()?);
    for protocol in protocol.split(", ") {
        request = request.with_sub_protocol(protocol);
    }
    if let Some((name, value)) = header {
        request = request.with_header(name, value);
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok(_) => Ok(true),
        Err(error) if error.to_string().contains("401") => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn without_a_token_there_is_nothing_but_health_and_the_way_in() -> Result<()> {
    let server = guarded()?;
    for path in ["/v1/modes", "/v1/profile", "/v1/traces", "/metrics", "/ws", "/v1/segment", "/v1/nothing"] {
        let (status, body) = server.get(path)?;
        assert_eq!(status, 401, "{path}: {body}");
        let (status, _) = server.get_as("a token of nobody", path)?;
        assert_eq!(status, 401, "{path}");
    }
    for path in ["/healthz", "/readyz", "/health", "/css/base.css"] {
        assert_eq!(server.get(path)?.0, 200, "{path}");
    }
    let (status, page) = server.get("/")?;
    assert!(status == 401 && page.contains("name=\"token\""), "{page}");
    for (token, path) in [(TOKEN, "/v1/modes"), (TOKEN, "/metrics"), (ADMIN, "/v1/modes"), (ADMIN, "/v1/admin")] {
        assert_eq!(server.get_as(token, path)?.0, 200, "{path}");
    }
    assert_eq!(server.get_as(TOKEN, "/v1/admin")?.0, 401, "a client is no admin");
    Ok(())
}

#[tokio::test]
async fn a_socket_takes_its_token_from_a_header_a_subprotocol_or_the_pages_cookie() -> Result<()> {
    let server = guarded()?;
    let encoded = URL_SAFE_NO_PAD.encode(TOKEN);
    let (bearer, cookie) = (format!("Bearer {TOKEN}"), format!("other=1; segue_token={encoded}"));
    assert!(!socket_is_let_in(&server, "segue.v2", None).await?);
    assert!(!socket_is_let_in(&server, "segue.v2", Some(("authorization", "Bearer wrong"))).await?);
    assert!(!socket_is_let_in(&server, "segue.v2", Some(("cookie", "segue_token=d3Jvbmc"))).await?);
    assert!(socket_is_let_in(&server, "segue.v2", Some(("authorization", &bearer))).await?);
    assert!(socket_is_let_in(&server, "segue.v2", Some(("cookie", &cookie))).await?);
    assert!(socket_is_let_in(&server, &format!("segue.v2, bearer.{encoded}"), None).await?);
    Ok(())
}

#[test]
fn the_page_signs_in_and_stays_so() -> Result<()> {
    let server = guarded()?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
    let mut refused = agent.post(server.url("/sign-in")).send_form([("token", "not the token")])?;
    assert!(refused.status() == 401 && refused.body_mut().read_to_string()?.contains("does not know"));
    let taken = agent.post(server.url("/sign-in")).send_form([("token", TOKEN)])?;
    assert_eq!(taken.status(), 303);
    let cookie = taken.headers()["set-cookie"].to_str()?;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let kept = cookie.split(';').next().context("no value")?;
    let page = agent.get(server.url("/")).header("cookie", kept).call()?;
    assert_eq!(page.status(), 200);
    Ok(())
}

#[tokio::test]
async fn a_session_ends_when_its_token_goes_and_others_stay() -> Result<()> {
    let profiles = Profiles::copy()?;
    let keys = |tokens: &str| format!("[security.client_tokens]\n{tokens}");
    profiles.overlay("default", &keys("lab = \"the token of the lab\"\nshop = \"the token of the shop\""))?;
    let server = profiles.serve(&[])?;
    let mut lab = Client::connect_with(server.address(), TOKEN).await?;
    let mut shop = Client::connect_with(server.address(), "the token of the shop").await?;
    profiles.overlay("default", &keys("shop = \"the token of the shop\""))?;
    let error = lab.text_of("error").await?;
    assert_eq!((&error["code"], &error["recoverable"]), (&json!("unauthorized"), &json!(false)), "{error}");
    shop.frame(1, &gradient_jpeg(64, 64)?).await?;
    shop.result().await?;
    assert!(Client::connect_with(server.address(), TOKEN).await.is_err());
    let shown = server.get_as("the token of the shop", "/v1/profile")?.1;
    assert!(!shown.contains("the token of"), "tokens are shown: {shown}");
    Ok(())
}

/// Puts a certificate of its own making and its key into `folder`; the certificate.
fn certify(folder: &Path) -> Result<CertificateDer<'static>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    fs::write(folder.join("certificate.pem"), made.cert.pem())?;
    Ok(made.cert.der().clone())
}

/// Whether the server at `address` is believed by whoever trusts `certificate` alone.
async fn is_believed(address: &str, certificate: &CertificateDer<'static>) -> Result<bool> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone())?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, stream).await.is_ok())
}

fn serve_tls(folder: &Path, arguments: &[&str]) -> Result<Server> {
    let set = |key: &str, file: &str| format!("server.tls.{key}=\"{}\"", folder.join(file).display());
    let tls = [set("certificate_file", "certificate.pem"), set("key_file", "key.pem")];
    Server::start(&[&["--set", &tls[0], "--set", &tls[1]], arguments].concat())
}

#[test]
fn the_command_line_comes_in_by_its_token_over_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    certify(folder.path())?;
    let tokens = format!("security.client_tokens.lab=\"{TOKEN}\"");
    let server = serve_tls(folder.path(), &["--set", &tokens])?;
    let url = server.url("").replace("http://127.0.0.1", "https://localhost");
    let call = |arguments: &[&str]| -> Result<Output> {
        let mut command = segue(&[arguments, &["--url", &url]].concat());
        Ok(command.env("SSL_CERT_FILE", folder.path().join("certificate.pem")).output()?)
    };
    let refused = call(&["profile", "show"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("a client's token: name one with --token"), "{said}");
    for arguments in [&["profile", "show"][..], &["trace"], &["bench", "--seconds", "1", "--json"]] {
        let output = call(&[arguments, &["--token", TOKEN]].concat())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.stdout.is_empty(), "{arguments:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_new_certificate_is_in_force_without_a_restart_and_a_broken_one_is_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = certify(folder.path())?;
    let server = serve_tls(folder.path(), &[])?;
    assert!(is_believed(server.address(), &first).await?);
    let second = certify(folder.path())?;
    server.log_until("New certificate in force")?;
    assert!(is_believed(server.address(), &second).await? && !is_believed(server.address(), &first).await?);
    fs::write(folder.path().join("certificate.pem"), "no certificate")?;
    let refusal = server.log_until("Certificate refused")?;
    assert!(refusal.contains("certificate.pem has no certificate in PEM"), "{refusal}");
    assert!(is_believed(server.address(), &second).await?);
    Ok(())
}

#[test]
fn tls_that_can_not_be_is_refused_at_the_start_with_the_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    certify(folder.path())?;
    fs::write(folder.path().join("key.pem"), "no key")?;
    let refused = serve_tls(folder.path(), &[]).err().context("it serves")?.to_string();
    ensure!(refused.contains("server.tls.key_file"), "{refused}");
    let mut half = segue(&["serve", "--listen", "127.0.0.1:0", "--set", "server.tls.key_file=\"key.pem\""]);
    let output = half.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(2) && said.contains("write both, or none"), "{said}");
    Ok(())
}

#[tokio::test]
async fn addresses_are_those_that_a_trusted_proxy_names() -> Result<()> {
    let limits = ["--set", "limits.max_sessions_per_address=1"];
    let trusting = Server::start(&[&limits[..], &["--set", "security.trusted_proxies=[\"127.0.0.0/8\"]"]].concat())?;
    let from = |server: &Server, client: &'static str| {
        let address = server.address().to_owned();
        async move { Client::connect_behind(&address, client).await }
    };
    let first = from(&trusting, "198.51.100.1").await?;
    let second = from(&trusting, "198.51.100.2").await?;
    let refusal = from(&trusting, "198.51.100.1").await.err().context("a second session")?.to_string();
    assert!(refusal.contains("198.51.100.1 has its 1 sessions"), "{refusal}");
    drop((first, second));
    let doubting = Server::start(&limits)?;
    let _first = from(&doubting, "198.51.100.1").await?;
    assert!(from(&doubting, "198.51.100.2").await.is_err(), "anybody may write that header");
    Ok(())
}

#[test]
fn every_answer_has_the_headers_that_keep_browsers_safe() -> Result<()> {
    let server = Server::start(&[])?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for path in ["/", "/css/base.css", "/v1/modes", "/healthz", "/nothing", "/v1/traces/none"] {
        let answer = agent.get(server.url(path)).call()?;
        for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"] {
            assert!(answer.headers().contains_key(name), "{path} has no {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_open_address_is_warned_of_at_the_start() -> Result<()> {
    let server = Server::start_command(&mut segue(&["serve", "--listen", "0.0.0.0:0"]))?;
    server.log_until("Anyone who reaches this address can use the server")?;
    server.log_until("Without server.tls")?;
    Ok(())
}
