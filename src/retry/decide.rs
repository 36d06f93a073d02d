//! The rules.

use std::time::Duration;

use super::{OnInvalid, RetrySettings};
use crate::types::FailureKind;

/// A model that does not answer in time is tried this often: each try costs the whole time again.
const TIMEOUT_TRIES: u32 = 3;

/// Fatal answers in a row that take a model out of the run which has answered before: one alone may be a hiccup of the
/// provider's.
const CONFIRMATIONS: u32 = 3;

/// A provider without capacity that does not say when to come back needs more than the usual pause.
const OVERLOADED_FLOOR: Duration = Duration::from_secs(5);

/// What happened before, as far as it matters for what comes next.
#[expect(clippy::struct_excessive_bools, reason = "facts that hold or not, each for itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The row's attempts on this model that count, this one included.
    pub attempts_on_model: u32,
    /// How many of them had no answer in time, this one included.
    pub timeouts_on_model: u32,
    /// Whether the target answered any row in this run.
    pub answered_before: bool,
    /// The target's fatal answers in a row, over all rows, this one included.
    pub confirmations: u32,
    /// What the provider itself said about trying again (`x-should-retry`).
    pub retryable: Option<bool>,
    /// The provider said when to come back: its line is closed until then, for all rows.
    pub told_wait: bool,
    /// The request can be put in a way that the provider did not refuse.
    pub other_way: bool,
    /// What the task wants done about an answer that breaks its rules.
    pub on_invalid: OnInvalid,
    /// The model can be told what is wrong with its answer, and has not been told as often as it may be.
    pub may_reask: bool,
    /// The answer was cut off at the output limit: the next one would be too.
    pub truncated: bool,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Back in line for the same model; the attempt does not count.
    Requeue,
    /// The same model again, told what is wrong with its answer; the attempt does not count.
    Reask,
    /// The same model again after this pause; the attempt counts.
    RetryAfter(Duration),
    /// The next model of the route; where there is none, the row fails.
    Fallback,
    /// The row fails.
    GiveUp,
    /// The model leaves the run, for all rows; this one goes on along its route.
    RemoveTarget,
}

/// Decides what follows from a failed attempt. `jitter` gives numbers from 0 to 1.
pub fn decide(
    kind: FailureKind,
    history: &History,
    settings: &RetrySettings,
    jitter: &mut impl FnMut() -> f64,
) -> Next {
    let mut retry = |floor| retry_or_fall_back(history, settings, floor, jitter);
    match kind {
        FailureKind::RateLimited => Next::Requeue,
        FailureKind::ServerError | FailureKind::Connection | FailureKind::MalformedReply | FailureKind::Empty => {
            if history.retryable == Some(false) {
                Next::Fallback
            } else {
                retry(Duration::ZERO)
            }
        }
        FailureKind::Overloaded => {
            if history.retryable == Some(false) {
                Next::Fallback
            } else {
                retry(if history.told_wait { Duration::ZERO } else { OVERLOADED_FLOOR })
            }
        }
        FailureKind::Timeout => {
            let enough = history.timeouts_on_model >= TIMEOUT_TRIES || history.retryable == Some(false);
            if enough { Next::Fallback } else { retry(Duration::ZERO) }
        }
        FailureKind::ContextLength | FailureKind::TooLarge | FailureKind::ContentFilter | FailureKind::Refusal => {
            Next::Fallback
        }
        FailureKind::InvalidAnswer => after_invalid(history, settings),
        FailureKind::InvalidRequest if history.other_way => Next::Requeue,
        FailureKind::InvalidRequest => {
            let again = history.retryable == Some(true) && history.attempts_on_model < settings.max_attempts;
            if again { retry(Duration::ZERO) } else { Next::GiveUp }
        }
        FailureKind::Auth
        | FailureKind::Permission
        | FailureKind::QuotaExhausted
        | FailureKind::DailyQuota
        | FailureKind::ModelNotFound => {
            // Until it is confirmed the attempt counts: one row that is refused while all others are answered would
            // otherwise go round for ever.
            let certain = !history.answered_before || history.confirmations >= CONFIRMATIONS;
            if certain { Next::RemoveTarget } else { retry(Duration::ZERO) }
        }
        FailureKind::BadRow | FailureKind::Template | FailureKind::NoRoute | FailureKind::RowTimeout => Next::GiveUp,
    }
}

/// The server is well, so that nothing is gained by a pause.
fn after_invalid(history: &History, settings: &RetrySettings) -> Next {
    match history.on_invalid {
        OnInvalid::Reask if history.may_reask && !history.truncated => Next::Reask,
        OnInvalid::Retry if !history.truncated && history.attempts_on_model < settings.max_attempts => {
            Next::RetryAfter(Duration::ZERO)
        }
        OnInvalid::Reask | OnInvalid::Retry | OnInvalid::Fallback => Next::Fallback,
        OnInvalid::Fail => Next::GiveUp,
    }
}

