//! The Open Inference Protocol: Triton's own clients call Segue and get the masks that `segue segment` makes.

use std::{env, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use segue_tests::{Server, built, free_port, jpeg, segue};
use serde_json::{Value, json};

/// A server that speaks the protocol, too, and the address where it does.
fn server(set: &[&str]) -> Result<(Server, String)> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let listen = format!("server.inference_listen=\"{address}\"");
    let plugins = built("plugins")?.display().to_string();
    let mut arguments = vec!["--plugins", &plugins, "--set", &listen];
    arguments.extend(set.iter().flat_map(|set| ["--set", *set]));
    Ok((Server::start(&arguments)?, address))
}

/// A person's outline, roughly, so that both classes occur.
fn picture() -> Result<Vec<u8>> {
    jpeg(96, 64, |x, y| match (x, y) {
        (36..=60, 10..=34) => [224, 172, 140],
        (28..=68, 35..) => [40, 60, 150],
        _ => [200, 210, 220],
    })
}

fn post(address: &str, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
    let mut request = agent.post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.send(body)?;
    Ok((response.status().as_u16(), response.body_mut().read_json()?))
}

#[test]
fn tritons_clients_get_the_mask_that_segue_segment_makes() -> Result<()> {
    let Some(python) = env::var_os("SEGUE_TRITON_PYTHON").map(PathBuf::from) else {
        eprintln!("SKIPPED: Triton's clients: SEGUE_TRITON_PYTHON names no Python with tritonclient");
        return Ok(());
    };
    let (_server, address) = server(&[])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("picture.jpg");
    fs::write(&path, picture()?)?;
    let decoded = turbojpeg::decompress(&picture()?, turbojpeg::PixelFormat::RGB)?;
    fs::write(folder.path().join("pixels.rgb"), &decoded.pixels)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/inference.py");
    let output = Command::new(python).args([script, &address, "fast"]).arg(&path).arg(folder.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plugins = built("plugins")?;
    let mut command = segue(&["segment", "--mode", "fast", "-o"]);
    let made = command.arg(folder.path().join("mask.png")).arg(&path).arg("--plugins").arg(plugins).output()?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let file = std::io::BufReader::new(fs::File::open(folder.path().join("mask.png"))?);
    let mut reader = png::Decoder::new(file).read_info()?;
    let mut expected = vec![0; reader.output_buffer_size().context("too large")?];
    let len = reader.next_frame(&mut expected)?.buffer_size();
    let mut compared = 0;
    for entry in fs::read_dir(folder.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "mask") {
            ensure!(fs::read(&path)? == expected[..len], "{} is another mask", path.display());
            compared += 1;
        }
    }
    ensure!(compared == 5, "{compared} masks");
    Ok(())
}

#[test]
fn bad_requests_are_told_what_is_wrong_and_cost_nothing_else() -> Result<()> {
    let (server, address) = server(&["limits.max_upload_len_bytes=100000"])?;
    let pixels = |shape: Value, data: Value| json!({"inputs": [{"name": "image", "shape": shape, "datatype": "UINT8", "data": data}]});
    for (body, status, expected) in [
        ("".to_owned(), 400, "the request's JSON"),
        ("{\"inputs\":[".into(), 400, "the request's JSON"),
        (json!({"inputs": []}).to_string(), 400, "0 inputs"),
        (pixels(json!([1, 1, 1, 3]), json!([1, 2])).to_string(), 422, "2 bytes; 1x1 pixels have 3"),
        (pixels(json!([1, 1, 3]), json!([1, 2, 300])).to_string(), 400, "0 to 255"),
        (pixels(json!([1, 1, 3]), json!([1, "a", 3])).to_string(), 400, "numbers from 0 to 255"),
        (pixels(json!([1, -5, 2, 3]), json!([])).to_string(), 400, "no picture's"),
        (pixels(json!([1, 100_000, 100_000, 3]), json!([])).to_string(), 413, "pixels"),
        (pixels(json!([9_223_372_036_854_775_807_i64, 9, 3]), json!([])).to_string(), 400, "no picture's"),
        ("[".repeat(90_000), 400, "the request's JSON"),
        ("x".repeat(200_000), 413, "at most 100000"),
    ] {
        let (found, said) = post(&address, "/v2/models/fast/infer", body.as_bytes(), &[])?;
        let shown = &body[..body.len().min(80)];
        ensure!(
            found == status && said["error"].as_str().is_some_and(|said| said.contains(expected)),
            "{shown}: {found} {said}"
        );
    }
    let body = pixels(json!([1, 1, 3]), json!([[[1, 2, 3]]]));
    let mut asked = body.clone();
    asked["outputs"] = json!([{"name": "depth"}]);
    let (status, said) = post(&address, "/v2/models/fast/infer", asked.to_string().as_bytes(), &[])?;
    ensure!(status == 400 && said.to_string().contains("there are mask and confidence"), "{said}");
    for length in ["9999999", "-1", "x"] {
        let headers = [("inference-header-content-length", length)];
        let (status, said) = post(&address, "/v2/models/fast/infer", body.to_string().as_bytes(), &headers)?;
        ensure!(status == 400, "{length}: {said}");
    }
    let (status, said) = post(&address, "/v2/models/fast/versions/7/infer", body.to_string().as_bytes(), &[])?;
    ensure!(status == 404 && said.to_string().contains("no version"), "{said}");
    let (status, said) = post(&address, "/v2/models/fast/infer", body.to_string().as_bytes(), &[])?;
    ensure!(
        status == 200 && said["outputs"][0]["shape"] == json!([1, 1, 1]),
        "nested lists are numbers in order: {said}"
    );
    ensure!(server.get("/readyz")?.0 == 200);
    Ok(())
}

#[test]
fn tokens_and_traces_are_those_of_everyone_else() -> Result<()> {
    let (server, address) = server(&["security.client_tokens.lab=\"our-own-secret-token\""])?;
    let body =
        json!({"inputs": [{"name": "image", "shape": [1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]}]}).to_string();
    let (status, said) = post(&address, "/v2/models/fast/infer", body.as_bytes(), &[])?;
    ensure!(status == 401, "{said}");
    let ready = ureq::get(format!("http://{address}/v2/health/ready")).call()?;
    ensure!(ready.status() == 200, "health is everybody's");
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace_id}-b7ad6b7169203331-01");
    let headers = [("authorization", "Bearer our-own-secret-token"), ("traceparent", parent.as_str())];
    let (status, said) = post(&address, "/v2/models/fast/infer", body.as_bytes(), &headers)?;
    ensure!(status == 200, "{said}");
    let (status, trace) = server.get_as("our-own-secret-token", &format!("/v1/traces/{trace_id}"))?;
    ensure!(status == 200 && trace.contains("\"mode\":\"fast\""), "{trace}");
    Ok(())
}
