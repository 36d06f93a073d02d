//! How many calls in flight suit a server that tells no limit: as many as still bring throughput, and no more.
//!
//! It doubles at first, until calls take much longer. From there on it compares two levels next to each other, by turns,
//! and moves to where more calls bring more throughput, and away from where they bring only latency. A refusal lowers it
//! at once, and what was refused is not tried again for a while.

mod climb;
mod meter;

use std::time::Duration;

use tokio::time::Instant;

use climb::{Climb, FIRST_STEP, IN_USE, Move, SMALL_STEP};
use meter::Meter;

use super::noise::Noise;

/// Where it starts, and where it ends.
const FIRST: f64 = 16.0;

/// Answers that take so much longer than those of half as many calls have passed the knee; few answers may differ more by
/// chance.
const MUCH_LONGER: f64 = 1.3;
const BY_CHANCE: f64 = 1.2;

/// A level is judged by half as many answers as calls, at least by so many.
const LEAST_ANSWERS: f64 = 12.0;

/// What a refusal leaves; what of a refused level is tried next.
const LEFT: f64 = 0.85;
const BELOW_REFUSED: f64 = 0.97;

/// A refused level is left alone for so long, doubling to the longest.
const FIRST_REST: Duration = Duration::from_secs(10);
const LONGEST_REST: Duration = Duration::from_mins(2);

/// A limit that has held for so many rounds of calls is not what one refusal is about.
const CALM_ROUNDS: f64 = 1.5;

/// What is refused below this part of where a fall began has other reasons: falls end above it where the limit was doubled
/// too far, or the server halved. Unless most is refused: that is an outage.
const FAR_BELOW: f64 = 0.3;
const NO_NOISE: f64 = 0.6;

/// In the start so much of a level may be refused by chance.
const START_CHANCE: f64 = 1.0 / 16.0;

/// All that the run may have in flight is right for so long, then less is tried too...
const LONG_REST: Duration = Duration::from_mins(1);

/// ...or sooner, when calls get so much slower.
const SLOWER: f64 = 0.75;

/// A refusal-free time in which a lower level has proved itself, at least.
const QUIET: Duration = Duration::from_secs(1);

/// In so many latencies the calls of another level are gone.
const SETTLING: f64 = 1.5;

/// The limit in flight is what binds when that much of it is used.
const BINDING: f64 = 0.9;

#[derive(Debug)]
enum Phase {
    /// Doubling.
    Start(Level),
    Climb(Climb),
    /// Refused: waits until the lower level has been in full use for a while, then goes to just below what was refused.
    Fallen {
        quiet_at: Option<Instant>,
        /// The refused level is not taken to be lower than this by what else was refused in that moment.
        least: f64,
    },
    /// Just below what was refused, or at the most there is.
    Rest {
        until: Instant,
        /// How fast a call was served at first.
        speed: Option<f64>,
    },
}

/// One level of the start.
#[derive(Debug)]
struct Level {
    began: Option<Instant>,
    /// Since when all of it is in use, by as many calls of its own as it is judged by.
    full_at: Option<Instant>,
    /// Calls that were sent on this level, and answers to them.
    sent: f64,
    answers: f64,
    refused: f64,
    /// How long the answers of the level before took, and how much longer than those of the one before that.
    before: Option<f64>,
    longer: f64,
}

impl Level {
    fn after(before: Option<f64>, longer: f64) -> Self {
        Self { began: None, full_at: None, sent: 0.0, answers: 0.0, refused: 0.0, before, longer }
    }

    /// How many answers judge a level of so many calls.
    fn wanted(limit: f64) -> f64 {
        (limit / 2.0).max(LEAST_ANSWERS)
    }
}

/// The limit as it falls by refusals.
#[derive(Debug)]
struct Fall {
    from: f64,
    in_start: bool,
    /// Calls that ended far below, and how many of them were refused even there.
    ended: f64,
    refused: f64,
}

/// The number of calls in flight that a server is found to take.
#[derive(Debug)]
pub(super) struct Adaptive {
    limit: f64,
    most: f64,
    phase: Phase,
    meter: Meter,
    /// How long a call takes, in seconds.
    latency: f64,
    answers: u64,
    refused_level: f64,
    lowered_at: Option<Instant>,
    next_rest: Duration,
    fall: Option<Fall>,
    /// Answers since a call was refused, or the limit rose to where it has not been.
    calm: f64,
    /// The highest level that has held since the limit was lowered.
    proved: f64,
    /// Refusals that have other reasons.
    noise: Noise,
}

