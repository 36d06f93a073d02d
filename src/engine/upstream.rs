//! A model as the engine sees it: the ways to it, its limits, its price and its health.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::blame::Hopes;
use super::estimate::{self, Room};
use super::prepare::Request;
use super::reading::Reading;
use crate::job::{Job, Model};
use crate::limit::{ModelGate, Need};
use crate::provider::{ModelRequest, Provider};
use crate::types::{Billing, Endpoint, Failure, FailureKind, Latency, Money, Price, PriceSource, Usage};

/// How long a provider that never answered may be down.
const PATIENCE_WITH_STRANGERS: Duration = Duration::from_mins(1);

/// Of fewer answers no call is known to take too long.
const ENOUGH_ANSWERS: u64 = 100;
/// A call is far too long out where it takes so many times as long as 99 of 100 answers, and at least so much longer.
const OVERDUE_TIMES: u32 = 2;
const OVERDUE_BEYOND: Duration = Duration::from_secs(1);

/// What is known of a provider's or a model's answers in this invocation.
#[derive(Default)]
pub(super) struct Health {
    /// It gave a good answer.
    answered: AtomicBool,
    /// Fatal answers in a row.
    fatal: AtomicU32,
}

impl Health {
    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    fn good(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.fatal.store(0, Ordering::Relaxed);
    }
}

/// One way to a model: a replica of its provider, with one of its keys.
pub(super) struct Member {
    pub provider: Arc<dyn Provider>,
    /// Its address and the name of its key's variable.
    name: String,
    health: Health,
    /// When the last call that it answered well was sent.
    answered_one_of: Mutex<Option<Instant>>,
    /// Shared by the models of a provider: a wrong key is wrong for all.
    provider_health: Arc<Health>,
    removed: OnceLock<Failure>,
}

impl Member {
    pub fn new(provider: Arc<dyn Provider>, name: String, provider_health: Arc<Health>) -> Self {
        Self {
            provider,
            name,
            health: Health::default(),
            answered_one_of: Mutex::default(),
            provider_health,
            removed: OnceLock::new(),
        }
    }

    fn health_for(&self, kind: FailureKind) -> &Health {
        if is_providers_matter(kind) { &self.provider_health } else { &self.health }
    }
}

/// One model of the job.
pub(super) struct Upstream {
    pub provider_index: usize,
    pub provider_name: Arc<str>,
    pub wire: Arc<str>,
    pub endpoint: Endpoint,
    /// In the order of the gate's members.
    pub members: Vec<Member>,
    pub gate: Arc<ModelGate>,
    pub price: Option<Price>,
    /// What a reply tells of its cost counts before the price, unless the job gives that.
    believes_replies: bool,
    room: Room,
    /// Output tokens at most, where the params do not say it.
    pub max_output: Option<u64>,
    /// The same, where it is nothing but a bound: no limit counts it.
    output_bound: Option<u64>,
    /// How long a row's calls and backoffs may take.
    pub row_timeout: Duration,
    removed: OnceLock<Failure>,
    given_up: OnceLock<Duration>,
    /// What the server said last that it is down for.
    last_fault: Mutex<Option<Failure>>,
    /// Where it is a server of one's own: whether it reads all of what it is sent.
    pub reading: Option<Reading>,
    /// Rows that may yet show that it is well.
    pub hopes: Hopes,
    /// It has answered a row that another model of its provider had failed for good.
    takes_failed: AtomicBool,
    /// How long calls took, where somebody asks.
    latency: Option<Mutex<Latency>>,
}

/// What makes an [`Upstream`].
pub(super) struct UpstreamParts {
    pub provider_index: usize,
    pub provider_name: Arc<str>,
    pub members: Vec<Member>,
    pub gate: Arc<ModelGate>,
    pub row_timeout: Duration,
    /// Calls that take far too long get a second one beside them.
    pub hedge: bool,
}

