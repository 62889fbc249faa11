//! Where fuzzing of the profile loader begins: the profiles that come with the server, and files that are odd or wrong.

use std::{fs, io, path::Path};

/// Inputs by name, as `check.rs` reads them, from the directory of the `profiles`.
pub(crate) fn seeds(profiles: &Path) -> io::Result<Vec<(String, String)>> {
    let whole = fs::read_to_string(profiles.join("base.toml"))?;
    // Comments would only dilute what mutations hit.
    let base: String =
        whole.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let over_base = |profile: &str, text: &str| format!("=== {profile}.toml\n{text}=== base.toml\n{base}");
    let mut seeds = vec![("base".to_owned(), whole)];
    for entry in fs::read_dir(profiles)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|ending| ending == "toml") && name != "base" {
            seeds.push((name.to_string(), over_base(&name, &fs::read_to_string(&path)?)));
        }
    }
    let overlays = OVERLAYS.iter().map(|(name, text)| {
        let text = format!("extends = \"base\"\n{text}\n");
        (format!("overlay-{name}"), over_base("mine", &text))
    });
    let overrides = OVERRIDES.iter().map(|(name, text)| {
        let input = format!("=== --set {text}\n=== base.toml\n{base}");
        (format!("override-{name}"), input)
    });
    let chains = CHAINS.iter().map(|(name, text)| (format!("chain-{name}"), (*text).to_owned()));
    let deep = [("[", "]"), ("{a=", "}")].map(|(open, close)| {
        let value = format!("{}1{}", open.repeat(70), close.repeat(70));
        let text = format!("extends = \"base\"\n[modes.fast.settings]\nx = {value}\n");
        (format!("deep-{}", if open == "[" { "list" } else { "table" }), over_base("mine", &text))
    });
    seeds.extend(overlays.chain(overrides).chain(chains).chain(deep));
    seeds.push(("lines-of-windows".into(), base.replace('\n', "\r\n")));
    seeds.push(("byte-order-mark".into(), format!("\u{feff}{base}")));
    seeds.push(("half".into(), base.chars().take(base.chars().count() / 2).collect()));
    seeds.sort();
    Ok(seeds)
}

/// What a file that extends the base says.
const OVERLAYS: [(&str, &str); 14] = [
    ("list", "security.allowed_origins = ['https://lab.example', \"*\"]\nsecurity.admin_token = 'sixteen letters!'"),
    (
        "hash",
        "security.admin_token = 'sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'\n\
         server.listen = '[::1]:0'",
    ),
    (
        "mode",
        "[modes.\"own-1\"]\nmodel = 'selfie'\nrank = 3\ninstances = 2\nthreads = 4\n[server]\ndefault_mode = 'own-1'",
    ),
    (
        "settings",
        "[modes.fast.settings]\na = 1\nb = -0.5e3\nc = 'c'\nd = [1, 'x', [true], {}]\ne.f = {}\n\"g.h\" = 0x10\n\
         [[modes.fast.settings.i]]\nj = '''\n\n'''\n[[modes.fast.settings.i]]",
    ),
    ("times", "[modes.fast.settings]\na = 1979-05-27T07:32:00.5-07:00\nb = 1979-05-27\nc = 07:32:00\nd = [1979-05-27]"),
    ("not-finite", "[modes.fast.settings]\na = nan\nb = [-inf, +inf]"),
    ("newer-syntax", "modes.fast.settings = {\n  a = \"\\e\\x41\",\n  b = 07:32,\n}"),
    ("unknown-key", "[capture]\njpeg_qualty = 40\n[server]\nmax_sessions = 3\n[nothing]\nlog = ''"),
    (
        "wrong-type",
        "[capture]\njpeg_quality = '40'\nmax_in_flight = 1.0\n[capture.adaptive]\nenabled = 1\n[result]\nformat = 'png'",
    ),
    (
        "out-of-range",
        "[capture]\njpeg_quality = 140\nmax_dimension_px = -1\nmax_in_flight = 9223372036854775807\nadaptive.enabled = true",
    ),
    ("no-table", "capture = 1\nmodes = []\nlimits = ''\nreload = nan\ntelemetry = 1979-05-27"),
    ("no-such-mode", "server.default_mode = 'slow'\n[modes.'a b']\nmodel = ''\n[modes.'']\nmodel = 'x'"),
    ("log", "telemetry.log = 'info,segue::session[frame{id=1}]=debug,=,x=y'"),
    ("twice", "[capture]\njpeg_quality = 40\n[capture]\njpeg_quality = 50"),
];

/// What the command line says over the base.
const OVERRIDES: [(&str, &str); 7] = [
    ("number", "capture.jpeg_quality=40"),
    ("text", "server.default_mode=landscape"),
    ("table", "capture.adaptive={enabled=true, min_jpeg_quality=20}"),
    ("quoted", "modes.fast.settings.\"a.b\"=[1,2]"),
    ("no-value", "capture.jpeg_quality"),
    ("no-key", "=1"),
    ("many", "modes.fast.settings.a=1\n=== --set modes.fast.settings.a.b=nan\n=== --set extends=\"x\""),
];

/// Files that extend each other.
const CHAINS: [(&str, &str); 6] = [
    ("circle", "=== mine.toml\nextends = 'other'\n=== other.toml\nextends = 'mine'\n"),
    ("itself", "=== mine.toml\nextends = 'mine'\n"),
    ("missing", "=== mine.toml\nextends = 'other'\n[capture]\n"),
    ("outside", "=== mine.toml\n[capture]\n[x]\nextends = 1\n=== ../mine.toml\nextends = '../mine'\n"),
    ("no-text", "=== mine.toml\nextends = ['base']\n"),
    ("no-base", "=== mine.toml\nextends = 'other'\n[capture]\njpeg_quality = 'x'\n=== other.toml\n[server]\n"),
];
