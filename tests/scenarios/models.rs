//! `segue models`: weights from each kind of source, and all that keeps them from coming.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use segue_tests::{FileServer, Hosted, program, segue};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A catalog and a cache of their own.
struct Catalog {
    folder: tempfile::TempDir,
}

impl Catalog {
    /// With the model `lab`, whose entry goes on with `lines`.
    fn with(lines: &str) -> Result<Self> {
        let catalog = Self { folder: tempfile::tempdir()? };
        fs::create_dir(catalog.folder.path().join("models"))?;
        catalog.entry(lines)?;
        Ok(catalog)
    }

    fn entry(&self, lines: &str) -> Result<()> {
        let entry = format!("backend = \"lab\"\ntitle = \"Lab\"\ndefault_variant = \"one\"\n{lines}");
        Ok(fs::write(self.folder.path().join("models/lab.toml"), entry)?)
    }

    fn places(&self) -> [String; 2] {
        ["models", "cache"].map(|part| format!("--{part}={}", self.folder.path().join(part).display()))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = segue(&["models"]);
        for variable in ["HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "SEGUE_OFFLINE"] {
            command.env_remove(variable);
        }
        command.env("HF_HOME", self.folder.path().join("hf")).args(arguments).args(self.places());
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        said(self.command(arguments).output()?)
    }

    /// What the cache has of the model, beside notes of the server's own.
    fn weights(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path().join("cache/models/lab")).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names.filter(|name| name != ".lock" && name != "accepted-licence.json").collect();
        names.sort();
        names
    }

    fn state(&self) -> Result<String> {
        let list: Value = serde_json::from_slice(&self.command(&["list", "--json"]).output()?.stdout)?;
        Ok(list[0]["files"][0]["state"].as_str().context("no state")?.to_owned())
    }
}

fn said(output: Output) -> Result<(bool, String)> {
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8(said)?))
}

fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// The lines of an entry whose one file comes from `url`.
fn from_url(server: &FileServer, sha256: &str) -> String {
    let url = server.url("/weights.pth");
    format!(
        "licence = \"MIT\"\n[variants.one]\nfile = \"weights.pth\"\nsha256 = \"{sha256}\"\n[[sources]]\nurl = \"{url}\"\n"
    )
}

const FROM_HUB: &str = "licence = \"MIT\"\n[variants.one]\nfile = \"lab.weights\"\n\
    [[variants.one.sources]]\nhub = \"lab/net\"\nfiles = [\"model.safetensors\", \"pytorch_model.bin\"]\n";

/// Hosts `content` as the hub does: its page redirects to another place, and tells commit and hash.
fn host_hub(server: &FileServer, content: &[u8], told: &str) {
    let redirect = Hosted {
        headers: vec![("x-linked-etag", format!("\"{told}\"")), ("x-repo-commit", "c0ffee".into())],
        redirect: Some(server.url("/storage/blob")),
        ..Hosted::default()
    };
    for revision in ["main", "c0ffee"] {
        server.host(&format!("/lab/net/resolve/{revision}/pytorch_model.bin"), redirect.clone());
    }
    server.host("/storage/blob", Hosted::plain(content));
}