impl Upstream {
    pub fn new(job: &Job, model: &Model, parts: UpstreamParts) -> Self {
        Self {
            provider_index: parts.provider_index,
            provider_name: parts.provider_name,
            wire: model.wire.as_str().into(),
            endpoint: model.endpoint,
            members: parts.members,
            gate: parts.gate,
            price: model.price.clone(),
            believes_replies: model.price_source == PriceSource::Provider,
            room: Room::of(job, model),
            max_output: model.max_output,
            output_bound: model.output_bound(),
            row_timeout: parts.row_timeout,
            removed: OnceLock::new(),
            given_up: OnceLock::new(),
            last_fault: Mutex::default(),
            reading: job.providers[model.provider].free.then(Reading::default),
            hopes: Hopes::default(),
            takes_failed: AtomicBool::default(),
            latency: parts.hedge.then(Mutex::default),
        }
    }

    /// Why it is out of this run, once it is.
    pub fn removed(&self) -> Option<&Failure> {
        self.removed.get()
    }

    /// Why it could not be used to the end, once that is so: in words, for the summary.
    pub fn gone(&self) -> Option<String> {
        let (name, wire) = (&self.provider_name, &self.wire);
        if let Some(why) = self.removed() {
            return Some(format!("{name}/{wire}: {}: {}", why.kind, why.message));
        }
        let down = self.given_up.get()?;
        let said = self.last_fault().map_or_else(String::new, |fault| format!(": {}: {}", fault.kind, fault.message));
        Some(format!("{name}/{wire}: down for {down:?}{said}"))
    }

    /// Which of its addresses and keys it went on without, and why: in words, for the summary.
    pub fn left_out(&self) -> impl Iterator<Item = String> {
        let members = self.members.iter().filter(|_| self.removed().is_none());
        let failed = members.filter_map(|member| Some((&member.name, member.removed.get()?)));
        failed.map(|(member, why)| {
            format!("{}/{}: {member}: {}: {}", self.provider_name, self.wire, why.kind, why.message)
        })
    }

    /// A route ends for it, as it has been down for so long.
    pub fn give_up(&self) {
        if let Some(since) = self.gate.down_since() {
            // The first time is the one that ended a route.
            let _ = self.given_up.set(Duration::from_secs(since.elapsed().as_secs()));
        }
    }

    /// Takes one of its members out of this run, and the model with the last of them.
    pub fn remove(&self, member: usize, why: &Failure) {
        // The first reason is the one to tell.
        let _ = self.members[member].removed.set(why.clone());
        self.gate.close_member(member);
        if self.members.iter().all(|member| member.removed.get().is_some()) {
            let _ = self.removed.set(why.clone());
            self.gate.close();
        }
    }

    /// A good answer came from this member, after so long.
    pub fn answered(&self, member: usize, after: Duration) {
        self.took_at_least(after);
        let member = &self.members[member];
        member.health.good();
        member.provider_health.good();
        let mut youngest = member.answered_one_of.lock().unwrap_or_else(PoisonError::into_inner);
        *youngest = (*youngest).max(Instant::now().checked_sub(after));
    }

    /// It has answered a row that another model of its provider had failed for good: what rows meet there says nothing of
    /// what they meet here.
    pub fn note_takes_failed(&self) {
        self.takes_failed.store(true, Ordering::Relaxed);
    }

    /// Whether it is known to do what another model of its provider fails to do.
    pub fn takes_failed(&self) -> bool {
        self.takes_failed.load(Ordering::Relaxed)
    }

    /// Whether the member has answered a call well that was sent after this moment.
    pub fn answered_since(&self, member: usize, sent_at: Instant) -> bool {
        let youngest = self.members[member].answered_one_of.lock().unwrap_or_else(PoisonError::into_inner);
        youngest.is_some_and(|youngest| youngest > sent_at)
    }

    /// A call took so long, or was given up by then: one that was cut is not forgotten, or a model that has become slow
    /// would be taken to be as fast as ever.
    pub fn took_at_least(&self, time: Duration) {
        if let Some(latency) = &self.latency {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            latency.lock().unwrap_or_else(PoisonError::into_inner).add(millis);
        }
    }

    /// How long a call may take before it is far too long out; `None` where that is not known.
    pub fn overdue_after(&self) -> Option<Duration> {
        let latency = self.latency.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = latency.percentile(99).filter(|_| latency.count() >= ENOUGH_ANSWERS)?;
        let usual = Duration::from_millis(usual);
        Some((usual * OVERDUE_TIMES).max(usual + OVERDUE_BEYOND))
    }

