//! Models in Python in the real program: what `segment` may return, what a file that is no good costs, and a file that is edited
//! while people watch.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Result, bail, ensure};
use segue_tests::{Client, Event, Lab, Server, built, gradient_jpeg, jpeg, model_python, segue};
use serde_json::{Value, json};

/// An installation whose mode `mine` is the model in `mine.py`; `lines` of TOML say more of the model, `mode` of the mode.
fn lab(python: &Path, lines: &str, mode: &str) -> Result<Lab> {
    let lab = Lab::beside_the_default(&format!("[modes.mine]\nmodel = \"mine\"\ninstances = 1\n{mode}"))?;
    lab.add_plugin(&built("plugins/python.pyz")?, "python.pyz")?;
    entry(&lab, python, lines)?;
    Ok(lab)
}

fn entry(lab: &Lab, python: &Path, lines: &str) -> Result<()> {
    lab.model("mine", "python", &format!("file = \"mine.py\"\npython = {:?}\n{lines}", python.display().to_string()))
}

/// Saves `mine.py`, with `segment` of this body, and what stands `before` the class and in it.
fn save(lab: &Lab, before: &str, members: &str, segment: &str) -> Result<()> {
    let text = format!(
        "import numpy as np\n{before}\n\nclass Mine:\n    {}\n\n    def segment(self, frame):\n        {}\n",
        members.replace('\n', "\n    "),
        segment.replace('\n', "\n        ")
    );
    // By rename, as editors save: nobody sees half a file.
    fs::write(lab.path("mine.new"), text)?;
    Ok(fs::rename(lab.path("mine.new"), lab.path("models/mine.py"))?)
}

const LABELS: &str = "labels = {'background': (0, 0, 0), 'left': (255, 0, 0), 'right': (0, 255, 0)}";

/// Black at the left, white at the right.
fn halves() -> Result<Vec<u8>> {
    jpeg(128, 64, |x, _| if x < 64 { [0; 3] } else { [255; 3] })
}

async fn client(server: &Server) -> Result<Client> {
    let mut client = Client::connect(server.address()).await?;
    client.text(json!({"type": "mode", "mode": "mine"})).await?;
    client.mode_is_ready().await?;
    Ok(client)
}

