//! Runs of equal class ids, found sixteen pixels at a time.

use wide::u8x16;

/// So many pixels are compared, each with the next one, before a run is looked for.
const BLOCK: usize = 64;

/// Length and id of every run of equal ids.
pub(super) fn runs(labels: &[u8]) -> Runs<'_> {
    Runs { labels, start: 0, block: 0..0, edges: 0 }
}

pub(super) struct Runs<'a> {
    labels: &'a [u8],
    /// Of the run that comes next.
    start: usize,
    /// Where `edges` are known.
    block: std::ops::Range<usize>,
    /// A bit for each pixel of the block that differs from the next one, and has not ended a run yet.
    edges: u64,
}

impl Runs<'_> {
    fn look_at_next_block(&mut self) {
        let start = self.block.end;
        let rest = &self.labels[start..];
        (self.edges, self.block) = match rest.first_chunk::<{ BLOCK + 1 }>() {
            Some(pixels) => (edges(pixels), start..start + BLOCK),
            None => {
                let differ = rest.windows(2).enumerate().map(|(at, pair)| u64::from(pair[0] != pair[1]) << at);
                (differ.fold(0, |edges, edge| edges | edge), start..self.labels.len())
            }
        };
    }
}

impl Iterator for Runs<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<Self::Item> {
        let &id = self.labels.get(self.start)?;
        while self.edges == 0 && self.block.end < self.labels.len() {
            self.look_at_next_block();
        }
        let end = match self.edges {
            0 => self.labels.len(),
            edges => self.block.start + edges.trailing_zeros() as usize + 1,
        };
        self.edges &= self.edges.wrapping_sub(1);
        let len = end - self.start;
        self.start = end;
        Some((len, id))
    }
}

fn edges(pixels: &[u8; BLOCK + 1]) -> u64 {
    let (these, next) = (pixels[..BLOCK].as_chunks::<16>().0, pixels[1..].as_chunks::<16>().0);
    these.iter().zip(next).enumerate().fold(0, |edges, (part, (these, next))| {
        let equal = u8x16::new(*these).simd_eq(u8x16::new(*next)).to_bitmask() as u16;
        edges | u64::from(!equal) << (16 * part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_any_length_are_found_wherever_they_begin() {
        let mut state = 1_u32;
        for len in (0..300).chain([640 * 360]) {
            for most in [1, 2, 7, 100, 1000] {
                let (mut labels, mut id) = (Vec::new(), 0_u8);
                while labels.len() < len {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    labels.resize((labels.len() + 1 + (state >> 8) as usize % most).min(len), id);
                    id = id.wrapping_add(1 + (state >> 28) as u8);
                }
                let expected: Vec<_> = labels.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0])).collect();
                assert_eq!(runs(&labels).collect::<Vec<_>>(), expected, "{len} pixels, runs of up to {most}");
            }
        }
    }
}