/// Whether a failure of an earlier run is tried again by default: its cause may be gone by now, with the row and the job
/// as they are.
#[must_use]
pub fn is_transient(kind: FailureKind) -> bool {
    match kind {
        FailureKind::RateLimited
        | FailureKind::Overloaded
        | FailureKind::ServerError
        | FailureKind::Timeout
        | FailureKind::Connection
        | FailureKind::MalformedReply
        | FailureKind::Empty
        | FailureKind::RowTimeout
        | FailureKind::Auth
        | FailureKind::Permission
        | FailureKind::QuotaExhausted
        | FailureKind::DailyQuota
        | FailureKind::ModelNotFound => true,
        FailureKind::BadRow
        | FailureKind::Template
        | FailureKind::NoRoute
        | FailureKind::ContextLength
        | FailureKind::TooLarge
        | FailureKind::ContentFilter
        | FailureKind::Refusal
        | FailureKind::InvalidRequest
        | FailureKind::InvalidAnswer => false,
    }
}

fn retry_or_fall_back(
    history: &History,
    settings: &RetrySettings,
    floor: Duration,
    jitter: &mut impl FnMut() -> f64,
) -> Next {
    if history.attempts_on_model >= settings.max_attempts {
        return Next::Fallback;
    }
    Next::RetryAfter(pause(history.attempts_on_model, settings, floor, jitter()))
}

