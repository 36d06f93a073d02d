//! Exact money: whole picodollars, never floats. List prices are USD per million tokens, which is a whole number of
//! picodollars a token for every price with at most six decimals.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::Usage;

const PICO_PER_USD: u64 = 1_000_000_000_000;

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
        let (whole, rest) = (self.0 / PICO_PER_USD, self.0 % PICO_PER_USD);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let decimals = format!("{rest:012}");
        write!(f, "{whole}.{}", decimals.trim_end_matches('0'))
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
        let rest: u64 = format!("{decimals:0<12}").parse().map_err(|_| refuse())?;
        let pico = whole.checked_mul(PICO_PER_USD).and_then(|pico| pico.checked_add(rest));
        pico.map(Self).ok_or_else(refuse)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A JSON number with all its digits: a float would lose some of them.
        let number = RawValue::from_string(self.to_string()).map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}

/// What a model costs, as listed: USD per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// USD per million input tokens.
    pub input: Money,
    /// USD per million input tokens that the provider read from its cache.
    pub cached_input: Money,
    /// USD per million output tokens, reasoning included.
    pub output: Money,
}

impl Price {
    /// A model that costs nothing, such as one on a server of one's own.
    pub const FREE: Self = Self { input: Money::ZERO, cached_input: Money::ZERO, output: Money::ZERO };

    /// What a call with this usage costs: exact, but for a part of a picodollar, which is rounded up.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let cached = usage.cached_input_tokens.min(usage.input_tokens);
        let millionths = u128::from(usage.input_tokens - cached) * u128::from(self.input.0)
            + u128::from(cached) * u128::from(self.cached_input.0)
            + u128::from(usage.output_tokens) * u128::from(self.output.0);
        Money(u64::try_from(millionths.div_ceil(1_000_000)).unwrap_or(u64::MAX))
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
    fn cached_tokens_are_part_of_the_input() {
        let usd = |usd: f64| Money::from_usd(usd).unwrap();
        let price = Price { input: usd(0.40), cached_input: usd(0.16), output: usd(1.20) };
        let usage = Usage { input_tokens: 412, cached_input_tokens: 100, output_tokens: 18, reasoning_tokens: 0 };
        // (312 * 0.40 + 100 * 0.16 + 18 * 1.20) / 1e6, by hand: 0.0001624
        assert_eq!(price.cost(&usage).to_string(), "0.0001624");
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
