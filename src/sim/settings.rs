//! What the simulator is told to do, as written and checked.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::value::{SeqAccessDeserializer, StrDeserializer, U64Deserializer};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fault::{Fault, Outage, ScriptStep};

/// How the simulator behaves. The default answers at once, without limits or faults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimSettings {
    /// How long an answer takes: `"200ms"`, or at random from `["100ms", "400ms"]`.
    #[serde(deserialize_with = "times")]
    pub latency: RangeInclusive<Duration>,
    /// What all models together allow.
    pub limits: SimLimits,
    /// The sliding window in which limits hold: a minute, or `"1s"` for a sixtieth of the limits in each second.
    #[serde(deserialize_with = "time")]
    pub limit_window: Duration,
    /// Another seed makes another sequence of faults and latencies.
    pub seed: u64,
    /// The share of calls that each fault befalls; 1 in all at most.
    #[serde(deserialize_with = "shares")]
    pub faults: BTreeMap<Fault, f64>,
    /// Faults by the number of the request; they come before those by model name and by chance.
    pub script: Vec<ScriptStep>,
    /// Times at which the whole server is out.
    pub outages: Vec<Outage>,
    /// How long the body of a `slow_body` fault takes.
    #[serde(deserialize_with = "time")]
    pub slow_body: Duration,
    /// Longer prompts are refused, in tokens.
    pub max_context_tokens: Option<u64>,
    /// The only API key that is let in. Without it any key will do, and none.
    pub key: Option<String>,
    /// After so many billed calls the money is gone: 429 `insufficient_quota`.
    pub quota: Option<u64>,
    /// The length of text answers in tokens: `200`, or at random from `[100, 300]`. Default: a dozen words. Answers in
    /// JSON are as long as their schema makes them.
    #[serde(deserialize_with = "numbers")]
    pub output_tokens: Option<RangeInclusive<u64>>,
    /// Counts the answers by their mark in the ledger. Memory grows with every distinct request.
    pub count_marks: bool,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO..=Duration::ZERO,
            limits: SimLimits::default(),
            limit_window: Duration::from_mins(1),
            seed: 0,
            faults: BTreeMap::new(),
            script: Vec::new(),
            outages: Vec::new(),
            slow_body: Duration::from_secs(30),
            max_context_tokens: None,
            key: None,
            quota: None,
            output_tokens: None,
            count_marks: false,
        }
    }
}

/// Limits; `None` where there is none, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimLimits {
    /// Requests a minute.
    #[serde(deserialize_with = "positive")]
    pub rpm: Option<u64>,
    /// Tokens a minute, input and output together, as billed.
    #[serde(deserialize_with = "positive")]
    pub tpm: Option<u64>,
    /// Calls at once.
    #[serde(deserialize_with = "positive")]
    pub concurrency: Option<u64>,
}

/// A time as written: `"200ms"`.
struct Time(Duration);

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

impl Clone for Time {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let Time(time) = Time::deserialize(deserializer)?;
    if time.is_zero() {
        return Err(D::Error::custom("a time of 0 has no meaning here"));
    }
    Ok(time)
}

fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RangeInclusive<Duration>, D::Error> {
    let (Time(least), Time(most)) = deserializer.deserialize_any(OneOrTwo(PhantomData))?;
    ordered(least, most)
}

fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<RangeInclusive<u64>>, D::Error> {
    let (least, most) = deserializer.deserialize_any(OneOrTwo(PhantomData))?;
    ordered(least, most).map(Some)
}

fn ordered<T: PartialOrd, E: serde::de::Error>(least: T, most: T) -> Result<RangeInclusive<T>, E> {
    if least > most {
        return Err(E::custom("the first of the two is the larger one: write the least first"));
    }
    Ok(least..=most)
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom("a limit of 0 lets nothing through: leave it out where there is none")),
        limit => Ok(Some(limit)),
    }
}

fn shares<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Fault, f64>, D::Error> {
    let shares = BTreeMap::<Fault, f64>::deserialize(deserializer)?;
    if shares.values().any(|share| !(0.0..=1.0).contains(share)) {
        return Err(D::Error::custom("a share of calls lies between 0 and 1: 0.05 is one in twenty"));
    }
    if shares.values().sum::<f64>() > 1.0 + 1e-9 {
        return Err(D::Error::custom("the shares of all faults together are over 1"));
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fault::OutageFault;
    use super::*;

    fn refusal(value: serde_json::Value) -> String {
        serde_json::from_value::<SimSettings>(value).unwrap_err().to_string()
    }

    #[test]
    fn reads_everything_from_toml() {
        let text = r#"
            latency = ["100ms", "0.4s"]
            limits = { rpm = 300, tpm = 100_000, concurrency = 8 }
            limit_window = "1s"
            seed = 7
            faults = { server_error = 0.1, error_in_200 = 0.05 }
            script = [{ from = 3, to = 5, fault = "rate_limit" }]
            outages = [{ from = 1.5, to = 3, fault = "503" }]
            output_tokens = 20
            key = "k"
        "#;
        let settings: SimSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.latency, Duration::from_millis(100)..=Duration::from_millis(400));
        assert_eq!(settings.limits, SimLimits { rpm: Some(300), tpm: Some(100_000), concurrency: Some(8) });
        assert_eq!(settings.limit_window, Duration::from_secs(1));
        assert!((settings.faults[&Fault::ErrorIn200] - 0.05).abs() < f64::EPSILON);
        assert_eq!(settings.script, [ScriptStep { from: 3, to: 5, fault: Fault::RateLimit }]);
        let outage = &settings.outages[0];
        assert_eq!((outage.from, outage.to), (Duration::from_millis(1500), Duration::from_secs(3)));
        assert_eq!(outage.fault, OutageFault::Overloaded);
        assert_eq!(settings.output_tokens, Some(20..=20));
        assert_eq!(toml::from_str::<SimSettings>("").unwrap(), SimSettings::default());
    }

    #[test]
    fn refuses_what_has_no_meaning_and_names_it() {
        assert!(refusal(json!({ "latncy": "1s" })).contains("`latncy`"));
        assert!(refusal(json!({ "latency": "fast" })).contains("a time such as"));
        assert!(refusal(json!({ "latency": ["2s", "1s"] })).contains("the least first"));
        assert!(refusal(json!({ "limits": { "rpm": 0 } })).contains("a limit of 0"));
        assert!(refusal(json!({ "limits": { "rps": 1 } })).contains("`rps`"));
        assert!(refusal(json!({ "faults": { "reset": 1.5 } })).contains("between 0 and 1"));
        assert!(refusal(json!({ "faults": { "reset": 0.6, "hang": 0.6 } })).contains("over 1"));
        assert!(refusal(json!({ "faults": { "rest": 0.1 } })).contains("`rest`"));
        assert!(refusal(json!({ "limit_window": "0s" })).contains("a time of 0"));
        assert!(refusal(json!({ "outages": [{ "from": 2, "to": 1, "fault": "hang" }] })).contains("ends before"));
    }
}