impl Adaptive {
    /// For a run that has at most so many calls in flight.
    pub(super) fn new(most: u64) -> Self {
        let most = number(most.max(1));
        Self {
            limit: FIRST.min(most),
            most,
            phase: Phase::Start(Level::after(None, 1.0)),
            meter: Meter::default(),
            latency: 0.0,
            answers: 0,
            refused_level: most,
            lowered_at: None,
            next_rest: FIRST_REST,
            fall: None,
            calm: 0.0,
            proved: 0.0,
            noise: Noise::default(),
        }
    }

    /// How many calls may be in flight.
    pub(super) fn limit(&self) -> u64 {
        whole(self.limit)
    }

    /// A call was sent; with it so many are in flight.
    pub(super) fn began(&mut self, now: Instant, in_flight: u64) {
        self.meter.turn(now, in_flight);
        if let Phase::Start(level) = &mut self.phase {
            level.began.get_or_insert(now);
            level.sent += 1.0;
        }
        if number(in_flight) >= BINDING * self.limit {
            self.is_full(now);
        }
        self.step(now);
    }

    fn is_full(&mut self, now: Instant) {
        let quiet_from_now = now + seconds(self.latency * 3.0).max(QUIET);
        match &mut self.phase {
            // The answers to calls of the level before come at other times: one that is full of them would look slow.
            Phase::Start(level) if level.full_at.is_none() && level.sent >= Level::wanted(self.limit) => {
                level.full_at = Some(now);
                self.meter.begin(now);
            }
            Phase::Fallen { quiet_at, .. } => {
                quiet_at.get_or_insert(quiet_from_now);
            }
            Phase::Start(_) | Phase::Climb(_) | Phase::Rest { .. } => {}
        }
    }

    /// A call was answered after this long, with so many tokens if they are known; without it so many are in flight.
    pub(super) fn ended(&mut self, now: Instant, latency: Duration, tokens: Option<u64>, in_flight: u64) {
        self.meter.turn(now, in_flight);
        self.meter.answer(tokens);
        self.answers += 1;
        #[expect(clippy::cast_precision_loss, reason = "a weight")]
        let weight = 1.0 / (self.answers as f64).min(50.0);
        self.latency += (latency.as_secs_f64() - self.latency) * weight;
        self.count(false);
        self.calm += 1.0;
        if self.calm >= CALM_ROUNDS * self.limit {
            self.proved = self.proved.max(self.limit);
        }
        if let Phase::Start(level) = &mut self.phase
            && level.began.is_some_and(|began| now.duration_since(began) >= latency)
        {
            level.answers += 1.0;
        }
        self.step(now);
    }

    /// A call ended in a way that tells nothing.
    pub(super) fn left(&mut self, now: Instant, in_flight: u64) {
        self.meter.turn(now, in_flight);
        self.step(now);
    }

    /// A call was refused (429, 503) or timed out after this long; without it so many are in flight. Lowers the limit, but
    /// once only for what was in flight together, and not for a refusal that is to be expected.
    pub(super) fn refused(&mut self, now: Instant, took: Duration, in_flight: u64) {
        self.meter.turn(now, in_flight);
        self.count(true);
        let level = self.limit.min(number(in_flight + 1));
        if self.lowered_at.is_some_and(|at| now.saturating_duration_since(at) < took) {
            // What is refused at once leaves in flight what the server took.
            if took.as_secs_f64() < self.latency / 2.0 {
                self.fall_further(number(in_flight + 1));
            }
        } else if !self.is_chance() {
            self.lowered_at = Some(now);
            if self.has_other_reasons() { self.restore(now) } else { self.fall(level) }
        }
    }

    fn fall(&mut self, level: f64) {
        let in_start = matches!(self.phase, Phase::Start(_));
        self.fall.get_or_insert(Fall { from: level, in_start, ended: 0.0, refused: 0.0 });
        self.refused_level = level;
        self.proved = 0.0;
        self.limit = (level * LEFT).max(1.0);
        self.phase = Phase::Fallen { quiet_at: None, least: level / 2.0 };
    }

    fn fall_further(&mut self, level: f64) {
        if let Phase::Fallen { least, .. } = &self.phase {
            self.refused_level = self.refused_level.min(level.max(*least));
            self.limit = self.limit.min((self.refused_level * LEFT).max(1.0));
        }
    }

    /// Whether a refusal need not be due to the limit: it has held long enough, or that many are refused anyway.
    fn is_chance(&mut self) -> bool {
        let calm = std::mem::take(&mut self.calm);
        if self.noise.takes() {
            return true;
        }
        if let Phase::Start(level) = &mut self.phase {
            level.refused += 1.0;
            return level.refused <= (self.limit * START_CHANCE).max(1.0);
        }
        calm >= CALM_ROUNDS * self.limit
    }