/// Why the mode does not serve.
fn refusal(server: &Server) -> Result<String> {
    server.log_until("mode=\"mine\" reason=")?;
    let (_, modes) = server.get("/v1/modes")?;
    let modes: Value = serde_json::from_str(&modes)?;
    let all = modes.as_array().or_else(|| modes["modes"].as_array()).into_iter().flatten();
    let mine = all.into_iter().find(|mode| mode["name"] == "mine");
    Ok(mine.map(|mode| mode["message"].as_str().unwrap_or_default().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn ids_scores_and_mattes_of_any_size_become_masks() -> Result<()> {
    let Some(python) = model_python("masks of models in Python") else { return Ok(()) };
    let lab = lab(&python, "", "")?;
    let three = "light = frame[..., 0] > 127\n";
    for (labels, segment) in [
        (LABELS, &*format!("{three}return np.where(light, 2, 1).astype(np.uint8)")),
        (LABELS, &format!("{three}return np.where(light, 2, 1)")),
        (LABELS, &format!("{three}return np.where(light, 2, 1)[::4, ::4].astype(np.int16)")),
        (LABELS, &format!("{three}return np.stack([light * 0.0, 1.0 - light, light * 1.0])")),
        (
            LABELS,
            &format!(
                "{three}return np.stack([light * 0.0, 9.0 * ~light, 9.0 * light])[:, ::8, ::8].astype(np.float16)"
            ),
        ),
    ] {
        save(&lab, "", labels, segment)?;
        let server = lab.serve()?;
        let mut client = client(&server).await?;
        client.text(json!({"type": "view", "soft_edge": true, "picture": null})).await?;
        client.frame(1, &halves()?).await?;
        let mask = client.result().await?;
        let row = &mask.labels[32 * 128..33 * 128];
        ensure!(row[..56].iter().all(|&label| label == 1) && row[72..].iter().all(|&label| label == 2), "{segment}");
        ensure!(mask.confidence[40] > 140, "{segment}: {}", mask.confidence[40]);
    }
    save(&lab, "", "labels = ['background', 'light']", "return frame[..., 0] / np.float32(300)")?;
    let server = lab.serve()?;
    let mut client = client(&server).await?;
    client.text(json!({"type": "view", "soft_edge": true, "picture": null})).await?;
    client.frame(1, &halves()?).await?;
    let mask = client.result().await?;
    ensure!(mask.labels[10] == 0 && mask.labels[120] == 1, "a matte");
    ensure!((210..225).contains(&mask.confidence[120]), "85 % of it: {}", mask.confidence[120]);
    Ok(())
}

#[test]
fn a_file_that_is_no_good_is_told_by_its_line_and_other_modes_serve() -> Result<()> {
    let Some(python) = model_python("models in Python that are no good") else { return Ok(()) };
    let lab = lab(&python, "", "")?;
    let fine = "return frame[..., 0] * 0";
    for (before, members, segment, expected) in [
        ("", LABELS, "return (", "SyntaxError"),
        ("import no_such_package", LABELS, fine, "No module named 'no_such_package' (mine.py, line 2"),
        ("", "def load(self):\n    self.weights = open('/nowhere/x')", fine, "'/nowhere/x' (mine.py, line 6, in load)"),
        ("", "pass", fine, "has no `labels`"),
        ("class Other:\n    def segment(self): pass", LABELS, fine, "there is Other, Mine"),
        ("", LABELS, "return 'a mask'", "segment returned"),
        ("", LABELS, "return frame", "expected class ids"),
        ("", LABELS, "return np.zeros((5, 8, 8), np.float32)", "or scores (3, height, width)"),
        ("", LABELS, "return frame[..., 0] * 0 + 7", "class 7, and the model has 3 labels"),
        ("", LABELS, "return frame[..., 0].astype(int) * 100", "class ids from"),
        ("", "labels = []", fine, "a model of 0 labels"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 80))", LABELS, fine, "Operation not permitted"),
        ("import subprocess\nsubprocess.run(['true'])", LABELS, fine, "Operation not permitted"),
        ("open('/tmp/written-by-a-model', 'w')", LABELS, fine, "Permission denied"),
        ("import os\nos._exit(3)", LABELS, fine, "ended by itself with 3"),
        ("import ctypes\nctypes.string_at(0)", LABELS, fine, "SIGSEGV"),
    ] {
        save(&lab, before, members, segment)?;
        let server = lab.serve()?;
        let said = refusal(&server)?;
        ensure!(said.contains(expected), "{before} {members} {segment}: {said}");
        ensure!(server.get("/readyz")?.0 == 200, "the default mode serves");
    }
    save(&lab, "", LABELS, fine)?;
    for (lines, expected) in [
        ("python = \"no-such-python\"", "\"no-such-python\" can't be started"),
        ("requirements = [\"no-such-package-of-anybody==1.0\"]", "segue models pull mine"),
        ("[[classes]]\nlabel = \"one\"\ncolour = [1, 2, 3]", "the catalog names 1 classes, and the model has 3 labels"),
    ] {
        let python = if lines.starts_with("python") {
            String::new()
        } else {
            format!("python = {:?}\n", python.display().to_string())
        };
        lab.model("mine", "python", &format!("file = \"mine.py\"\n{python}{lines}"))?;
        let server = lab.serve()?;
        let said = refusal(&server)?;
        ensure!(said.contains(expected), "{lines}: {said}");
    }
    let mut pulled = segue(&["models", "pull", "mine"]);
    lab.model("mine", "python", "file = \"mine.py\"\nrequirements = [\"no-such-package-of-anybody==1.0\"]")?;
    let pulled = pulled.arg("--models").arg(lab.path("models")).arg("--cache").arg(lab.path("own-cache")).output()?;
    let said = String::from_utf8_lossy(&pulled.stderr).into_owned();
    ensure!(pulled.status.code() == Some(1) && said.contains("no-such-package-of-anybody"), "{said}");
    entry(&lab, &python, "")?;
    fs::set_permissions(lab.path("models/mine.py"), fs::Permissions::from_mode(0o666))?;
    let server = lab.serve()?;
    ensure!(refusal(&server)?.contains("mine.py is run as a program"), "{}", refusal(&server)?);
    Ok(())
}

#[tokio::test]
async fn whatever_a_model_does_costs_its_frame() -> Result<()> {
    let Some(python) = model_python("models in Python that misbehave") else { return Ok(()) };
    let lab = lab(&python, "", "timeout_millis = 1000\nmax_memory_len_bytes = 1_000_000_000")?;
    let misdeeds = "width = frame.shape[1]\n\
                    if width == 32: raise ValueError('a picture of 32')\n\
                    if width == 33: np.ones(10 ** 10)\n\
                    if width == 34:\n    while True: pass\n\
                    if width == 35: os._exit(1)\n\
                    if width == 36: ctypes.string_at(0)\n\
                    if width == 37: sys.exit()\n\
                    if width == 38: return None\n\
                    return frame[..., 0] * 0";
    save(&lab, "import os, sys, ctypes", LABELS, misdeeds)?;
    let server = lab.serve()?;
    let mut client = client(&server).await?;
    let good = gradient_jpeg(64, 48)?;
    let mut number = 0;
    for (width, expected) in [
        (32, "ValueError: a picture of 32 (mine.py, line 9, in segment)"),
        (33, "MemoryError"),
        (34, "took longer than 1000 ms"),
        (35, "ended by itself with 1"),
        (36, "SIGSEGV"),
        (37, "SystemExit"),
        (38, "segment returned object"),
    ] {
        number += 1;
        client.frame(number, &gradient_jpeg(width, 48)?).await?;
        let dropped = client.text_of("dropped").await?;
        let said = dropped["message"].as_str().unwrap_or_default();
        ensure!(dropped["reason"] == "backend_failed" && said.contains(expected), "{width}: {dropped}");
        // A new process is started; as many good frames follow as make up for it.
        let mut served = 0;
        for _ in 0..200 {
            number += 1;
            client.frame(number, &good).await?;
            match client.answer().await? {
                Event::Result(_) => served += 1,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            if served == 12 {
                break;
            }
        }
        ensure!(served == 12, "after {width} it did not come back");
    }
    ensure!(server.log_has("a picture of 32"), "the traceback stands in the log");
    Ok(())
}

#[tokio::test]
async fn a_model_that_is_edited_ten_times_under_load_loses_no_frame() -> Result<()> {
    let Some(python) = model_python("edits of a model in Python") else { return Ok(()) };
    let lab = lab(&python, "", "")?;
    let model = |class: u32| save(&lab, "", LABELS, &format!("return frame[..., 0] * 0 + {}", class % 3));
    model(0)?;
    let server = lab.serve()?;
    let mut client = client(&server).await?;
    let picture = gradient_jpeg(160, 120)?;
    let (mut sent, mut answered) = (0_u32, 0_u32);
    for edit in 1..=10 {
        model(edit)?;
        let mut frames = 0;
        loop {
            sent += 1;
            frames += 1;
            client.frame(sent, &picture).await?;
            let result = match client.answer().await? {
                Event::Result(result) => result,
                other => bail!("frame {sent} was not answered after edit {edit}: {other:?}"),
            };
            answered += 1;
            let class = u32::from(result.labels[0]);
            ensure!(result.labels.iter().all(|&label| u32::from(label) == class), "a mask is of one model");
            if class == edit % 3 {
                break;
            }
            ensure!(class == (edit - 1) % 3, "neither the old model nor the new one");
            ensure!(frames < 20_000, "edit {edit} was not taken over");
        }
    }
    ensure!(sent == answered);
    // A save that is no good changes nothing, and its traceback is the receipt.
    save(&lab, "", LABELS, "return frame[...")?;
    server.log_until("SyntaxError")?;
    let receipt = server.reloads()?.to_string();
    ensure!(receipt.contains("SyntaxError") && receipt.contains("mine.py"), "{receipt}");
    client.frame(sent + 1, &picture).await?;
    ensure!(client.result().await?.labels[0] == 1, "the last good one serves");
    println!("{sent} frames over ten edits, all answered");
    Ok(())
}
