//! The limits that the simulator enforces.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use tokio::time::Instant;

use super::error::ApiError;
use super::model::Behaviour;
use super::settings::{SimLimits, SimSettings};
use super::tell::{HeaderStyle, Told};
use super::window::{Used, WindowKind};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// What a request counts against token limits when it is let in; nothing is given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// What it will have used; nothing if it fails.
    #[default]
    Used,
    /// Its prompt and the most that its answer may have; without a `max_tokens`, what it will have used.
    MaxTokens,
}

/// All limits and what has been used of them.
///
/// A request counts when it arrives and is let in; a refused one uses nothing, so that the hint it gets stays true.
#[derive(Debug)]
pub(super) struct Limits {
    started: Instant,
    window: Duration,
    kind: WindowKind,
    headers: HeaderStyle,
    concurrency: Option<u64>,
    /// Of all models together, in order of their units.
    meters: Vec<Meter>,
    /// Of models with a limit of their own.
    by_model: HashMap<String, Meter>,
    /// Changes to come: when, and to what.
    changes: std::vec::IntoIter<(Duration, SimLimits)>,
}

/// One request at the gate.
pub(super) struct Caller<'a> {
    pub(super) model: &'a str,
    pub(super) behaviour: Behaviour,
    pub(super) tokens: Tokens,
    /// Calls that were let in and are not answered yet, without this one.
    pub(super) others: u64,
}

/// What a request counts against token limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
}

impl Tokens {
    pub(super) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl Limits {
    pub(super) fn new(settings: &SimSettings, started: Instant) -> Self {
        let changes: Vec<_> = settings.changes.iter().map(|change| (change.at, change.limits)).collect();
        let mut limits = Self {
            started,
            window: settings.limit_window,
            kind: settings.window_kind,
            headers: settings.headers,
            concurrency: None,
            meters: Vec::new(),
            by_model: HashMap::new(),
            changes: changes.into_iter(),
        };
        limits.set(settings.limits);
        limits
    }

    /// Sets the limits that are given, and leaves the others.
    fn set(&mut self, limits: SimLimits) {
        let SimLimits { rpm, rpd, tpm, input_tpm, output_tpm, concurrency } = limits;
        self.concurrency = concurrency.or(self.concurrency);
        let given = [
            (Unit::Requests, rpm),
            (Unit::DayRequests, rpd),
            (Unit::Tokens, tpm),
            (Unit::InputTokens, input_tpm),
            (Unit::OutputTokens, output_tpm),
        ];
        for (unit, limit) in given {
            let Some(limit) = limit else { continue };
            match self.meters.binary_search_by_key(&unit, |meter| meter.unit) {
                Ok(known) => self.meters[known].set(limit),
                Err(place) => self.meters.insert(place, self.meter(unit, limit, self.window)),
            }
        }
    }

    fn meter(&self, unit: Unit, limit: u64, window: Duration) -> Meter {
        let span = if unit == Unit::DayRequests { DAY } else { window };
        let used = Used::new(self.kind, span, self.started);
        let mut meter = Meter { unit, span, told: limit, limit, used };
        meter.set(limit);
        meter
    }

    /// Makes the changes whose time has come.
    fn follow(&mut self, now: Instant) {
        while let Some((at, _)) = self.changes.as_slice().first()
            && self.started + *at <= now
            && let Some((_, limits)) = self.changes.next()
        {
            self.set(limits);
        }
    }

    /// Lets a request in and counts it, or refuses it and counts nothing.
    pub(super) fn admit(&mut self, caller: &Caller<'_>, now: Instant) -> Result<(), ApiError> {
        self.follow(now);
        if let Some(limit) = self.concurrency.filter(|limit| caller.others >= *limit) {
            return Err(ApiError::too_many_at_once(caller.model, limit));
        }
        if let Behaviour::Limit(rpm) = caller.behaviour
            && !self.by_model.contains_key(caller.model)
        {
            let meter = self.meter(Unit::Requests, rpm, MINUTE);
            self.by_model.insert(caller.model.to_owned(), meter);
        }
        let mut own = self.by_model.get_mut(caller.model);
        for meter in own.iter_mut().map(|own| &mut **own).chain(&mut self.meters) {
            meter.check(caller, now)?;
        }
        for meter in own.into_iter().chain(&mut self.meters) {
            meter.used.push(now, meter.unit.need(caller));
        }
        Ok(())
    }

    /// Tells what is left. A model's own limit is told in place of the common one.
    pub(super) fn tell(&mut self, model: Option<&str>, headers: &mut HeaderMap, now: Instant) {
        self.follow(now);
        let style = self.headers;
        let own = model.and_then(|model| self.by_model.get_mut(model));
        // The common one comes first, so that the own one takes its place.
        for meter in self.meters.iter_mut().chain(own) {
            style.tell(&meter.read(now), headers);
        }
    }
}

/// What a limit counts, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unit {
    Requests,
    DayRequests,
    Tokens,
    InputTokens,
    OutputTokens,
}

impl Unit {
    fn need(self, caller: &Caller<'_>) -> u64 {
        match self {
            Self::Requests | Self::DayRequests => 1,
            Self::Tokens => caller.tokens.total(),
            Self::InputTokens => caller.tokens.input,
            Self::OutputTokens => caller.tokens.output,
        }
    }

    /// What an error is about.
    fn kind(self) -> &'static str {
        match self {
            Self::Requests | Self::DayRequests => "requests",
            Self::Tokens | Self::InputTokens | Self::OutputTokens => "tokens",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests per min (RPM)",
            Self::DayRequests => "requests per day (RPD)",
            Self::Tokens => "tokens per min (TPM)",
            Self::InputTokens => "input tokens per min (ITPM)",
            Self::OutputTokens => "output tokens per min (OTPM)",
        }
    }

    /// The time for which its limit is written.
    fn per(self) -> Duration {
        match self {
            Self::Requests | Self::Tokens | Self::InputTokens | Self::OutputTokens => MINUTE,
            Self::DayRequests => DAY,
        }
    }
}

/// One limit.
#[derive(Debug)]
struct Meter {
    unit: Unit,
    span: Duration,
    /// As written: for a minute or a day.
    told: u64,
    /// What the window holds at most.
    limit: u64,
    used: Used,
}

impl Meter {
    fn set(&mut self, limit: u64) {
        let share = u128::from(limit) * self.span.as_nanos() / self.unit.per().as_nanos();
        self.told = limit;
        self.limit = u64::try_from(share).unwrap_or(u64::MAX).max(1);
    }

    fn check(&mut self, caller: &Caller<'_>, now: Instant) -> Result<(), ApiError> {
        let (need, name) = (self.unit.need(caller), self.unit.name());
        if need > self.limit {
            return Err(ApiError::too_large_for_limit(caller.model, name, self.limit, need));
        }
        let used = self.used.sum(now);
        if used + need <= self.limit {
            return Ok(());
        }
        let what = format!(
            "Rate limit reached for {} in organization org-sim on {name}: Limit {}, Used {used}, Requested {need}",
            caller.model, self.limit
        );
        Err(ApiError::rate_limit(self.unit.kind(), &what, self.used.until_at_most(self.limit - need, now)))
    }

    fn read(&mut self, now: Instant) -> Told {
        let remaining = self.limit.saturating_sub(self.used.sum(now));
        Told { unit: self.unit, limit: self.told, remaining, reset: self.used.until_empty(now) }
    }
}
