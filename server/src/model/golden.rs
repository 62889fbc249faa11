//! A model's golden frame: a picture, and the mask that a build has to make of it before it serves.

use std::{io::BufReader, path::Path};

use serde::Deserialize;

use crate::{
    file,
    plugin_host::{FrameCall, Instance, RunningCall},
};

const LARGEST_PICTURE_LEN_BYTES: u64 = 64 << 20;

/// `[golden]` of a catalog entry. Both files lie beside it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The picture: JPEG, PNG or WebP.
    pub picture: String,
    /// The mask: an indexed PNG of class ids, as `segue segment` writes it.
    pub mask: String,
    /// What share of the pixels must have the same class.
    #[serde(default = "nearly_all")]
    pub min_agreement: f64,
}

fn nearly_all() -> f64 {
    0.98
}

impl Golden {
    /// Has `instance` segment the picture in `directory`; why its mask is not the one it should be.
    pub(super) fn check(&self, directory: &Path, instance: &mut Instance) -> Result<(), String> {
        let (rgb, width_px, height_px) = picture(&directory.join(&self.picture))?;
        let (golden, mask_width_px, mask_height_px) = mask(&directory.join(&self.mask))?;
        let room = instance.frame_room(rgb.len()).map_err(|error| error.to_string())?;
        room.copy_from_slice(&rgb);
        let call = FrameCall { width_px, height_px, mask_width_px, mask_height_px, ..FrameCall::default() };
        instance.infer(&call, &RunningCall::default()).map_err(|error| error.to_string())?;
        let same = instance.labels().iter().zip(&golden).filter(|(made, wanted)| made == wanted).count();
        let agreement = same as f64 / golden.len() as f64;
        if agreement >= self.min_agreement {
            return Ok(());
        }
        let (got, wanted) = (100.0 * agreement, 100.0 * self.min_agreement);
        let Self { picture, mask, .. } = self;
        Err(format!(
            "its mask of {picture} agrees with {mask} in {got:.1} % of the pixels, and {wanted:.1} % is asked for"
        ))
    }
}

fn picture(path: &Path) -> Result<(Vec<u8>, u32, u32), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = file::read(path, LARGEST_PICTURE_LEN_BYTES).map_err(|error| failed(&error))?;
    let picture = file::rgb(&bytes).map_err(|error| failed(&error))?;
    let (width_px, height_px) = picture.dimensions();
    Ok((picture.into_raw(), width_px, height_px))
}

fn mask(path: &Path) -> Result<(Vec<u8>, u32, u32), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let file = file::open(path).map_err(|error| failed(&error))?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(|error| failed(&error))?;
    let info = reader.info();
    let (width_px, height_px) = (info.width, info.height);
    if (info.color_type, info.bit_depth) != (png::ColorType::Indexed, png::BitDepth::Eight) {
        return Err(failed(&"a mask is a PNG with a palette and eight bits a pixel, as `segue segment` writes it"));
    }
    if width_px.max(height_px) > 4096 {
        return Err(failed(&"a mask has at most 4096 pixels a side"));
    }
    let mut ids = vec![0; width_px as usize * height_px as usize];
    reader.next_frame(&mut ids).map_err(|error| failed(&error))?;
    Ok((ids, width_px, height_px))
}
