//! What the simulator is told to do, as written and checked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::change::Change;
use super::fault::{Fault, Outage, ScriptStep};
use super::limits::Counts;
use super::station::Knee;
use super::tell::HeaderStyle;
use super::window::WindowKind;
use super::written::{numbers, positive, time, times};

/// How the simulator behaves. The default answers at once, without limits or faults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimSettings {
    /// How long an answer takes: `"200ms"`, or at random from `["100ms", "400ms"]`.
    #[serde(deserialize_with = "times")]
    pub latency: RangeInclusive<Duration>,
    /// The sigma of a log-normal factor on the latency, whose mean is 1.
    #[serde(deserialize_with = "spread")]
    pub noise: f64,
    /// Up to how many calls at once the server works at full speed. Without it any number.
    pub knee: Option<Knee>,
    /// What all models together allow.
    pub limits: SimLimits,
    /// The window in which limits hold: a minute, or `"1s"` for a sixtieth of the limits in each second. Those of a day
    /// hold for a day.
    #[serde(deserialize_with = "time")]
    pub limit_window: Duration,
    /// Whether windows slide or follow the clock.
    pub window_kind: WindowKind,
    /// What a request counts against token limits.
    pub counts: Counts,
    /// How replies tell of limits.
    pub headers: HeaderStyle,
    /// Whether a 429 says when to come back.
    pub hints: bool,
    /// What changes on the way, in order of time.
    #[serde(deserialize_with = "in_order")]
    pub changes: Vec<Change>,
    /// Another seed makes another sequence of faults and latencies.
    pub seed: u64,
    /// The share of calls that each fault befalls; 1 in all at most.
    #[serde(deserialize_with = "shares")]
    pub faults: BTreeMap<Fault, f64>,
    /// The share of prompts that each fault befalls whenever they are sent; 1 in all at most. Such a prompt is known by
    /// its last user message.
    #[serde(deserialize_with = "shares")]
    pub poison: BTreeMap<Fault, f64>,
    /// Faults by the number of the request; they come before those by model name and by chance.
    pub script: Vec<ScriptStep>,
    /// Times at which the whole server is out.
    pub outages: Vec<Outage>,
    /// How long the body of a `slow_body` fault takes.
    #[serde(deserialize_with = "time")]
    pub slow_body: Duration,
    /// Longer prompts are refused, in tokens.
    pub max_context_tokens: Option<u64>,
    /// Of longer prompts only so many tokens are read, without a word: the usage tells no more.
    pub truncates_at: Option<u64>,
    /// The only API key that is let in. Without it any key will do, and none.
    pub key: Option<String>,
    /// After so many billed calls the money is gone: 429 `insufficient_quota`.
    pub quota: Option<u64>,
    /// The length of text answers in tokens: `200`, or at random from `[100, 300]`. Default: a dozen words. Answers in
    /// JSON are as long as their schema makes them.
    #[serde(deserialize_with = "numbers")]
    pub output_tokens: Option<RangeInclusive<u64>>,
    /// The share of each prompt's tokens that is read from the cache.
    #[serde(deserialize_with = "share")]
    pub cached_share: f64,
    /// Tokens that each answer spends on reasoning: they are part of its output, and of what may be said at most.
    pub reasoning_tokens: u64,
    /// Counts the answers by their mark in the ledger. Memory grows with every distinct request.
    pub count_marks: bool,
    /// Keeps figures of every second in the ledger. Memory grows with time.
    pub count_seconds: bool,
}

impl SimSettings {
    /// As a job file has them.
    ///
    /// # Errors
    /// Each key that is wrong, with what is wrong; `None` for what only shows in all of them together.
    pub fn from_table(table: &Map<String, Value>) -> Result<Self, Vec<(Option<String>, String)>> {
        let read =
            |table: Map<String, Value>| Self::deserialize(Value::Object(table)).map_err(|error| error.to_string());
        read(table.clone()).map_err(|whole| {
            let alone = |(key, value): (&String, &Value)| {
                let error = read(Map::from_iter([(key.clone(), value.clone())])).err()?;
                Some((Some(key.clone()), error))
            };
            let wrong: Vec<_> = table.iter().filter_map(alone).collect();
            if wrong.is_empty() { vec![(None, whole)] } else { wrong }
        })
    }
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO..=Duration::ZERO,
            noise: 0.0,
            knee: None,
            limits: SimLimits::default(),
            limit_window: Duration::from_mins(1),
            window_kind: WindowKind::Sliding,
            counts: Counts::Used,
            headers: HeaderStyle::OpenAi,
            hints: true,
            changes: Vec::new(),
            seed: 0,
            faults: BTreeMap::new(),
            poison: BTreeMap::new(),
            script: Vec::new(),
            outages: Vec::new(),
            slow_body: Duration::from_secs(30),
            max_context_tokens: None,
            truncates_at: None,
            key: None,
            quota: None,
            output_tokens: None,
            cached_share: 0.0,
            reasoning_tokens: 0,
            count_marks: false,
            count_seconds: false,
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
    /// Requests a day.
    #[serde(deserialize_with = "positive")]
    pub rpd: Option<u64>,
    /// Tokens a minute, input and output together.
    #[serde(deserialize_with = "positive")]
    pub tpm: Option<u64>,
    /// Tokens of requests a minute.
    #[serde(deserialize_with = "positive")]
    pub input_tpm: Option<u64>,
    /// Tokens of answers a minute.
    #[serde(deserialize_with = "positive")]
    pub output_tpm: Option<u64>,
    /// Calls at once.
    #[serde(deserialize_with = "positive")]
    pub concurrency: Option<u64>,
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

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(D::Error::custom("a share of tokens lies between 0 and 1: 0.9 is nine in ten"));
    }
    Ok(share)
}