    fn count(&mut self, refused: bool) {
        self.noise.count(refused);
        if let Some(fall) = &mut self.fall
            && self.limit < fall.from * FAR_BELOW
        {
            fall.ended += 1.0;
            fall.refused += f64::from(u8::from(refused));
        }
    }

    fn has_other_reasons(&self) -> bool {
        self.fall.as_ref().is_some_and(|fall| fall.refused >= 2.0 && fall.refused < fall.ended * NO_NOISE)
    }

    /// Back to where the fall began: what was refused there is refused everywhere.
    fn restore(&mut self, now: Instant) {
        let Some(fall) = self.fall.take() else { return };
        self.noise.learn(fall.refused / fall.ended);
        self.limit = fall.from;
        if fall.in_start {
            self.phase = Phase::Start(Level::after(None, 1.0));
        } else {
            self.climb(now, SMALL_STEP);
        }
    }

    fn climb(&mut self, now: Instant, step: f64) {
        self.measure(now, Climb::below(self.limit, step, self.most));
    }

    /// Goes to the level of this climb and measures there as soon as the calls of the last one are gone.
    fn measure(&mut self, now: Instant, climb: Climb) {
        if climb.level() > self.limit.max(self.proved) {
            self.calm = 0.0;
        }
        self.limit = climb.level();
        self.meter.begin(now + seconds(self.latency * SETTLING));
        self.phase = Phase::Climb(climb);
    }

    fn step(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Start(_) => self.step_start(now),
            Phase::Climb(_) => self.step_climb(now),
            Phase::Fallen { quiet_at: Some(quiet_at), .. } if *quiet_at <= now => {
                self.limit = (self.refused_level * BELOW_REFUSED).min(self.refused_level - 1.0).max(1.0);
                self.rest(now, self.next_rest);
                self.next_rest = (self.next_rest * 2).min(LONGEST_REST);
            }
            Phase::Fallen { .. } => {}
            Phase::Rest { .. } => self.step_rest(now),
        }
    }

    fn rest(&mut self, now: Instant, time: Duration) {
        self.phase = Phase::Rest { until: now + time, speed: None };
        self.meter.begin(now + seconds(self.latency * SETTLING));
    }

    fn step_rest(&mut self, now: Instant) {
        let Phase::Rest { until, speed } = &mut self.phase else { return };
        let mut over = *until <= now;
        if let Some(reading) = self.meter.reading(now, self.latency) {
            over |= reading.speed() < *speed.get_or_insert(reading.speed()) * SLOWER;
            self.meter.begin(now);
        }
        if over {
            self.fall = None;
            self.climb(now, SMALL_STEP);
        }
    }

    fn step_start(&mut self, now: Instant) {
        let Phase::Start(level) = &mut self.phase else { return };
        let Some(full_at) = level.full_at else { return };
        let took = now.duration_since(full_at).as_secs_f64();
        let wanted = Level::wanted(self.limit);
        let longer = level.before.map_or(1.0, |before| took / before);
        let is_slow = longer > MUCH_LONGER + BY_CHANCE / wanted.sqrt();
        if !is_slow && level.answers < wanted {
            return;
        }
        // Only now: when many calls end together, few are in flight for a moment.
        if self.meter.mean(now).is_some_and(|in_flight| in_flight < IN_USE * self.limit) {
            *level = Level::after(level.before, level.longer);
            return;
        }
        // Calls that went out one by one were answered before the level was full: that made it look quick, and the next slow.
        let took_at_most = level.began.map_or(took, |began| now.duration_since(began).as_secs_f64());
        if is_slow {
            self.limit = (self.limit / 2.0 / level.longer.max(1.0).sqrt()).max(1.0);
            self.climb(now, FIRST_STEP);
        } else if self.limit >= self.most {
            self.rest(now, LONG_REST);
        } else {
            *level = Level::after(Some(took_at_most), longer);
            self.limit = (self.limit * 2.0).min(self.most);
            self.calm = 0.0;
        }
    }

    fn step_climb(&mut self, now: Instant) {
        let Some(reading) = self.meter.reading(now, self.latency) else { return };
        let Phase::Climb(climb) = &mut self.phase else { return };
        let moved = climb.read(&reading);
        if moved == Move::Up && climb.level() > self.refused_level {
            self.next_rest = FIRST_REST;
        }
        if moved == Move::Up && climb.is_at_top() {
            self.limit = self.most;
            return self.rest(now, LONG_REST);
        }
        let climb = climb.clone();
        self.measure(now, climb);
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 3_600.0))
}

#[expect(clippy::cast_precision_loss, reason = "calls in flight")]
fn number(calls: u64) -> f64 {
    calls as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, at most a count")]
fn whole(level: f64) -> u64 {
    level.round().max(1.0) as u64
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "figures of a simulation"
)]
mod tests;
