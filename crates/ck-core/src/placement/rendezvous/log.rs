//! −log₂ of a 64-bit fraction, in integers.
//!
//! The mantissa is multiplied by a tabulated reciprocal of its first ten bits, which leaves
//! 1 + y with y < 2⁻¹⁰, and ln(1 + y) is summed to the fifth power (table look-up and short series,
//! as in Muller, *Elementary Functions*, ch. 4).

/// Bits after the binary point of a result.
pub(super) const POINT: u32 = 56;

/// log₂ e with 63 bits after the point.
const LOG2_E: u128 = 0xb8aa_3b29_5c17_f0bc;

const STEPS: usize = 1024;

/// For each step s: 1 ÷ (1 + s/1024) with 63 bits after the point, and log₂ (1 + s/1024) with
/// [`POINT`].
const TABLE: [(u64, u64); STEPS] = table();

const fn table() -> [(u64, u64); STEPS] {
    let mut table = [(0, 0); STEPS];
    let mut step = 0;
    while step < STEPS {
        let base = (STEPS + step) as u128;
        let reciprocal = ((STEPS as u128) << 63) / base;
        table[step] = (reciprocal as u64, log2_by_squaring((base << 53) as u64));
        step += 1;
    }
    table
}

/// log₂ of a mantissa in [1, 2) with 63 bits after the point: each squaring yields one bit.
const fn log2_by_squaring(mantissa: u64) -> u64 {
    let mut x = mantissa as u128;
    let mut log = 0;
    let mut bit = POINT;
    while bit > 0 {
        bit -= 1;
        x = (x * x) >> 63;
        if x >> 64 != 0 {
            x >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

/// −log₂ (`word` ÷ 2⁶⁴) with [`POINT`] bits after the point, off by less than 2⁻⁵⁰; 64 for a
/// word of 0, which stands for the smallest fraction there is.
pub(super) fn minus_log2(word: u64) -> u64 {
    let word = word.max(1);
    let whole = word.leading_zeros();
    let mantissa = word << whole;
    let (reciprocal, step) = TABLE[(mantissa >> 53) as usize & (STEPS - 1)];
    // 1 + y with 64 bits after the point; rounding may leave it a hair below 1.
    let product = (u128::from(mantissa) * u128::from(reciprocal)) >> 62;
    let y = product.saturating_sub(1 << 64);
    let (y2, y3) = ((y * y) >> 64, (((y * y) >> 64) * y) >> 64);
    let (y4, y5) = ((y2 * y2) >> 64, (y2 * y3) >> 64);
    let ln = (y + y3 / 3 + y5 / 5).saturating_sub(y2 / 2 + y4 / 4);
    let log = step + ((ln * LOG2_E) >> (63 + 64 - POINT)) as u64;
    // word = mantissa × 2^(63 − whole), so −log₂ is whole + 1 minus the mantissa's logarithm.
    (u64::from(whole + 1) << POINT).saturating_sub(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (word, ⌊−log₂(word/2⁶⁴) × 2⁵⁶⌋), computed with 60 decimal digits elsewhere.
    const GOLDEN: &[(u64, u64)] = &[
        (0x3, 0x3e6a3fe5c6042978),
        (0xff, 0x3801720d9c06a835),
        (0x100, 0x3800000000000000),
        (0x80000000, 0x2100000000000000),
        (0xffffffff, 0x2000000001715476),
        (0x100000000, 0x2000000000000000),
        (0x7fffffffffffffff, 0x100000000000000),
        (0x8000000000000001, 0xffffffffffffff),
        (0x801fffffffffffff, 0xffa3b66b22f02e),
        (0x8020000000000000, 0xffa3b66b22f02e),
        (0xc000000000000000, 0x6a3fe5c6042978),
        (0xffdfffffffffffff, 0x2e2d71b0d785),
        (0xffe0000000000000, 0x2e2d71b0d785),
        (0xfffffffffffffff0, 0x0),
        (0xfffffffffffff000, 0x17),
        (0xd2020ee9a1ee8043, 0x4923960092505a),
        (0x3a1abbc8a57a25, 0xa23b14726a53eee),
        (0x31846e10fef9, 0x125ec17003a61ba5),
        (0x44b1b5a14b6cb938, 0x1e5dbbb23098f5f),
        (0x538044b04b7f6c, 0x99dc45e63a7a71a),
        (0x249e106f1488, 0x12ce37f009673afc),
        (0x7ffc84e60f8883b1, 0x1000a0b4fbe85b3),
        (0x6dafb2a74ee03b, 0x93906d020159668),
        (0x220bfef0a75, 0x16e919d1747a727c),
        (0xd09328abb41317e, 0x44bab0b4b542165),
        (0x47c629c837e05b, 0x9d5a8f0ab9ee247),
        (0x2dcbeace4939, 0x127b9af071690fb6),
        (0x350bb372d6c88eaf, 0x24555808c154f75),
        (0x7aa9b68b1ba633, 0x90fbad13a6353fc),
        (0x120f4843b1c, 0x17d346bf3c068c36),
        (0xb48954211ff96694, 0x80fc8f2224108f),
        (0x338db9677a22fa, 0xa4fdf2141acf05a),
        (0x368a208c826d, 0x123b13ab1cf5734c),
        (0x4ee487107b8cccbd, 0x1b2bbf2894211dc),
        (0x3e949ed1e75d20, 0xa08489682ea6c4a),
        (0x1932d5e74e33, 0x1358403433c72690),
        (0xefc72738ad80f9fa, 0x182d89dbda13be),
        (0x1201fee114cc3c, 0xbd456db6d8ee5b4),
        (0x303cfe884d2c, 0x12686bbeed19f234),
        (0xf7c79faad712cd5b, 0xc0dc90ea714d8),
    ];

    #[test]
    fn logarithms_are_within_the_stated_error() {
        for (word, expected) in GOLDEN {
            let off = minus_log2(*word).abs_diff(*expected);
            assert!(off < 1 << (POINT - 50), "{word:#x}: off by {off}");
        }
    }

    #[test]
    fn a_larger_word_never_has_a_larger_logarithm() {
        let mut before = u64::MAX;
        for at in 0..20_000_u64 {
            let word = at * (u64::MAX / 20_000);
            assert!(minus_log2(word) <= before, "{word:#x}");
            before = minus_log2(word);
        }
        for low in 0..2_000_u64 {
            // Across the edge of a table step.
            let word = (0x8020_0000_0000_0000_u64 - 1_000).wrapping_add(low);
            assert!(minus_log2(word + 1) <= minus_log2(word) + 64, "{word:#x}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_logarithms() {
        assert_eq!(minus_log2(0), 64 << POINT);
        assert_eq!(minus_log2(1), 64 << POINT);
        assert_eq!(minus_log2(1 << 63), 1 << POINT);
        assert!(minus_log2(u64::MAX) < 1 << 8);
    }
}