fn spread<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let sigma = f64::deserialize(deserializer)?;
    if !(0.0..=3.0).contains(&sigma) {
        return Err(D::Error::custom("noise lies between 0 and 3: 0.3 is usual"));
    }
    Ok(sigma)
}

fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Change>, D::Error> {
    let changes = Vec::<Change>::deserialize(deserializer)?;
    if !changes.is_sorted_by_key(|change| change.at) {
        return Err(D::Error::custom("the changes are not in order of time"));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fault::OutageFault;
    use super::super::station::Beyond;
    use super::*;

    fn refusal(value: Value) -> String {
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
        let limits = SimLimits { rpm: Some(300), tpm: Some(100_000), concurrency: Some(8), ..SimLimits::default() };
        assert_eq!(settings.limits, limits);
        assert_eq!(settings.limit_window, Duration::from_secs(1));
        assert!((settings.faults[&Fault::ErrorIn200] - 0.05).abs() < f64::EPSILON);
        assert_eq!(settings.script, [ScriptStep { from: 3, to: 5, fault: Fault::RateLimit, hint: None }]);
        let outage = &settings.outages[0];
        assert_eq!((outage.from, outage.to), (Duration::from_millis(1500), Duration::from_secs(3)));
        assert_eq!(outage.fault, OutageFault::Overloaded);
        assert_eq!(settings.output_tokens, Some(20..=20));
        assert_eq!(toml::from_str::<SimSettings>("").unwrap(), SimSettings::default());
    }

    #[test]
    fn reads_the_weather_from_toml() {
        let text = r#"
            noise = 0.3
            knee = { concurrency = 48, beyond = "degrading" }
            limits = { input_tpm = 10, output_tpm = 20, rpd = 30 }
            window_kind = "fixed"
            counts = "max_tokens"
            headers = "anthropic"
            hints = false
            poison = { server_error = 0.01 }
            outages = [{ from = 1, to = 2, fault = "429", hint = "30s" }, { from = 2, to = 3, fault = "500" }]
            changes = [{ at = 30.0, limits = { rpm = 3000 }, latency = "2s", knee = 96 }, { at = 60, limits = { rpm = 1 } }]
        "#;
        let settings: SimSettings = toml::from_str(text).unwrap();
        assert_eq!(settings.knee, Some(Knee { concurrency: 48, beyond: Beyond::Degrading }));
        let limits = SimLimits { input_tpm: Some(10), output_tpm: Some(20), rpd: Some(30), ..SimLimits::default() };
        assert_eq!(settings.limits, limits);
        assert_eq!((settings.window_kind, settings.counts), (WindowKind::Fixed, Counts::MaxTokens));
        assert_eq!((settings.headers, settings.hints), (HeaderStyle::Anthropic, false));
        assert!((settings.poison[&Fault::ServerError] - 0.01).abs() < f64::EPSILON);
        let outages = &settings.outages;
        assert_eq!((outages[0].fault, outages[0].hint), (OutageFault::RateLimited, Some(Duration::from_secs(30))));
        assert_eq!((outages[1].fault, outages[1].hint), (OutageFault::ServerError, None));
        let change = &settings.changes[0];
        assert_eq!((change.at, change.limits.rpm, change.limits.tpm), (Duration::from_secs(30), Some(3000), None));
        assert_eq!(change.knee, Some(Knee { concurrency: 96, beyond: Beyond::Flat }));
        assert_eq!(settings.latency_at(Duration::from_secs(29)), &(Duration::ZERO..=Duration::ZERO));
        assert_eq!(settings.latency_at(Duration::from_secs(61)).start(), &Duration::from_secs(2));
    }

    #[test]
    fn refuses_weather_that_has_no_meaning() {
        assert!(refusal(json!({ "noise": -1 })).contains("between 0 and 3"));
        assert!(refusal(json!({ "knee": 0 })).contains("a knee of 0"));
        assert!(refusal(json!({ "knee": { "concurrency": 0 } })).contains("a knee of 0"));
        assert!(refusal(json!({ "knee": { "at": 4 } })).contains("`at`"));
        assert!(refusal(json!({ "headers": "opnai" })).contains("`opnai`"));
        assert!(refusal(json!({ "poison": { "reset": 2 } })).contains("between 0 and 1"));
        assert!(refusal(json!({ "changes": [{ "limits": { "rpm": 1 } }] })).contains("`at`"));
        assert!(refusal(json!({ "changes": [{ "at": 2 }, { "at": 1 }] })).contains("order of time"));
        assert!(refusal(json!({ "outages": [{ "from": 1, "to": 2, "fault": "503", "hint": "1s" }] })).contains("429"));
        let script = json!([{ "from": 1, "to": 2, "fault": "empty", "hint": 1 }]);
        assert!(refusal(json!({ "script": script })).contains("rate_limit, daily_quota and overloaded"));
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