#[test]
fn the_hub_gives_the_first_file_that_it_has_and_its_own_hash_is_checked_and_kept() -> Result<()> {
    let (server, catalog) = (FileServer::start()?, Catalog::with(FROM_HUB)?);
    let content = vec![7; 300_000];
    host_hub(&server, &content, &sha256(&content));
    assert_eq!(catalog.state()?, "absent");
    let pull = || {
        let mut command = catalog.command(&["pull", "lab"]);
        command.env("HF_ENDPOINT", server.url("/")).env("HF_TOKEN", "secret");
        command
    };
    let (is_done, told) = said(pull().output()?)?;
    ensure!(is_done, "{told}");
    let asked = server.asked();
    ensure!(asked[0].starts_with("/lab/net/resolve/main/model.safetensors"), "{asked:?}");
    ensure!(
        asked.iter().any(|line| line == "/lab/net/resolve/c0ffee/pytorch_model.bin whole Bearer secret"),
        "{asked:?}"
    );
    assert_eq!(catalog.weights(), ["lab.weights", "lab.weights.json"]);
    assert_eq!(catalog.state()?, "here");
    // It is not fetched twice; and once it has changed, it is.
    said(pull().output()?)?;
    assert_eq!(server.asked(), Vec::<String>::new());
    fs::write(catalog.folder.path().join("cache/models/lab/lab.weights"), "something else")?;
    assert_eq!(catalog.state()?, "changed");
    ensure!(!catalog.run(&["verify"])?.0);
    ensure!(said(pull().output()?)?.0 && catalog.state()? == "here");
    Ok(())
}

#[test]
fn what_is_not_what_the_hub_or_the_catalog_says_is_never_installed() -> Result<()> {
    let (server, catalog) = (FileServer::start()?, Catalog::with(FROM_HUB)?);
    host_hub(&server, b"short", &sha256(b"other"));
    let (is_done, told) = said(catalog.command(&["pull", "lab"]).env("HF_ENDPOINT", server.url("")).output()?)?;
    ensure!(!is_done && told.contains(&format!("and {} is expected", sha256(b"other"))), "{told}");
    catalog.entry(&from_url(&server, "0123456789"))?;
    server.host("/weights.pth", Hosted::plain(b"short"));
    let (is_done, told) = catalog.run(&["pull", "lab"])?;
    ensure!(!is_done && told.contains("and 0123456789 is expected"), "{told}");
    let kept: Vec<_> = fs::read_dir(catalog.folder.path().join("cache/models/lab/.partial"))?.collect();
    ensure!(kept.is_empty() && catalog.weights() == [".partial"], "{kept:?}");
    Ok(())
}

#[test]
fn a_prefix_of_the_hash_is_enough_where_no_more_is_published() -> Result<()> {
    let (server, content) = (FileServer::start()?, vec![3; 100_000]);
    server.host("/weights.pth", Hosted::plain(&content));
    let catalog = Catalog::with(&from_url(&server, &sha256(&content)[..8]))?;
    let (is_done, told) = catalog.run(&["pull", "lab"])?;
    ensure!(is_done && catalog.state()? == "here", "{told}");
    for (wrong, why) in [("1234567", "expected 64 hex digits"), ("", "can't be trusted without it")] {
        catalog.entry(&from_url(&server, wrong))?;
        let (_, told) = catalog.run(&["list"])?;
        ensure!(
            told.contains("models/lab.toml:") && told.contains("variants.one.sha256: ") && told.contains(why),
            "{told}"
        );
    }
    Ok(())
}

#[test]
fn a_download_that_broke_off_goes_on_from_there() -> Result<()> {
    let server = FileServer::start()?;
    let content: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 7) as u8).collect();
    let catalog = Catalog::with(&from_url(&server, &sha256(&content)))?;
    // Within one pull, as long as each attempt brings something.
    server.host("/weights.pth", Hosted { cut_after: Some(400_000), ..Hosted::plain(&content) });
    let (is_done, told) = catalog.run(&["pull", "lab"])?;
    ensure!(is_done, "{told}");
    let ranges = ["/weights.pth whole", "/weights.pth bytes=400000-", "/weights.pth bytes=800000-"];
    assert_eq!(server.asked(), ranges);
    // And by the next pull.
    fs::remove_file(catalog.folder.path().join("cache/models/lab/weights.pth"))?;
    server.host("/weights.pth", Hosted { content: content[..600_000].to_vec(), ..Hosted::default() });
    ensure!(!catalog.run(&["pull", "lab"])?.0, "what is cut short is not the whole");
    server.host("/weights.pth", Hosted { cut_after: Some(600_000), ..Hosted::plain(&content) });
    server.asked();
    let mut child = catalog.command(&["pull", "lab"]).spawn()?;
    ensure!(child.wait()?.success());
    assert_eq!(server.asked(), ["/weights.pth whole", "/weights.pth bytes=600000-"]);
    Ok(())
}

