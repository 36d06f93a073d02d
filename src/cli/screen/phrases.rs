//! What both screens and the summary say of a run and its models.

use std::time::Duration;

use overnight::event::{ModelState, ModelView, StopReason};
use overnight::types::{Money, PossiblyBilled, RowCounts, RunNumber, Usage};

use super::words::{self, count, counted, one_line, short, span, usd};

/// Limits of a minute are waited for no longer than this.
const SOON: Duration = Duration::from_mins(2);

/// A model's line: its state with the limits that it waits for: `open`, `pacing rpm 300`, `pacing rpd 50, 7h 12m`,
/// `cooling down 12s`, `removed: auth`.
pub(super) fn model_now(view: &ModelView) -> String {
    let binding =
        if is_long(view.state) { vec![("rpd", view.rpd)] } else { vec![("rpm", view.rpm), ("tpm", view.tpm)] };
    let limits: Vec<String> =
        binding.into_iter().filter_map(|(name, limit)| limit.map(|limit| format!("{name} {}", short(limit)))).collect();
    match view.state {
        ModelState::Pacing { for_ms } if !limits.is_empty() => {
            let parts: Vec<String> = limits.into_iter().chain(long_wait(for_ms)).collect();
            format!("pacing {}", parts.join(", "))
        }
        other => state(other),
    }
}

/// Whether the wait is so long that one looks at the clock.
pub(super) fn is_long(state: ModelState) -> bool {
    match state {
        ModelState::Pacing { for_ms } => long_wait(for_ms).is_some(),
        ModelState::Open | ModelState::CoolingDown { .. } | ModelState::Down { .. } | ModelState::Removed { .. } => {
            false
        }
    }
}

/// In what time the next call goes, where that is not soon.
fn long_wait(for_ms: u64) -> Option<String> {
    let wait = Duration::from_secs(for_ms.div_ceil(1_000));
    (wait > SOON).then(|| span(wait))
}

/// The state alone.
pub(super) fn state(state: ModelState) -> String {
    match state {
        ModelState::Open => "open".to_owned(),
        ModelState::Pacing { for_ms } => {
            long_wait(for_ms).map_or_else(|| "pacing".to_owned(), |wait| format!("pacing {wait}"))
        }
        ModelState::CoolingDown { for_ms } => {
            // Rounded up: a pause of which something is left is not over.
            format!("cooling down {}", span(Duration::from_secs(for_ms.div_ceil(1_000))))
        }
        ModelState::Down { since_ms: 0..1_000, .. } => "down".to_owned(),
        ModelState::Down { since_ms, .. } => format!("down for {}", span(Duration::from_millis(since_ms))),
        ModelState::Removed { kind } => format!("removed: {kind}"),
    }
}

/// Whether the model has had a part in the run so far.
pub(super) fn in_use(view: &ModelView) -> bool {
    let busy = view.in_flight > 0 || view.waiting > 0 || view.tally.attempts > 0;
    match view.state {
        ModelState::Open | ModelState::Pacing { .. } => busy,
        ModelState::CoolingDown { .. } | ModelState::Down { .. } | ModelState::Removed { .. } => true,
    }
}

/// The first line of a run.
pub(super) fn started(job: &str, run: RunNumber, resumed: bool) -> String {
    format!("{job}: run {run} {}", if resumed { "goes on" } else { "begins" })
}

/// A model's new state.
pub(super) fn model_state(name: &str, state: ModelState, message: Option<&str>) -> String {
    let why = message.map_or_else(String::new, |message| format!(" ({})", one_line(message)));
    format!("{name}: {}{why}", self::state(state))
}

/// No new rows are sent.
pub(super) fn draining(reason: StopReason, in_flight: u64) -> String {
    let hint = match reason {
        StopReason::Interrupted | StopReason::Terminated => "; once more to stop at once",
        StopReason::Deadline
        | StopReason::MaxFailures
        | StopReason::FirstRowsFailed
        | StopReason::Budget
        | StopReason::NoModelLeft
        | StopReason::OutputClosed
        | StopReason::Failed => "",
    };
    format!("stopping: {}; waiting for {} in flight{hint}", reason.words(), counted(in_flight, "call"))
}

