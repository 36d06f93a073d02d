//! What answers so far tell of those to come.

use std::collections::HashMap;

use super::measure::Ratio;
use super::share::{params_tokens, with_params};
use crate::engine::RunError;
use crate::engine::estimate::Experience;
use crate::engine::ground::{Answers, Ground};
use crate::engine::plan::Plan;
use crate::engine::prepare::Request;
use crate::token::estimated;

/// A task and an upstream.
pub(super) type Place = (usize, usize);

/// What is known of each task's answers.
pub(super) struct Experiences {
    by_place: HashMap<Place, Experience>,
    /// Answers by where they stand in the log: whose they are, and the input tokens that the provider counted.
    inputs: HashMap<u64, (Place, u64)>,
    /// What it counted, for what we estimate of the same requests.
    ratios: HashMap<Place, Ratio>,
}

impl Experiences {
    pub fn of(ground: &Ground) -> Result<Self, RunError> {
        let Answers { experiences: known, inputs } = ground.answers()?;
        let plan = &ground.plan;
        let (mut by_place, mut places) = (HashMap::new(), HashMap::new());
        for (task, ready) in plan.tasks.iter().enumerate() {
            for upstream in 0..plan.models.len() {
                let model = plan.model(upstream);
                let provider = &plan.job.providers[model.provider].settings.name;
                let of = [ready.name.to_string(), provider.clone(), model.wire.clone()];
                let of_others = || {
                    let answers = known.iter().filter(|(place, _)| *place[0] == *ready.name);
                    // Another model of the task is the best guess for one that has not answered yet.
                    let mean_output = answers.filter_map(|(_, known)| known.mean_output).max()?;
                    Some(Experience { mean_output: Some(mean_output), ..Experience::default() })
                };
                let known = known.get(&of).copied().or_else(of_others);
                by_place.extend(known.map(|known| ((task, upstream), known)));
                places.entry(of).or_insert((task, upstream));
            }
        }
        let placed = |(offset, of, tokens): &(u64, _, u64)| Some((*offset, (*places.get(of)?, *tokens)));
        let inputs = inputs.iter().filter_map(placed).collect();
        Ok(Self { by_place, inputs, ratios: HashMap::new() })
    }

    pub fn get(&self, place: Place) -> Experience {
        self.by_place.get(&place).copied().unwrap_or_default()
    }

    /// Whether it is known how many tokens the request of the answer that stands there had.
    pub fn counted(&self, offset: u64) -> bool {
        self.inputs.contains_key(&offset)
    }

    /// Takes in how our estimate of a request, with what stands beside its messages, compares with what was counted of it.
    pub fn compare(&mut self, offset: u64, plan: &Plan, request: &Request) {
        let Some(((task, upstream), counted)) = self.inputs.remove(&offset) else { return };
        let Some(choice) = plan.tasks[task].all_choices().find(|choice| choice.upstream == upstream) else { return };
        let count = with_params(estimated(request.payload.json().get()), params_tokens(choice, request));
        self.ratios.entry((task, upstream)).or_default().add(counted, count.total());
    }

    /// What the provider counts for each of our tokens: of this task, else of the model's other tasks.
    pub fn ratio(&self, (task, upstream): Place) -> Option<Ratio> {
        let own = self.ratios.get(&(task, upstream)).copied().filter(Ratio::tells);
        own.or_else(|| {
            let mut all = Ratio::default();
            self.ratios.iter().filter(|((_, of), _)| *of == upstream).for_each(|(_, ratio)| all.merge(*ratio));
            all.tells().then_some(all)
        })
    }
}
