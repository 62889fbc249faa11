//! Imports of the server point one way, as ARCHITECTURE.md says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

/// Each module, with those of the server that it may import.
const ALLOWED: [(&str, &[&str]); 12] = [
    (
        "cli",
        &["http", "session", "reload", "admission", "pipeline", "model", "plugin_host", "config", "telemetry", "file"],
    ),
    ("http", &["session", "reload", "admission", "pipeline", "model", "config", "telemetry"]),
    ("session", &["reload", "admission", "pipeline", "model", "config", "telemetry"]),
    ("reload", &["model", "config", "telemetry"]),
    ("admission", &["pipeline", "model", "config", "telemetry"]),
    ("pipeline", &["model", "plugin_host", "config", "telemetry"]),
    ("model", &["plugin_host", "config", "telemetry", "copies", "file"]),
    ("plugin_host", &["copies", "file"]),
    ("config", &["file"]),
    ("copies", &["file"]),
    ("file", &[]),
    ("telemetry", &["config"]),
];

fn sources(path: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sources(&entry?.path(), found)?;
        }
    } else if path.extension().is_some_and(|ending| ending == "rs") {
        found.push(path.to_owned());
    }
    Ok(())
}

/// The first segments of all `crate::` paths in `text`, those of grouped imports among them.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let Some(group) = rest.strip_prefix('{') else {
            found.push(rest.chars().take_while(|&letter| is_name(letter)).collect());
            continue;
        };
        let (mut depth, mut name, mut at_start) = (0, String::new(), true);
        for letter in group.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                letter if depth == 0 && at_start && is_name(letter) => name.push(letter),
                letter if letter.is_whitespace() => {}
                _ => {
                    at_start = false;
                    found.push(std::mem::take(&mut name));
                }
            }
            if letter == ',' && !name.is_empty() {
                found.push(std::mem::take(&mut name));
            }
        }
        found.push(name);
    }
    found.retain(|name| !name.is_empty());
    found
}

#[test]
fn imports_point_one_way() -> Result<()> {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (module, allowed) in ALLOWED {
        let mut files = Vec::new();
        sources(&server.join(module), &mut files)?;
        files.extend(Some(server.join(format!("{module}.rs"))).filter(|path| path.is_file()));
        assert!(!files.is_empty(), "there is no module {module}");
        for file in files {
            for import in imports(&fs::read_to_string(&file)?) {
                seen += 1;
                let is_module = ALLOWED.iter().any(|(name, _)| *name == import);
                if is_module && import != module && !allowed.contains(&import.as_str()) {
                    wrong.push(format!("{} imports {import}", file.display()));
                }
            }
        }
    }
    assert!(seen > 30, "the imports are not found any more: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn unsafe_code_is_allowed_in_few_places() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["server", "plugins", "examples", "tests", "xtask"] {
        sources(&root.join(folder), &mut files)?;
    }
    let marker = concat!("allow(", "\n    unsafe_code");
    let allowed = [
        "plugins/abi/",
        "plugins/sdk/",
        "plugins/nn/",
        "plugins/testkit/",
        "server/src/plugin_host/",
        "tests/lying/",
        "tests/misbehaving/",
        "tests/scenarios/allocations.rs",
        "tests/scenarios/examples.rs",
    ];
    for file in files {
        let text = fs::read_to_string(&file)?;
        let markers = [concat!("allow(", "unsafe_code"), concat!("expect(", "unsafe_code"), marker];
        let opts_out = markers.iter().any(|marker| text.contains(marker));
        let path = file.strip_prefix(&root)?.to_string_lossy().into_owned();
        assert!(!opts_out || allowed.iter().any(|place| path.starts_with(place)), "{path} allows unsafe code");
    }
    Ok(())
}
