//! The profile loader takes any text: the fuzz target's checks over its seeds, and over mutations that are the same in
//! every run.

use std::{fs, panic::catch_unwind, path::Path};

use anyhow::{Context, Result};
use segue::config::{Faults, Layers, Loaded, Sources};

#[path = "../../fuzz/profile/check.rs"]
mod check;
#[path = "../../fuzz/profile/seeds.rs"]
mod seeds;

const MUTATIONS_OF_A_SEED: u64 = 250;

fn seeds() -> Result<Vec<(String, String)>> {
    Ok(seeds::seeds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles"))?)
}

/// Checks an input, and keeps it if it fails.
fn check(name: &str, input: &[u8]) -> Result<()> {
    if catch_unwind(|| check::check(input)).is_ok() {
        return Ok(());
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
    for (name, seed) in seeds()? {
        check(&name, seed.as_bytes())?;
    }
    Ok(())
}

#[test]
fn the_loader_bears_thousands_of_broken_profiles() -> Result<()> {
    let seeds = seeds()?;
    let mut chance = Chance(0);
    for (name, seed) in &seeds {
        for number in 0..MUTATIONS_OF_A_SEED {
            let mut input = seed.clone().into_bytes();
            for _ in 0..=chance.below(3) {
                let (_, other) = seeds.get(chance.below(seeds.len())).context("no such seed")?;
                mutate(&mut input, other.as_bytes(), &mut chance);
            }
            check(&format!("{name}-{number}"), &input)?;
        }
    }
    Ok(())
}

/// What the loader makes of the default profile with this in its file.
fn load(text: &str) -> Result<Loaded, String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
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

/// Makes one change: a byte, an end that is missing, lines that changed places, or a part of the `other` input.
fn mutate(input: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let at = chance.below(input.len());
    match chance.below(6) {
        0 => input.truncate(at),
        1 => input.extend_from_within(..at),
        2 => {
            let mut lines: Vec<_> = input.split_inclusive(|&byte| byte == b'\n').collect();
            if !lines.is_empty() {
                let (a, b) = (chance.below(lines.len()), chance.below(lines.len()));
                lines.swap(a, b);
            }
            *input = lines.concat();
        }
        3 => {
            let from = chance.below(other.len());
            let to = from + chance.below((other.len() - from).min(200));
            input.splice(at..at, other[from..to].iter().copied());
        }
        4 => {
            const PARTS: [&[u8]; 12] = [b"\n", b"\"", b"'", b"[", b"]", b"{", b"}", b"=", b".", b"-", b"nan", b"\xff"];
            input.splice(at..at, PARTS[chance.below(PARTS.len())].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): numbers that look like chance.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }
}
