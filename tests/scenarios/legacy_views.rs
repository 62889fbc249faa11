//! Pictures that the server draws, over its sockets, compared with what the rules say of each pixel.

use anyhow::{Context, Result, ensure};
use segue_tests::{Lab, LegacyClient, Server, built, jpeg, legacy_picture, segue};
use serde_json::{Value, json};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

const WIDTH_PX: usize = 640;
const HEIGHT_PX: usize = 360;
/// The colours of the classes `dark` and `bright`. The first is a grey: it has no hue.
const COLOURS: [[u8; 3]; 2] = [[0, 0, 0], [255, 200, 0]];

/// A lab whose mode tells dark from bright.
fn lab() -> Result<Lab> {
    let lab = Lab::install(&built("libbrightness.so")?, "brightness", "threshold = 100")?;
    lab.profile("[result]\njpeg_quality = 100")?;
    Ok(lab)
}

/// Dark and bright, a wide stripe each.
fn picture() -> Result<Vec<u8>> {
    jpeg(WIDTH_PX as u16, HEIGHT_PX as u16, |x, y| match is_bright(x.into(), y.into()) {
        true => [120, 130, 200],
        false => [90, 60, 40],
    })
}

fn is_bright(x: usize, y: usize) -> bool {
    (x / 160 + y / 180) % 2 == 1
}

struct Pixels {
    rgb: Vec<u8>,
    width_px: usize,
}

