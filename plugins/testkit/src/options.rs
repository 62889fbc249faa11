//! How much is checked: sizes, rounds, frames.

use std::time::Duration;

/// Width and height.
pub(crate) type SizePx = (u32, u32);

/// How much is checked. Start from [`quick`](Self::quick) or [`thorough`](Self::thorough).
#[derive(Clone, Debug)]
pub struct Options {
    /// Frames of these widths and heights in pixels are segmented into masks of their own size.
    pub sizes_px: Vec<(u32, u32)>,
    /// Frames of the first size are segmented into masks of the second.
    pub mask_sizes_px: Vec<((u32, u32), (u32, u32))>,
    /// How many instances are called at once.
    pub instances: u32,
    /// How often they are, each time from other threads.
    pub rounds: u32,
    /// How long a call that was cancelled may take.
    pub cancelled_within: Duration,
    /// Over how many small frames the process must not grow.
    pub growth_frames: u32,
    /// What it may grow by all the same, in bytes: tests beside this one use memory, too.
    pub growth_slack_bytes: u64,
}

impl Options {
    /// For tests of a plugin's crate: seconds.
    pub fn quick() -> Self {
        Self {
            sizes_px: vec![(1, 1), (2, 3), (17, 5), (1, 200), (300, 1), (255, 257), (640, 360), (1280, 720)],
            mask_sizes_px: vec![
                ((640, 360), (1, 1)),
                ((640, 360), (319, 181)),
                ((3, 2), (500, 300)),
                ((64, 64), (1, 777)),
            ],
            instances: 2,
            rounds: 4,
            cancelled_within: Duration::from_secs(2),
            growth_frames: 100,
            growth_slack_bytes: 32 << 20,
        }
    }

    /// For a plugin that is about to be used: sizes up to 4096x4096, ten thousand frames.
    pub fn thorough() -> Self {
        Self {
            sizes_px: ladder(),
            mask_sizes_px: vec![
                ((640, 360), (1, 1)),
                ((640, 360), (319, 181)),
                ((640, 360), (4096, 4096)),
                ((1, 1), (4095, 4095)),
                ((4096, 4096), (1, 1)),
                ((3, 2), (500, 300)),
                ((64, 64), (1, 4096)),
                ((64, 64), (4096, 1)),
                ((4096, 1), (1, 4096)),
                ((257, 255), (256, 256)),
            ],
            instances: 4,
            rounds: 25,
            growth_frames: 10_000,
            growth_slack_bytes: 2 << 20,
            ..Self::quick()
        }
    }
}

const LARGEST_PX: u32 = 4096;

/// Every power of two with its neighbours, extreme shapes, the usual sizes of video.
fn ladder() -> Vec<SizePx> {
    let powers = (0..=LARGEST_PX.ilog2()).map(|exponent| 1 << exponent);
    let around = powers.flat_map(|power| [(power, power), (power - 1, power + 1), (power + 1, power - 1)]);
    let shapes = [(1, 4096), (4096, 1), (2, 4095), (4095, 3), (17, 1023), (1025, 5), (4096, 255), (63, 4096)];
    let video = [(160, 90), (320, 240), (640, 360), (641, 361), (1280, 720), (720, 1280), (1920, 1080)];
    let is_possible =
        |&(width, height): &SizePx| (1..=LARGEST_PX).contains(&width) && (1..=LARGEST_PX).contains(&height);
    let mut sizes: Vec<_> = around.chain(shapes).chain(video).filter(is_possible).collect();
    sizes.sort_by_key(|&(width, height)| (u64::from(width) * u64::from(height), width));
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_goes_from_the_smallest_size_to_the_largest_with_neighbours() {
        let sizes = ladder();
        assert_eq!((sizes.first(), sizes.last()), (Some(&(1, 1)), Some(&(4096, 4096))));
        for size in [(255, 257), (256, 256), (1025, 1023), (1, 4096), (4096, 1)] {
            assert!(sizes.contains(&size), "{size:?}");
        }
        assert!(sizes.iter().all(|&(width, height)| width.min(height) >= 1 && width.max(height) <= LARGEST_PX));
    }
}