#[test]
fn a_pull_that_was_killed_leaves_nothing_that_could_be_mistaken_for_the_whole() -> Result<()> {
    let server = FileServer::start()?;
    let content = vec![5; 500_000];
    let catalog = Catalog::with(&from_url(&server, &sha256(&content)))?;
    server.host("/weights.pth", Hosted { cut_after: Some(0), ..Hosted::plain(&content) });
    let (is_done, told) = catalog.run(&["pull", "lab"])?;
    ensure!(!is_done && told.contains("it broke off after 0"), "{told}");
    assert_eq!(catalog.state()?, "absent");
    let partial = catalog.folder.path().join("cache/models/lab/.partial");
    let part = fs::read_dir(&partial)?.next().context("no partial file")??.path();
    fs::write(&part, &content[..200_000])?;
    server.host("/weights.pth", Hosted::plain(&content));
    server.asked();
    ensure!(catalog.run(&["pull", "lab"])?.0 && catalog.state()? == "here");
    assert_eq!(server.asked(), ["/weights.pth bytes=200000-"]);
    assert_eq!(catalog.weights(), ["weights.pth", "weights.pth.json"]);
    Ok(())
}

#[test]
fn nothing_is_fetched_under_a_non_commercial_licence_until_somebody_accepts_it() -> Result<()> {
    let (server, content) = (FileServer::start()?, b"weights");
    server.host("/weights.pth", Hosted::plain(content));
    let lines = from_url(&server, &sha256(content)).replace("\"MIT\"", "\"Look, don't sell\"\nnon_commercial = true");
    let catalog = Catalog::with(&lines)?;
    assert_eq!(catalog.state()?, "needs_licence");
    let file = catalog.folder.path().join("any name");
    fs::write(&file, content)?;
    for arguments in [&["pull", "lab"][..], &["pull", "lab", "--from", &file.to_string_lossy()]] {
        let (is_done, told) = catalog.run(arguments)?;
        ensure!(!is_done && told.contains("Look, don't sell"), "{told}");
        ensure!(told.contains("`segue models pull lab --accept-licence`"), "{told}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
    ensure!(catalog.run(&["list"])?.1.contains("non-commercial"));
    let (is_done, told) = catalog.run(&["pull", "lab", "--accept-licence"])?;
    ensure!(is_done && catalog.state()? == "here", "{told}");
    let accepted = fs::read_to_string(catalog.folder.path().join("cache/models/lab/accepted-licence.json"))?;
    ensure!(accepted.contains("Look, don't sell"), "{accepted}");
    // It was accepted for good, but only as it was.
    fs::remove_file(catalog.folder.path().join("cache/models/lab/weights.pth"))?;
    assert_eq!(catalog.state()?, "absent");
    catalog.entry(&lines.replace("don't sell", "don't touch"))?;
    assert_eq!(catalog.state()?, "needs_licence");
    Ok(())
}

#[test]
fn offline_nothing_is_attempted_and_the_way_around_is_told() -> Result<()> {
    let server = FileServer::start()?;
    server.host("/weights.pth", Hosted::plain(b"weights"));
    let catalog = Catalog::with(&from_url(&server, &sha256(b"weights")))?;
    let with = |name: &str, value: &str| said(catalog.command(&["pull", "lab"]).env(name, value).output()?);
    for (is_done, told) in [catalog.run(&["pull", "lab", "--offline"])?, with("SEGUE_OFFLINE", "1")?] {
        ensure!(!is_done && told.contains("--offline (or SEGUE_OFFLINE) is set"), "{told}");
        ensure!(told.contains("`segue models pull lab --from FILE`"), "{told}");
    }
    ensure!(with("HF_HUB_OFFLINE", "1")?.0, "it is about the hub, and this is none");
    server.asked();
    catalog.entry(FROM_HUB)?;
    let (is_done, told) = said(
        catalog.command(&["pull", "lab"]).env("HF_HUB_OFFLINE", "1").env("HF_ENDPOINT", server.url("")).output()?,
    )?;
    ensure!(!is_done && told.contains("HF_HUB_OFFLINE is set"), "{told}");
    assert_eq!(server.asked(), Vec::<String>::new());
    Ok(())
}

/// A wheel, which is a zip file, with one file of weights in it.
fn wheel(path: &Path, name: &str, content: &[u8]) -> Result<()> {
    let script =
        "import sys,zipfile; zipfile.ZipFile(sys.argv[1],'w',zipfile.ZIP_DEFLATED).writestr(sys.argv[2], sys.argv[3])";
    let content = std::str::from_utf8(content)?;
    ensure!(Command::new("python3").args(["-c", script]).arg(path).args([name, content]).status()?.success());
    Ok(())
}

#[test]
fn a_wheel_of_pypi_a_path_and_a_file_at_hand_are_sources_too() -> Result<()> {
    let content = b"weights of a wheel";
    let lines = |source: &str| {
        let sha256 = sha256(content);
        format!("licence = \"MIT\"\n[variants.one]\nfile = \"net.bin\"\nsha256 = \"{sha256}\"\n[[sources]]\n{source}\n")
    };
    let catalog = Catalog::with(&lines("registry = \"pypi\"\npackage = \"lab-net\"\nversion = \"1.2\""))?;
    let outside = catalog.folder.path();
    // In place of pip: it notes how it is called, and leaves a wheel.
    wheel(&outside.join("lab.whl"), "lab/net.bin", content)?;
    let pip = outside.join("bin/pip");
    fs::create_dir(outside.join("bin"))?;
    let script = format!("#!/bin/sh\necho \"$@\" > {0}/called\n/bin/cp {0}/lab.whl .\n", outside.display());
    fs::write(&pip, script)?;
    fs::set_permissions(&pip, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let (is_done, told) = said(catalog.command(&["pull", "lab"]).env("PATH", outside.join("bin")).output()?)?;
    ensure!(is_done && catalog.state()? == "here", "{told}");
    let called = fs::read_to_string(outside.join("called"))?;
    ensure!(called.contains("--no-deps") && called.contains("-- lab-net==1.2"), "{called}");
    let cached = outside.join("cache/models/lab/net.bin");
    // A file of this machine.
    fs::remove_file(&cached)?;
    fs::write(outside.join("models/elsewhere"), content)?;
    catalog.entry(&lines("path = \"elsewhere\""))?;
    ensure!(catalog.run(&["pull", "lab"])?.0 && catalog.state()? == "here");
    // A file at hand, whatever it is called, or a package with it.
    for given in ["models/elsewhere", "lab.whl"] {
        fs::remove_file(&cached)?;
        let (is_done, told) = catalog.run(&["pull", "lab", "--from", &outside.join(given).to_string_lossy()])?;
        ensure!(is_done && told.contains(&sha256(content)) && catalog.state()? == "here", "{told}");
    }
    // Of what nobody pinned the hash is noted.
    catalog.entry(FROM_HUB)?;
    let (is_done, told) = catalog.run(&["pull", "lab", "--from", &outside.join("called").to_string_lossy()])?;
    ensure!(is_done && told.contains(&sha256(called.as_bytes())) && catalog.state()? == "here", "{told}");
    Ok(())
}

#[test]
fn a_full_disk_is_told_with_the_file_and_leaves_nothing() -> Result<()> {
    const MOUNTED: &str = "mount -t tmpfs -o size=64k none \"$0\" && \"$@\"; code=$?; ls -A \"$0\"/models/lab; \
        cat \"$0\"/models/lab/.partial/* 2>/dev/null | wc -c; exit $code";
    let mounting = |cache: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED]).arg(cache);
        command
    };
    let server = FileServer::start()?;
    let content = vec![9; 1_000_000];
    server.host("/weights.pth", Hosted::plain(&content));
    let catalog = Catalog::with(&from_url(&server, &sha256(&content)))?;
    let cache = catalog.folder.path().join("cache");
    fs::create_dir(&cache)?;
    fs::create_dir_all(cache.join("models/lab"))?;
    let mut trial = Command::new("unshare");
    trial.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none"]).arg(&cache);
    if !trial.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a full disk: a mount needs rights that are missing here");
        return Ok(());
    }
    let mut command = mounting(&cache);
    command.arg(program()).args(["models", "pull", "lab"]).args(catalog.places());
    let (is_done, told) = said(command.output()?)?;
    ensure!(!is_done && told.contains("no space is left for it"), "{told}");
    ensure!(told.contains("cache/models/lab/.partial/"), "it names the file: {told}");
    ensure!(told.lines().any(|line| line.trim() == "0") && !told.contains("weights.pth.json"), "{told}");
    Ok(())
}

