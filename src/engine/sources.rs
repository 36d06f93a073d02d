//! Where the price of each model came from when it was last asked. It is kept beside the totals: what a report says of a
//! cost is what that was made from, whatever the job and its flags say today.

use std::collections::BTreeMap;

use super::plan::Plan;
use crate::store::{StateDir, read_totals};
use crate::types::Totals;

/// Their name among the totals.
const NAME: &str = "price_sources";

/// By provider and model.
pub(super) struct PriceSources {
    before: BTreeMap<String, String>,
    of_job: BTreeMap<String, String>,
}

impl PriceSources {
    pub fn new(plan: &Plan, state: &StateDir) -> Self {
        // Totals that cannot be read are written anew in a second.
        let kept = read_totals(state).ok().flatten().and_then(|mut totals| totals.extra.remove(NAME));
        let before = kept.and_then(|kept| serde_json::from_value(kept).ok()).unwrap_or_default();
        let models = plan.models.iter().map(|&model| &plan.job.models[model]);
        let of_job = models.map(|model| {
            let provider = &plan.job.providers[model.provider].settings.name;
            (format!("{provider}/{}", model.wire), model.price_source.to_string())
        });
        Self { before, of_job: of_job.collect() }
    }

    /// As they stand after this invocation's calls.
    pub fn after(&self, calls: &Totals) -> BTreeMap<String, String> {
        let asked = calls.tallies.iter().map(|(id, _)| format!("{}/{}", id.provider, id.model));
        let mut sources = self.before.clone();
        sources.extend(asked.filter_map(|name| Some((name.clone(), self.of_job.get(&name)?.clone()))));
        sources
    }
}