impl Pixels {
    fn of(jpeg: &[u8]) -> Result<Self> {
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let rgb = decoder.decode()?;
        Ok(Self { rgb, width_px: decoder.dimensions().context("no size")?.0 })
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width_px + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

/// What the rules make of a pixel.
fn expected(view: &str, opacity: f64, shown: [bool; 2], (x, y): (usize, usize), before: [u8; 3]) -> [f64; 3] {
    let id = usize::from(is_bright(x, y));
    let (colour, as_it_was) = (COLOURS[id], before.map(f64::from));
    if !shown[id] || (view == "blend" && id == 0) {
        return as_it_was;
    }
    match view {
        "filled" => std::array::from_fn(|part| as_it_was[part] * (1.0 - opacity) + f64::from(colour[part]) * opacity),
        "contour" => {
            // 640 pixels make lines of two.
            let is_near = |one: usize, step: usize| one % step < 2 || one % step >= step - 2;
            let is_edge_x = is_near(x, 160) && (2..WIDTH_PX - 2).contains(&x);
            let is_edge_y = is_near(y, 180) && (2..HEIGHT_PX - 2).contains(&y);
            if is_edge_x || is_edge_y { colour.map(f64::from) } else { as_it_was }
        }
        "blend" => {
            let (high, low) =
                (as_it_was.iter().copied().fold(0.0, f64::max), as_it_was.iter().copied().fold(255.0, f64::min));
            let ends = colour.map(f64::from);
            let (top, bottom) = (ends.iter().copied().fold(0.0, f64::max), ends.iter().copied().fold(255.0, f64::min));
            ends.map(|part| low + (part - bottom) / (top - bottom) * (high - low))
        }
        other => panic!("no view {other}"),
    }
}

/// Compares brightness, which is what a JPEG keeps at every pixel, and colours where nothing is near.
fn compare(view: &str, opacity: f64, shown: [bool; 2], before: &Pixels, drawn: &[u8]) -> Result<()> {
    let drawn = Pixels::of(drawn)?;
    ensure!(drawn.width_px == if view == "side-by-side" { 2 * WIDTH_PX } else { WIDTH_PX });
    let luma = |[red, green, blue]: [f64; 3]| 0.299 * red + 0.587 * green + 0.114 * blue;
    for (x, y) in (0..HEIGHT_PX).flat_map(|y| (0..WIDTH_PX).map(move |x| (x, y))) {
        let panes = match view {
            "side-by-side" => vec![("none", x), ("filled", x + WIDTH_PX)],
            view => vec![(view, x)],
        };
        for (view, at) in panes {
            let expected = match view {
                "none" => before.at(x, y).map(f64::from),
                view => expected(view, opacity, shown, (x, y), before.at(x, y)),
            };
            let now = drawn.at(at, y).map(f64::from);
            let far = (luma(now) - luma(expected)).abs();
            // Colours have half the resolution, and run over edges a little.
            ensure!(far < 12.0, "{view} {x},{y}: {now:?} in place of {expected:?}");
            let is_inside = (24..136).contains(&(x % 160)) && (24..156).contains(&(y % 180));
            let worst = now.iter().zip(expected).map(|(now, expected)| (now - expected).abs()).fold(0.0, f64::max);
            ensure!(!is_inside || worst < 4.0, "{view} {x},{y}: {now:?} in place of {expected:?}");
        }
    }
    Ok(())
}

async fn update(client: &mut LegacyClient, settings: Value) -> Result<Value> {
    client.text(json!({"type": "update_viz", "settings": settings})).await?;
    Ok(client.next_of("viz_updated").await?["settings"].clone())
}

#[tokio::test]
async fn each_view_is_drawn_by_its_rule() -> Result<()> {
    let lab = lab()?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let (jpeg, mut timestamp) = (picture()?, 0);
    let before = Pixels::of(&jpeg)?;
    for view in ["filled", "contour", "side-by-side", "blend"] {
        for (opacity, filter, shown, names) in [
            (0.6, Value::Null, [true, true], json!(["dark", "bright"])),
            (1.0, json!(["bright", 77, "zebra", -1]), [false, true], json!(["bright"])),
            (0.25, json!([0]), [true, false], json!(["dark"])),
            (0.0, json!(["BRIGHT", 0, 0]), [true, true], json!(["dark", "bright"])),
            (0.6, json!([]), [false, false], json!([])),
        ] {
            let settings = json!({"visualization_mode": view, "overlay_opacity": opacity, "class_filter": filter});
            assert_eq!(update(&mut client, settings.clone()).await?, settings, "echoed as it was asked for");
            timestamp += 1;
            let answer = client.segmented(timestamp, &jpeg).await?;
            assert_eq!(answer["metadata"]["detected_classes"], names, "{settings}");
            compare(view, opacity, shown, &before, &legacy_picture(&answer)?).with_context(|| settings.to_string())?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn settings_that_are_not_given_keep_their_values() -> Result<()> {
    let lab = lab()?;
    let server = lab.serve()?;
    let mut client = LegacyClient::connect(server.address()).await?;
    let steps = [
        (json!({}), json!([0.6, "filled", null])),
        (json!({"overlay_opacity": 0.3}), json!([0.3, "filled", null])),
        (json!({"class_filter": ["bright", 0]}), json!([0.3, "filled", ["bright", 0]])),
        (json!({"visualization_mode": "blend", "unknown": 1}), json!([0.3, "blend", ["bright", 0]])),
        (json!({"overlay_opacity": null, "visualization_mode": null}), json!([0.3, "blend", ["bright", 0]])),
        (json!({"class_filter": null, "overlay_opacity": 1}), json!([1.0, "blend", null])),
    ];
    for (settings, [opacity, view, filter]) in
        steps.map(|(settings, wanted)| (settings, std::array::from_fn::<_, 3, _>(|at| wanted[at].clone())))
    {
        let now = update(&mut client, settings.clone()).await?;
        let expected = json!({"overlay_opacity": opacity, "visualization_mode": view, "class_filter": filter});
        assert_eq!(now, expected, "{settings}");
    }
    Ok(())
}

#[test]
fn a_single_picture_is_drawn_as_the_query_says() -> Result<()> {
    let lab = lab()?;
    let server = lab.serve()?;
    let (jpeg, agent) =
        (picture()?, ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build()));
    let ask = |server: &Server, query: &str| -> Result<(u16, Vec<u8>)> {
        let mut answer = agent.post(server.url(&format!("/v1/segment?view=filled&{query}"))).send(&jpeg[..])?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_vec()?))
    };
    let before = Pixels::of(&jpeg)?;
    for (query, opacity, shown) in [
        ("", 0.6, [true, true]),
        ("opacity=0.25&classes=bright", 0.25, [false, true]),
        ("opacity=1&classes=0,bright", 1.0, [true, true]),
        ("classes=", 0.6, [false, false]),
    ] {
        let (status, drawn) = ask(&server, query)?;
        assert_eq!(status, 200, "{query}");
        compare("filled", opacity, shown, &before, &drawn).with_context(|| query.to_owned())?;
    }
    for (query, said) in [
        ("opacity=2", "a number from 0 to 1"),
        ("opacity=x", "a number from 0 to 1"),
        ("opacity=NaN", "a number from 0 to 1"),
        ("classes=bright,zebra", "has no such class"),
    ] {
        let (status, body) = ask(&server, query)?;
        let said_by_it = String::from_utf8_lossy(&body).into_owned();
        ensure!(
            status == 400 && said_by_it.contains("bad_query") && said_by_it.contains(said),
            "{query}: {said_by_it}"
        );
    }
    let (file, out) = (lab.path("in.jpg"), lab.path("out.jpg"));
    std::fs::write(&file, &jpeg)?;
    let draw = |classes: &str| -> Result<std::process::Output> {
        let mut command = segue(&["segment", "--view", "filled", "--opacity", "0.4", "--classes", classes]);
        Ok(command.args(lab.places()).arg("-o").arg(&out).arg(&file).output()?)
    };
    let done = draw("0")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    compare("filled", 0.4, [true, false], &before, &std::fs::read(&out)?)?;
    let refused = draw("zebra")?;
    ensure!(refused.status.code() == Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
    Ok(())
}