#[test]
fn a_label_set_that_is_not_there_is_told_by_file_line_and_those_that_are() -> Result<()> {
    let catalog = Catalog::with("licence = \"MIT\"\n")?;
    let models = catalog.folder.path().join("models");
    fs::create_dir(models.join("labels"))?;
    fs::write(
        models.join("labels/fruit.toml"),
        "title = \"Fruit\"\nclasses = [{ label = \"apple\", colour = [1, 2, 3] }]\n",
    )?;
    fs::write(
        models.join("lab.toml"),
        "backend = \"lab\"\ntitle = \"Lab\"\nlicence = \"MIT\"\n\nlabels = \"friut\"\n",
    )?;
    let (_, told) = catalog.run(&["list"])?;
    ensure!(told.contains("models/lab.toml:5: labels: there is no label set \"friut\""), "{told}");
    ensure!(told.contains("there are: fruit"), "{told}");
    fs::write(
        models.join("lab.toml"),
        "backend = \"lab\"\ntitle = \"Lab\"\nlicence = \"MIT\"\n\nlabels = \"fruit\"\n",
    )?;
    fs::write(models.join("labels/fruit.toml"), "title = \"Fruit\"\nclasses = [\n  { label = 7 },\n]\n")?;
    let (_, told) = catalog.run(&["list"])?;
    ensure!(told.contains("models/labels/fruit.toml:3: "), "{told}");
    Ok(())
}

