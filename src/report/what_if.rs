//! What the same tokens would have cost elsewhere: by list prices, and so an estimate. It is no part of any other figure.

use serde::Serialize;

use super::{Entry, Report};
use crate::types::{Money, Price, PriceSource, Usage};

/// What must be said wherever such a figure stands.
pub(super) const CAVEAT: &str = "An estimate: the tokens that this job's calls took, at list prices. Another model counts \
                                 the same text in other tokens, and answers at another length.";

/// A model that was not asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// `provider/model`.
    pub name: String,
    /// What it costs.
    pub price: Price,
    /// Where that comes from.
    pub source: PriceSource,
}

/// What it would have cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// The model that was not asked, `provider/model`.
    pub model: String,
    /// For all tokens; `None` where a rate that it takes is not listed.
    pub cost_usd: Option<Money>,
    /// Where its price comes from.
    pub price_source: PriceSource,
    /// For the tokens of each model that was asked.
    pub by_model: Vec<WhatIfPart>,
}

/// What the tokens of one model would have cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIfPart {
    /// The provider that was asked.
    pub provider: String,
    /// The model that was asked.
    pub model: String,
    /// `None` where a rate that it takes is not listed.
    pub cost_usd: Option<Money>,
}

impl Report {
    /// The same with what its tokens would have cost there.
    #[must_use]
    pub fn with_what_if(self, others: &[Alternative]) -> Self {
        let what_if = others.iter().map(|other| what_if(other, &self.by_model)).collect();
        Self { what_if, ..self }
    }
}

fn what_if(other: &Alternative, models: &[Entry]) -> WhatIf {
    let asked = models.iter().filter(|entry| entry.attempts > 0);
    let part = |entry: &Entry| WhatIfPart {
        provider: entry.provider.clone().unwrap_or_default(),
        model: entry.model.clone().unwrap_or_default(),
        cost_usd: cost(&other.price, entry),
    };
    let by_model: Vec<WhatIfPart> = asked.map(part).collect();
    WhatIf {
        model: other.name.clone(),
        cost_usd: by_model.iter().map(|part| part.cost_usd).sum(),
        price_source: other.source.clone(),
        by_model,
    }
}

/// As many usual calls of usual size: what their sum would cost as a single huge one is of no matter.
fn cost(price: &Price, entry: &Entry) -> Option<Money> {
    let usual = Price::listed(price.bands().next()?.clone(), Vec::new());
    usual.cost(&Usage {
        input_tokens: entry.input_tokens,
        cached_input_tokens: entry.cached_input_tokens,
        output_tokens: entry.output_tokens,
        reasoning_tokens: entry.reasoning_tokens,
        ..Usage::default()
    })
}
