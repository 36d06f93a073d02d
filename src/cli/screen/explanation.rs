//! One row explained as text.

use overnight::engine::{Explanation, KnownOutcome, Reason, RouteStop};
use overnight::types::Money;
use serde::Deserialize;
use serde_json::Value;

use super::lines::Lines;
use super::words::{count, counted, model_name, one_line, usd};

/// The explanation as text for standard output, line break at the end included.
pub fn explanation_text(explanation: &Explanation) -> String {
    let mut text = Lines(String::new());
    text.whole(&format!("row {}, id {}, at {}", explanation.row, explanation.id, explanation.at));
    text.add("task", explanation.task.as_deref().unwrap_or("none"));
    state(explanation, &mut text);
    if let Some(failure) = &explanation.failure {
        text.add("cannot be sent", &format!("{}: {}", failure.kind, one_line(&failure.message)));
    }
    for name in &explanation.missing_keys {
        text.add("warning", &format!("environment variable {name} is not set; run needs it"));
    }
    key(explanation, &mut text);
    for (index, stop) in explanation.route.iter().enumerate() {
        route_stop(index, stop, &mut text);
    }
    if let Some(messages) = &explanation.messages {
        text.whole("");
        for message in Message::all(messages.get()) {
            text.whole(&format!("[{}]\n{}", message.role, message.text()));
        }
    }
    if let Some(input) = &explanation.input {
        let asked: Value = serde_json::from_str(input.get()).unwrap_or_default();
        text.whole(&format!("\n[input]\n{}", asked.as_str().map_or_else(|| asked.to_string(), str::to_owned)));
    }
    text.0
}

fn state(explanation: &Explanation, text: &mut Lines) {
    let known = explanation.outcome.as_ref().map(outcome);
    let next = match explanation.reason {
        _ if !explanation.selected => "input.where leaves it out",
        None if explanation.outcome.as_ref().is_some_and(|known| known.kept) => {
            "it is not sent again: the job changed since, and run.on_change keeps what it has"
        }
        None => "it is not sent again",
        Some(Reason::New) => "not sent yet",
        Some(Reason::RowChanged) => "to be sent again: the row, or a file that it names, was edited",
        Some(Reason::JobChanged) => "to be sent again: the prompt, params or model changed",
        Some(Reason::Failed) => "to be sent again: that failure may go away by itself",
    };
    if let Some(known) = &known {
        text.add("state", known);
    }
    text.add(if known.is_some() { "" } else { "state" }, next);
}

fn outcome(known: &KnownOutcome) -> String {
    let cost = known.cost_usd.map_or_else(|| "at unknown cost".to_owned(), |cost| format!("for {}", usd(cost)));
    let ending = known.failure.as_ref().map_or("done".to_owned(), |failure| format!("failed ({})", failure.kind));
    let by = if known.model.is_empty() {
        String::new()
    } else {
        format!(" by {}", model_name(&known.provider, &known.model))
    };
    let when = known.failed_at.map_or_else(String::new, |at| format!(", at {at}"));
    format!("{ending} in run {}{by} {cost} ({}){when}", known.run, counted(u64::from(known.attempts), "request"))
}

fn key(explanation: &Explanation, text: &mut Lines) {
    text.add("key", &explanation.key.to_string());
    if let Some(parts) = &explanation.key_parts {
        let id = parts.id.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        text.add("  of", &format!("id {id}, model {}", parts.model));
        text.add("", &format!("params {}", Value::Object(parts.params.clone())));
        let what = if explanation.messages.is_some() { "messages" } else { "input" };
        text.add("", &format!("{what} {}", parts.messages_hash));
        if let Some(answer) = &parts.answer {
            text.add("", &format!("answer {answer}"));
        }
    }
}

fn route_stop(index: usize, stop: &RouteStop, text: &mut Lines) {
    let name = model_name(&stop.provider, &stop.model);
    text.add(if index == 0 { "model" } else { "fallback" }, &format!("{name} ({})", stop.alias));
    if !stop.endpoint.is_chat() {
        text.add("  endpoint", stop.endpoint.name());
    }
    if let Some(why) = &stop.skipped {
        return text.add("", &format!("passed over: {why}"));
    }
    if let Some(format) = &stop.response_format {
        text.add("  sends", &format!("response_format {format}"));
    }
    if stop.schema_in_prompt {
        text.add("", "the schema at the end of the prompt");
    }
    let tokens = |tokens: Option<u64>| tokens.map_or_else(|| "unknown".to_owned(), count);
    let money = |money: Option<Money>| money.map_or_else(|| "unknown".to_owned(), usd);
    let (output, cost) = (&stop.output_tokens, &stop.cost_usd);
    let (input, expected, most) = (count(stop.input_tokens), tokens(output.expected), tokens(output.high));
    let about = if stop.exact { "exactly" } else { "about" };
    text.add("  tokens", &format!("{about} {input} in, about {expected} out (at most {most})"));
    match cost.expected {
        None => text.add("  cost", "unknown"),
        Some(expected) => {
            let (low, high) = (money(cost.low), money(cost.high));
            text.add("  cost", &format!("about {} (from {low} to {high}, without retries)", usd(expected)));
        }
    }
}

#[derive(Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    content: Value,
}

impl Message {
    fn all(messages: &str) -> Vec<Self> {
        serde_json::from_str(messages).unwrap_or_default()
    }

    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            parts => parts.to_string(),
        }
    }
}
