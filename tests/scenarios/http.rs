//! The HTTP side: single pictures, modes, health, metrics, the page.

use anyhow::Result;
use segue_tests::{Client, Server, gradient_jpeg};
use serde_json::{Value, json};
use turbojpeg::{Image, PixelFormat, Subsamp};

struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

fn post(server: &Server, path: &str, accept: &str, body: &[u8]) -> Result<Answer> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent.post(server.url(path)).header("accept", accept).send(body)?;
    let content_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    Ok(Answer {
        status: response.status().as_u16(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body: response.body_mut().read_to_vec()?,
    })
}

#[test]
fn a_posted_jpeg_comes_back_as_an_indexed_png_of_class_ids() -> Result<()> {
    let server = Server::start(&[])?;
    let answer = post(&server, "/v1/segment?mode=fast", "image/png", &gradient_jpeg(301, 200)?)?;
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "image/png"));
    let reader = png::Decoder::new(std::io::Cursor::new(answer.body)).read_info()?;
    let info = reader.info();
    assert_eq!((info.width, info.height, info.color_type), (301, 200, png::ColorType::Indexed));
    assert_eq!(info.palette.as_deref().map(<[u8]>::len), Some(2 * 3));
    Ok(())
}

#[test]
fn the_most_wanted_form_is_given() -> Result<()> {
    let server = Server::start(&[])?;
    let cases = [
        ("application/json;q=0.1, image/png;q=0.9", "image/png"),
        ("image/png;q=0, application/json", "application/json"),
        ("text/html, image/*;q=0.8", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("*/*", "image/png"),
    ];
    for (accept, content_type) in cases {
        assert_eq!(
            post(&server, "/v1/segment", accept, &gradient_jpeg(32, 24)?)?.content_type,
            content_type,
            "{accept}"
        );
    }
    Ok(())
}

#[test]
fn png_and_webp_are_read_too() -> Result<()> {
    let server = Server::start(&[])?;
    for format in [image::ImageFormat::Png, image::ImageFormat::WebP] {
        let mut picture = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(40, 30, image::Rgb([9, 99, 199])).write_to(&mut picture, format)?;
        let answer = post(&server, "/v1/segment", "application/json", picture.get_ref())?;
        let document = answer.json()?;
        assert_eq!((&document["width"], &document["height"]), (&json!(40), &json!(30)), "{format:?}");
        let pixels: u64 = document["runs"].as_array().into_iter().flatten().filter_map(|run| run[0].as_u64()).sum();
        assert_eq!(pixels, 40 * 30);
    }
    Ok(())
}

#[test]
fn jpegs_in_grey_and_in_inks_are_read() -> Result<()> {
    let server = Server::start(&[])?;
    let mut compressor = turbojpeg::Compressor::new()?;
    // 0 is the most ink: cyan and black, as programs for print write them.
    for (format, subsamp, pixel, expected) in [
        (PixelFormat::GRAY, Subsamp::Gray, &[180][..], [180; 3]),
        (PixelFormat::CMYK, Subsamp::None, &[51, 255, 255, 200], [40, 200, 200]),
    ] {
        let (width, height) = (64, 48);
        let pixels = pixel.repeat(width * height);
        compressor.set_subsamp(subsamp)?;
        let image = Image { pixels: &pixels[..], width, pitch: format.size() * width, height, format };
        let picture = compressor.compress_to_vec(image)?;
        // Drawn without a trace of the mask, it is what was read.
        let answer = post(&server, "/v1/segment?view=filled&opacity=0", "*/*", &picture)?;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        let read = turbojpeg::decompress(&answer.body, PixelFormat::RGB)?;
        let is_close = |pixel: &[u8]| pixel.iter().zip(expected).all(|(one, other)| one.abs_diff(other) < 6);
        assert!(read.pixels.chunks_exact(3).all(is_close), "{format:?}: {:?}", &read.pixels[..3]);
    }
    Ok(())
}

#[test]
fn every_view_is_a_jpeg() -> Result<()> {
    let server = Server::start(&[])?;
    for (view, width) in [("filled", 96), ("contour", 96), ("side-by-side", 192), ("blend", 96)] {
        let answer = post(&server, &format!("/v1/segment?view={view}"), "*/*", &gradient_jpeg(96, 64)?)?;
        assert_eq!((answer.status, answer.content_type.as_str()), (200, "image/jpeg"), "{view}");
        let frame_header = answer.body.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a baseline JPEG");
        assert_eq!(answer.body[frame_header + 7..frame_header + 9], u16::to_be_bytes(width), "{view}");
    }
    Ok(())
}

#[test]
fn each_bad_request_gets_its_status_and_its_reason() -> Result<()> {
    let server = Server::start(&["--set", "limits.max_upload_len_bytes=100000"])?;
    let jpeg = gradient_jpeg(64, 48)?;
    let cases: [(&str, &str, &[u8], u16, &str); 11] = [
        ("/v1/segment?mode=nonsense", "*/*", &jpeg, 404, "unknown_mode"),
        ("/v1/segment?view=nonsense", "*/*", &jpeg, 400, "bad_query"),
        ("/v1/segment?mod=fast", "*/*", &jpeg, 400, "bad_query"),
        ("/v1/segment", "text/html", &jpeg, 406, "not_acceptable"),
        ("/v1/segment", "image/png;q=0", &jpeg, 406, "not_acceptable"),
        ("/v1/segment?view=filled", "application/json", &jpeg, 406, "not_acceptable"),
        ("/v1/segment?view=mask", "image/jpeg", &jpeg, 406, "not_acceptable"),
        ("/v1/segment", "*/*", b"", 422, "undecodable"),
        ("/v1/segment", "*/*", b"GIF89a and so on", 422, "undecodable"),
        ("/v1/segment", "*/*", &jpeg[..jpeg.len() / 2], 422, "undecodable"),
        ("/v1/segment", "*/*", &[0; 100_001], 413, "too_large"),
    ];
    for (path, accept, body, status, code) in cases {
        let answer = post(&server, path, accept, body)?;
        let document = answer.json()?;
        assert_eq!((answer.status, &document["code"]), (status, &json!(code)), "{path} {document}");
        assert!(document["message"].as_str().is_some_and(|message| message.len() > 10), "{document}");
    }
    assert_eq!(post(&server, "/v1/segment", "*/*", &jpeg)?.status, 200);
    Ok(())
}

#[test]
fn a_png_header_of_40000_pixels_is_refused_before_it_is_decoded() -> Result<()> {
    let server = Server::start(&[])?;
    let mut picture = Vec::new();
    let mut encoder = png::Encoder::new(&mut picture, 40_000, 40_000);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?;
    let answer = post(&server, "/v1/segment", "*/*", &picture)?;
    assert_eq!((answer.status, &answer.json()?["code"]), (413, &json!("too_large")));
    Ok(())
}

#[tokio::test]
async fn metrics_count_frames_by_mode_and_outcome() -> Result<()> {
    let server = Server::start(&[])?;
    let mut client = Client::connect(server.address()).await?;
    client.frame(1, &gradient_jpeg(64, 64)?).await?;
    client.result().await?;
    client.frame(2, b"no picture").await?;
    client.text_of("dropped").await?;
    let (status, text) = server.get("/metrics")?;
    assert_eq!(status, 200);
    for line in [
        r#"segue_frames_total{mode="fast",outcome="answered",reason=""} 1"#,
        r#"segue_frames_total{mode="fast",outcome="dropped",reason="undecodable"} 1"#,
        r#"segue_stage_duration_seconds_count{mode="fast",stage="plugin.infer"} 1"#,
        "segue_sessions 1",
        "segue_config_generation 1",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line:?} in\n{text}");
    }
    Ok(())
}

