//! What refusals teach of a rate where nothing is told: less, and slowly more again.

use std::time::Duration;

use tokio::time::Instant;

use super::budget::Budget;
use super::forecast::Forecast;
use super::noise::Noise;
use super::window::Window;
use crate::types::RateUnit;

/// What a lesson leaves of the rate.
const LEFT: f64 = 0.85;

/// What is added to it each minute, times the minutes since then.
const CREEP: f64 = 0.06;

/// A rate so many times the one that was first refused is no caution any more.
const FORGOTTEN: f64 = 1.2;

/// Between two steps upwards.
const STEP: Duration = Duration::from_secs(10);

/// Over how long the rate is measured that was served, and how often.
const MEASURED: Duration = Duration::from_secs(10);
const MEASURED_EACH: Duration = Duration::from_secs(2);

/// So long is known what was served at best.
const REMEMBERED: Duration = Duration::from_mins(10);

/// Refusals at less than this part of where a fall began are compared with those above it, where there are so many of
/// either: if they are about as frequent, less does not help. A minute before may still be full of what was sent.
const FAR_BELOW: f64 = 0.6;
const NEAR: f64 = 0.75;
const CLEARED: Duration = Duration::from_mins(1);
const LEAST_REFUSED: f64 = 3.0;
const ABOUT: f64 = 3.0;
/// After so many it is clear whether they are.
const CLEAR: f64 = 12.0;

/// Where refusals at random are let pass, a higher rate serves more: so many times the lower one, after a minute. Where it
/// does not, both were above a limit.
const MORE: f64 = 1.1;

/// So many refusals in a row, each after a lesson, are no chance, nor is a larger share of them.
const BY_CHANCE: u32 = 1;
const MOST_NOISE: f64 = 0.1;

/// What a step upwards makes of a rate far below what was served, where nothing refused that.
const LEAP: f64 = 2.0;

/// A rate that is kept lower than limits allow, for as long as refusals say so.
#[derive(Debug)]
pub(super) struct Caution {
    served: Window,
    /// When the first call was sent.
    began: Option<Instant>,
    slower: Option<Slower>,
    /// Calls sent before the last lesson teach nothing new.
    learnt_at: Option<Instant>,
    /// A call was answered since then; if not, so many were refused.
    answered: bool,
    unanswered: u32,
    /// The most that was served a minute, and when; of what was refused since, no more than that.
    best: Option<(f64, Instant)>,
    measured: Option<Instant>,
    /// Refusals that have other reasons than the rate.
    noise: Noise,
    /// Whether that is so shows soon.
    trial: Option<Trial>,
}

/// A low rate was given up, as refusals there were taken for chance.
#[derive(Debug)]
struct Trial {
    began: Instant,
    low: f64,
    served: f64,
}

/// Calls and refusals at some rates.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    ended: f64,
    refused: f64,
}

impl Share {
    fn count(&mut self, refused: bool) {
        self.ended += 1.0;
        self.refused += f64::from(u8::from(refused));
    }

    fn of_refused(self) -> f64 {
        if self.ended > 0.0 { self.refused / self.ended } else { 0.0 }
    }
}

#[derive(Debug)]
struct Slower {
    budget: Budget,
    a_minute: f64,
    first: f64,
    stepped: Instant,
    fall: Fall,
    /// The rate that the last lesson was about, as long as nothing was refused since.
    refused_at: Option<f64>,
}

/// A rate on its way down.
#[derive(Debug)]
struct Fall {
    from: f64,
    /// What ended near that, and far below it: at first, and when the minute before is over.
    near: Share,
    settling: Share,
    far: Share,
    far_since: Option<Instant>,
}

impl Fall {
    fn from(a_minute: f64) -> Self {
        let none = Share::default();
        Self { from: a_minute, near: none, settling: none, far: none, far_since: None }
    }

