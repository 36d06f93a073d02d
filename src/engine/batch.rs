//! What an OpenAI Batch file asks, looked at before a job is made of it.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::RunError;
use super::key::row_hash;
use crate::job::{JobError, NamedModel, Problem};
use crate::source::{Format, Input, InputPath, InputSettings};
use crate::types::{Place, RowHash};

/// A file that names more models than this has something else in their place.
const MODELS: usize = 1_000;
/// Of ids that stand there more than once, a warning names so many.
const EXAMPLES: usize = 3;
/// Nothing is kept of a longer line but that it is there.
const MAX_LINE: usize = 1 << 30;

/// What an OpenAI Batch file asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchContents {
    /// How many lines it has that are not blank.
    pub lines: u64,
    /// The models that lines name, sorted, each with the first that does.
    pub models: Vec<NamedModel>,
    /// How many lines have the `custom_id` of one before.
    pub repeated: u64,
    /// The first such ids.
    pub examples: Vec<String>,
}

/// What matters of a line; one that has it otherwise fails when it is its turn.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    custom_id: Value,
    body: Option<Body>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    model: Value,
}

/// Goes through an OpenAI Batch file, which the user knows as `shown`. Memory is for the models, and 8 bytes a line.
///
/// # Errors
/// Where the file cannot be read, or can be no OpenAI Batch file as hardly a line names the model of another.
pub fn look_at_batch(file: &Path, shown: &str) -> Result<BatchContents, RunError> {
    let path = InputPath::Path { path: file.to_owned(), shown: shown.to_owned() };
    let settings = InputSettings { paths: vec![path], format: Format::OpenaiBatch, delimiter: None, max_row: MAX_LINE };
    // Nothing is spooled: it is a file.
    let input = Input::open(&settings, Path::new("")).map_err(RunError::Input)?;
    let mut contents = BatchContents::default();
    let mut models: BTreeMap<String, Place> = BTreeMap::new();
    let mut ids: HashSet<RowHash> = HashSet::new();
    for record in input.records()? {
        contents.lines += 1;
        let record = record?;
        let Ok(line) = serde_json::from_slice::<Line>(&record.raw()) else { continue };
        // A line without a name fails alone.
        if let Some(Body { model: Value::String(model) }) = line.body
            && !model.trim().is_empty()
        {
            models.entry(model).or_insert(record.place);
            if models.len() > MODELS {
                return Err(too_many_models(shown));
            }
        }
        if let Value::String(id) = line.custom_id
            && !ids.insert(row_hash(id.as_bytes()))
        {
            contents.repeated += 1;
            if contents.examples.len() < EXAMPLES && !contents.examples.contains(&id) {
                contents.examples.push(id);
            }
        }
    }
    contents.models = models.into_iter().map(|(name, at)| NamedModel { name, at }).collect();
    Ok(contents)
}

fn too_many_models(shown: &str) -> RunError {
    let message = format!("its lines name more than {MODELS} models (body.model)");
    let problem = Problem { file: Some(shown.into()), message, ..Problem::default() };
    RunError::Job(JobError { problems: vec![problem.with_hint("name one for all of them with --model")] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(lines: &str) -> Result<BatchContents, RunError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in.jsonl");
        std::fs::write(&file, lines).unwrap();
        look_at_batch(&file, "in.jsonl")
    }

    #[test]
    fn models_and_repeated_ids_are_found_among_lines_of_any_kind() {
        let lines = r#"
            {"custom_id": "a", "body": {"model": "m2", "messages": []}}
            {"custom_id": "b", "body": {"model": "m1"}}
            {"custom_id": "a"}

            {"custom_id": "a", "body": {"model": 7}}
            {"custom_id": 3, "body": null}
            {"body": {}
            [1]
            {"custom_id": "b", "body": {"model": "m2"}}"#;
        let found = contents(lines).unwrap();
        let named =
            |name: &str, line| NamedModel { name: name.to_owned(), at: Place { file: "in.jsonl".into(), line } };
        let expected = BatchContents {
            lines: 8,
            models: vec![named("m1", 3), named("m2", 2)],
            repeated: 3,
            examples: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(found, expected);
        assert_eq!(contents("\n").unwrap(), BatchContents::default());
    }

    #[test]
    fn a_model_for_every_line_is_no_batch() {
        let lines: Vec<String> = (0..=MODELS).map(|n| format!("{{\"body\":{{\"model\":\"{n}\"}}}}")).collect();
        let error = contents(&lines.join("\n")).unwrap_err().to_string();
        assert!(error.contains("more than 1000 models") && error.contains("--model"), "{error}");
    }
}
