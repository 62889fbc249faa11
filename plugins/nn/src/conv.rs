//! Dense convolution of any window: matrix tiles over bands of padded input rows, or, where taps are far from each other,
//! tap by tap straight from the input.

use std::ops::Range;
use std::sync::Arc;

use crate::activation::Activation;
use crate::gemm::{Arithmetic, Grid, PackedWeights, Residual, Rows, Segment, Single, Size, Start, apply_late};
use crate::pool::Pool;
use crate::shape::{Axis, Shape};
use crate::simd::{Kernel, Level, Vector};
use crate::window::Window;

/// A dense convolution with its weights packed for one level.
#[derive(Debug)]
pub struct Conv2d<A: Arithmetic = Single> {
    level: Level,
    window: Window,
    input_channels: usize,
    weights: Arc<PackedWeights<A>>,
    activation: Activation,
}

/// The most rows that a window of neighbouring taps may have.
const MOST_ROWS: usize = 16;
/// Output pixels that are computed from one band of padded rows, if a row has not more.
const BAND: usize = 192;

/// Whether taps are far from each other, or there is only one: then each is a matrix product of its own, of the pixels
/// for which it does not lie in the padding.
pub(crate) const fn by_taps(kernel: [usize; 2], dilation: usize) -> bool {
    dilation > 1 || kernel[0] * kernel[1] == 1
}

/// How the weights of a window are packed: by taps, or by the rows of neighbouring ones.
pub(crate) const fn size(kernel: [usize; 2], dilation: usize, input_channels: usize, columns: usize) -> Size {
    if by_taps(kernel, dilation) {
        Size { columns, runs: kernel[0] * kernel[1], run: input_channels }
    } else {
        Size { columns, runs: kernel[0], run: kernel[1] * input_channels }
    }
}

impl Conv2d {
    /// Packs `weights`, stored as output channel, window row, window column, input channel.
    ///
    /// # Panics
    /// When the weights' length does not fit the window, the channels and the biases, or a window has more than 16 rows.
    pub fn new(
        level: Level,
        window: Window,
        input_channels: usize,
        weights: &[f32],
        bias: &[f32],
        activation: Activation,
    ) -> Self {
        let size = size(window.kernel(), window.dilation(), input_channels, bias.len());
        let weights = Arc::new(PackedWeights::new(Single, level, weights, bias, size));
        Self::sharing(level, window, input_channels, weights, activation)
    }

    /// Computes `output` from `input`.
    ///
    /// # Panics
    /// When a slice has not the image's length.
    pub fn run(&self, pool: &mut Pool, input: &[f32], output: &mut [f32]) {
        if self.by_taps() {
            self.run_taps(pool, input, None, output);
        } else {
            self.run_bands(pool, input, None, output);
        }
    }
}

impl<A: Arithmetic> Conv2d<A> {
    /// A convolution with weights that others use, too, of [`size`].
    pub(crate) fn sharing(
        level: Level,
        window: Window,
        input_channels: usize,
        weights: Arc<PackedWeights<A>>,
        activation: Activation,
    ) -> Self {
        assert!(window.rows.kernel <= MOST_ROWS, "a window has at most {MOST_ROWS} rows");
        Self { level, window, input_channels, weights, activation }
    }

    /// The output image.
    pub fn output(&self) -> Shape {
        self.window.output(self.weights.columns())
    }

    /// Whether [`run_taps`](Self::run_taps) computes it, not [`run_bands`](Self::run_bands).
    pub(crate) fn by_taps(&self) -> bool {
        by_taps(self.window.kernel(), self.window.dilation())
    }

    /// Computes `output` tap by tap from an input whose pixels are padded to whole runs.
    pub(crate) fn run_taps(
        &self,
        pool: &mut Pool,
        input: &[A::Number],
        residual: Option<Residual<'_>>,
        output: &mut [f32],
    ) {
        let shape = self.output();
        assert!(self.by_taps());
        assert_eq!(input.len(), self.window.rows.input * self.window.columns.input * self.pixel_len());
        assert_eq!(output.len(), shape.len());
        let work = shape.width * shape.channels * self.weights.depth();
        pool.rows(output, shape.height, work, 0, |first, output, _| {
            let residual = residual.map(|r| r.slice_from(first * shape.width * shape.channels, output.len()));
            self.level.run(TapRows { conv: self, input, first, residual, output });
        });
    }