#[test]
fn modes_name_the_model_behind_each() -> Result<()> {
    let server = Server::start(&[])?;
    let document: Value = serde_json::from_str(&server.get("/v1/modes")?.1)?;
    assert_eq!(document["default"], "fast");
    let models: Vec<_> = document["modes"].as_array().into_iter().flatten().map(|mode| &mode["model"]).collect();
    assert_eq!(
        models,
        [
            "selfie/general",
            "deeplabv3-mobilenet-v2/os16",
            "segformer-b0/ade20k",
            "mask2former-swin-tiny/ade20k",
            "selfie/landscape",
        ]
    );
    Ok(())
}

#[test]
fn the_page_comes_with_its_policy_and_is_not_sent_twice() -> Result<()> {
    let server = Server::start(&[])?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let page = agent.get(server.url("/")).call()?;
    assert_eq!(page.headers()["content-type"], "text/html");
    assert!(page.headers()["content-security-policy"].to_str()?.contains("default-src 'self'"));
    let again = agent.get(server.url("/")).header("if-none-match", page.headers()["etag"].clone()).call()?;
    assert_eq!(again.status(), 304);
    let policy = "content-security-policy";
    assert_eq!(again.headers()[policy], page.headers()[policy], "the kept copy would lose what it may do");
    assert_eq!(server.get("/nothing")?.0, 404);
    assert_eq!(server.get("/../Cargo.toml")?.0, 404);
    Ok(())
}
