//! How a model is asked for the answer that a task wants: the request as it is shaped for the model, and the conversation
//! that goes on after an answer which was not valid.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::job::{Job, Model, Task, TaskAnswer};
use crate::provider::AnswerFormat;
use crate::types::{Failure, Form, NOT_VALID, Payload};

/// How a model is asked for a task's answer. Nothing of it is part of a row's key.
pub(super) struct Asking {
    /// At least one; each is tried where the provider does not take the one before.
    ways: Vec<Way>,
    /// The first that it has not refused.
    now: AtomicUsize,
}

/// What a task's answer adds to a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Way {
    /// The parameter that asks for JSON.
    pub response_format: Option<Value>,
    /// What stands at the end of the prompt.
    pub prompt: Option<Arc<str>>,
}

/// An answer that was not valid, as its model is told of it.
pub(super) struct Turn {
    said: String,
    why: String,
}

/// Who sets it says himself what he wants.
const RESPONSE_FORMAT: &str = "response_format";

/// What providers call it that do not take it.
const CALLED: [&str; 5] = ["response_format", "response format", "json_schema", "structured output", "json mode"];

impl Asking {
    /// How this model is asked, where the params do not say it.
    pub fn new(job: &Job, task: &Task, model: &Model, params: &Map<String, Value>) -> Self {
        let of = |answer: &'_ TaskAnswer| Some((answer.mode, Arc::clone(answer.rules.schema.as_ref()?.written())));
        let schema = task.answer.as_ref().and_then(of);
        let profile = job.providers[model.provider].settings.profile;
        let ways = match schema.filter(|_| !params.contains_key(RESPONSE_FORMAT)) {
            None => vec![Way::default()],
            Some((mode, schema)) => {
                let schema = &*schema;
                let formats = match model.endpoint.form() {
                    Form::Messages | Form::Input => profile.answer_formats(mode, schema),
                    // It has no parameter for it.
                    Form::Text => vec![AnswerFormat::Prompt],
                };
                formats.into_iter().map(|format| Way::new(format, schema)).collect()
            }
        };
        Self { ways, now: AtomicUsize::new(0) }
    }

    /// The number of the way that is taken now.
    pub fn now(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// The way of this number.
    pub fn way(&self, number: usize) -> &Way {
        &self.ways[number.min(self.ways.len() - 1)]
    }

    /// The provider refused a request that asked in this way: whether there is another one, which all rows take from now on.
    /// What a row asks for in its `own` params is its own matter.
    pub fn step_down(&self, used: usize, failure: &Failure, own: &Map<String, Value>) -> bool {
        if own.contains_key(RESPONSE_FORMAT) {
            return false;
        }
        let said = failure.message.to_lowercase();
        let next = used + 1;
        let goes_on = next < self.ways.len() && CALLED.iter().any(|name| said.contains(name));
        if goes_on {
            self.now.fetch_max(next, Ordering::Relaxed);
        }
        goes_on
    }
}

impl Way {
    fn new(format: AnswerFormat, schema: &Value) -> Self {
        Self { response_format: format.response_format(schema), prompt: format.prompt(schema).map(Arc::from) }
    }

    /// How much it adds to what a model reads, in bytes.
    pub fn bytes(&self) -> u64 {
        let format = self.response_format.as_ref().map_or(0, |format| format.to_string().len());
        (format + self.prompt.as_ref().map_or(0, |prompt| prompt.len())) as u64
    }

    /// The params as they are sent, a row's own among them.
    pub fn params(&self, params: &Arc<Map<String, Value>>, own: &Map<String, Value>) -> Arc<Map<String, Value>> {
        let format = self.response_format.as_ref().filter(|_| !own.contains_key(RESPONSE_FORMAT));
        if own.is_empty() && format.is_none() {
            return Arc::clone(params);
        }
        let mut sent: Map<_, _> = (**params).clone();
        sent.extend(own.clone());
        sent.extend(format.map(|format| (RESPONSE_FORMAT.to_owned(), format.clone())));
        Arc::new(sent)
    }

