//! What the attention within windows adds to its scores: where a key lies as seen from a query, and, where windows hold
//! pixels from opposite sides of the image, that these do not see each other.

/// What the reference adds where a query is not to see a key.
const UNSEEN: f32 = -100.0;

/// The window of which a table of relative positions with so many rows is.
pub(crate) const fn side(rows: usize) -> usize {
    rows.isqrt().div_ceil(2)
}

/// How many rows the table of a window of `side` x `side` has: one for each difference of two positions.
pub(crate) const fn table_rows(side: usize) -> usize {
    (2 * side).saturating_sub(1).pow(2)
}

/// `heads x queries x keys` from the table, `differences x heads`.
pub(crate) fn position_bias(table: &[f32], side: usize, heads: usize) -> Vec<f32> {
    let len = side * side;
    let row = |query: usize, key: usize| {
        let down = query / side + side - 1 - key / side;
        let across = query % side + side - 1 - key % side;
        down * (2 * side - 1) + across
    };
    let at = |i: usize| table[row(i / len % len, i % len) * heads + i / len / len];
    (0..heads * len * len).map(at).collect()
}

/// `windows x queries x keys` for an image of this height and width, completed to whole windows of `side` and rolled by
/// `shift`.
pub(crate) fn shift_mask((height, width): (usize, usize), side: usize, shift: usize) -> Vec<f32> {
    let (rows, columns) = (height.div_ceil(side), width.div_ceil(side));
    let len = side * side;
    let mut mask = Vec::with_capacity(rows * columns * len * len);
    for window in 0..rows * columns {
        let top = part_of(window / columns, rows, side, shift);
        let left = part_of(window % columns, columns, side, shift);
        let part = |pixel: usize| (top(pixel / side), left(pixel % side));
        let pairs = (0..len * len).map(|i| (part(i / len), part(i % len)));
        mask.extend(pairs.map(|(query, key)| if query == key { 0.0 } else { UNSEEN }));
    }
    mask
}

/// Whether a position within window number `window` of `count` was rolled there from the image's other side.
fn part_of(window: usize, count: usize, side: usize, shift: usize) -> impl Fn(usize) -> bool {
    move |position| window + 1 == count && position >= side - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_row_is_the_difference_of_positions() {
        assert_eq!((side(169), side(529), table_rows(7), table_rows(12)), (7, 12, 169, 529));
        // Two heads; each entry says its row and head.
        let table: Vec<f32> = (0..9).flat_map(|row| [row as f32, row as f32 + 100.0]).collect();
        let bias = position_bias(&table, 2, 2);
        assert_eq!(bias[..4], [4.0, 3.0, 1.0, 0.0], "from the top left pixel");
        assert_eq!(bias[12..16], [8.0, 7.0, 5.0, 4.0], "from the bottom right one");
        assert_eq!(bias[16..20], [104.0, 103.0, 101.0, 100.0], "the other head");
    }

    #[test]
    fn what_was_rolled_around_is_not_seen() {
        // Two windows of 2 x 2 beside each other; rows are rolled within both, columns in the second.
        let mask = shift_mask((2, 3), 2, 1);
        let seen: Vec<bool> = mask.iter().map(|value| *value == 0.0).collect();
        let first = [[true, true, false, false], [true, true, false, false], [false, false, true, true]];
        assert_eq!(seen[..12], *first.as_flattened());
        assert_eq!(seen[16..20], [true, false, false, false]);
        assert_eq!(seen[28..32], [false, false, false, true]);
    }
}