#[test]
fn the_shipped_label_sets_are_complete_and_in_the_order_of_the_weights() -> Result<()> {
    let list: Value = serde_json::from_slice(&segue(&["models", "list", "--json"]).output()?.stdout)?;
    let classes = |name: &str, variant: &str| -> Option<u64> {
        let entry = list.as_array()?.iter().find(|entry| entry["name"] == name)?;
        entry["files"].as_array()?.iter().find(|file| file["variant"] == variant)?["classes"].as_u64()
    };
    assert_eq!(classes("deeplabv3-mobilenet-v2", "os8"), Some(21));
    assert_eq!(classes("segformer-b3", "ade20k"), Some(150));
    assert_eq!(classes("segformer-b3", "cityscapes"), Some(19));
    let set = |name: &str| -> Result<toml::Table> {
        let path = format!("{}/../models/labels/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        Ok(fs::read_to_string(path)?.parse()?)
    };
    let class = |set: &toml::Table, id: usize| set["classes"][id]["label"].as_str().map(str::to_owned);
    assert_eq!(class(&set("voc")?, 15).as_deref(), Some("person"));
    assert_eq!(class(&set("ade20k")?, 0).as_deref(), Some("wall"));
    assert_eq!(class(&set("ade20k")?, 12).as_deref(), Some("person"));
    assert_eq!(class(&set("cityscapes")?, 11).as_deref(), Some("person"));
    Ok(())
}