    /// A call ended at this rate.
    fn count(&mut self, now: Instant, a_minute: f64, refused: bool) {
        // Steps upwards do not bring it near again at once.
        let near_from = if self.far_since.is_some() { NEAR } else { FAR_BELOW };
        let share = if a_minute >= self.from * near_from {
            self.far_since = None;
            &mut self.near
        } else if now.saturating_duration_since(*self.far_since.get_or_insert(now)) < CLEARED {
            &mut self.settling
        } else {
            &mut self.far
        };
        share.count(refused);
    }

    /// Whether it is far enough down to tell in a while whether that helps.
    fn is_open(&self, now: Instant) -> bool {
        let Some(since) = self.far_since else { return false };
        let share = if now.saturating_duration_since(since) < CLEARED { self.settling } else { self.far };
        share.of_refused() <= MOST_NOISE && self.far.refused < CLEAR
    }

    /// The share of calls that is refused at any rate, where the fall has shown that.
    fn noise(&self) -> Option<f64> {
        let (near, far) = (self.near.of_refused(), self.far.of_refused());
        let is_known = self.near.refused.min(self.far.refused) >= LEAST_REFUSED;
        let is_the_same = far <= near * ABOUT && near <= far * ABOUT;
        let all = Share { ended: self.near.ended + self.far.ended, refused: self.near.refused + self.far.refused };
        (is_known && is_the_same && all.of_refused() <= MOST_NOISE).then_some(all.of_refused())
    }
}

impl Caution {
    pub(super) fn new() -> Self {
        Self {
            served: Window::new(u64::MAX, MEASURED),
            began: None,
            slower: None,
            learnt_at: None,
            answered: false,
            unanswered: 0,
            best: None,
            measured: None,
            noise: Noise::default(),
            trial: None,
        }
    }

    /// A call was answered.
    pub(super) fn good(&mut self, now: Instant) {
        let place = self.served.add(now, 1);
        self.served.end(place, 1, 1);
        self.answered = true;
        self.count(now, false);
        if let Some(trial) = &mut self.trial {
            trial.served += 1.0;
        }
        if self.measured.is_none_or(|at| now.saturating_duration_since(at) >= MEASURED_EACH) {
            self.measured = Some(now);
            let served = self.served_a_minute(now);
            if self.best_a_minute(now).is_none_or(|best| served >= best) {
                self.best = Some((served, now));
            }
        }
    }

    fn best_a_minute(&self, now: Instant) -> Option<f64> {
        self.best.filter(|(_, at)| now.saturating_duration_since(*at) < REMEMBERED).map(|(best, _)| best)
    }

    /// Something else explains the refusals of calls sent before now.
    pub(super) fn explained(&mut self, now: Instant) {
        self.learnt_at = Some(now);
    }

    fn count(&mut self, now: Instant, refused: bool) {
        self.noise.count(refused);
        if let Some(slower) = &mut self.slower {
            slower.fall.count(now, slower.a_minute, refused);
        }
    }

    /// A call that was sent then was refused, although all limits that are known allowed it.
    pub(super) fn refused(&mut self, now: Instant, sent_at: Instant) {
        self.count(now, true);
        self.judge(now);
        if !self.noise.takes() && self.learnt_at.is_none_or(|learnt_at| sent_at > learnt_at) {
            self.learn(now);
        }
    }

    /// Ends the trial of a minute in which more was asked: chance would have served more.
    fn judge(&mut self, now: Instant) {
        let since = |trial: &Trial| now.saturating_duration_since(trial.began);
        let Some(trial) = self.trial.take_if(|trial| since(trial) >= CLEARED) else { return };
        if trial.served * 60.0 < trial.low * MORE * since(&trial).as_secs_f64() {
            self.noise = Noise::default();
        }
    }

