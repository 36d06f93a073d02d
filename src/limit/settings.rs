//! What a provider or a model allows, as configured, and what a call needs of it.

use std::sync::Arc;

use super::ProviderGate;
use crate::types::{Counting, RateUnit};

/// Limits as they hold for one provider or one model of it. `None` where no limit is known; never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute.
    pub rpm: Option<u64>,
    /// Tokens a minute, input and output together.
    pub tpm: Option<u64>,
    /// Tokens of requests a minute.
    pub input_tpm: Option<u64>,
    /// Tokens of answers a minute.
    pub output_tpm: Option<u64>,
    /// Requests a day, which begins at midnight UTC.
    pub rpd: Option<u64>,
    /// Calls in flight.
    pub concurrency: Option<u64>,
}

impl Limits {
    /// The lower one of each limit.
    #[must_use]
    pub fn tightest(self, other: Self) -> Self {
        let lower = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
        Self {
            rpm: lower(self.rpm, other.rpm),
            tpm: lower(self.tpm, other.tpm),
            input_tpm: lower(self.input_tpm, other.input_tpm),
            output_tpm: lower(self.output_tpm, other.output_tpm),
            rpd: lower(self.rpd, other.rpd),
            concurrency: lower(self.concurrency, other.concurrency),
        }
    }
}

/// What a provider is asked for, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderSetup {
    /// Limits over all its models.
    pub limits: Limits,
    /// Whether limits are learnt too: from what replies tell, from refusals, and from latency.
    pub adaptive: bool,
    /// What it counts against token limits.
    pub counting: Counting,
    /// Requests that earlier runs have sent today, against `rpd`.
    pub used_today: u64,
}

/// One way to a model: a replica or a key, with the model's own limits there.
#[derive(Clone, Debug)]
pub struct Member {
    /// The model's own limits.
    pub limits: Limits,
    /// What it shares with the other models there.
    pub provider: Arc<ProviderGate>,
    /// Requests that earlier runs have sent to this model today, against its own `rpd`.
    pub used_today: u64,
}

/// The tokens that a call is estimated to need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// Of the request.
    pub input: u64,
    /// Of the answer, at most.
    pub output: u64,
}

/// The tokens that a call used in truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Of the request.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
}

/// A call in each unit that limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub tokens: u64,
    pub input: u64,
    pub output: u64,
}

impl Amounts {
    pub(super) fn of(&self, unit: RateUnit) -> u64 {
        match unit {
            RateUnit::Requests => 1,
            RateUnit::Tokens => self.tokens,
            RateUnit::InputTokens => self.input,
            RateUnit::OutputTokens => self.output,
        }
    }
}

/// No call needs more tokens, whatever its row asks for; also keeps sums in range.
const MOST: u64 = 1 << 40;

impl Amounts {
    /// What is reserved for a call.
    pub(super) fn reserved(need: Need, counting: Counting) -> Self {
        let need = Need { input: need.input.min(MOST), output: need.output.min(MOST) };
        let output = match counting {
            Counting::InputAndMaxOutput | Counting::Used | Counting::Split | Counting::None => need.output,
            Counting::InputOnly => 0,
        };
        Self { tokens: need.input.saturating_add(output), input: need.input, output: need.output }
    }

    /// What the server has counted for a call in the end.
    pub(super) fn counted(need: Need, used: Used, counting: Counting) -> Self {
        let output = match counting {
            Counting::InputAndMaxOutput => used.output.max(need.output),
            Counting::Used | Counting::Split | Counting::None => used.output,
            Counting::InputOnly => 0,
        };
        Self { tokens: used.input.saturating_add(output), input: used.input, output: used.output }
    }
}
