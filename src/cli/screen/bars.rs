//! The screen on a terminal: some lines that are drawn anew with each snapshot, below those that stay.

use std::collections::BTreeSet;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use overnight::event::{Event, ModelState, ModelView, Snapshot};

use super::echo::QuietControls;
use super::paint::Paint;
use super::phrases;
use super::words::{cost, count, counted, model_name, pace, share, short, span};

/// More lines would push the others out of a small terminal.
const MODELS_SHOWN: usize = 12;

const BAR_WIDTH: u64 = 30;

/// Lines that are drawn in place. They vanish when it is dropped.
pub(super) struct Bars {
    screen: MultiProgress,
    lines: Vec<ProgressBar>,
    in_flight: u64,
    /// Models that were told to be down.
    down: BTreeSet<String>,
    paint: Paint,
    _quiet_controls: QuietControls,
}

impl Bars {
    pub(super) fn new(screen: MultiProgress, paint: Paint) -> Self {
        Self {
            screen,
            lines: Vec::new(),
            in_flight: 0,
            down: BTreeSet::new(),
            paint,
            _quiet_controls: QuietControls::new(),
        }
    }

    pub(super) fn show(&mut self, event: &Event) {
        match event {
            Event::Progress(snapshot) => {
                self.in_flight = snapshot.in_flight;
                self.draw(picture(snapshot, self.paint));
            }
            Event::RunStarted { job, run, resumed } => self.say(&phrases::started(job, *run, *resumed)),
            Event::Note { message, .. } => self.say(message),
            Event::ModelState { provider, model, state, message } => {
                self.model_state(model_name(provider, model), *state, message.as_deref());
            }
            Event::Draining { reason } => self.say(&self.paint.yellow(&phrases::draining(*reason, self.in_flight))),
            Event::RunFinished(_) => self.draw(Vec::new()),
            Event::RowDone { .. } | Event::AttemptFailed { .. } => {}
        }
    }

    /// What the model's own line says comes and goes; what people ask for in the morning stays.
    fn model_state(&mut self, name: String, state: ModelState, message: Option<&str>) {
        let line = phrases::model_state(&name, state, message);
        match state {
            ModelState::Removed { .. } => self.say(&self.paint.red(&line)),
            ModelState::Down { .. } => {
                self.say(&self.paint.red(&line));
                self.down.insert(name);
            }
            ModelState::Open if self.down.remove(&name) => self.say(&line),
            ModelState::Pacing { .. } if phrases::is_long(state) => self.say(&self.paint.yellow(&line)),
            ModelState::Open | ModelState::Pacing { .. } | ModelState::CoolingDown { .. } => {}
        }
    }

    /// A line that stays, above those that are drawn anew. A terminal that is gone is no reason to stop a run.
    fn say(&self, line: &str) {
        drop(self.screen.println(line));
    }