    /// What is asked, as it is sent.
    pub fn payload(&self, payload: &Payload, own: &Map<String, Value>) -> Payload {
        let prompt = self.prompt.as_deref().filter(|_| !own.contains_key(RESPONSE_FORMAT));
        let longer = prompt.and_then(|prompt| match payload.form() {
            Form::Messages => with_prompt(payload.json(), prompt),
            Form::Text => text_with(payload.json(), prompt),
            // The row has put it in its own words.
            Form::Input => None,
        });
        longer.map_or_else(|| payload.clone(), |longer| payload.with_messages(longer))
    }
}

#[derive(Deserialize)]
struct Role {
    role: String,
}

/// The messages with more at the end of the system message, else of the last user message. `None` where there is neither.
fn with_prompt(messages: &RawValue, prompt: &str) -> Option<Arc<RawValue>> {
    let mut messages: Vec<Box<RawValue>> = serde_json::from_str(messages.get()).ok()?;
    let has_role = |message: &RawValue, wanted: &[&str]| {
        let role = serde_json::from_str::<Role>(message.get());
        role.is_ok_and(|Role { role }| wanted.contains(&role.as_str()))
    };
    let system = messages.iter().position(|message| has_role(message, &["system", "developer"]));
    let at = system.or_else(|| messages.iter().rposition(|message| has_role(message, &["user"])))?;
    let mut message: Map<String, Value> = serde_json::from_str(messages[at].get()).ok()?;
    match message.get_mut("content")? {
        Value::String(text) => *text = format!("{text}\n\n{prompt}"),
        Value::Array(parts) => parts.push(json!({ "type": "text", "text": prompt })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    }
    messages[at] = to_raw_value(&message).ok()?;
    array(&messages)
}

/// A text with more at its end.
fn text_with(text: &RawValue, more: &str) -> Option<Arc<RawValue>> {
    let text: String = serde_json::from_str(text.get()).ok()?;
    to_raw_value(&format!("{text}\n\n{more}\n")).ok().map(Arc::from)
}

impl Turn {
    pub fn new(said: String, why: String) -> Self {
        Self { said, why }
    }

    fn add_to(&self, messages: &mut Vec<Box<RawValue>>) -> Option<()> {
        messages.push(to_raw_value(&json!({ "role": "assistant", "content": self.said })).ok()?);
        let told = format!("{NOT_VALID}{}. Answer again, with the valid answer alone.", self.why);
        messages.push(to_raw_value(&json!({ "role": "user", "content": told })).ok()?);
        Some(())
    }
}

/// The conversation that goes on after answers which were not valid; `None` where it is no conversation.
pub(super) fn reask<'a>(asked: &Payload, turns: impl Iterator<Item = &'a Turn>) -> Option<Payload> {
    if asked.form() != Form::Messages {
        return None;
    }
    let mut messages: Vec<Box<RawValue>> = serde_json::from_str(asked.json().get()).ok()?;
    for turn in turns {
        turn.add_to(&mut messages)?;
    }
    array(&messages).map(|messages| asked.with_messages(messages))
}

fn array(messages: &[Box<RawValue>]) -> Option<Arc<RawValue>> {
    to_raw_value(messages).ok().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FailureKind;

    fn raw(messages: &Value) -> Payload {
        Payload::messages(to_raw_value(messages).unwrap())
    }

    fn way() -> Way {
        Way { response_format: Some(json!({ "type": "json_object" })), prompt: Some("As JSON".into()) }
    }

    fn turns(said: &[&str]) -> Vec<Turn> {
        said.iter().map(|said| Turn::new((*said).to_owned(), format!("not {said:?}"))).collect()
    }

    fn sent(messages: &Value) -> Value {
        serde_json::from_str(way().payload(&raw(messages), &Map::new()).json().get()).unwrap()
    }

    #[test]
    fn the_schema_stands_at_the_end_of_what_the_model_is_told() {
        let (system, user) = (json!({"role": "system", "content": "S"}), json!({"role": "user", "content": "U"}));
        let told = sent(&json!([system, user]));
        assert_eq!(told, json!([{"role": "system", "content": "S\n\nAs JSON"}, user]));
        let shots = json!([user, {"role": "assistant", "content": "A"}, user]);
        let told = sent(&shots);
        assert_eq!((&told[0], &told[2]["content"]), (&user, &json!("U\n\nAs JSON")));
        let parts = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]);
        assert_eq!(sent(&parts)[0]["content"][1], json!({"type": "text", "text": "As JSON"}));
        let text = Payload::new(Form::Text, to_raw_value("Once").unwrap());
        assert_eq!(way().payload(&text, &Map::new()).json().get(), r#""Once\n\nAs JSON\n""#);
        assert!(reask(&text, turns(&["no"]).iter()).is_none(), "a text alone is no conversation");
    }

    #[test]
    fn a_response_format_of_the_users_own_stands_alone() {
        let own = json!({ "response_format": { "type": "text" } }).as_object().unwrap().clone();
        let (messages, params) = (raw(&json!([{"role": "user", "content": "U"}])), Arc::default());
        assert_eq!(way().payload(&messages, &own).json().get(), messages.json().get());
        assert_eq!(*way().params(&params, &own), own);
        assert_eq!(way().params(&params, &Map::new())["response_format"], json!({ "type": "json_object" }));
    }

    #[test]
    fn what_a_provider_refuses_is_not_asked_for_again() {
        let schema = json!({ "type": "object" });
        let ways = [AnswerFormat::JsonSchema, AnswerFormat::Prompt].map(|format| Way::new(format, &schema)).into();
        let asking = Asking { ways, now: AtomicUsize::new(0) };
        let refusal = |message: &str| Failure::new(FailureKind::InvalidRequest, message);
        let (none, own) = (Map::new(), Map::from_iter([(RESPONSE_FORMAT.to_owned(), json!({ "type": "x" }))]));
        assert!(!asking.step_down(0, &refusal("temperature is too high"), &none));
        assert!(!asking.step_down(0, &refusal("response_format x"), &own), "which no other row asks for");
        assert_eq!(asking.now(), 0);
        assert!(asking.step_down(0, &refusal("'Response_Format' of type 'json_schema' is not supported"), &none));
        assert!(asking.step_down(0, &refusal("response_format"), &none), "another row found out at the same time");
        assert_eq!((asking.now(), asking.way(1).prompt.is_some()), (1, true));
        assert!(!asking.step_down(1, &refusal("json mode?"), &none), "no further way is left");
        assert_eq!(asking.now(), 1);
    }

    #[test]
    fn a_conversation_goes_on_with_the_answer_and_what_is_wrong_with_it() {
        let first = raw(&json!([{"role": "user", "content": "U"}]));
        let turns = turns(&["no", "\"no\""]);
        let third: Value = serde_json::from_str(reask(&first, turns.iter()).unwrap().json().get()).unwrap();
        let roles: Vec<_> = third.as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        assert_eq!(third[1]["content"], "no");
        assert!(third[2]["content"].as_str().unwrap().starts_with("Your answer is not valid: not \"no\". "), "{third}");
        assert_eq!(third[3]["content"], "\"no\"");
    }
}