    /// Computes `output` from bands of padded rows.
    pub(crate) fn run_bands(&self, pool: &mut Pool, input: &[f32], residual: Option<Residual<'_>>, output: &mut [f32]) {
        let shape = self.output();
        assert!(!self.by_taps());
        assert_eq!(input.len(), self.window.rows.input * self.window.columns.input * self.input_channels);
        assert_eq!(output.len(), shape.len());
        let work = shape.width * shape.channels * self.weights.depth();
        pool.rows(output, shape.height, work, self.band_len(), |first, output, scratch| {
            let residual = residual.map(|r| r.slice_from(first * shape.width * shape.channels, output.len()));
            let band = &mut A::numbers(scratch)[..self.band_len()];
            self.level.run(BandRows { conv: self, input, first, residual, output, band });
        });
    }

    /// A pixel of the input for [`run_taps`](Self::run_taps).
    fn pixel_len(&self) -> usize {
        self.input_channels.next_multiple_of(A::RUN)
    }

    /// Output rows that are computed from one band.
    fn band_rows(&self) -> usize {
        (BAND / self.window.columns.output.max(1)).clamp(1, self.window.rows.output)
    }

    /// A row with its padding.
    const fn padded_len(&self) -> usize {
        self.window.columns.padded() * self.input_channels
    }

    /// A band, and what the last run may reach beyond it.
    fn band_len(&self) -> usize {
        let rows = self.window.rows;
        ((self.band_rows() - 1) * rows.stride + rows.kernel) * self.padded_len() + A::RUN - 1
    }
}

/// Rows computed from bands of padded input rows.
struct BandRows<'a, A: Arithmetic> {
    conv: &'a Conv2d<A>,
    input: &'a [f32],
    first: usize,
    residual: Option<Residual<'a>>,
    output: &'a mut [f32],
    band: &'a mut [A::Number],
}

impl<A: Arithmetic> Kernel for BandRows<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Conv2d { window, input_channels, weights, activation, .. } = self.conv;
        let (padded_len, row_len) = (self.conv.padded_len(), window.columns.output * weights.columns());
        let segments = window_rows::<A>(window, *input_channels, padded_len);
        let rows = self.conv.band_rows();
        for (i, output) in self.output.chunks_mut(rows * row_len).enumerate() {
            let lines = output.len() / row_len;
            let top = (self.first + i * rows) * window.rows.stride;
            let count = (lines - 1) * window.rows.stride + window.rows.kernel;
            for (row, padded) in self.band.chunks_exact_mut(padded_len).take(count).enumerate() {
                let source = (top + row).checked_sub(window.rows.before).filter(|&row| row < window.rows.input);
                pad_row(weights.arithmetic(), &window.columns, *input_channels, self.input, source, padded);
            }
            // The last run may reach beyond its row, to weights of zero, times which nothing must be no number.
            self.band[count * padded_len..][..A::RUN - 1].fill(A::number(0.0));
            let rows = Rows {
                weights: weights.view(),
                start: Start::Bias,
                activation: *activation,
                input: self.band,
                segments: &segments[..window.rows.kernel],
                grid: Grid {
                    lines,
                    rows: window.columns.output,
                    input_step: window.columns.stride * input_channels,
                    input_line: window.rows.stride * padded_len,
                    output_line: row_len,
                },
                residual: self.residual.map(|residual| residual.slice_from(i * rows * row_len, output.len())),
                output,
            };
            rows.compute::<V>();
        }
    }
}

/// Rows computed tap by tap, straight from the input.
struct TapRows<'a, A: Arithmetic> {
    conv: &'a Conv2d<A>,
    input: &'a [A::Number],
    first: usize,
    residual: Option<Residual<'a>>,
    output: &'a mut [f32],
}

