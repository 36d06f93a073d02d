//! How settings are written: times, one value or two, numbers that cannot be 0.

use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::value::{SeqAccessDeserializer, StrDeserializer, U64Deserializer};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A time as written: `"200ms"`.
#[derive(Clone)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time such as \"200ms\" or \"1.5s\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(Time).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()
}

/// A single value or a list of two.
struct OneOrTwo<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Clone> Visitor<'de> for OneOrTwo<T> {
    type Value = (T, T);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("one value, or a list of the least and the most")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(T, T), E> {
        T::deserialize(StrDeserializer::new(text)).map(|value| (value.clone(), value))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(T, T), E> {
        T::deserialize(U64Deserializer::new(number)).map(|value| (value.clone(), value))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(T, T), E> {
        self.visit_u64(u64::try_from(number).map_err(|_| E::custom("a negative number has no meaning here"))?)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(T, T), A::Error> {
        <(T, T)>::deserialize(SeqAccessDeserializer::new(list))
    }
}

pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let Time(time) = Time::deserialize(deserializer)?;
    if time.is_zero() {
        return Err(D::Error::custom("a time of 0 has no meaning here"));
    }
    Ok(time)
}

pub(super) fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeInclusive<Duration>, D::Error> {
    let (Time(least), Time(most)) = deserializer.deserialize_any(OneOrTwo(PhantomData))?;
    ordered(least, most)
}

pub(super) fn maybe_times<'de, D>(deserializer: D) -> Result<Option<RangeInclusive<Duration>>, D::Error>
where
    D: Deserializer<'de>,
{
    times(deserializer).map(Some)
}

pub(super) fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RangeInclusive<u64>>, D::Error> {
    let (least, most) = deserializer.deserialize_any(OneOrTwo(PhantomData))?;
    ordered(least, most).map(Some)
}

fn ordered<T: PartialOrd, E: serde::de::Error>(least: T, most: T) -> Result<RangeInclusive<T>, E> {
    if least > most {
        return Err(E::custom("the first of the two is the larger one: write the least first"));
    }
    Ok(least..=most)
}

pub(super) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("a limit of 0 lets nothing through: leave it out where there is none")),
        limit => Ok(Some(limit)),
    }
}

/// A moment, in seconds after the simulator's start.
pub(super) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// A wait: `"30s"`, or a number of seconds.
#[derive(Clone, Copy)]
pub(super) struct Wait(pub(super) Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WaitVisitor)
    }
}

struct WaitVisitor;

impl Visitor<'_> for WaitVisitor {
    type Value = Wait;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a time such as \"30s\", or a number of seconds")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Wait, E> {
        Time::deserialize(StrDeserializer::new(text)).map(|Time(time)| Wait(time))
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Wait, E> {
        Ok(Wait(Duration::from_secs(seconds)))
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Wait, E> {
        self.visit_u64(u64::try_from(seconds).map_err(|_| E::custom("a negative time has no meaning here"))?)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Wait, E> {
        Duration::try_from_secs_f64(seconds).map(Wait).map_err(E::custom)
    }
}
