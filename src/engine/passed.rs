//! Lines of an OpenAI Batch file in a job that writes one: their bodies are passed on as they stand.

use serde_json::{Map, Value};

use super::plan::Plan;
use crate::sink::OutputFormat;
use crate::source::Format;
use crate::types::{Failure, FailureKind, Row};

/// What asks for something else than one whole reply.
const IN_PIECES: [&str; 2] = ["stream", "background"];

/// Whether the job is one of those.
pub(super) fn passes_on(plan: &Plan) -> bool {
    plan.job.input.format == Format::OpenaiBatch && plan.job.output.format == OutputFormat::OpenaiBatch
}

/// The parameters of a line: all of its body but the model, which is the job's to name, and what is asked.
///
/// # Errors
/// Where the line asks for what cannot stand in a batch output.
pub(super) fn params(row: &Row, asked: &str) -> Result<Map<String, Value>, Failure> {
    let refused = |message: String| Err(Failure::new(FailureKind::InvalidRequest, message));
    if let Some(method) = row.get("method").filter(|method| *method != "POST") {
        return refused(format!("the line's `method` is {method}, and only \"POST\" can be sent"));
    }
    let Some(Value::Object(body)) = row.get("body") else { return Ok(Map::new()) };
    if let Some(name) = IN_PIECES.into_iter().find(|name| body.get(*name) == Some(&Value::Bool(true))) {
        return refused(format!("the line's body asks for `{name}`, and a batch has whole replies: leave it out"));
    }
    let own = body.iter().filter(|(name, _)| name.as_str() != "model" && name.as_str() != asked);
    Ok(own.map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(line: Value) -> Result<Map<String, Value>, String> {
        let Value::Object(fields) = line else { panic!("{line}") };
        params(&Row::new(fields), "messages").map_err(|failure| failure.message)
    }

    #[test]
    fn all_of_a_body_is_passed_on_but_its_model_and_what_is_asked() {
        let body = json!({"n": 2, "model": "m", "stream": false, "messages": [], "max_completion_tokens": 5, "x": {"b": 1, "a": null}});
        let own = json!({"n": 2, "stream": false, "max_completion_tokens": 5, "x": {"b": 1, "a": null}});
        assert_eq!(Value::Object(of(json!({"method": "POST", "body": body})).unwrap()), own);
    }

    #[test]
    fn what_has_no_place_in_a_batch_output_is_refused() {
        let told = |line: Value| of(line).unwrap_err();
        assert!(told(json!({"body": {"stream": true}})).contains("`stream`"));
        assert!(told(json!({"body": {"background": true}})).contains("`background`"));
        assert!(told(json!({"method": "GET", "body": {}})).contains("\"GET\""));
    }
}
