//! What can go wrong, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::answer::digest;
use super::settings::SimSettings;
use super::written::{Wait, seconds};

/// What befalls one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 429 with a hint of one second.
    RateLimit,
    /// 500.
    ServerError,
    /// 503.
    Overloaded,
    /// The connection breaks in the middle of the body.
    Reset,
    /// The body is cut JSON, with a content length that fits.
    Truncated,
    /// No reply ever.
    Hang,
    /// The body trickles.
    SlowBody,
    /// An answer without text.
    Empty,
    /// An answer that is not what was asked for: no JSON, or JSON that does not fit the schema.
    InvalidAnswer,
    /// An answer that ended by the content filter.
    ContentFilter,
    /// 400 `context_length_exceeded`.
    ContextLength,
    /// 502 with a page of HTML, as gateways send it.
    Html,
    /// 200 with an `error` object.
    #[serde(rename = "error_in_200")]
    ErrorIn200,
    /// 200 with `choices` null.
    NullChoices,
    /// 401 `invalid_api_key`.
    Auth,
    /// 429 `insufficient_quota`.
    QuotaExhausted,
    /// 429 for requests per day, with a hint of eight hours.
    DailyQuota,
    /// 404 `model_not_found`.
    ModelNotFound,
}

impl Fault {
    /// Whether an answer was computed all the same, and so is billed.
    pub(super) fn is_billed(self) -> bool {
        match self {
            Self::Reset
            | Self::Truncated
            | Self::SlowBody
            | Self::Empty
            | Self::InvalidAnswer
            | Self::ContentFilter
            | Self::NullChoices => true,
            Self::RateLimit
            | Self::ServerError
            | Self::Overloaded
            | Self::Hang
            | Self::ContextLength
            | Self::Html
            | Self::ErrorIn200
            | Self::Auth
            | Self::QuotaExhausted
            | Self::DailyQuota
            | Self::ModelNotFound => false,
        }
    }
}

/// A fault for the requests with these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptStep {
    /// The first, from 1.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// What befalls them.
    pub fault: Fault,
    /// When a `rate_limit` or `daily_quota` says to come back, in place of its own hint; or an `overloaded`, which has none.
    pub hint: Option<Duration>,
}

impl<'de> Deserialize<'de> for ScriptStep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename = "ScriptStep")]
        struct Written {
            from: u64,
            to: u64,
            fault: Fault,
            hint: Option<Wait>,
        }
        let Written { from, to, fault, hint } = Written::deserialize(deserializer)?;
        if hint.is_some() && !matches!(fault, Fault::RateLimit | Fault::DailyQuota | Fault::Overloaded) {
            return Err(D::Error::custom("a hint goes with the faults rate_limit, daily_quota and overloaded only"));
        }
        Ok(Self { from, to, fault, hint: hint.map(|Wait(hint)| hint) })
    }
}

/// A time at which the whole server is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// When it begins, counted from the start of the simulator; written in seconds.
    pub from: Duration,
    /// When it has ended.
    pub to: Duration,
    /// How it shows.
    pub fault: OutageFault,
    /// When a 429 says to come back. Default: when the outage has ended.
    pub hint: Option<Duration>,
}

impl Outage {
    /// When a call that comes `at` this time after the start is told to come back.
    pub(super) fn wait(&self, at: Duration) -> Duration {
        self.hint.unwrap_or(self.to.saturating_sub(at))
    }
}

impl<'de> Deserialize<'de> for Outage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename = "Outage")]
        struct Written {
            #[serde(deserialize_with = "seconds")]
            from: Duration,
            #[serde(deserialize_with = "seconds")]
            to: Duration,
            fault: OutageFault,
            hint: Option<Wait>,
        }
        let Written { from, to, fault, hint } = Written::deserialize(deserializer)?;
        if to < from {
            return Err(D::Error::custom(
                "an outage ends before it begins: `from` and `to` are seconds after the start",
            ));
        }
        if hint.is_some() && fault != OutageFault::RateLimited {
            return Err(D::Error::custom("a hint goes with outages of fault \"429\" only"));
        }
        Ok(Self { from, to, fault, hint: hint.map(|Wait(hint)| hint) })
    }
}

/// How an outage shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageFault {
    /// Nobody listens. Calls in flight still end.
    Refuse,
    /// Everything is answered with 429, and told when to come back.
    #[serde(rename = "429")]
    RateLimited,
    /// Everything is answered with 500.
    #[serde(rename = "500")]
    ServerError,
    /// Everything is answered with 503.
    #[serde(rename = "503")]
    Overloaded,
    /// Nothing is answered.
    Hang,
}

/// The random numbers of one request, each in 0..1.
///
/// They come from the seed and the request's number alone, so that the n-th request has the same luck in every run.
pub(super) struct Chances {
    pub(super) latency: f64,
    pub(super) fault: f64,
    pub(super) model: f64,
    noise: [f64; 2],
}

impl Chances {
    pub(super) fn of(seed: u64, number: u64) -> Self {
        // Neighbouring seeds would make neighbouring first states: an odd factor spreads them.
        let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { latency: rng.f64(), fault: rng.f64(), model: rng.f64(), noise: [rng.f64(), rng.f64()] }
    }

    /// A log-normal factor of this sigma, whose mean is 1.
    pub(super) fn factor(&self, sigma: f64) -> f64 {
        let [radius, angle] = self.noise;
        let normal = (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos();
        (sigma * normal - sigma * sigma / 2.0).exp()
    }
}

/// What the script has for this request.
pub(super) fn scripted(settings: &SimSettings, number: u64) -> Option<&ScriptStep> {
    settings.script.iter().find(|step| (step.from..=step.to).contains(&number))
}

/// The fault that chance has for a request.
pub(super) fn drawn(shares: &BTreeMap<Fault, f64>, chance: f64) -> Option<Fault> {
    let mut sum = 0.0;
    for (fault, share) in shares {
        sum += share;
        if chance < sum {
            return Some(*fault);
        }
    }
    None
}

/// The fault that this prompt has whenever it is sent; another seed poisons other prompts.
pub(super) fn poisoned(settings: &SimSettings, prompt: &str) -> Option<Fault> {
    if settings.poison.is_empty() {
        return None;
    }
    let mut rng = fastrand::Rng::with_seed(settings.seed ^ digest(prompt));
    drawn(&settings.poison, rng.f64())
}

/// The outage at this time after the start.
pub(super) fn outage(settings: &SimSettings, at: Duration) -> Option<&Outage> {
    settings.outages.iter().find(|outage| (outage.from..outage.to).contains(&at))
}