    /// Whether the member ever gave a good answer in this invocation; for what is the provider's matter, whether it did
    /// for any model.
    pub fn answered_before(&self, member: usize, kind: FailureKind) -> bool {
        self.members[member].health_for(kind).has_answered()
    }

    /// Whether any of its members ever gave a good answer in this invocation.
    pub fn has_answered(&self) -> bool {
        self.members.iter().any(|member| member.health.has_answered())
    }

    /// Counts a failure; how many fatal ones came in a row.
    pub fn count_failure(&self, member: usize, kind: FailureKind) -> u32 {
        let health = self.members[member].health_for(kind);
        if is_fatal(kind) { health.fatal.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 }
    }

    /// Keeps what a server that may be down said.
    pub fn note_fault(&self, failure: &Failure) {
        *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.clone());
    }

    /// What it said last when it was found to be down.
    pub fn last_fault(&self) -> Option<Failure> {
        self.last_fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When it has been down for too long, of the time that it was asked in; `None` while it is not down. One that never
    /// answered is given less time: it is a wrong address more often than an outage.
    pub fn gives_up_at(&self, on_outage: Duration, asked_since: Instant) -> Option<Instant> {
        let refuses = |fault: &Failure| fault.kind == FailureKind::RateLimited;
        // Who refuses for the rate is there.
        let there = self.last_fault().as_ref().is_some_and(refuses);
        let known = there || self.members.iter().any(|member| member.provider_health.has_answered());
        let patience = if known { on_outage } else { on_outage.min(PATIENCE_WITH_STRANGERS) };
        Some(self.gate.down_since()?.max(asked_since) + patience)
    }

    /// The tokens to reserve for a request: its text at four bytes a token, and the output that it asks for.
    pub fn need(&self, request: &ModelRequest) -> Need {
        let output = output_cap(request, self.max_output);
        Need { input: estimate::input_tokens(&request.payload), output: output.unwrap_or(0) }
    }

    /// Whether a request is surely longer than the model's context; `params`: the task's on this model.
    pub fn is_too_long(&self, request: &Request, params: &Map<String, Value>) -> bool {
        self.room.is_too_small_for(request, self.endpoint, params)
    }

    /// Its context, as an error tells it.
    pub fn context_in_words(&self, request: &Request, params: &Map<String, Value>) -> String {
        self.room.in_words(request, self.endpoint, params)
    }

    /// The most that a call can cost; `None` where no price or no output cap is known.
    pub fn worst_cost(&self, request: &ModelRequest) -> Option<Money> {
        let price = self.price.as_ref()?;
        if price.is_free() {
            return Some(Money::ZERO);
        }
        let input_tokens = estimate::input_tokens_at_most(&request.payload) + estimate::params_bytes(&request.params);
        let output_tokens = output_cap(request, self.output_bound)?;
        price.at_most(input_tokens, output_tokens)
    }

    /// What a call cost that ended at this time, with this usage and what its reply tells of the bill; `None` where that is
    /// not known.
    pub fn cost(&self, usage: Option<&Usage>, billing: &Billing, at_ms: u64) -> Option<Money> {
        if let Some(told) = billing.cost.filter(|_| self.believes_replies) {
            return Some(told);
        }
        let price = self.price.as_ref()?;
        if price.is_free() { Some(Money::ZERO) } else { price.bill(usage?, billing, at_ms) }
    }
}

fn output_cap(request: &ModelRequest, otherwise: Option<u64>) -> Option<u64> {
    estimate::output_cap(request.endpoint, request.as_written, &|name| request.params.get(name), otherwise)
}

/// Whether a failure is the provider's, so that all its models leave with it.
pub(super) fn is_providers_matter(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Auth | FailureKind::QuotaExhausted)
}

fn is_fatal(kind: FailureKind) -> bool {
    use FailureKind as K;
    matches!(kind, K::Auth | K::Permission | K::QuotaExhausted | K::DailyQuota | K::ModelNotFound)
}
