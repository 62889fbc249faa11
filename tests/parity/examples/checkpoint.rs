//! Writes a checkpoint that the formula makes: `cargo run -p segue-parity --example checkpoint -- segformer-b0.txt OUT`.
//! It has the names, shapes and size of the published one, and sees nothing.

use std::path::Path;

use anyhow::{Context, Result};
use segue_parity::{parameters, write_safetensors};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let keys = arguments.next().context("name a file of tests/parity/keys")?;
    let out = arguments.next().context("name the file to write")?;
    write_safetensors(Path::new(&out), &parameters(&keys, 3.0)?)
}
