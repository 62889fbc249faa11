//! The functions that follow a layer, applied to its result while it is still in registers.

use crate::simd::{ROUNDER, Vector};

/// What a layer applies to each value it computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x * relu6(x + 3) / 6` (Howard et al., "Searching for MobileNetV3", 2019).
    HardSwish,
    /// `1 / (1 + exp(-x))`, to about 1e-7.
    Sigmoid,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// `x * (1 + erf(x / sqrt(2))) / 2`, to about 2e-7 (Hendrycks and Gimpel, "Gaussian error linear units", 2016).
    Gelu,
}

impl Activation {
    /// Whether the function is too long to be a part of every loop that could end with it.
    pub(crate) const fn is_long(self) -> bool {
        matches!(self, Self::Sigmoid | Self::HardSigmoid | Self::Gelu)
    }

    /// Applies the function, unless it is long, to `M` rows of `N` vectors.
    ///
    /// The same loop for each, so that the choice is made once; and no helper takes the function as an
    /// argument, as vector instructions that are not inlined into a `#[target_feature]` function become calls.
    #[inline(always)]
    pub(crate) fn apply<V: Vector, const N: usize, const M: usize>(self, values: &mut [[V; N]; M]) {
        match self {
            Self::Relu => {
                for value in values.as_flattened_mut() {
                    *value = relu(*value);
                }
            }
            Self::Relu6 => {
                for value in values.as_flattened_mut() {
                    *value = relu6(*value);
                }
            }
            Self::HardSwish => {
                for value in values.as_flattened_mut() {
                    *value = hard_swish(*value);
                }
            }
            Self::None | Self::Sigmoid | Self::HardSigmoid | Self::Gelu => {}
        }
    }

    /// Applies the function to one vector.
    #[inline(always)]
    pub(crate) fn apply_one<V: Vector>(self, value: V) -> V {
        match self {
            Self::None => value,
            Self::Relu => relu(value),
            Self::Relu6 => relu6(value),
            Self::HardSwish => hard_swish(value),
            Self::Sigmoid => sigmoid(value),
            Self::HardSigmoid => hard_sigmoid(value),
            Self::Gelu => gelu(value),
        }
    }
}

#[inline(always)]
fn relu<V: Vector>(x: V) -> V {
    x.max(V::splat(0.0))
}

#[inline(always)]
fn relu6<V: Vector>(x: V) -> V {
    relu(x).min(V::splat(6.0))
}

#[inline(always)]
fn hard_swish<V: Vector>(x: V) -> V {
    relu6(x.add(V::splat(3.0))).mul(x.mul(V::splat(1.0 / 6.0)))
}

#[inline(always)]
fn hard_sigmoid<V: Vector>(x: V) -> V {
    relu6(x.add(V::splat(3.0))).mul(V::splat(1.0 / 6.0))
}

/// With `erf` by formula 7.1.26 of Abramowitz and Stegun, "Handbook of mathematical functions", 1964.
#[inline(always)]
fn gelu<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    let z = x.max(V::splat(0.0).sub(x)).mul(V::splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = one.div(z.mul_add(V::splat(0.327_591_1), one));
    let mut series = V::splat(1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_72, 0.254_829_6] {
        series = series.mul_add(t, V::splat(coefficient));
    }
    // Half of `1 - erf(z)`, the tail on the far side of `x`.
    let tail = series.mul(t).mul(exp(V::splat(0.0).sub(z.mul(z)))).mul(V::splat(0.5));
    x.max(V::splat(0.0)).sub(z.mul(V::splat(std::f32::consts::SQRT_2)).mul(tail))
}

#[inline(always)]
fn sigmoid<V: Vector>(x: V) -> V {
    let one = V::splat(1.0);
    one.div(one.add(exp(V::splat(0.0).sub(x))))
}

/// `exp(x)` as `2^n * exp(r)` with `|r| <= ln(2) / 2` and a Taylor polynomial of degree 6 for `exp(r)`.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    // Beyond these, 2^n would leave the normal range.
    let x = x.max(V::splat(-87.0)).min(V::splat(87.0));
    let rounded = x.mul_add(V::splat(std::f32::consts::LOG2_E), V::splat(ROUNDER));
    let n = rounded.sub(V::splat(ROUNDER));
    // ln(2) in two parts, the first exact in few bits, so that `r` loses none.
    let r = n.mul_add(V::splat(-0.693_359_4), x);
    let r = n.mul_add(V::splat(2.121_944_4e-4), r);
    let mut series = V::splat(1.0 / 720.0);
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = series.mul_add(r, V::splat(coefficient));
    }
    series.mul(rounded.power_of_rounded())
}
