//! `[tasks.X.answer]`.

use serde_json::json;

use super::{Folder, LEAST, job, problems};
use crate::job::TaskAnswer;
use crate::provider::AnswerMode;
use crate::retry::OnInvalid;
use crate::types::{AnswerColumn, AnswerColumns, AnswerType};

fn answer(written: &str) -> Option<TaskAnswer> {
    job(&format!("{LEAST}\n[tasks.tag.answer]\n{written}")).tasks[0].answer.clone()
}

fn refused(written: &str) -> String {
    problems(&format!("{LEAST}\n[tasks.tag.answer]\n{written}"))
}

#[test]
fn without_a_rule_any_answer_will_do() {
    assert_eq!(job(LEAST).tasks[0].answer, None);
    assert_eq!(answer(""), None);
    assert_eq!(job(LEAST).output.answers, AnswerColumns::default());
}

#[test]
fn rules_have_the_documented_defaults() {
    let labels = answer("one_of = [\"a\", \" b \"]").unwrap();
    assert_eq!(labels.rules.one_of, Some(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!((labels.mode, labels.on_invalid, labels.max_reasks), (AnswerMode::Auto, OnInvalid::Reask, 2));
    let text = answer("regex = \"^a\"\nmax_chars = 9\non_invalid = \"fail\"\nmax_reasks = 0").unwrap();
    assert_eq!((text.rules.max_chars, text.on_invalid, text.max_reasks), (Some(9), OnInvalid::Fail, 0));
}

#[test]
fn a_schema_stands_inline_or_in_a_file_beside_the_file_that_names_it() {
    let written = json!({ "type": "object", "properties": { "b": { "type": "integer" }, "a": {} } });
    let inline = answer("schema = { type = \"object\", properties = { b = { type = \"integer\" }, a = {} } }").unwrap();
    assert_eq!(**inline.rules.schema.as_ref().unwrap().written(), written);
    let folder =
        Folder::with(&format!("{LEAST}\n[tasks.tag.answer]\nschema = \"schemas/tag.json\"\nmode = \"prompt\""));
    folder.write("schemas/tag.json", &format!("\u{feff}{written}"));
    let job = folder.load().unwrap();
    let from_file = job.tasks[0].answer.clone().unwrap();
    assert_eq!((&from_file.rules, from_file.mode), (&inline.rules, AnswerMode::Prompt));
    let column = |name: &str, kind| AnswerColumn { name: name.to_owned(), kind };
    let columns = vec![column("b", AnswerType::Integer), column("a", AnswerType::Json)];
    assert_eq!(job.output.answers, AnswerColumns { columns, content: false });
    folder.write("job.toml", &format!("{LEAST}\n[tasks.tag.answer]\nschema = {{ file = \"schemas/tag.json\" }}"));
    assert_eq!(folder.load().unwrap().tasks[0].answer.as_ref().unwrap().rules, inline.rules);
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    let written = "schema = { type = \"strin\" }\none_of = []\nregex = \"(a\"\nmax_chars = 0\nmode = \"jsn\"\n\
                   on_invalid = \"rask\"\nmax_reasks = 99\nschma = 1";
    insta::assert_snapshot!(refused(written), @r#"
    job.toml:11:10: tasks.tag.answer.schema: is not a valid JSON Schema: at /type: "strin" is not valid under any of the schemas listed in the 'anyOf' keyword
    job.toml:12:10: tasks.tag.answer.one_of: cannot stand beside `schema`
      hint: keep one of them
    job.toml:12:10: tasks.tag.answer.one_of: must not be empty: no answer would be valid
    job.toml:13:9: tasks.tag.answer.regex: cannot stand beside `schema`
      hint: keep one of them
    job.toml:13:9: tasks.tag.answer.regex: is not a regular expression: unclosed group
    job.toml:14:13: tasks.tag.answer.max_chars: must be at least 1
    job.toml:15:8: tasks.tag.answer.mode: "jsn" is not known
      hint: known here: auto, json_schema, json_object, prompt
    job.toml:16:14: tasks.tag.answer.on_invalid: "rask" is not known
      hint: did you mean `reask`?
    job.toml:17:14: tasks.tag.answer.max_reasks: must be at least 0 and at most 20
    job.toml:18:1: tasks.tag.answer.schma: unknown key
      hint: did you mean `schema`?
    "#);
    let said = refused("on_invalid = \"fail\"\nmode = \"prompt\"");
    assert!(said.contains("tasks.tag.answer.on_invalid: no rule says which answers are valid"), "{said}");
    assert!(
        said.contains("tasks.tag.answer.mode: says how models are asked for a schema, and there is none"),
        "{said}"
    );
    let said = refused("schema = \"missing.json\"");
    assert!(said.starts_with("job.toml:11:10: tasks.tag.answer.schema: missing.json cannot be read: "), "{said}");
    let vectors = "max_chars = 9\n[models.v]\nprovider = \"ollama\"\nendpoint = \"embeddings\"";
    let said = problems(&format!("{LEAST}\n[tasks.tag.answer]\n{vectors}").replace("ollama/qwen3", "v"));
    assert!(said.contains("tasks.tag.answer: the endpoint of its model (`embeddings`) gives vectors"), "{said}");
    let folder = Folder::with(&format!("{LEAST}\n[tasks.tag.answer]\nschema = \"broken.json\""));
    folder.write("broken.json", "{\n  oops");
    let said = folder.problems();
    assert!(said.contains("broken.json is not JSON: key must be a string at line 2 column 3"), "{said}");
}
