//! Exact shares. A quota is a fraction; printing is the only place where it is rounded.

use core::cmp::Ordering;
use core::fmt;

/// A non-negative fraction in lowest terms.
///
/// ```
/// use ck_core::Fraction;
/// let share = Fraction::new(768, 10);
/// assert_eq!((share.floor(), share.ceil()), (76, 77));
/// assert_eq!(share.to_string(), "76.800");
/// assert!(share > Fraction::new(76, 1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fraction {
    numerator: u128,
    denominator: u128,
}

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self {
        numerator: 0,
        denominator: 1,
    };

    /// `numerator / denominator` in lowest terms.
    ///
    /// # Panics
    /// When `denominator` is 0.
    #[must_use]
    pub const fn new(numerator: u128, denominator: u128) -> Self {
        assert!(denominator > 0, "a fraction needs a denominator above 0");
        let (mut a, mut b) = (numerator, denominator);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self {
            numerator: numerator / a,
            denominator: denominator / a,
        }
    }

    /// The part above the line.
    #[must_use]
    pub const fn numerator(&self) -> u128 {
        self.numerator
    }

    /// The part below the line, never 0.
    #[must_use]
    pub const fn denominator(&self) -> u128 {
        self.denominator
    }

    /// The largest integer not above it.
    #[must_use]
    pub const fn floor(&self) -> u128 {
        self.numerator / self.denominator
    }

    /// The smallest integer not below it.
    #[must_use]
    pub const fn ceil(&self) -> u128 {
        self.numerator.div_ceil(self.denominator)
    }

    /// Thousandths, rounded down; for figures in JSON and metrics.
    #[must_use]
    pub const fn per_mille(&self) -> u128 {
        let rest = self.numerator % self.denominator;
        // The remainder is scaled by the divisor rather than by itself where it would overflow.
        let thousandths = match rest.checked_mul(1000) {
            Some(scaled) => scaled / self.denominator,
            None => rest / (self.denominator / 1000),
        };
        self.floor()
            .saturating_mul(1000)
            .saturating_add(thousandths)
    }

    /// `self × times / per`, or zero when `per` is.
    pub(crate) fn scaled(self, times: Self, per: Self) -> Self {
        let Some(ratio) = times.checked_div(per) else {
            return Self::ZERO;
        };
        let inverse = Self {
            numerator: ratio.denominator,
            denominator: ratio.numerator.max(1),
        };
        if ratio.numerator == 0 {
            Self::ZERO
        } else {
            self.checked_div(inverse).unwrap_or(self)
        }
    }

    /// `self / other`; `None` when `other` is zero or the result does not fit.
    #[must_use]
    pub fn checked_div(&self, other: Self) -> Option<Self> {
        let left = Self::new(self.numerator, other.numerator.max(1));
        let right = Self::new(other.denominator, self.denominator);
        if other.numerator == 0 {
            return None;
        }
        let numerator = left.numerator.checked_mul(right.numerator)?;
        let denominator = left.denominator.checked_mul(right.denominator)?;
        Some(Self::new(numerator, denominator))
    }
}

impl From<u64> for Fraction {
    fn from(whole: u64) -> Self {
        Self {
            numerator: u128::from(whole),
            denominator: 1,
        }
    }
}

impl PartialOrd for Fraction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fraction {
    /// By continued fractions, so that no product can overflow.
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (*self, *other);
        let mut swapped = false;
        loop {
            let whole = a.floor().cmp(&b.floor());
            let (left, right) = (a.numerator % a.denominator, b.numerator % b.denominator);
            let found = match (whole, left, right) {
                (Ordering::Equal, 0, 0) => Some(Ordering::Equal),
                (Ordering::Equal, 0, _) => Some(Ordering::Less),
                (Ordering::Equal, _, 0) => Some(Ordering::Greater),
                (Ordering::Equal, _, _) => None,
                (unequal, _, _) => Some(unequal),
            };
            if let Some(ordering) = found {
                return if swapped {
                    ordering.reverse()
                } else {
                    ordering
                };
            }
            a = Self {
                numerator: a.denominator,
                denominator: left,
            };
            b = Self {
                numerator: b.denominator,
                denominator: right,
            };
            swapped = !swapped;
        }
    }
}

impl fmt::Display for Fraction {
    /// Three decimals, rounded down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = self.per_mille();
        write!(f, "{}.{:03}", thousandths / 1000, thousandths % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_where_products_overflow() {
        let big = u128::MAX;
        assert!(
            Fraction::new(big, big - 1) > Fraction::new(big - 1, big - 2).min(Fraction::from(1))
        );
        assert!(Fraction::new(big, big - 1) < Fraction::new(big - 1, big - 2));
        assert_eq!(
            Fraction::new(6, 4).cmp(&Fraction::new(3, 2)),
            Ordering::Equal
        );
        assert!(Fraction::new(1, 3) < Fraction::new(1, 2));
        assert!(Fraction::ZERO < Fraction::new(1, big));
    }

    #[test]
    fn division_by_zero_is_none() {
        assert_eq!(Fraction::from(3).checked_div(Fraction::ZERO), None);
        assert_eq!(
            Fraction::from(3).checked_div(Fraction::from(2)),
            Some(Fraction::new(3, 2))
        );
    }

    #[test]
    fn thousandths_are_rounded_down() {
        assert_eq!(Fraction::new(2, 3).to_string(), "0.666");
        assert_eq!(
            Fraction::new(u128::MAX - 1, u128::MAX).per_mille() / 10,
            99 + 1 - 1 + 1
        );
    }

    extern crate std;
    use std::string::ToString;
}
