//! The JSON Schema of profiles, as an editor uses it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use segue_tests::segue;
use serde_json::Value;

fn profiles() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../profiles"))
}

fn schema() -> Result<String> {
    Ok(String::from_utf8(segue(&["profile", "schema"]).output()?.stdout)?)
}

/// A profile's text as the JSON that an editor checks.
fn as_json(text: &str) -> Result<Value> {
    Ok(toml::from_str(text)?)
}

#[test]
fn the_schema_beside_the_profiles_is_the_one_that_the_program_prints() -> Result<()> {
    let shipped = fs::read_to_string(profiles().join("schema.json"))?;
    assert!(shipped == schema()?, "run `target/debug/segue profile schema > profiles/schema.json`");
    Ok(())
}

#[test]
fn every_shipped_profile_names_the_schema_and_keeps_to_it() -> Result<()> {
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema()?)?)?;
    let mut seen = 0;
    for entry in fs::read_dir(profiles())? {
        let path = entry?.path();
        if path.extension().is_none_or(|ending| ending != "toml") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        assert!(text.starts_with("#:schema schema.json\n"), "{}", path.display());
        let faults: Vec<_> = validator.iter_errors(&as_json(&text)?).map(|fault| fault.to_string()).collect();
        assert_eq!(faults, Vec::<String>::new(), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} profiles are shipped");
    Ok(())
}

#[test]
fn the_schema_refuses_what_the_server_refuses() -> Result<()> {
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema()?)?)?;
    for wrong in [
        "[capture]\njpeg_quality = 140",
        "[capture]\njpeg_qualty = 40",
        "[capture]\njpeg_quality = \"high\"",
        "[reload]\nwatch = \"sometimes\"",
        "[modes.mine]\nthreads = 257",
        "[sever]\nlisten = \"127.0.0.1:8080\"",
    ] {
        assert!(!validator.is_valid(&as_json(wrong)?), "{wrong}");
    }
    Ok(())
}

#[test]
fn every_key_of_the_schema_is_documented_and_has_its_value_in_the_base() -> Result<()> {
    let schema: Value = serde_json::from_str(&schema()?)?;
    let base = as_json(&fs::read_to_string(profiles().join("base.toml"))?)?;
    let sections = schema["properties"].as_object().context("a schema without properties")?;
    for (name, section) in sections.iter().filter(|(name, _)| !["extends", "modes"].contains(&name.as_str())) {
        assert!(section["description"].is_string(), "{name}");
        for (key, inner) in section["properties"].as_object().context("a section without keys")? {
            assert!(inner["description"].is_string(), "{name}.{key} is not documented");
            assert!(!base[name][key].is_null(), "base.toml has no {name}.{key}");
        }
    }
    Ok(())
}
