//! Pictures, as frames and as uploads: JPEG, PNG and WebP.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use segue::{
    config::{LimitSettings, Profile},
    pipeline::{Accepts, FrameError, Room, decode},
};

/// As shipped, but for the number of pixels: what is large is only slow.
static LIMITS: LazyLock<LimitSettings> = LazyLock::new(|| {
    let profile: Profile = toml::from_str(include_str!("../../profiles/base.toml")).expect("the shipped profile");
    LimitSettings { max_frame_pixels: 1 << 18, max_upload_pixels: 1 << 18, ..profile.limits }
});

struct Pixels(Vec<u8>);

impl Room for Pixels {
    fn room(&mut self, len_bytes: usize) -> Result<&mut [u8], FrameError> {
        assert!(len_bytes <= 3 << 18, "{len_bytes} bytes for the pixels");
        self.0.resize(len_bytes, 0);
        Ok(&mut self.0)
    }
}

fuzz_target!(|picture: &[u8]| {
    for accepts in [Accepts::Jpeg, Accepts::AnyPicture, Accepts::Pixels { width_px: 7, height_px: 5 }] {
        let mut pixels = Pixels(Vec::new());
        if let Ok((width_px, height_px)) = decode(picture, accepts, &LIMITS, &mut pixels) {
            assert_eq!(pixels.0.len(), 3 * (width_px * height_px) as usize);
        }
    }
});
