//! The screen where stderr is no terminal: a line now and then, and one for each thing that changes.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use overnight::event::{Event, ModelState, Snapshot, Summary};

use super::phrases;
use super::words::{count, counted, model_name, pace, share, span};

/// Lines to a log.
pub(super) struct Plain<W> {
    out: W,
    /// When the next progress line is due, since the invocation began.
    due: Duration,
    in_flight: u64,
    /// Models and states that were told since the last progress line; pacing is told once for all.
    told: BTreeSet<(String, State)>,
}

/// A state without its figures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Open,
    Pacing,
    CoolingDown,
    Down,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, due: pause(Duration::ZERO), in_flight: 0, told: BTreeSet::new() }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Progress(snapshot) => self.progress(snapshot),
            Event::RunStarted { job, run, resumed } => self.say(&phrases::started(job, *run, *resumed)),
            Event::Note { message, .. } => self.say(message),
            Event::ModelState { provider, model, state, message } => {
                let name = model_name(provider, model);
                if self.is_news(name.clone(), *state) {
                    self.say(&phrases::model_state(&name, *state, message.as_deref()));
                }
            }
            Event::Draining { reason } => self.say(&phrases::draining(*reason, self.in_flight)),
            Event::RunFinished(summary) => self.say(&last_line(summary)),
            Event::RowDone { .. } | Event::AttemptFailed { .. } => {}
        }
    }

    /// A log that cannot be written to is no reason to stop a run.
    fn say(&mut self, line: &str) {
        drop(writeln!(self.out, "{line}"));
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        self.in_flight = snapshot.in_flight;
        if snapshot.elapsed < self.due {
            return;
        }
        self.due = snapshot.elapsed + pause(snapshot.elapsed);
        self.told.retain(|(_, state)| matches!(state, State::Pacing | State::Down));
        self.say(&progress_line(snapshot));
    }

    /// A model may change its state many times a minute: each state is told once between two progress lines, and `open`
    /// only after a cooldown or an outage that was told.
    fn is_news(&mut self, model: String, state: ModelState) -> bool {
        match state {
            ModelState::Removed { .. } => true,
            ModelState::Pacing { .. } => self.told.insert((model, State::Pacing)),
            ModelState::CoolingDown { .. } => self.told.insert((model, State::CoolingDown)),
            ModelState::Down { .. } => self.told.insert((model, State::Down)),
            ModelState::Open if self.told.remove(&(model.clone(), State::Down)) => true,
            ModelState::Open if self.told.remove(&(model.clone(), State::Pacing)) => true,
            ModelState::Open => {
                self.told.contains(&(model.clone(), State::CoolingDown)) && self.told.insert((model, State::Open))
            }
        }
    }
}

/// Close together while a user may still be looking, seldom in a log of a whole night.
fn pause(elapsed: Duration) -> Duration {
    Duration::from_secs(match elapsed.as_secs() {
        0..30 => 5,
        30..120 => 10,
        120..600 => 30,
        600.. => 60,
    })
}

fn progress_line(snapshot: &Snapshot) -> String {
    let (ended, total) = (snapshot.rows.ended(), snapshot.rows.total);
    let mut parts = if snapshot.total_known {
        vec![format!("{} of {} ({}%)", count(ended), counted(total, "row"), share(ended, total, 100))]
    } else {
        vec![counted(ended, "row")]
    };
    parts.push(pace(snapshot.rows_per_second));
    parts.extend(snapshot.eta.map(|eta| format!("ETA {}", span(eta))));
    parts.push(phrases::cost(snapshot.sum.cost_usd, snapshot.sum.cost_unknown_rows));
    if snapshot.rows.failed > 0 {
        parts.push(format!("{} failed", count(snapshot.rows.failed)));
    }
    parts.push(format!("{} in flight", count(snapshot.in_flight)));
    for view in &snapshot.models {
        match view.state {
            ModelState::CoolingDown { .. } | ModelState::Down { .. } => {
                let name = model_name(&view.provider, &view.model);
                parts.push(format!("{name} {}", phrases::state(view.state)));
            }
            ModelState::Pacing { .. } if phrases::is_long(view.state) => {
                let name = model_name(&view.provider, &view.model);
                parts.push(format!("{name} {}", phrases::state(view.state)));
            }
            ModelState::Open | ModelState::Pacing { .. } | ModelState::Removed { .. } => {}
        }
    }
    format!("{:>7}: {}", span(snapshot.elapsed), parts.join(", "))
}

