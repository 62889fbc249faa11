//! Real networks in the real program: they score as their originals do, and weights that are no good harm nobody.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use segue_parity::{Parameters, parameters, write_safetensors};
use segue_tests::{Lab, built, gradient_jpeg, segue, test_data};
use serde_json::Value;

/// In points of a hundred.
const MOST_DIFFERENCE: f64 = 0.3;

/// What the original network scores, as `tests/parity/voc_reference.py` measured it.
fn original(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/photos").join(format!("{name}.json"));
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// What `segue eval` says.
fn eval(lab: &Lab, data: &Path, mode: &str, more: &[&str]) -> Result<Value> {
    let voc = data.join("media/voc");
    let mut command = segue(&["eval", "--json", "--mode", mode]);
    command.args(more).args(lab.places()).arg("--images").arg(voc.join("images")).arg("--masks").arg(voc.join("masks"));
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn iou_of(report: &Value, label: &str) -> Result<f64> {
    let classes = report["classes"].as_array().context("no classes")?;
    let class = classes.iter().find(|class| class["label"] == label).context("no such class")?;
    class["iou"].as_f64().context("no IoU")
}

fn ensure_close(what: &str, ours: f64, theirs: &Value) -> Result<()> {
    let theirs = theirs.as_f64().context("no figure")?;
    println!("{what}: {:.2} %, and {:.2} % of the original", 100.0 * ours, 100.0 * theirs);
    ensure!((ours - theirs).abs() * 100.0 <= MOST_DIFFERENCE, "{what}: {ours}, and {theirs} of the original");
    Ok(())
}

#[test]
fn deeplab_scores_as_the_original_does() -> Result<()> {
    let Some(data) = test_data("DeepLab's scores on photos") else { return Ok(()) };
    let lab = Lab::beside_the_default("")?;
    lab.add_plugin(&built("plugins/libdeeplab.so")?, "libdeeplab.so")?;
    let weights = data.join("weights/deeplabv3-mobilenet-v2-voc/deeplabv3_mnv2_voc.f16.safetensors");
    fs::copy(weights, lab.path("models/own.safetensors"))?;
    let entry = "labels = \"voc\"\ndefault_variant = \"own\"\n[settings]\narchitecture = \"mobilenet-v2\"\nsquare = true\n\
                 [variants.own]\nfile = \"own.safetensors\"\n";
    lab.model("own", "deeplab", entry)?;
    lab.profile(
        "[modes.own]\nmodel = \"own\"\nthreads = 2\n\
         [modes.short]\nmodel = \"own\"\nthreads = 2\nsettings.precision = \"bf16\"\n",
    )?;
    let original = original("deeplabv3-mobilenet-v2-os8")?;
    for mode in ["own", "short"] {
        let report = eval(&lab, &data, mode, &[])?;
        ensure_close(&format!("{mode}: mIoU"), report["mean_iou"].as_f64().context("no mIoU")?, &original["mean_iou"])?;
        ensure_close(&format!("{mode}: person"), iou_of(&report, "person")?, &original["person_iou"])?;
    }
    Ok(())
}

#[test]
fn selfie_scores_as_the_original_does() -> Result<()> {
    let Some(data) = test_data("selfie's scores on photos") else { return Ok(()) };
    let lab = Lab::beside_the_default("")?;
    if !lab.path("cache/models/selfie/selfie_segmentation.tflite").exists() {
        eprintln!(
            "SKIPPED: selfie's scores on photos: its weights are not here, `segue models pull selfie` fetches them"
        );
        return Ok(());
    }
    for (mode, network) in [("fast", "selfie_segmentation"), ("landscape", "selfie_segmentation_landscape")] {
        let report = eval(&lab, &data, mode, &["--labels", "voc"])?;
        ensure_close(mode, iou_of(&report, "person")?, &original(network)?["person_iou"])?;
    }
    Ok(())
}

/// A checkpoint, made worse by `spoil`.
fn checkpoint(path: &Path, keys: &str, spoil: impl FnOnce(&mut Parameters)) -> Result<()> {
    let mut tensors = parameters(keys, 3.0)?;
    spoil(&mut tensors);
    write_safetensors(path, &tensors)
}

/// Files of weights that are no good, and what the operator has to be told of each, beside its name.
fn bad_weights(folder: &Path) -> Result<Vec<(&'static str, Vec<&'static str>)>> {
    const TENSOR: &str = "segformer.encoder.block.1.0.mlp.dense1.weight";
    let path = |name: &str| -> PathBuf { folder.join(format!("{name}.safetensors")) };
    let of_b0 = |name: &str, spoil: fn(&mut Parameters)| checkpoint(&path(name), "segformer-b0.txt", spoil);
    of_b0("whole", |_| {})?;
    let whole = fs::read(path("whole"))?;
    fs::write(path("truncated"), &whole[..whole.len() * 2 / 3])?;
    fs::write(path("empty"), [])?;
    fs::write(path("picture"), gradient_jpeg(64, 64)?)?;
    of_b0("nan", |tensors| {
        tensors.get_mut(TENSOR).into_iter().for_each(|(_, values)| values[77] = f32::NAN);
    })?;
    of_b0("shape", |tensors| {
        tensors.insert(TENSOR.into(), (vec![8, 8], vec![0.0; 64]));
    })?;
    of_b0("missing", |tensors| {
        tensors.remove(TENSOR);
    })?;
    of_b0("leftover", |tensors| {
        tensors.insert("another.head.weight".into(), (vec![2], vec![0.0; 2]));
    })?;
    checkpoint(&path("other"), "deeplabv3_mobilenet_v2.txt", |_| {})?;
    Ok(vec![
        ("truncated", vec![]),
        ("empty", vec![]),
        ("picture", vec![]),
        ("nan", vec![TENSOR, "77"]),
        ("shape", vec![TENSOR, "8"]),
        ("missing", vec![TENSOR]),
        ("leftover", vec!["another.head.weight"]),
        ("other", vec!["segformer."]),
    ])
}

#[test]
fn weights_that_are_no_good_are_told_by_file_and_tensor_and_the_others_serve() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    lab.add_plugin(&built("plugins/libsegformer.so")?, "libsegformer.so")?;
    let bad = bad_weights(&lab.path("models"))?;
    let mut profile = String::new();
    for name in bad.iter().map(|(name, _)| *name).chain(["whole"]) {
        let entry =
            format!("labels = \"ade20k\"\ndefault_variant = \"own\"\n[variants.own]\nfile = \"{name}.safetensors\"\n");
        lab.model(name, "segformer", &entry)?;
        profile += &format!(
            "[modes.{name}]\nmodel = \"{name}\"\ninstances = 1\n[modes.{name}.settings]\ninput_size_px = 64\n"
        );
    }
    lab.profile(&profile)?;
    let server = lab.serve()?;
    let modes = settled(&server)?;
    let message = |name: &str| -> Result<(String, String)> {
        let modes = modes.as_array().context("no modes")?;
        let mode = modes.iter().find(|mode| mode["name"] == name).context("no such mode")?;
        let text = |key: &str| mode[key].as_str().unwrap_or_default().to_owned();
        Ok((text("state"), text("message")))
    };
    for (name, told) in bad {
        let (state, message) = message(name)?;
        println!("{name}: {message}");
        ensure!(state == "unavailable", "{name} is {state}");
        for part in told {
            ensure!(message.contains(part), "{name}: nothing of {part:?} in {message:?}");
        }
        ensure!(message.contains(&format!("models/{name}.safetensors")), "{name}: no file in {message:?}");
    }
    ensure!(message("whole")?.0 == "ready", "the mode with good weights is not ready: {:?}", message("whole")?);
    let jpeg = gradient_jpeg(160, 120)?;
    let response = ureq::post(server.url("/v1/segment?mode=whole")).header("accept", "image/png").send(&jpeg[..])?;
    ensure!(response.status() == 200);
    Ok(())
}

/// The modes, once none of them is loading.
fn settled(server: &segue_tests::Server) -> Result<Value> {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let (_, body) = server.get("/v1/modes")?;
        let body: Value = serde_json::from_str(&body)?;
        let modes = if body.is_array() { body } else { body["modes"].clone() };
        let is_loading = |mode: &Value| mode["state"] == "loading";
        if modes.as_array().is_some_and(|modes| !modes.iter().any(is_loading)) {
            return Ok(modes);
        }
        ensure!(Instant::now() < patience, "still loading: {modes}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Beside weights and images: the program, the frame's planes, what loading left.
const MOST_BESIDE_LEN_BYTES: u64 = 24 << 20;

#[test]
fn a_network_holds_its_weights_its_images_and_little_else() -> Result<()> {
    let lab = Lab::beside_the_default("")?;
    lab.add_plugin(&built("plugins/libsegformer.so")?, "libsegformer.so")?;
    checkpoint(&lab.path("models/b2.safetensors"), "segformer-b2.txt", |_| {})?;
    lab.model("b2", "segformer", "default_variant = \"own\"\n[variants.own]\nfile = \"b2.safetensors\"\n")?;
    lab.profile("[modes.b2]\nmodel = \"b2\"\ninstances = 1\n[modes.b2.settings]\ninput_size_px = 256\n")?;
    let server = lab.serve_with(&["--set", "telemetry.log=debug"])?;
    let line = server.log_until("MiB of images")?;
    let line = line.lines().find(|line| line.contains("MiB of images")).context("no such line")?;
    let numbers: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [weights, images] = numbers[..] else { anyhow::bail!("not two numbers: {line}") };
    let process = line.split("process=").nth(1).and_then(|rest| rest.split(' ').next()).context("no process")?;
    settled(&server)?;
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let resident = resident.trim().trim_end_matches(" kB").parse::<u64>()? << 10;
    let held = (weights + images) << 20;
    println!("{weights} MiB of weights, {images} MiB of images, {} MiB resident", resident >> 20);
    ensure!(resident <= held * 13 / 10 + MOST_BESIDE_LEN_BYTES, "{resident} bytes are resident, and {held} are held");
    Ok(())
}

#[test]
fn two_modes_are_compared_on_a_clip() -> Result<()> {
    let Some(data) = test_data("a comparison on a clip") else { return Ok(()) };
    let lab = Lab::beside_the_default("")?;
    if !lab.path("cache/models/selfie/selfie_segmentation.tflite").exists() {
        eprintln!("SKIPPED: a comparison on a clip: selfie's weights are not here");
        return Ok(());
    }
    let clip = data.join("media/webcam/book.mkv");
    let compare = |modes: [&str; 2]| -> Result<Value> {
        let mut command = segue(&["compare", "--json", "--first", "12"]);
        let output = command.args(modes).arg(&clip).args(lab.places()).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let same = compare(["fast", "fast"])?;
    ensure!(same["agreement"] == 1.0 && same["frames"] == 12, "{same}");
    let other = compare(["fast", "landscape"])?;
    let agreement = other["agreement"].as_f64().context("no agreement")?;
    ensure!(agreement > 0.8 && agreement < 1.0, "{other}");
    ensure!(other["modes"][1]["infer_millis"]["p50"].as_f64() > Some(0.0), "{other}");
    Ok(())
}

#[test]
fn what_can_t_be_judged_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let said = |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let output = segue(arguments).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let folder = folder.path().to_string_lossy().into_owned();
    let (code, message) = said(&["eval", "--images", &folder, "--masks", &folder])?;
    ensure!(code == Some(2) && message.contains("no JPEG, PNG or WebP"), "{code:?} {message}");
    let (code, message) = said(&["compare", "fast", "fastest", &folder])?;
    ensure!(code == Some(2) && message.contains("fastest") && message.contains("landscape"), "{code:?} {message}");
    Ok(())
}
