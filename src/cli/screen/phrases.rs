//! What both screens and the summary say of a run and its models.

use std::time::Duration;

use overnight::event::{ModelState, ModelView, StopReason};
use overnight::types::{Money, RunNumber};

use super::words::{self, counted, model_name, one_line, short, span};

/// A model's line: its state with the limits that it waits for: `open`, `pacing rpm 300`, `cooling down 12s`,
/// `removed: auth`.
pub(super) fn model_now(view: &ModelView) -> String {
    let limits: Vec<String> = [("rpm", view.rpm), ("tpm", view.tpm)]
        .into_iter()
        .filter_map(|(name, limit)| limit.map(|limit| format!("{name} {}", short(limit))))
        .collect();
    let state = state(view.state);
    if view.state == ModelState::Pacing && !limits.is_empty() {
        return format!("{state} {}", limits.join(", "));
    }
    state
}

/// The state alone.
pub(super) fn state(state: ModelState) -> String {
    match state {
        ModelState::Open => "open".to_owned(),
        ModelState::Pacing => "pacing".to_owned(),
        ModelState::CoolingDown { for_ms } => {
            // Rounded up: a pause of which something is left is not over.
            format!("cooling down {}", span(Duration::from_secs(for_ms.div_ceil(1_000))))
        }
        ModelState::Down { since_ms, .. } => format!("down for {}", span(Duration::from_millis(since_ms))),
        ModelState::Removed { kind } => format!("removed: {kind}"),
    }
}

/// Whether the model has had a part in the run so far.
pub(super) fn in_use(view: &ModelView) -> bool {
    let busy = view.in_flight > 0 || view.waiting > 0 || view.tally.attempts > 0;
    match view.state {
        ModelState::Open | ModelState::Pacing => busy,
        ModelState::CoolingDown { .. } | ModelState::Down { .. } | ModelState::Removed { .. } => true,
    }
}

/// The first line of a run.
pub(super) fn started(job: &str, run: RunNumber, resumed: bool) -> String {
    format!("{job}: run {run} {}", if resumed { "goes on" } else { "begins" })
}

/// A model's new state.
pub(super) fn model_state(provider: &str, model: &str, state: ModelState, message: Option<&str>) -> String {
    let why = message.map_or_else(String::new, |message| format!(" ({})", one_line(message)));
    format!("{}: {}{why}", model_name(provider, model), self::state(state))
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

/// How the run ended, in a word.
pub(super) fn ending(reason: Option<StopReason>) -> &'static str {
    if reason.is_some() { "stopped" } else { "finished" }
}

/// A cost in a list of other figures.
pub(super) fn cost(known: Money, unknown_rows: u64) -> String {
    match (known, unknown_rows) {
        (Money::ZERO, 1..) => "cost unknown".to_owned(),
        (known, unknown_rows) => words::cost(known, unknown_rows),
    }
}