    fn draw(&mut self, picture: Vec<String>) {
        for line in self.lines.drain(picture.len().min(self.lines.len())..) {
            line.finish_and_clear();
            self.screen.remove(&line);
        }
        while self.lines.len() < picture.len() {
            let line = ProgressBar::no_length().with_style(style());
            self.lines.push(self.screen.add(line));
        }
        for (line, text) in self.lines.iter().zip(picture) {
            line.set_message(text);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.draw(Vec::new());
    }
}

/// One line of text, cut at the terminal's width. The template is valid, so the other style is never seen.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// What stands on the screen: the whole, then a line for each model in use.
fn picture(snapshot: &Snapshot, paint: Paint) -> Vec<String> {
    let mut lines = vec![overall(snapshot, paint), figures(snapshot, paint)];
    let models: Vec<&ModelView> = snapshot.models.iter().filter(|view| phrases::in_use(view)).collect();
    if !models.is_empty() {
        lines.push(columns("model", "done", "failed", "in flight", "cost", "state"));
    }
    lines.extend(models.iter().take(MODELS_SHOWN).map(|view| model(view, paint)));
    if models.len() > MODELS_SHOWN {
        lines.push(format!("and {} more", models.len() - MODELS_SHOWN));
    }
    lines
}

fn overall(snapshot: &Snapshot, paint: Paint) -> String {
    let (ended, total) = (snapshot.rows.ended(), snapshot.rows.total);
    if !snapshot.total_known || total == 0 {
        return format!("{} done, counting the input", counted(ended, "row"));
    }
    let eta = snapshot.eta.map_or_else(String::new, |eta| format!("  ETA {}", span(eta)));
    let (ended_text, total_text) = (count(ended), count(total));
    format!("{} {ended_text}/{total_text}  {}%{eta}", paint.cyan(&bar(ended, total)), share(ended, total, 100))
}

fn figures(snapshot: &Snapshot, paint: Paint) -> String {
    let mut parts = vec![
        span(snapshot.elapsed),
        pace(snapshot.rows_per_second),
        format!("{} in flight", count(snapshot.in_flight)),
        phrases::cost(snapshot.sum.cost_usd, snapshot.sum.cost_unknown_rows),
    ];
    if snapshot.rows.failed > 0 {
        parts.push(paint.red(&format!("{} failed", count(snapshot.rows.failed))));
    }
    if snapshot.draining {
        parts.push(paint.yellow("stopping"));
    }
    parts.join("  ")
}

fn bar(ended: u64, total: u64) -> String {
    let filled = usize::try_from(share(ended, total, BAR_WIDTH)).unwrap_or(0);
    let empty = usize::try_from(BAR_WIDTH).unwrap_or(0) - filled;
    format!("{}{}", "█".repeat(filled), "░".repeat(empty))
}

fn model(view: &ModelView, paint: Paint) -> String {
    let mut state = phrases::model_now(view);
    if view.tally.rate_limited > 0 {
        state = format!("{state}, {} x 429", short(view.tally.rate_limited));
    }
    let state = match view.state {
        ModelState::Pacing { .. } if phrases::is_long(view.state) => paint.yellow(&state),
        ModelState::Open | ModelState::Pacing { .. } => state,
        ModelState::CoolingDown { .. } => paint.yellow(&state),
        ModelState::Down { .. } | ModelState::Removed { .. } => paint.red(&state),
    };
    let name = model_name(&view.provider, &view.model);
    let cost = cost(view.tally.cost_usd, view.tally.cost_unknown_rows);
    let (done, failed) = (short(view.tally.succeeded), short(view.tally.failed));
    columns(&fitted(&name, 20), &done, &failed, &short(view.in_flight), &cost, &state)
}

fn columns(name: &str, done: &str, failed: &str, in_flight: &str, cost: &str, state: &str) -> String {
    format!("{name:<20} {done:>6} {failed:>6} {in_flight:>9} {cost:>9}  {state}")
}

/// Cut in the middle: providers share beginnings, and models of one family differ at the end.
fn fitted(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let (head, tail) = (width / 2, width - width / 2 - 1);
    name.chars().take(head).chain(['…']).chain(name.chars().skip(length - tail)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use overnight::event::RowCounts;
    use overnight::types::{FailureKind, Tally};

    use super::*;

    fn view(model: &str, state: ModelState) -> ModelView {
        let tally = Tally {
            succeeded: 1_234_000,
            failed: 12,
            attempts: 1_300_000,
            cost_usd: "12.34".parse().unwrap(),
            ..Tally::default()
        };
        let (provider, model) = ("gateway".to_owned(), model.to_owned());
        ModelView {
            provider,
            model,
            in_flight: 60,
            waiting: 3,
            state,
            rpm: Some(300),
            tpm: Some(100_000),
            rpd: Some(50),
            tally,
        }
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            elapsed: Duration::from_secs(3_723),
            rows: RowCounts {
                total: 10_000_000,
                succeeded: 1_234_000,
                failed: 12,
                remaining: 8_765_988,
                ..RowCounts::default()
            },
            total_known: true,
            in_flight: 64,
            sum: Tally { cost_usd: "12.34".parse().unwrap(), ..Tally::default() },
            rows_per_second: 312.0,
            eta: Some(Duration::from_secs(28_000)),
            models: vec![
                view("qwen-plus", ModelState::Pacing { for_ms: 200 }),
                view("qwen-batch", ModelState::Pacing { for_ms: 25_920_000 }),
                view("qwen-max-with-a-very-long-name-2026-01-01", ModelState::CoolingDown { for_ms: 11_200 }),
                view("tiny", ModelState::Removed { kind: FailureKind::Auth }),
                ModelView { tally: Tally::default(), in_flight: 0, waiting: 0, ..view("idle", ModelState::Open) },
            ],
            draining: false,
        }
    }

    #[test]
    fn a_picture_tells_the_whole_and_each_model_in_use() {
        let picture = picture(&snapshot(), Paint::default());
        assert_eq!(
            picture,
            [
                "████░░░░░░░░░░░░░░░░░░░░░░░░░░ 1,234,012/10,000,000  12%  ETA 7h 47m",
                "1h 02m  312 rows/s  64 in flight  $12.3400  12 failed",
                "model                  done failed in flight      cost  state",
                "gateway/qwen-plus      1.2M     12        60  $12.3400  pacing rpm 300, tpm 100k",
                "gateway/qwen-batch     1.2M     12        60  $12.3400  pacing rpd 50, 7h 12m",
                "gateway/qw…026-01-01   1.2M     12        60  $12.3400  cooling down 12s",
                "gateway/tiny           1.2M     12        60  $12.3400  removed: auth",
            ]
        );
    }

    #[test]
    fn eighty_columns_hold_all_of_it() {
        let mut snapshot = snapshot();
        snapshot.rows.failed = 1_000_000;
        snapshot.sum.cost_unknown_rows = 1;
        snapshot.draining = true;
        for line in picture(&snapshot, Paint::default()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn an_input_that_is_not_yet_counted_has_no_share() {
        let snapshot = Snapshot { total_known: false, models: Vec::new(), ..snapshot() };
        assert_eq!(picture(&snapshot, Paint::default())[0], "1,234,012 rows done, counting the input");
        assert_eq!(picture(&Snapshot::default(), Paint::default())[0], "0 rows done, counting the input");
    }

    #[test]
    fn a_full_bar_means_all_rows() {
        assert_eq!(bar(999, 1_000).chars().filter(|char| *char == '█').count(), 29);
        assert_eq!(bar(1, 1).chars().filter(|char| *char == '█').count(), 30);
    }

    #[test]
    fn colours_change_no_word() {
        let painted = picture(&snapshot(), Paint::always());
        let codes = ["\u{1b}[31m", "\u{1b}[33m", "\u{1b}[36m", "\u{1b}[0m"];
        let bare: Vec<String> =
            painted.iter().map(|line| codes.iter().fold(line.clone(), |line, code| line.replace(code, ""))).collect();
        assert_ne!(painted, bare);
        assert_eq!(bare, picture(&snapshot(), Paint::default()));
    }

    #[test]
    fn many_models_leave_room_for_the_rest() {
        let mut snapshot = snapshot();
        snapshot.models = (0..20).map(|number| view(&format!("m{number}"), ModelState::Open)).collect();
        let picture = picture(&snapshot, Paint::default());
        assert_eq!(picture.len(), 3 + MODELS_SHOWN + 1);
        assert_eq!(picture.last().map(String::as_str), Some("and 8 more"));
    }
}
