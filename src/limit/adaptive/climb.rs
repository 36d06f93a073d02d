//! Two levels of calls in flight, measured by turns: which way to go.

use super::meter::Reading;

/// More calls are worth it where so much of their share comes out as throughput.
const WORTH: f64 = 0.2;

/// How much answers scatter: the deviation of one latency, as a part of it.
const SCATTER: f64 = 0.55;

/// Measurements are compared until the answer is that many deviations clear, or that many times.
const CLEAR: f64 = 1.0;
const MOST_PAIRS: u32 = 4;

/// Steps between the levels: the smallest, that where measurements are few, and the largest after some in one direction.
pub(super) const SMALL_STEP: f64 = 1.1;
const COARSE: f64 = 1.2;
const LARGE: f64 = 1.35;

/// A server got slower when a call is served at less than this part of the speed.
const SLOWER: f64 = 0.7;

/// The first step: what the start found is coarse.
pub(super) const FIRST_STEP: f64 = 1.25;

/// Fewer answers a measurement are few.
const FEW: f64 = 150.0;

/// Less in use than this part of a level measures nothing: it is not the limit that binds.
pub(super) const IN_USE: f64 = 0.85;

/// What a measurement led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    None,
    Up,
    Down,
}

/// The climb to where throughput ends.
#[derive(Clone, Debug)]
pub(super) struct Climb {
    most: f64,
    low: f64,
    step: f64,
    at_high: bool,
    last: Option<Reading>,
    /// How much of the share of more calls came out as throughput: weighted by certainty, weights, comparisons.
    gain: f64,
    weight: f64,
    pairs: u32,
    moved: Move,
}

impl Climb {
    /// A climb whose higher level this is.
    pub(super) fn below(level: f64, step: f64, most: f64) -> Self {
        Self {
            most,
            low: (level / step).round().max(1.0),
            step,
            at_high: true,
            last: None,
            gain: 0.0,
            weight: 0.0,
            pairs: 0,
            moved: Move::None,
        }
    }

    /// The level to measure.
    pub(super) fn level(&self) -> f64 {
        if self.at_high { self.high() } else { self.low }
    }

    fn high(&self) -> f64 {
        (self.low * self.step).round().max(self.low + 1.0).min(self.most)
    }

    /// Whether the higher level is the most that the run can use.
    pub(super) fn is_at_top(&self) -> bool {
        self.low * self.step >= self.most - 0.5
    }

    /// What was measured at the level; goes on to the next one.
    pub(super) fn read(&mut self, reading: &Reading) -> Move {
        if reading.in_flight < IN_USE * self.level() {
            self.forget();
            return Move::None;
        }
        if self.last.is_some_and(|last| is_slower(&last, reading)) {
            return self.fall_back(reading);
        }
        if let Some(last) = self.last.replace(*reading) {
            self.compare(&last, reading);
        }
        let moved = self.verdict();
        match moved {
            Move::None => self.at_high = !self.at_high,
            Move::Up | Move::Down => self.go(moved, reading.answers),
        }
        moved
    }

    /// The server got much slower at once: fewer calls are likely to do.
    fn fall_back(&mut self, reading: &Reading) -> Move {
        let slower = self.last.map_or(1.0, |last| reading.speed() / last.speed());
        self.low = (self.low * slower.sqrt()).round().max(1.0);
        self.forget();
        self.moved = Move::Down;
        self.at_high = true;
        Move::Down
    }

    fn forget(&mut self) {
        (self.last, self.gain, self.weight, self.pairs) = (None, 0.0, 0.0, 0);
    }

    fn compare(&mut self, one: &Reading, other: &Reading) {
        let more = (other.in_flight / one.in_flight).ln();
        if more.abs() < 0.02 {
            return;
        }
        let rates = match (one.token_rate, other.token_rate) {
            (Some(one), Some(other)) => other / one,
            (None, _) | (_, None) => other.rate / one.rate,
        };
        let weight = more * more / (SCATTER * SCATTER * (1.0 / one.answers + 1.0 / other.answers));
        self.gain += weight * rates.ln() / more;
        self.weight += weight;
        self.pairs += 1;
    }

    fn verdict(&self) -> Move {
        if self.pairs == 0 {
            return Move::None;
        }
        let over = self.gain / self.weight - WORTH;
        if over.abs() < CLEAR / self.weight.sqrt() && self.pairs < MOST_PAIRS {
            Move::None
        } else if over > 0.0 {
            Move::Up
        } else {
            Move::Down
        }
    }

    fn go(&mut self, moved: Move, answers: f64) {
        let high = self.high();
        let smallest = if answers < FEW { COARSE } else { SMALL_STEP };
        if self.moved != Move::None {
            self.step = if moved == self.moved { self.step.powf(1.6).clamp(smallest, LARGE) } else { smallest };
        }
        // The level that both pairs share is not measured again if it was the last one.
        let shared = self.at_high == (moved == Move::Up);
        let last = self.last.filter(|_| shared);
        let low =
            if moved == Move::Up { high.min(self.most / self.step) } else { self.low.min(high - 1.0) / self.step };
        self.low = low.round().max(1.0);
        self.forget();
        self.last = last;
        self.at_high = shared == (moved == Move::Up);
        self.moved = moved;
    }
}

/// Whether calls are served much slower than the number in flight explains.
fn is_slower(before: &Reading, now: &Reading) -> bool {
    now.speed() < SLOWER * before.speed() * (before.in_flight / now.in_flight).min(1.0)
}
