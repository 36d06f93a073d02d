//! Exact money: whole picodollars, never floats. List prices are USD per million tokens, which is a whole number of
//! picodollars a token for every price with at most six decimals.

use std::fmt;
use std::io::Write;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

const PICO_PER_USD: u64 = 1_000_000_000_000;

/// The characters of the largest amount: eight digits, a point and twelve digits.
const DIGITS: usize = 21;

/// An amount of US dollars in whole picodollars (10^-12 USD). Prints and serialises as an exact decimal of USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of whole picodollars.
    #[must_use]
    pub const fn from_pico(pico: u64) -> Self {
        Self(pico)
    }

    /// The amount in picodollars.
    #[must_use]
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// A decimal amount of USD as a config file has it; `None` where it is negative, not finite or too large.
    #[must_use]
    pub fn from_usd(usd: f64) -> Option<Self> {
        // The shortest decimal that reads back as this float is what its author wrote.
        format!("{usd}").parse().ok()
    }

    /// A decimal amount times ten to the power of `shift`, as JSON writes numbers (`1.5e-07`); digits beyond a picodollar are
    /// rounded, to the nearest. `None` where it is no number, negative or too large.
    #[must_use]
    pub fn from_decimal(text: &str, shift: i32) -> Option<Self> {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{decimals}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u128 = digits.parse().ok()?;
        let places = i32::try_from(decimals.len()).ok()?;
        let power = exponent.parse::<i32>().ok()?.checked_sub(places)?.checked_add(shift)?.checked_add(12)?;
        let scale = 10_u128.checked_pow(power.unsigned_abs());
        let pico = match (number, scale) {
            (0, _) => 0,
            (_, Some(scale)) if power >= 0 => number.checked_mul(scale)?,
            (_, Some(scale)) => number / scale + u128::from(number % scale >= scale / 2 && scale > 1),
            (_, None) if power < 0 => 0,
            (_, None) => return None,
        };
        u64::try_from(pico).ok().map(Self)
    }

    /// The exact decimal of USD, written into this: every line of the log has two of them.
    fn decimal(self, digits: &mut [u8; DIGITS]) -> &str {
        let mut left = &mut digits[..];
        // There is room for all.
        let _ = write!(left, "{}.{:012}", self.0 / PICO_PER_USD, self.0 % PICO_PER_USD);
        let used = DIGITS - left.len();
        let decimal = std::str::from_utf8(&digits[..used]).unwrap_or_default();
        decimal.trim_end_matches('0').trim_end_matches('.')
    }

    /// So many times the amount.
    #[must_use]
    pub const fn times(self, many: u64) -> Self {
        Self(self.0.saturating_mul(many))
    }

    /// The amount less `other`, at least nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.decimal(&mut [0; DIGITS]))
    }
}

/// A text that is not a decimal amount of USD with at most twelve decimals.
#[derive(Debug, thiserror::Error)]
#[error("not an amount of USD: {0:?}")]
pub struct ParseMoneyError(String);

impl FromStr for Money {
    type Err = ParseMoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseMoneyError(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if decimals.len() > 12 || !decimals.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('+') {
            return Err(refuse());
        }
        let whole: u64 = whole.parse().map_err(|_| refuse())?;
        let rest: u64 = if decimals.is_empty() { 0 } else { decimals.parse().map_err(|_| refuse())? };
        let rest = (decimals.len()..12).fold(rest, |rest, _| rest * 10);
        let pico = whole.checked_mul(PICO_PER_USD).and_then(|pico| pico.checked_add(rest));
        pico.map(Self).ok_or_else(refuse)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A JSON number with all its digits: a float would lose some of them.
        let mut digits = [0; DIGITS];
        let number: &RawValue = serde_json::from_str(self.decimal(&mut digits)).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_exact_decimals() {
        assert_eq!(Money::from_pico(186_000_000).to_string(), "0.000186");
        assert_eq!(Money::from_pico(PICO_PER_USD * 3).to_string(), "3");
        assert_eq!(Money::ZERO.to_string(), "0");
        assert_eq!(serde_json::to_string(&Money::from_pico(1)).unwrap(), "0.000000000001");
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["-1", "1e3", "", ".", "NaN", "0.0000000000001", "+1", "1.-1"] {
            assert!(text.parse::<Money>().is_err(), "{text}");
        }
        assert!(Money::from_usd(-0.5).is_none());
    }

    #[test]
    fn decimals_of_any_notation_are_read_exactly_and_rounded_beyond_a_picodollar() {
        let read = |text: &str, shift| Money::from_decimal(text, shift).map(|money| money.to_string());
        for (text, shift, usd) in [
            ("1.5e-07", 6, "0.15"),
            ("0.00000015", 6, "0.15"),
            ("8.333333333333334e-8", 6, "0.083333333333"),
            ("1.4999999999999999e-07", 6, "0.15"),
            ("3E+0", 0, "3"),
            ("0", 6, "0"),
            ("0e99", 6, "0"),
            ("1e-40", 0, "0"),
            ("0.000000000001", 0, "0.000000000001"),
        ] {
            assert_eq!(read(text, shift).as_deref(), Some(usd), "{text}");
        }
        for text in ["-1", "", ".", "1e", "e5", "1e40", "abc", "\"1\"", "null", "1.2.3"] {
            assert_eq!(read(text, 0), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn money_reads_back_what_it_prints(pico in any::<u64>()) {
            let money = Money::from_pico(pico);
            prop_assert_eq!(money.to_string().parse::<Money>().unwrap(), money);
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
        }
    }
}