impl<A: Arithmetic> Kernel for TapRows<'_, A> {
    #[inline(always)]
    fn run<V: Vector>(mut self) {
        let Conv2d { window, weights, activation, .. } = self.conv;
        let [rows, columns] = window.kernel();
        let single = rows * columns == 1 && self.reaches_all((0, 0));
        if !single {
            weights.fill_with_bias(self.output);
        }
        let mut last = None;
        for tap in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            if last.is_none() && self.reaches_all(tap) {
                last = Some(tap);
            } else {
                self.tap::<V>(tap, Start::Output, Activation::None, None);
            }
        }
        let residual = self.residual;
        match last {
            // The tap that no pixel has in the padding comes last, and brings what follows the sum.
            Some(tap) if single => self.tap::<V>(tap, Start::Bias, *activation, residual),
            Some(tap) => self.tap::<V>(tap, Start::Output, *activation, residual),
            None => apply_late::<V>(*activation, residual, self.output),
        }
    }
}

impl<A: Arithmetic> TapRows<'_, A> {
    /// The rows, and the pixels of each, for which a tap does not lie in the padding.
    fn reached(&self, (row, column): (usize, usize)) -> (Range<usize>, Range<usize>) {
        let Window { rows, columns } = self.conv.window;
        let count = self.output.len() / (columns.output * self.conv.weights.columns());
        (rows.reached(row, &(self.first..self.first + count)), columns.reached(column, &(0..columns.output)))
    }

    fn reaches_all(&self, tap: (usize, usize)) -> bool {
        let (lines, pixels) = self.reached(tap);
        lines.len() * pixels.len() * self.conv.weights.columns() == self.output.len()
    }

    /// Adds what a tap sees.
    #[inline(always)]
    fn tap<V: Vector>(
        &mut self,
        tap: (usize, usize),
        start: Start,
        activation: Activation,
        residual: Option<Residual<'_>>,
    ) {
        let Conv2d { window, input_channels, weights, .. } = self.conv;
        let (lines, pixels) = self.reached(tap);
        if lines.is_empty() || pixels.is_empty() {
            return;
        }
        let (pixel_len, row_len) = (self.conv.pixel_len(), window.columns.output * weights.columns());
        let input_line = window.columns.input * pixel_len;
        let source = |axis: &Axis, output: usize, tap: usize| output * axis.stride + tap * axis.dilation - axis.before;
        let input = source(&window.rows, lines.start, tap.0) * input_line
            + source(&window.columns, pixels.start, tap.1) * pixel_len;
        let at = (lines.start - self.first) * row_len + pixels.start * weights.columns();
        let rows = Rows {
            weights: weights.view(),
            start,
            activation,
            input: &self.input[input..],
            segments: &[Segment {
                offset: 0,
                len: *input_channels,
                weights: (tap.0 * window.columns.kernel + tap.1) * pixel_len,
            }],
            grid: Grid {
                lines: lines.len(),
                rows: pixels.len(),
                input_step: window.columns.stride * pixel_len,
                input_line: window.rows.stride * input_line,
                output_line: row_len,
            },
            residual: residual.map(|residual| residual.slice_from(at, self.output.len() - at)),
            output: &mut self.output[at..],
        };
        rows.compute::<V>();
    }
}

/// The runs of a window of neighbouring taps over padded rows: one for each of its rows.
fn window_rows<A: Arithmetic>(window: &Window, channels: usize, padded_len: usize) -> [Segment; MOST_ROWS] {
    let len = window.columns.kernel * channels;
    std::array::from_fn(|row| Segment { offset: row * padded_len, len, weights: row * len.next_multiple_of(A::RUN) })
}

/// Copies input row `source` (or zeros, if it is padding) with its padding to `padded`.
fn pad_row<A: Arithmetic>(
    arithmetic: A,
    columns: &Axis,
    channels: usize,
    input: &[f32],
    source: Option<usize>,
    padded: &mut [A::Number],
) {
    let zero = A::number(0.0);
    let Some(source) = source else {
        padded.fill(zero);
        return;
    };
    let row_len = columns.input * channels;
    let (before, rest) = padded.split_at_mut(columns.before * channels);
    let (middle, after) = rest.split_at_mut(row_len);
    before.fill(zero);
    arithmetic.convert(&input[source * row_len..][..row_len], middle);
    after.fill(zero);
}
