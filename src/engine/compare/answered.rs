//! The outcomes that rows of a comparison have: by key, and by who was asked, as two providers may have a model of one name.

use std::collections::HashMap;

use crate::engine::RunError;
use crate::engine::plan::Plan;
use crate::engine::prepare::{Prepared, What};
use crate::job::Model;
use crate::store::{End, KeyIndex, LogReader};
use crate::types::{Key, OutcomeLine};

/// Gives each row its outcome once, in the order of the log.
pub(super) struct Answered {
    index: KeyIndex,
    log: LogReader,
    /// Outcomes that were met, and are another model's.
    aside: HashMap<Key, Vec<(End, OutcomeLine)>>,
}

impl Answered {
    pub fn new(index: KeyIndex, log: LogReader) -> Self {
        Self { index, log, aside: HashMap::new() }
    }

    /// The next outcome of this key that the model of the row's route had a part in. A row that cannot be asked, and one
    /// that failed before anything was sent, has nobody's name.
    pub fn take(&mut self, plan: &Plan, row: &Prepared) -> Result<Option<(End, OutcomeLine)>, RunError> {
        let model = match &row.what {
            What::Ask(request) => Some(plan.model(plan.tasks[request.task].route[0].upstream)),
            What::Fail { .. } => None,
        };
        let is_models = |line: &OutcomeLine, model: &Model| {
            line.provider == plan.job.providers[model.provider].settings.name && line.model == model.wire
        };
        let is_its = |line: &OutcomeLine| line.provider.is_empty() || model.is_some_and(|model| is_models(line, model));
        let aside = self.aside.entry(row.key).or_default();
        if let Some(at) = aside.iter().position(|(_, line)| is_its(line)) {
            return Ok(Some(aside.remove(at)));
        }
        while let Some(end) = self.index.take(row.key) {
            let line = self.log.outcome_at(end.offset)?;
            if is_its(&line) {
                return Ok(Some((end, line)));
            }
            aside.push((end, line));
        }
        Ok(None)
    }
}
