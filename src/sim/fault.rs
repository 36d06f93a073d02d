//! What can go wrong, and when.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::settings::SimSettings;

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
}

impl Fault {
    /// Whether an answer was computed all the same, and so is billed.
    pub(super) fn is_billed(self) -> bool {
        match self {
            Self::Reset | Self::Truncated | Self::SlowBody | Self::Empty | Self::ContentFilter | Self::NullChoices => {
                true
            }
            Self::RateLimit
            | Self::ServerError
            | Self::Overloaded
            | Self::Hang
            | Self::ContextLength
            | Self::Html
            | Self::ErrorIn200 => false,
        }
    }
}

/// A fault for the requests with these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptStep {
    /// The first, from 1.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// What befalls them.
    pub fault: Fault,
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
}

impl<'de> Deserialize<'de> for Outage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, rename = "Outage")]
        struct Written {
            from: f64,
            to: f64,
            fault: OutageFault,
        }
        let Written { from, to, fault } = Written::deserialize(deserializer)?;
        let from = Duration::try_from_secs_f64(from).map_err(D::Error::custom)?;
        let to = Duration::try_from_secs_f64(to).map_err(D::Error::custom)?;
        if to < from {
            return Err(D::Error::custom(
                "an outage ends before it begins: `from` and `to` are seconds after the start",
            ));
        }
        Ok(Self { from, to, fault })
    }
}

/// How an outage shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageFault {
    /// Nobody listens. Calls in flight still end.
    Refuse,
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
}

impl Chances {
    pub(super) fn of(seed: u64, number: u64) -> Self {
        // Neighbouring seeds would make neighbouring first states: an odd factor spreads them.
        let mut rng = fastrand::Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { latency: rng.f64(), fault: rng.f64(), model: rng.f64() }
    }
}

/// The fault that the script has for this request.
pub(super) fn scripted(settings: &SimSettings, number: u64) -> Option<Fault> {
    settings.script.iter().find(|step| (step.from..=step.to).contains(&number)).map(|step| step.fault)
}

/// The fault that chance has for a request.
pub(super) fn drawn(settings: &SimSettings, chance: f64) -> Option<Fault> {
    let mut sum = 0.0;
    for (fault, share) in &settings.faults {
        sum += share;
        if chance < sum {
            return Some(*fault);
        }
    }
    None
}

/// The outage at this time after the start.
pub(super) fn outage(settings: &SimSettings, at: Duration) -> Option<OutageFault> {
    settings.outages.iter().find(|outage| (outage.from..outage.to).contains(&at)).map(|outage| outage.fault)
}