/// Full jitter between the floor and the doubling ceiling: rows that failed together do not come back together.
fn pause(attempts: u32, settings: &RetrySettings, floor: Duration, jitter: f64) -> Duration {
    // Half the longest pause at most, so that there is room to jitter in whatever the settings are.
    let floor = floor.min(settings.backoff_max / 2);
    let doublings = attempts.saturating_sub(1).min(31);
    let ceiling = settings.backoff_base.saturating_mul(1 << doublings).max(floor * 2).min(settings.backoff_max);
    floor + ceiling.saturating_sub(floor).mul_f64(jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: History = History {
        attempts_on_model: 1,
        timeouts_on_model: 1,
        answered_before: true,
        confirmations: 1,
        retryable: None,
        told_wait: false,
        other_way: false,
        on_invalid: OnInvalid::Fallback,
        may_reask: true,
        truncated: false,
    };

    fn next(kind: FailureKind, history: History) -> Next {
        decide(kind, &history, &RetrySettings::default(), &mut || 1.0)
    }

    fn again(millis: u64) -> Next {
        Next::RetryAfter(Duration::from_millis(millis))
    }

    /// What each kind leads to at the first attempt, at the last one, and on a target that never answered; and whether
    /// it is tried again in a later run.
    fn expected(kind: FailureKind) -> (Next, Next, Next, bool) {
        let all = |next, transient| (next, next, next, transient);
        match kind {
            FailureKind::RateLimited => all(Next::Requeue, true),
            FailureKind::Overloaded => (again(10_000), Next::Fallback, again(10_000), true),
            FailureKind::ServerError
            | FailureKind::Timeout
            | FailureKind::Connection
            | FailureKind::MalformedReply
            | FailureKind::Empty => (again(500), Next::Fallback, again(500), true),
            FailureKind::ContextLength
            | FailureKind::TooLarge
            | FailureKind::ContentFilter
            | FailureKind::Refusal
            | FailureKind::InvalidAnswer => all(Next::Fallback, false),
            FailureKind::InvalidRequest | FailureKind::BadRow | FailureKind::Template | FailureKind::NoRoute => {
                all(Next::GiveUp, false)
            }
            FailureKind::RowTimeout => all(Next::GiveUp, true),
            FailureKind::Auth
            | FailureKind::Permission
            | FailureKind::QuotaExhausted
            | FailureKind::DailyQuota
            | FailureKind::ModelNotFound => (again(500), Next::Fallback, Next::RemoveTarget, true),
        }
    }

    #[test]
    fn each_kind_has_its_own_answer() {
        for kind in FailureKind::ALL {
            let (first, last, unknown, transient) = expected(kind);
            assert_eq!(next(kind, FIRST), first, "{kind} at first");
            assert_eq!(next(kind, History { attempts_on_model: 5, ..FIRST }), last, "{kind} at last");
            assert_eq!(next(kind, History { answered_before: false, ..FIRST }), unknown, "{kind} before any answer");
            assert_eq!(is_transient(kind), transient, "{kind}");
        }
    }

    #[test]
    fn three_fatal_answers_in_a_row_remove_a_model_that_answered_before() {
        for kind in [FailureKind::Auth, FailureKind::QuotaExhausted, FailureKind::DailyQuota] {
            assert_eq!(next(kind, History { confirmations: 2, ..FIRST }), again(500));
            assert_eq!(next(kind, History { confirmations: 3, ..FIRST }), Next::RemoveTarget);
        }
    }

    #[test]
    fn a_timeout_is_tried_twice_more() {
        let tries = |timeouts| History { timeouts_on_model: timeouts, attempts_on_model: timeouts, ..FIRST };
        assert_eq!(next(FailureKind::Timeout, tries(2)), again(1_000));
        assert_eq!(next(FailureKind::Timeout, tries(3)), Next::Fallback);
    }

    #[test]
    fn the_providers_own_word_on_retrying_counts() {
        let no = History { retryable: Some(false), ..FIRST };
        let yes = History { retryable: Some(true), ..FIRST };
        assert_eq!(next(FailureKind::ServerError, no), Next::Fallback);
        assert_eq!(next(FailureKind::Overloaded, no), Next::Fallback);
        assert_eq!(next(FailureKind::Timeout, no), Next::Fallback);
        assert_eq!(next(FailureKind::InvalidRequest, yes), again(500));
        assert_eq!(next(FailureKind::InvalidRequest, History { attempts_on_model: 5, ..yes }), Next::GiveUp);
        assert_eq!(next(FailureKind::RateLimited, no), Next::Requeue);
    }

    #[test]
    fn a_wait_that_is_told_stands_in_for_the_one_that_a_lack_of_capacity_needs() {
        assert_eq!(next(FailureKind::Overloaded, FIRST), again(10_000));
        let told = History { told_wait: true, ..FIRST };
        assert_eq!(next(FailureKind::Overloaded, told), again(500));
        assert_eq!(next(FailureKind::Overloaded, History { attempts_on_model: 5, ..told }), Next::Fallback);
    }

    #[test]
    fn what_a_provider_does_not_take_is_put_otherwise_where_it_can_be() {
        let other = History { other_way: true, attempts_on_model: 9, ..FIRST };
        assert_eq!(next(FailureKind::InvalidRequest, other), Next::Requeue);
        assert_eq!(next(FailureKind::InvalidRequest, FIRST), Next::GiveUp);
    }

    #[test]
    fn an_answer_that_breaks_the_rules_leads_where_the_task_says() {
        let next_of = |history| next(FailureKind::InvalidAnswer, history);
        let of = |on_invalid| History { on_invalid, ..FIRST };
        let (reask, retry) = (of(OnInvalid::Reask), of(OnInvalid::Retry));
        assert_eq!(next_of(reask), Next::Reask);
        assert_eq!(next_of(History { attempts_on_model: 9, ..reask }), Next::Reask, "it has a count of its own");
        assert_eq!(next_of(History { may_reask: false, ..reask }), Next::Fallback);
        assert_eq!(next_of(retry), Next::RetryAfter(Duration::ZERO));
        assert_eq!(next_of(History { attempts_on_model: 5, ..retry }), Next::Fallback);
        for cut in [reask, retry] {
            assert_eq!(next_of(History { truncated: true, ..cut }), Next::Fallback, "it would be cut off again");
        }
        assert_eq!(next_of(of(OnInvalid::Fallback)), Next::Fallback);
        assert_eq!(next_of(of(OnInvalid::Fail)), Next::GiveUp);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = (1..=9).map(|n| pause(n, &RetrySettings::default(), Duration::ZERO, 1.0).as_millis());
        assert_eq!(pauses.collect::<Vec<_>>(), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(pause(u32::MAX, &RetrySettings::default(), Duration::ZERO, 0.0), Duration::ZERO);
    }

    fn settings() -> impl Strategy<Value = RetrySettings> {
        (1..10_u32, 0..5_000_u64, 0..100_000_u64).prop_map(|(max_attempts, base, max)| RetrySettings {
            max_attempts,
            backoff_base: Duration::from_millis(base),
            backoff_max: Duration::from_millis(max),
        })
    }

    proptest! {
        #[test]
        fn never_more_attempts_than_allowed_nor_longer_pauses(
            code in 0..22_u8, settings in settings(), beyond in 0..3_u32, before in 1..10_u32, timeouts in 0..5_u32,
            answered in any::<bool>(), confirmations in 0..5_u32, retryable in any::<Option<bool>>(), luck in 0.0..=1.0,
            invalid in 0..4_usize,
        ) {
            let kind = FailureKind::from_code(code).unwrap();
            let on_invalid = [OnInvalid::Reask, OnInvalid::Retry, OnInvalid::Fallback, OnInvalid::Fail][invalid];
            let history = |attempts| History {
                attempts_on_model: attempts, timeouts_on_model: timeouts, answered_before: answered, confirmations, retryable,
                on_invalid, ..FIRST
            };
            let last = decide(kind, &history(settings.max_attempts + beyond), &settings, &mut || luck);
            prop_assert!(!matches!(last, Next::RetryAfter(_)), "{kind} goes on: {last:?}");
            if let Next::RetryAfter(pause) = decide(kind, &history(before), &settings, &mut || luck) {
                prop_assert!(before < settings.max_attempts);
                prop_assert!(pause <= settings.backoff_max);
            }
        }
    }
}
