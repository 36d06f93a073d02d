//! What the endpoints of a task's models make of the rest of it.

use serde_json::{Map, Value};

use super::tasks::TaskSpec;
use crate::job::checked::Model;
use crate::job::reader::Field;
use crate::types::{Endpoint, Form};

/// What steers an answer in words: a vector has none.
const FOR_WORDS: [&str; 20] = [
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_k",
    "n",
    "best_of",
    "stop",
    "seed",
    "response_format",
    "tools",
    "tool_choice",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "instructions",
];

/// Checks that a task can be put to all models of its route, each with the field that names it. The route as it is meant.
pub(super) fn check(task: &TaskSpec<'_>, route: &[(usize, &Field<'_>)], models: &[Model]) -> Vec<usize> {
    let endpoint = |model: usize| models.get(model).map_or(Endpoint::Chat, |model| model.endpoint);
    if let Some((first, others)) = route.split_first() {
        let first = endpoint(first.0);
        for (model, field) in others.iter().filter(|(model, _)| !endpoint(*model).goes_with(first)) {
            let message = format!(
                "is asked at the endpoint `{}`, and the first choice at `{}`: no row can be put to both",
                endpoint(*model).name(),
                first.name()
            );
            field.refuse(message, Some("give it a task of its own".to_owned()));
        }
        check_texts(task, first);
        if let Some(field) = task.answer_at.as_ref().filter(|_| task.answer.is_some() && !first.writes()) {
            field.refuse(
                format!("the endpoint of its model (`{}`) gives vectors: no rule fits them", first.name()),
                None,
            );
        }
        check_params(first, &task.params, task.params_at.as_ref());
    }
    route.iter().map(|(model, _)| *model).collect()
}

fn check_texts(task: &TaskSpec<'_>, endpoint: Endpoint) {
    for field in task.talk.iter().filter(|_| endpoint.form() == Form::Text) {
        let hint = "put all of it into `prompt`".to_owned();
        field.refuse(format!("the endpoint of its model (`{}`) takes a text alone", endpoint.name()), Some(hint));
    }
}

/// Checks that these params mean something to the endpoint.
pub(super) fn check_params(endpoint: Endpoint, params: &Map<String, Value>, at: Option<&Field<'_>>) {
    let Some(field) = at.filter(|_| !endpoint.writes()) else { return };
    for name in FOR_WORDS.into_iter().filter(|name| params.contains_key(*name)) {
        field.refuse(format!("`{name}` means nothing to the endpoint `{}`", endpoint.name()), None);
    }
}
