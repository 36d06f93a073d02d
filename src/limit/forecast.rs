//! What calls will have used when they end, from what earlier ones used against their estimates.

use std::time::Duration;

use super::settings::Amounts;
use crate::types::RateUnit;

/// Calls that are remembered, about: what came before fades.
const MEMORY: f64 = 1_000.0;

/// How far off an estimate may be before anything is known: the standard deviation of real over estimated.
const FIRST_DOUBT: f64 = 0.5;

/// How many standard deviations a window keeps free for the calls in flight. With estimates off by up to 70 % either way,
/// 120 simulated hours saw two overruns (of 0.1 %) at four, and none at four and a half.
const SAFETY: f64 = 4.5;

/// How long the imagined first call lasted, that stands for what is not known yet: some quick answers are no evidence
/// about the long ones that are still on their way.
const FIRST_LATENCY: Duration = Duration::from_secs(5);

/// A weighted mean that forgets, of real over estimated.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    weight: f64,
    /// Sum of the squared weights: tells how many calls the mean rests on.
    weight_squared: f64,
    real: f64,
    spread: f64,
}

impl Ratio {
    fn first(weight: f64) -> Self {
        Self { weight, weight_squared: weight * weight, real: weight, spread: weight * FIRST_DOUBT * FIRST_DOUBT }
    }

    fn learn(&mut self, ratio: f64, weight: f64) {
        let keep = 1.0 - 1.0 / MEMORY;
        self.weight = self.weight * keep + weight;
        self.weight_squared = self.weight_squared * keep * keep + weight * weight;
        self.real = self.real * keep + weight * ratio;
        let off = ratio - self.mean();
        self.spread = self.spread * keep + weight * off * off;
    }

    fn mean(&self) -> f64 {
        self.real / self.weight
    }

    fn variance(&self) -> f64 {
        self.spread / self.weight
    }

    /// The variance of the mean itself.
    fn doubt(&self) -> f64 {
        self.variance() * self.weight_squared / (self.weight * self.weight)
    }
}

/// Learns from each call that ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learner {
    /// Over all calls alike, and over all calls by the time they took: at any moment, long calls are over-represented
    /// among those in flight, and long calls use more.
    seen: Option<(Ratio, Ratio)>,
}

impl Learner {
    /// A call that was estimated so took this much, and so long.
    pub(super) fn learn(&mut self, estimate: u64, real: u64, latency: Duration) {
        if estimate == 0 || real == 0 {
            return;
        }
        let (estimate, real) = (as_float(estimate), as_float(real));
        let (all, in_flight) =
            self.seen.get_or_insert((Ratio::first(estimate), Ratio::first(estimate * FIRST_LATENCY.as_secs_f64())));
        all.learn(real / estimate, estimate);
        in_flight.learn(real / estimate, estimate * latency.as_secs_f64().max(0.001));
    }

    /// What a call with this estimate will use, as far as is known.
    pub(super) fn expected(&self, estimate: u64) -> u64 {
        as_tokens(as_float(estimate) * self.seen.map_or(1.0, |(all, _)| all.mean()))
    }

    /// What the calls in flight will use.
    pub(super) fn forecast(&self) -> Forecast {
        match &self.seen {
            Some((_, ratio)) => Forecast { mean: ratio.mean(), variance: ratio.variance(), doubt: ratio.doubt() },
            None => Forecast { mean: 1.0, variance: 0.0, doubt: FIRST_DOUBT * FIRST_DOUBT },
        }
    }
}

/// One learner for each unit that is estimated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Learners {
    tokens: Learner,
    input: Learner,
    output: Learner,
}

impl Learners {
    pub(super) fn learn(&mut self, estimate: &Amounts, real: &Amounts, latency: Duration) {
        self.tokens.learn(estimate.tokens, real.tokens, latency);
        self.input.learn(estimate.input, real.input, latency);
        self.output.learn(estimate.output, real.output, latency);
    }

    pub(super) fn expected(&self, estimate: &Amounts) -> Amounts {
        Amounts {
            tokens: self.tokens.expected(estimate.tokens),
            input: self.input.expected(estimate.input),
            output: self.output.expected(estimate.output),
        }
    }

    pub(super) fn forecast(&self, unit: RateUnit) -> Forecast {
        match unit {
            RateUnit::Requests => Forecast::CERTAIN,
            RateUnit::Tokens => self.tokens.forecast(),
            RateUnit::InputTokens => self.input.forecast(),
            RateUnit::OutputTokens => self.output.forecast(),
        }
    }
}

/// How estimates of calls in flight are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forecast {
    mean: f64,
    variance: f64,
    doubt: f64,
}

impl Forecast {
    /// For what is known beforehand: a request is a request.
    pub(super) const CERTAIN: Self = Self { mean: 1.0, variance: 0.0, doubt: 0.0 };

    /// What calls with these estimates (their sum, and the sum of their squares) use together at most, almost surely.
    /// Their errors cancel out the more, the more they are; an error of the mean does not.
    pub(super) fn at_most(&self, sum: u64, squares: u128) -> u64 {
        let sum = as_float(sum);
        let deviation = (self.variance * as_float_wide(squares) + self.doubt * sum * sum).sqrt();
        as_tokens(self.mean * sum + SAFETY * deviation)
    }
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 tokens nothing is exact, and nothing needs to be")]
fn as_float(tokens: u64) -> f64 {
    tokens as f64
}

#[expect(clippy::cast_precision_loss, reason = "the square root is taken of it")]
fn as_float_wide(squares: u128) -> f64 {
    squares as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, not negative; saturates")]
fn as_tokens(tokens: f64) -> u64 {
    tokens.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taught(calls: usize, ratio: impl Fn(usize) -> f64) -> Learner {
        let mut learner = Learner::default();
        for call in 0..calls {
            learner.learn(1_000, as_tokens(1_000.0 * ratio(call)), Duration::from_secs(5));
        }
        learner
    }

    #[test]
    fn before_anything_is_known_the_estimate_holds_and_much_is_kept_free() {
        let learner = Learner::default();
        assert_eq!(learner.expected(500), 500);
        let kept = learner.forecast().at_most(500, 250_000);
        assert!((1_300..2_000).contains(&kept), "{kept}");
    }

    #[test]
    fn a_steady_factor_is_soon_known() {
        let low = taught(20, |_| 2.0);
        assert!((1_900..=2_000).contains(&low.expected(1_000)), "{}", low.expected(1_000));
        let high = taught(500, |_| 1.0 / 3.0);
        assert!((333..=336).contains(&high.expected(1_000)), "{}", high.expected(1_000));
        assert!(high.forecast().at_most(100_000, 100 * 1_000_000) < 36_000);
    }

    #[test]
    fn errors_of_many_calls_cancel_out() {
        let learner = taught(2_000, |call| if call % 2 == 0 { 0.5 } else { 1.5 });
        let forecast = learner.forecast();
        assert!(forecast.at_most(1_000, 1_000_000) > 2_900, "one alone may use far more than the mean");
        let hundred = forecast.at_most(100_000, 100 * 1_000_000);
        assert!((119_000..130_000).contains(&hundred), "{hundred}");
    }

    #[test]
    fn what_changes_is_learnt_anew() {
        let learner = taught(6_000, |call| if call < 3_000 { 1.0 } else { 2.0 });
        assert!((1_900..=2_000).contains(&learner.expected(1_000)));
    }
}