/// How the run ended, in a word. `retried`: it was there for some rows only, and may leave others.
pub(super) fn ending(reason: Option<StopReason>, retried: bool) -> &'static str {
    match (reason, retried) {
        (Some(_), _) => "stopped",
        (None, true) => "retry finished",
        (None, false) => "finished",
    }
}

/// Where rows stand.
pub(super) fn rows(rows: &RowCounts) -> String {
    let mut parts = vec![format!("{} succeeded", count(rows.succeeded)), format!("{} failed", count(rows.failed))];
    if rows.failed_before > 0 {
        parts.push(format!("{} failed before", count(rows.failed_before)));
    }
    parts.push(format!("{} remaining", count(rows.remaining)));
    format!("{} in all: {}", count(rows.total), parts.join(", "))
}

/// Which part of a job its last run was about: `--limit 20, of 1,000 rows`.
pub(super) fn part(part: &str, job_rows: Option<u64>) -> String {
    let of = job_rows.map_or_else(String::new, |rows| format!(", of {}", counted(rows, "row")));
    format!("{}{of}", one_line(part))
}

/// Rows that were not sent as another one asked the same; `None` where there are none.
pub(super) fn deduped(rows: u64) -> Option<String> {
    (rows > 0).then(|| format!("{} ended as another one with the same request (run.dedupe)", counted(rows, "row")))
}

/// Requests sent, 429s included.
pub(super) fn requests(sent: u64, rate_limited: u64) -> String {
    let limited = match rate_limited {
        0 => String::new(),
        limited => format!(", {} of them rate limited", count(limited)),
    };
    format!("{} sent{limited}", count(sent))
}

/// Answers that broke a task's rules; `None` where there were none.
pub(super) fn invalid_answers(invalid: u64, reasks: u64) -> Option<String> {
    let asked = if reasks > 0 { format!(", {} asked for again", count(reasks)) } else { String::new() };
    (invalid > 0).then(|| format!("{} not valid{asked}", count(invalid)))
}

/// Tokens in and out, with those parts that have a price or a speed of their own.
pub(super) fn tokens(usage: &Usage) -> String {
    let part =
        |tokens: u64, what: &str| if tokens > 0 { format!(" ({} {what})", count(tokens)) } else { String::new() };
    let (cached, reasoning) = (part(usage.cached_input_tokens, "cached"), part(usage.reasoning_tokens, "reasoning"));
    format!("{} in{cached}, {} out{reasoning}", count(usage.input_tokens), count(usage.output_tokens))
}

/// A whole cost: its known part, what of that bought no answer, and whether there is more to it.
pub(super) fn total_cost(known: Money, wasted: Money, unknown_rows: u64) -> String {
    if known == Money::ZERO && unknown_rows > 0 {
        return format!("unknown for {}", counted(unknown_rows, "row"));
    }
    let wasted = if wasted > Money::ZERO { format!(" ({} wasted)", usd(wasted)) } else { String::new() };
    let unknown = match unknown_rows {
        0 => String::new(),
        rows => format!(" and an unknown part for {}", counted(rows, "row")),
    };
    format!("{}{wasted}{unknown}", usd(known))
}

/// Calls whose end is not known; `None` where there are none.
pub(super) fn possibly_billed(possibly: &PossiblyBilled) -> Option<String> {
    let unpriced = match possibly.cost_unknown {
        0 => String::new(),
        calls => format!(" ({} unpriced)", count(calls)),
    };
    let (calls, most) = (counted(possibly.attempts, "call"), usd(possibly.max_cost_usd));
    (possibly.attempts > 0).then(|| format!("{calls}, end not known: at most {most}{unpriced}"))
}

/// A cost in a list of other figures.
pub(super) fn cost(known: Money, unknown_rows: u64) -> String {
    match (known, unknown_rows) {
        (Money::ZERO, 1..) => "cost unknown".to_owned(),
        (known, unknown_rows) => words::cost(known, unknown_rows),
    }
}
