//! `cargo xtask new-backend`: a crate under `plugins/` and a model that it runs, ready to be tested and served.
//!
//! Invariant: all of it is made, or nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use toml_edit::DocumentMut;

use crate::command::{output, run, tool};

/// What is made, by its place in the crate.
const CRATE: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../templates/backend/manifest.toml")),
    ("src/lib.rs", include_str!("../templates/backend/lib.rs")),
    ("tests/contract.rs", include_str!("../templates/backend/contract.rs")),
];

const MODEL: &str = include_str!("../templates/backend/model.toml");

/// Libraries of these names would hide what the crate depends on.
const NEEDED: [&str; 9] =
    ["alloc", "core", "log", "proc_macro", "segue_plugin", "segue_testkit", "serde", "std", "test"];

/// Makes the backend `name` in the repository at `root`; what to do next.
pub(crate) fn new_backend(root: &Path, name: &str) -> Result<String> {
    let place = Place::find(root, name)?;
    let (manifest, lock) = (root.join("Cargo.toml"), root.join("Cargo.lock"));
    let before = [(&manifest, read(&manifest)?), (&lock, read(&lock)?)];
    let members = add_member(&before[0].1, &format!("plugins/{name}")).context("Cargo.toml")?;
    let made = place.fill(name).and_then(|()| {
        fs::write(&manifest, members)?;
        run(tool("cargo").current_dir(root).args(["update", "--workspace", "--offline", "--quiet"]))
    });
    if let Err(error) = made {
        place.clear().context(format!("{error:#}; and what was made can't be removed"))?;
        for (path, text) in before {
            fs::write(path, text).with_context(|| format!("can't restore {}", path.display()))?;
        }
        return Err(error);
    }
    Ok(next_steps(name))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))
}

fn next_steps(name: &str) -> String {
    let steps = [
        (format!("cargo test --package segue-{name}"), "it keeps the contract"),
        (format!("cargo xtask serve --set modes.{name}.model={name}"), "the page has a mode of this name"),
        ("cargo xtask build".to_owned(), "after an edit: the running server takes the new build"),
    ];
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let lines = steps.map(|(command, outcome)| format!("\n  {command:<width$}    # {outcome}"));
    format!("Made plugins/{name} and models/{name}.toml. Next:\n{}", lines.concat())
}

/// Where a new backend goes, known to be free.
struct Place {
    library: String,
    folder: PathBuf,
    model: PathBuf,
}

impl Place {
    fn find(root: &Path, name: &str) -> Result<Self> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(
            (1..=31).contains(&name.len()) && name.bytes().all(is_plain),
            "{name:?} is no name of a backend: write 1 to 31 of a-z, 0-9 and `-`"
        );
        let library = name.replace('-', "_");
        ensure!(
            syn::parse_str::<syn::Ident>(&library).is_ok() && !NEEDED.contains(&library.as_str()),
            "a library in Rust can't be called `{library}`; choose a name that begins with a letter and is no word of \
             the language"
        );
        let place = Self {
            library,
            folder: root.join("plugins").join(name),
            model: root.join("models").join(format!("{name}.toml")),
        };
        for path in [&place.folder, &place.model, &root.join("examples").join(name)] {
            ensure!(!path.exists(), "{} is there already; choose another name", path.display());
        }
        place.check_crates(root, name)?;
        Ok(place)
    }

    /// No crate of the workspace has its name or makes its library.
    fn check_crates(&self, root: &Path, name: &str) -> Result<()> {
        let mut cargo = tool("cargo");
        cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version=1"]);
        let metadata: Value = serde_json::from_str(&output(&mut cargo)?)?;
        for package in metadata["packages"].as_array().context("cargo names no packages")? {
            let targets = package["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
            let makes_it = targets.iter().any(|target| target["name"] == self.library.as_str());
            if makes_it || package["name"] == format!("segue-{name}") {
                bail!("the crate {} has this name already; choose another", package["name"]);
            }
        }
        Ok(())
    }

    fn fill(&self, name: &str) -> Result<()> {
        let text = |template: &str| template.replace("@NAME@", name).replace("@LIBRARY@", &self.library);
        for (file, template) in CRATE {
            let path = self.folder.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
            fs::write(&path, text(template)).with_context(|| format!("can't write {}", path.display()))?;
        }
        fs::write(&self.model, text(MODEL)).with_context(|| format!("can't write {}", self.model.display()))
    }

    fn clear(&self) -> Result<()> {
        if self.model.exists() {
            fs::remove_file(&self.model)?;
        }
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }
}

/// The manifest with `member` after the last plugin; comments stay with what they are about.
fn add_member(manifest: &str, member: &str) -> Result<String> {
    let mut document: DocumentMut = manifest.parse()?;
    let members = document
        .get_mut("workspace")
        .and_then(|workspace| workspace.get_mut("members")?.as_array_mut())
        .context("there is no list `workspace.members`")?;
    let is_plugin = |value: &toml_edit::Value| value.as_str().is_some_and(|path| path.starts_with("plugins/"));
    let at = members.iter().enumerate().filter(|(_, value)| is_plugin(value)).last().map_or(0, |(last, _)| last + 1);
    let follows = match members.get(at) {
        Some(next) => next.decor().prefix(),
        None => Some(members.trailing()),
    };
    let follows = follows.and_then(|text| text.as_str()).unwrap_or_default().to_owned();
    let (prefix, rest) = match follows.split_once('\n') {
        // A comment on the line of the last plugin stays there.
        Some((comment, below)) => (format!("{comment}\n  "), format!("\n{below}")),
        None => (" ".to_owned(), follows),
    };
    let mut value = toml_edit::Value::from(member);
    value.decor_mut().set_prefix(prefix);
    match members.get_mut(at) {
        Some(next) => next.decor_mut().set_prefix(rest),
        None => members.set_trailing(rest),
    }
    members.insert_formatted(at, value);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(members: &str) -> String {
        let manifest = format!("# Mine\n[workspace]\nmembers = [{members}]\n\n[profile.dev] # fast\nopt-level = 1\n");
        let after = add_member(&manifest, "plugins/new").unwrap();
        let (start, end) = manifest.split_once(members).unwrap();
        after.strip_prefix(start).unwrap().strip_suffix(end).unwrap().to_owned()
    }

    #[test]
    fn a_member_comes_after_the_last_plugin_and_comments_stay_where_they_are() {
        assert_eq!(
            added("\n  \"plugins/a\", # first\n  # About b\n  \"b\",\n"),
            "\n  \"plugins/a\", # first\n  \"plugins/new\",\n  # About b\n  \"b\",\n"
        );
        assert_eq!(
            added("\n  \"b\",\n  \"plugins/a\", # last\n"),
            "\n  \"b\",\n  \"plugins/a\", # last\n  \"plugins/new\",\n"
        );
        assert_eq!(added("\"plugins/a\", \"b\""), "\"plugins/a\", \"plugins/new\", \"b\"");
    }
}
