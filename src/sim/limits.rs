//! The limits that the simulator enforces.

use std::collections::HashMap;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::error::{ApiError, go_time};
use super::model::Behaviour;
use super::settings::SimSettings;
use super::window::Window;

const MINUTE: Duration = Duration::from_mins(1);

/// All limits and what has been used of them.
///
/// A request counts when it arrives and is let in, with its real usage; a refused one uses nothing, so that the hint it
/// gets stays true.
#[derive(Debug)]
pub(super) struct Limits {
    concurrency: Option<u64>,
    requests: Option<Meter>,
    tokens: Option<Meter>,
    /// Of models with a limit of their own.
    by_model: HashMap<String, Meter>,
}

/// One request at the gate.
pub(super) struct Caller<'a> {
    pub(super) model: &'a str,
    pub(super) behaviour: Behaviour,
    pub(super) tokens: u64,
    /// Calls that were let in and are not answered yet, without this one.
    pub(super) others: u64,
}

impl Limits {
    pub(super) fn new(settings: &SimSettings) -> Self {
        let meter = |limit: Option<u64>, unit| limit.map(|limit| Meter::new(limit, unit, settings.limit_window));
        Self {
            concurrency: settings.limits.concurrency,
            requests: meter(settings.limits.rpm, Unit::Requests),
            tokens: meter(settings.limits.tpm, Unit::Tokens),
            by_model: HashMap::new(),
        }
    }

    /// Lets a request in and counts it, or refuses it and counts nothing.
    pub(super) fn admit(&mut self, caller: &Caller<'_>, now: Instant) -> Result<(), ApiError> {
        if let Some(limit) = self.concurrency.filter(|limit| caller.others >= *limit) {
            return Err(ApiError::too_many_at_once(caller.model, limit));
        }
        if let Behaviour::Limit(rpm) = caller.behaviour
            && !self.by_model.contains_key(caller.model)
        {
            self.by_model.insert(caller.model.to_owned(), Meter::new(rpm, Unit::Requests, MINUTE));
        }
        let own = self.by_model.get_mut(caller.model);
        let mut meters: Vec<&mut Meter> =
            [own, self.requests.as_mut(), self.tokens.as_mut()].into_iter().flatten().collect();
        for meter in &mut meters {
            meter.check(caller, now)?;
        }
        for meter in &mut meters {
            meter.used.push(now, meter.unit.need(caller));
        }
        Ok(())
    }

    /// Says on a reply what is left.
    pub(super) fn tell(&mut self, model: Option<&str>, headers: &mut HeaderMap, now: Instant) {
        let own = model.and_then(|model| self.by_model.get_mut(model));
        if let Some(meter) = own.or(self.requests.as_mut()) {
            meter.tell(headers, now);
        }
        if let Some(meter) = &mut self.tokens {
            meter.tell(headers, now);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    Requests,
    Tokens,
}

impl Unit {
    fn need(self, caller: &Caller<'_>) -> u64 {
        match self {
            Self::Requests => 1,
            Self::Tokens => caller.tokens,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    fn short(self) -> &'static str {
        match self {
            Self::Requests => "RPM",
            Self::Tokens => "TPM",
        }
    }

    fn headers(self) -> [HeaderName; 3] {
        let names = match self {
            Self::Requests => {
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
            }
            Self::Tokens => ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
        };
        names.map(HeaderName::from_static)
    }
}

/// One limit.
#[derive(Debug)]
struct Meter {
    unit: Unit,
    per_minute: u64,
    /// What the window holds at most.
    limit: u64,
    used: Window,
}

impl Meter {
    fn new(per_minute: u64, unit: Unit, window: Duration) -> Self {
        let share = u128::from(per_minute) * window.as_nanos() / MINUTE.as_nanos();
        let limit = u64::try_from(share).unwrap_or(u64::MAX).max(1);
        Self { unit, per_minute, limit, used: Window::new(window) }
    }

    fn check(&mut self, caller: &Caller<'_>, now: Instant) -> Result<(), ApiError> {
        self.used.roll(now);
        let need = self.unit.need(caller);
        if need > self.limit {
            return Err(ApiError::too_large_for_limit(caller.model, self.limit, need));
        }
        let used = self.used.sum();
        if used + need <= self.limit {
            return Ok(());
        }
        let (unit, short) = (self.unit.name(), self.unit.short());
        let what = format!(
            "Rate limit reached for {} in organization org-sim on {unit} per min ({short}): Limit {}, Used {used}, \
             Requested {need}",
            caller.model, self.limit
        );
        Err(ApiError::rate_limit(unit, &what, self.used.until_at_most(self.limit - need, now)))
    }

    fn tell(&mut self, headers: &mut HeaderMap, now: Instant) {
        self.used.roll(now);
        let [limit, remaining, reset] = self.unit.headers();
        headers.insert(limit, self.per_minute.into());
        headers.insert(remaining, self.limit.saturating_sub(self.used.sum()).into());
        if let Ok(time) = HeaderValue::try_from(go_time(self.used.until_empty(now))) {
            headers.insert(reset, time);
        }
    }
}