fn last_line(summary: &Summary) -> String {
    let rows = &summary.rows;
    let why = summary.stop_reason.map_or_else(String::new, |reason| format!(" ({})", reason.words()));
    let failed = if rows.failed > 0 { format!(", {} failed", count(rows.failed)) } else { String::new() };
    format!(
        "{}{why}: {} of {}{failed}, {}, {}",
        phrases::ending(summary.stop_reason, summary.retried.is_some()),
        count(rows.ended()),
        counted(rows.total, "row"),
        phrases::cost(summary.cost_usd, summary.cost_unknown_rows),
        span(Duration::from_millis(summary.elapsed_ms))
    )
}

#[cfg(test)]
mod tests {
    use overnight::event::{ModelView, RowCounts, StopReason};
    use overnight::types::{FailureKind, Tally};

    use super::*;

    fn shown(events: &[Event]) -> Vec<String> {
        let mut plain = Plain::new(Vec::new());
        for event in events {
            plain.show(event);
        }
        String::from_utf8(plain.out).unwrap().lines().map(str::to_owned).collect()
    }

    fn progress(elapsed: u64) -> Event {
        Event::Progress(Box::new(Snapshot {
            elapsed: Duration::from_secs(elapsed),
            rows: RowCounts { total: 1_000, succeeded: 450, failed: 2, remaining: 548, ..RowCounts::default() },
            total_known: true,
            in_flight: 8,
            rows_per_second: 12.0,
            eta: Some(Duration::from_secs(50)),
            ..Snapshot::default()
        }))
    }

    fn state(state: ModelState, message: Option<&str>) -> Event {
        let (provider, model) = ("gateway".to_owned(), "tiny".to_owned());
        Event::ModelState { provider, model, state, message: message.map(str::to_owned) }
    }

    #[test]
    fn a_progress_line_has_the_figures_of_its_moment() {
        let lines = shown(&[progress(65)]);
        assert_eq!(lines, [" 1m 05s: 452 of 1,000 rows (45%), 12 rows/s, ETA 50s, $0, 2 failed, 8 in flight"]);
    }

    #[test]
    fn progress_lines_become_seldom() {
        let events: Vec<Event> = (0..3_600).map(progress).collect();
        let at: Vec<String> =
            shown(&events).iter().map(|line| line.split(':').next().unwrap().trim().to_owned()).collect();
        assert_eq!(at[..8], ["5s", "10s", "15s", "20s", "25s", "30s", "40s", "50s"]);
        assert_eq!(at.last().unwrap(), "59m 00s");
        assert!(at.len() < 90, "{}", at.len());
    }

    #[test]
    fn cooldowns_that_come_and_go_are_told_once_between_two_progress_lines() {
        let cooling = || state(ModelState::CoolingDown { for_ms: 1_000 }, Some("slow down"));
        let open = || state(ModelState::Open, None);
        let lines = shown(&[open(), cooling(), open(), cooling(), open(), progress(5), cooling()]);
        assert_eq!(lines[0], "gateway/tiny: cooling down 1s (slow down)");
        assert_eq!(lines[1], "gateway/tiny: open");
        assert!(lines[2].contains("rows"), "{}", lines[2]);
        assert_eq!(lines[3..], ["gateway/tiny: cooling down 1s (slow down)"]);
    }

    #[test]
    fn pacing_is_told_once_and_a_removal_always() {
        let pacing = || state(ModelState::Pacing { for_ms: 25_920_000 }, Some("all sent"));
        let removed = || state(ModelState::Removed { kind: FailureKind::Auth }, Some("no such key"));
        let lines = shown(&[pacing(), progress(5), pacing(), removed()]);
        assert_eq!(lines[0], "gateway/tiny: pacing 7h 12m (all sent)");
        assert_eq!(lines[2..], ["gateway/tiny: removed: auth (no such key)"]);
    }

    #[test]
    fn a_line_names_the_models_that_cool_down() {
        let view = ModelView {
            provider: "gateway".to_owned(),
            model: "tiny".to_owned(),
            in_flight: 0,
            waiting: 9,
            state: ModelState::CoolingDown { for_ms: 30_000 },
            rpm: None,
            tpm: None,
            rpd: None,
            tally: Tally { cost_unknown_rows: 1, ..Tally::default() },
        };
        let snapshot = Snapshot { sum: view.tally.clone(), models: vec![view], ..Snapshot::default() };
        assert_eq!(
            progress_line(&snapshot),
            "     0s: 0 rows, 0.0 rows/min, cost unknown, 0 in flight, gateway/tiny cooling down 30s"
        );
    }

    #[test]
    fn a_stop_says_what_it_waits_for() {
        let lines = shown(&[progress(1), Event::Draining { reason: StopReason::Interrupted }]);
        assert_eq!(lines, ["stopping: interrupted; waiting for 8 calls in flight; once more to stop at once"]);
    }
}
