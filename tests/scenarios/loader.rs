//! The profile loader takes any text: the fuzz target's checks over its seeds, and over mutations that are the same in
//! every run.

use std::{fs, panic::catch_unwind, path::Path};

use anyhow::Result;
use segue::config::{Faults, Layers, Loaded, Sources};

#[path = "../../fuzz/profile/check.rs"]
mod check;
#[path = "../../fuzz/profile/mutate.rs"]
mod mutate;
#[path = "../../fuzz/profile/seeds.rs"]
mod seeds;

const MUTATIONS_OF_A_SEED: usize = 200;

fn profiles() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles")
}

/// Checks an input, and keeps it if it fails; whether it is a profile.
fn check(name: &str, input: &[u8]) -> Result<bool> {
    if let Ok(is_accepted) = catch_unwind(|| check::check(input)) {
        return Ok(is_accepted);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loader-{name}"));
    fs::write(&path, input)?;
    panic!(
        "the loader fails at {}; run it alone with `cargo xtask fuzz profile --input` and this path",
        path.display()
    );
}

#[test]
fn the_loader_answers_any_text_with_a_profile_or_with_faults_that_can_be_found() -> Result<()> {
    for (name, seed) in seeds::seeds(&profiles())? {
        check(&name, seed.as_bytes())?;
    }
    Ok(())
}

#[test]
fn the_loader_bears_thousands_of_changed_profiles() -> Result<()> {
    let mut chance = mutate::Chance(0);
    let (mut accepted, mut refused) = (0, 0);
    for (name, seed) in seeds::seeds(&profiles())? {
        for number in 0..MUTATIONS_OF_A_SEED {
            let mut input = seed.clone().into_bytes();
            for _ in 0..=chance.below(3) {
                mutate::mutate(&mut input, &mut chance);
            }
            let count = if check(&format!("{name}-{number}"), &input)? { &mut accepted } else { &mut refused };
            *count += 1;
        }
    }
    assert!(accepted > 300 && refused > 300, "the changes are too small or too large: {accepted}, {refused}");
    Ok(())
}

/// What the loader makes of the default profile with this in its file.
fn load(text: &str) -> Result<Loaded, String> {
    let directory = profiles();
    let layers = Layers { directory: directory.clone(), profile: "mine".into(), overrides: Vec::new() };
    let text = format!("extends = \"base\"\n[modes.fast.settings]\n{text}");
    let read = |path: &Path| if path.ends_with("mine.toml") { Ok(text.clone().into()) } else { fs::read(path) };
    let told = |faults: Faults| faults.to_string().replace(&format!("{}/", directory.display()), "");
    Sources::read_with(&layers, read).load(&[]).map_err(told)
}

#[test]
fn settings_reach_a_backend_as_they_were_written_or_are_refused() -> Result<()> {
    let settings = |text: &str| match load(text) {
        Ok(loaded) => serde_json::to_string(&loaded.profile.modes["fast"].settings).map_err(anyhow::Error::from),
        Err(told) => Ok(told),
    };
    assert_eq!(settings("at = 1979-05-27T07:32:00Z")?, r#"{"at":"1979-05-27T07:32:00Z"}"#);
    assert_eq!(settings("new = {\n a = \"\\x41\",\n}")?, r#"{"new":{"a":"A"}}"#, "TOML 1.1");
    let refused = "nan and inf can't be told to a backend; write a finite number";
    assert_eq!(settings("size = 1\nsteep = nan")?, format!("mine.toml:4: modes.fast.settings.steep: {refused}"));
    assert_eq!(settings("a.b = [1.0, [-inf]]")?, format!("mine.toml:3: modes.fast.settings.a.b: {refused}"));
    Ok(())
}
