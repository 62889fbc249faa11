//! Entries of the catalog: the texts that a lab writes about its models.

#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use segue::model::Catalog;

/// A directory of its own, in memory, with the label sets that entries name.
static MODELS: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from(format!("/dev/shm/segue-fuzz-{}", std::process::id()));
    let labels = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/labels/voc.toml");
    fs::create_dir_all(folder.join("labels")).expect("a folder");
    fs::copy(labels, folder.join("labels/voc.toml")).expect("a label set");
    folder
});

fuzz_target!(|text: &[u8]| {
    fs::write(MODELS.join("mine.toml"), text).expect("a file");
    match Catalog::new(&*MODELS).entry("mine") {
        Ok(entry) => {
            for name in entry.variants.keys() {
                entry.variant("mine", name).expect("a variant that the entry names");
            }
            // The one that nobody names, if there are variants at all.
            let _ = entry.variant("mine", "");
        }
        Err(error) => assert!(error.to_string().contains("mine.toml"), "{error}"),
    }
});
