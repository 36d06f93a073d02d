//! A model as the engine sees it: its provider, its limits, its price and its health.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use super::estimate;
use crate::limit::ModelGate;
use crate::provider::Provider;
use crate::types::{Failure, FailureKind, Money, Price, Usage};

/// What is known of a provider's or a model's answers in this invocation.
#[derive(Default)]
pub(super) struct Health {
    /// It gave a good answer.
    answered: AtomicBool,
    /// Fatal answers in a row.
    fatal: AtomicU32,
}

impl Health {
    fn good(&self) {
        self.answered.store(true, Ordering::Relaxed);
        self.fatal.store(0, Ordering::Relaxed);
    }
}

/// One model of the job.
pub(super) struct Upstream {
    pub provider_index: usize,
    pub provider_name: Arc<str>,
    pub wire: Arc<str>,
    pub provider: Arc<dyn Provider>,
    pub gate: Arc<ModelGate>,
    pub price: Option<Price>,
    /// Tokens that a request and its answer may have at most.
    pub context: Option<u64>,
    /// Output tokens at most, where the params do not say it.
    pub max_output: Option<u64>,
    /// How long a row's calls and backoffs may take.
    pub row_timeout: std::time::Duration,
    pub health: Health,
    /// Shared by the models of a provider: a wrong key is wrong for all.
    pub provider_health: Arc<Health>,
    removed: OnceLock<Failure>,
}

/// What makes an [`Upstream`].
pub(super) struct UpstreamParts {
    pub provider_index: usize,
    pub provider_name: Arc<str>,
    pub provider: Arc<dyn Provider>,
    pub provider_health: Arc<Health>,
    pub gate: Arc<ModelGate>,
    pub row_timeout: std::time::Duration,
}

impl Upstream {
    pub fn new(model: &crate::job::Model, parts: UpstreamParts) -> Self {
        Self {
            provider_index: parts.provider_index,
            provider_name: parts.provider_name,
            wire: model.wire.as_str().into(),
            provider: parts.provider,
            gate: parts.gate,
            price: model.price,
            context: model.context,
            max_output: model.max_output,
            row_timeout: parts.row_timeout,
            health: Health::default(),
            provider_health: parts.provider_health,
            removed: OnceLock::new(),
        }
    }

    /// Why it is out of this run, once it is.
    pub fn removed(&self) -> Option<&Failure> {
        self.removed.get()
    }

    /// Takes it out of this run.
    pub fn remove(&self, why: &Failure) {
        // The first reason is the one to tell.
        let _ = self.removed.set(why.clone());
        self.gate.close();
    }

    /// A good answer came.
    pub fn answered(&self) {
        self.gate.answered();
        self.health.good();
        self.provider_health.good();
    }

    /// Whether it ever gave a good answer in this invocation; for what is the provider's matter, whether any of its models did.
    pub fn answered_before(&self, kind: FailureKind) -> bool {
        self.health_for(kind).answered.load(Ordering::Relaxed)
    }

    /// Counts a failure; how many fatal ones came in a row.
    pub fn count_failure(&self, kind: FailureKind) -> u32 {
        let health = self.health_for(kind);
        if is_fatal(kind) { health.fatal.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 }
    }

    /// The tokens to reserve for a request: its text at four bytes a token, and the output that it asks for.
    pub fn tokens_to_reserve(&self, messages: &str, params: &Map<String, Value>) -> u64 {
        estimate::input_tokens(messages) + self.output_cap(params).unwrap_or(0)
    }

    /// Whether a request is surely longer than the model's context.
    pub fn is_too_long(&self, messages: &str) -> bool {
        estimate::is_too_long(messages, self.context)
    }

    /// The most that a call can cost; `None` where no price or no output cap is known.
    pub fn worst_cost(&self, messages: &str, params: &Map<String, Value>) -> Option<Money> {
        let price = self.price?;
        if price == Price::FREE {
            return Some(Money::ZERO);
        }
        // No tokenizer makes more tokens than bytes.
        let input_tokens = messages.len() as u64;
        let output_tokens = self.output_cap(params)?;
        Some(price.cost(&Usage { input_tokens, output_tokens, ..Usage::default() }))
    }

    /// What a call with this usage cost; `None` where that is not known.
    pub fn cost(&self, usage: Option<&Usage>) -> Option<Money> {
        match (self.price, usage) {
            (Some(Price::FREE), _) => Some(Money::ZERO),
            (Some(price), Some(usage)) => Some(price.cost(usage)),
            (Some(_), None) | (None, _) => None,
        }
    }

    fn output_cap(&self, params: &Map<String, Value>) -> Option<u64> {
        estimate::output_cap(&|name| params.get(name), self.max_output)
    }

    fn health_for(&self, kind: FailureKind) -> &Health {
        if is_providers_matter(kind) { &self.provider_health } else { &self.health }
    }
}

/// Whether a failure is the provider's, so that all its models leave with it.
pub(super) fn is_providers_matter(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Auth | FailureKind::QuotaExhausted)
}

fn is_fatal(kind: FailureKind) -> bool {
    use FailureKind as K;
    matches!(kind, K::Auth | K::Permission | K::QuotaExhausted | K::DailyQuota | K::ModelNotFound)
}
