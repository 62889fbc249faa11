//! What must hold of the profile loader, whatever the files say: a refusal names a place that there is, and what was
//! accepted can be written down and read again.
//!
//! An input is one or more files and options, each after a line that begins with `=== `:
//!
//! ```text
//! === --set capture.jpeg_quality=40
//! === mine.toml
//! extends = "base"
//! === base.toml
//! [server]
//! ```
//!
//! The first file is the profile that is loaded. An input without such lines is one file, `base.toml`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use segue::config::{Fault, Faults, Layers, Loaded, Place, Profile, Sources, changes};

/// Begins the line before each part.
const MARK: &[u8] = b"=== ";

/// There is no such directory: nothing is found that the input does not hold.
const DIRECTORY: &str = "/nowhere/profiles";

/// Loads what `input` says; panics when the result is not as it must be. Whether `input` was accepted.
pub(crate) fn check(input: &[u8]) -> bool {
    let input = Input::read(input);
    match input.load() {
        Ok(loaded) => {
            input.check_accepted(&loaded);
            true
        }
        Err(Faults(faults)) => {
            assert!(!faults.is_empty(), "refused without a fault");
            faults.iter().for_each(|fault| input.check_fault(fault));
            false
        }
    }
}

/// A profile with all its files, and the command line.
struct Input {
    profile: String,
    files: BTreeMap<PathBuf, Vec<u8>>,
    overrides: Vec<String>,
}

impl Input {
    fn read(input: &[u8]) -> Self {
        let mut read = Self { profile: "base".into(), files: BTreeMap::new(), overrides: Vec::new() };
        if !input.starts_with(MARK) {
            read.add("base", input.to_vec());
            return read;
        }
        let mut part: Option<(String, Vec<u8>)> = None;
        for line in input.split_inclusive(|&byte| byte == b'\n') {
            let Some(header) = line.strip_prefix(MARK) else {
                part.iter_mut().for_each(|(_, text)| text.extend_from_slice(line));
                continue;
            };
            let header = String::from_utf8_lossy(header);
            let header = header.trim_end_matches('\n');
            match header.strip_prefix("--set ") {
                Some(text) => read.overrides.push(text.into()),
                None => {
                    let name = header.strip_suffix(".toml").unwrap_or(header).to_owned();
                    if let Some((name, text)) = part.replace((name, Vec::new())) {
                        read.add(&name, text);
                    }
                }
            }
        }
        if let Some((name, text)) = part {
            read.add(&name, text);
        }
        read
    }

    fn add(&mut self, name: &str, text: Vec<u8>) {
        if self.files.is_empty() {
            self.profile = name.into();
        }
        self.files.insert(Path::new(DIRECTORY).join(format!("{name}.toml")), text);
    }

    fn load(&self) -> Result<Loaded, Faults> {
        let layers =
            Layers { directory: DIRECTORY.into(), profile: self.profile.clone(), overrides: self.overrides.clone() };
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        Sources::read_with(&layers, |path| self.files.get(path).cloned().ok_or_else(missing)).load(&layers.overrides)
    }

    fn check_fault(&self, fault: &Fault) {
        assert!(!fault.what.trim().is_empty(), "says nothing: {fault:?}");
        assert!(fault.to_string().starts_with(&fault.place.to_string()), "does not begin with its place: {fault:?}");
        self.check_place(&fault.place, &fault.key);
    }

    /// Operators go to `place` to mend `key`.
    fn check_place(&self, place: &Place, key: &str) {
        match place {
            // The whole file, or one that could not be read.
            Place::File(_, None) => {}
            Place::File(path, Some(line)) => {
                let Some(text) = self.files.get(path) else { panic!("{key:?} is in a file that is not: {place}") };
                let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
                assert!((1..=lines).contains(line), "{key:?} is in a line that is not: {place}, of {lines}");
            }
            Place::Layer(name) => {
                let is_known = name.starts_with("--set ") || name.starts_with("environment variable ");
                assert!(is_known, "{key:?} is nowhere: {place}");
            }
        }
    }

    fn check_accepted(&self, loaded: &Loaded) {
        let Loaded { profile, origins } = loaded;
        let effective = origins.effective(profile);
        assert_eq!(changes(&effective, &effective), [], "differs from itself");
        for (key, entry) in &effective {
            assert!(!entry.origin.is_empty(), "{key:?} comes from nowhere");
            if let Some(place) = origins.of(key) {
                self.check_place(&place, key);
            }
        }
        let written = match toml::to_string(profile) {
            Ok(written) => written,
            Err(error) => panic!("what was accepted can't be written down: {error}: {profile:?}"),
        };
        let again = match Self::read(written.as_bytes()).load() {
            Ok(again) => again,
            Err(faults) => panic!("what was accepted is refused when written down: {faults}\n{written}"),
        };
        assert_eq!(again.profile, Profile { extends: None, ..profile.clone() }, "reads otherwise:\n{written}");
        let changes = changes(&effective, &again.origins.effective(&again.profile));
        assert_eq!(changes, [], "equal profiles differ:\n{written}");
    }
}