    fn learn(&mut self, now: Instant) {
        self.learnt_at = Some(now);
        // A server that serves nothing tells of no rate: the cooldowns see to it. Nor does it refuse at random.
        if !std::mem::take(&mut self.answered) {
            self.unanswered += 1;
            if let Some(slower) = self.slower.as_mut().filter(|_| self.unanswered > BY_CHANCE) {
                slower.fall = Fall::from(slower.a_minute);
            }
            return;
        }
        self.unanswered = 0;
        if let Some(slower) = &mut self.slower {
            if let Some(noise) = slower.fall.noise() {
                self.noise.learn(noise);
                self.trial = Some(Trial { began: now, low: slower.a_minute, served: 0.0 });
                self.slower = None;
                return;
            }
            if slower.fall.is_open(now) {
                slower.refused_at = None;
                return;
            }
            // It was found to be too much, whatever was served before.
            self.best = Some((slower.a_minute, now));
            slower.refused_at = Some(slower.a_minute);
            slower.go(slower.a_minute * LEFT, now);
            return;
        }
        // What came through while calls in flight still grew says nothing of what the server takes.
        let is_measured = self.began.is_some_and(|began| now.saturating_duration_since(began) >= MEASURED);
        let served = self.served_a_minute(now);
        if !is_measured || served <= 0.0 {
            return;
        }
        let a_minute = (served * LEFT).max(1.0);
        let budget = Budget::a_minute(RateUnit::Requests, whole(a_minute));
        let first = served.max(1.0);
        let fall = Fall::from(first);
        self.slower = Some(Slower { budget, a_minute, first, stepped: now, fall, refused_at: Some(first) });
    }

    pub(super) fn check(&mut self, now: Instant) -> Option<Instant> {
        let best = self.best_a_minute(now).unwrap_or(0.0) * LEFT;
        let slower = self.slower.as_mut()?;
        let since = now.saturating_duration_since(slower.stepped);
        if since >= STEP && slower.a_minute < best {
            // Refusals at a rate far below it were for another reason, such as a storm that is over.
            slower.go((slower.a_minute * LEAP).min(best), now);
        } else if since >= STEP {
            // The longer nothing is refused, the less is left of the reason to be slow.
            let calm = self.learnt_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
            let creep = CREEP * (calm.as_secs_f64() / 60.0).max(1.0);
            slower.go(slower.a_minute * (1.0 + creep * since.as_secs_f64() / 60.0), now);
            slower.begin_anew();
            if slower.a_minute >= slower.first * FORGOTTEN {
                self.slower = None;
                return None;
            }
        }
        slower.budget.check(now, 1, 1, &Forecast::CERTAIN).err()
    }

    pub(super) fn take(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        if let Some(slower) = &mut self.slower {
            // A request is a request: nothing is given back of it.
            slower.budget.take(now, 1, 1);
        }
    }

    /// Requests a minute that it allows.
    pub(super) fn a_minute(&self) -> Option<u64> {
        self.slower.as_ref().map(|slower| whole(slower.a_minute))
    }

    fn served_a_minute(&mut self, now: Instant) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "calls of some seconds")]
        let served = self.served.holds(now) as f64;
        served * 60.0 / MEASURED.as_secs_f64()
    }
}

impl Slower {
    /// Where it came back in peace to the rate that was refused, less has helped: what follows is another fall. A limit is
    /// run into time and again, and refusals at one of today are no more frequent than those at one of an hour ago.
    fn begin_anew(&mut self) {
        if self.refused_at.is_some_and(|refused_at| self.a_minute >= refused_at) {
            self.refused_at = None;
            self.fall = Fall::from(self.a_minute);
        }
    }

    fn go(&mut self, a_minute: f64, now: Instant) {
        self.a_minute = a_minute.max(1.0);
        self.stepped = now;
        self.budget.retune(RateUnit::Requests, whole(self.a_minute), false);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "calls a minute, at least one")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_among_the_first_calls_does_not_take_the_start_for_the_rate() {
        let (start, mut caution) = (Instant::now(), Caution::new());
        let at = |millis| start + Duration::from_millis(millis);
        for call in 0..40 {
            caution.take(at(call));
            caution.good(at(500 + call));
        }
        caution.refused(at(600), at(550));
        assert_eq!(caution.a_minute(), None);
        for call in 0..1_000 {
            caution.take(at(1_000 + 10 * call));
            caution.good(at(1_500 + 10 * call));
        }
        caution.refused(at(11_500), at(11_000));
        assert!(caution.a_minute().is_some_and(|rate| (5_000..=5_200).contains(&rate)), "{:?}", caution.a_minute());
    }
}
