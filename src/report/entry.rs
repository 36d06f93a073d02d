//! One line of a report.

use serde::Serialize;

use super::Waste;
use super::setback::waste;
use crate::types::{Money, PriceSource, Tally, Usage, is_zero};

/// How long calls with an answer took, in milliseconds; `None` where there were none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LatencyMs {
    /// Half of the calls took no longer.
    pub p50: Option<u64>,
    /// 95 of 100 took no longer.
    pub p95: Option<u64>,
    /// 99 of 100 took no longer.
    pub p99: Option<u64>,
}

/// The figures of a model, a provider, a task, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The provider, in entries that have one; empty for rows that no provider was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The model's name on the wire, in entries that have one; empty for rows that no provider was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The task, in entries that have one; empty for rows that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Rows that came here. For a model or a provider: succeeded + failed + `fallbacks_out`; else those that have ended.
    pub rows: u64,
    /// Rows that ended well here.
    pub succeeded: u64,
    /// Rows that ended badly here.
    pub failed: u64,
    /// Rows among these two that ended as another one with the same request did (`run.dedupe`).
    #[serde(skip_serializing_if = "is_zero")]
    pub deduped: u64,
    /// Requests sent, 429s included.
    pub attempts: u64,
    /// Requests answered by a rate limit.
    pub rate_limited: u64,
    /// Attempts after the first of a row on the same model, 429s not counted.
    pub retries: u64,
    /// Answers that broke the task's rules.
    pub invalid_answers: u64,
    /// Attempts that told the model what was wrong with its answer before.
    pub reasks: u64,
    /// Rows that came here from another model of their route; to a provider: from another provider's.
    pub fallbacks_in: u64,
    /// Rows that left here for another model of their route; a provider: for another provider's.
    pub fallbacks_out: u64,
    /// All input tokens.
    pub input_tokens: u64,
    /// Those read from the provider's cache.
    pub cached_input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Those spent on reasoning.
    pub reasoning_tokens: u64,
    /// The known part of the cost; `None` where nothing of it is known.
    pub cost_usd: Option<Money>,
    /// The known part of what bought no answer; `None` where nothing of it is known.
    pub wasted_usd: Option<Money>,
    /// Rows whose cost is not, or not wholly, known.
    pub cost_unknown_rows: u64,
    /// How long calls took.
    pub latency_ms: LatencyMs,
    /// Answers that stopped at the output limit.
    pub truncated: u64,
    /// The part of the input tokens that the provider read from its cache, from 0 to 1; `None` where there were none.
    pub cached_share: Option<f64>,
    /// What was wasted, by reason.
    pub wasted_by: Vec<Waste>,
    /// Where prices come from; `None` where nothing was asked.
    pub price_source: Option<PriceSource>,
}

/// What an entry is about.
pub(super) enum Scope<'a> {
    All,
    Model(&'a str, &'a str),
    Provider(&'a str),
    Task(&'a str),
}

impl Entry {
    pub(super) fn new(scope: &Scope<'_>, tally: &Tally, price_source: Option<PriceSource>) -> Self {
        let (provider, model, task) = match *scope {
            Scope::All => (None, None, None),
            Scope::Model(provider, model) => (Some(provider), Some(model), None),
            Scope::Provider(provider) => (Some(provider), None, None),
            Scope::Task(task) => (None, None, Some(task)),
        };
        let ended = tally.succeeded + tally.failed;
        // Who goes from one model of a provider to another one stays with it.
        let within = if matches!(scope, Scope::Provider(_)) { tally.fallbacks_within } else { 0 };
        let (fallbacks_in, fallbacks_out) =
            (tally.fallbacks_in.saturating_sub(within), tally.fallbacks_out.saturating_sub(within));
        let rows = match scope {
            Scope::All | Scope::Task(_) => ended,
            Scope::Model(..) | Scope::Provider(_) => ended + fallbacks_out,
        };
        // A model without a price whose rows all went on to another has its tokens to tell of it, but no rows.
        let unpriced = tally.cost_unknown_rows > 0
            || (price_source == Some(PriceSource::Unknown) && tally.usage != Usage::default());
        let known = |sum: Money| Some(sum).filter(|_| tally.cost_usd > Money::ZERO || !unpriced);
        let percentile = |percent| tally.latency.percentile(percent);
        Self {
            provider: provider.map(str::to_owned),
            model: model.map(str::to_owned),
            task: task.map(str::to_owned),
            rows,
            succeeded: tally.succeeded,
            failed: tally.failed,
            deduped: tally.deduped,
            attempts: tally.attempts,
            rate_limited: tally.rate_limited,
            retries: tally.retries,
            invalid_answers: tally.invalid_answers,
            reasks: tally.reasks,
            fallbacks_in,
            fallbacks_out,
            input_tokens: tally.usage.input_tokens,
            cached_input_tokens: tally.usage.cached_input_tokens,
            output_tokens: tally.usage.output_tokens,
            reasoning_tokens: tally.usage.reasoning_tokens,
            cost_usd: known(tally.cost_usd),
            wasted_usd: known(tally.wasted_usd),
            cost_unknown_rows: tally.cost_unknown_rows,
            latency_ms: LatencyMs { p50: percentile(50), p95: percentile(95), p99: percentile(99) },
            truncated: tally.truncated,
            cached_share: ratio(tally.usage.cached_input_tokens, tally.usage.input_tokens),
            wasted_by: waste(tally),
            price_source,
        }
    }
}

/// To four decimals.
fn ratio(part: u64, whole: u64) -> Option<f64> {
    let share = (u128::from(part) * 10_000).checked_div(u128::from(whole))?;
    u32::try_from(share).ok().map(|share| f64::from(share) / 10_000.0)
}
