//! The promises of the two files, over real folders.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::replace::partial_path;
use super::*;
use crate::types::{
    AnswerColumns, Dialect, Endpoint, Failure, FailureKind, InputColumns, Key, Money, OutcomeLine, Place, Row,
    TrailEntry, Usage,
};

/// One ended row with all that it borrows.
struct Sample {
    id: Value,
    place: Place,
    row: Option<Row>,
    outcome: OutcomeLine,
}

impl Sample {
    fn succeeded(number: u64, reply: &Value, row: Value) -> Self {
        let place = Place { file: Arc::from("data/reviews.csv"), line: number + 1 };
        let usage = Usage { input_tokens: 412, cached_input_tokens: 0, output_tokens: 18, ..Usage::default() };
        let outcome = OutcomeLine {
            id_hash: None,
            row_hash: None,
            used: None,
            request: None,
            deduped: false,
            call: number,
            key: Key([0; 16]),
            asked_as: None,
            row: number,
            run: 1,
            at: 0,
            task: "tag".to_owned(),
            failure: None,
            provider: "gateway".to_owned(),
            model: "qwen-plus".to_owned(),
            attempts: 1,
            usage: Some(usage),
            cost: Some(Money::from_pico(186_000_000)),
            row_cost: Some(Money::from_pico(186_000_000)),
            latency_ms: 812,
            request_id: None,
            replaces: None,
            retry: false,
            reask: false,
            came_from: None,
            truncated: false,
            compared: false,
            possibly_billed: false,
            worst_cost: None,
            trail: Vec::new(),
            endpoint: Endpoint::Chat,
            reply: Some(RawValue::from_string(reply.to_string()).unwrap().into()),
        };
        let Value::Object(fields) = row else { panic!("a row is an object") };
        Self { id: json!(format!("r{number}")), place, row: Some(Row::new(fields)), outcome }
    }

    fn failed(number: u64, failure: Failure, row: Value) -> Self {
        let mut sample = Self::succeeded(number, &Value::Null, row);
        sample.outcome.failure = Some(failure);
        sample.outcome.reply = None;
        sample
    }

    fn view(&self) -> FinishedRow<'_> {
        let input = self.row.as_ref().map_or(InputView::Raw(b"{\"broken\": \xff"), InputView::Row);
        FinishedRow {
            id: &self.id,
            row: self.outcome.row,
            place: &self.place,
            input,
            outcome: &self.outcome,
            data: None,
            content: None,
        }
    }

    fn line(&self, settings: &OutputSettings) -> String {
        String::from_utf8(result_line(&self.view(), settings).unwrap()).unwrap()
    }
}

fn answer(content: &str) -> Value {
    json!({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]})
}

fn settings(folder: &Path, name: &str) -> OutputSettings {
    let format =
        if Path::new(name).extension() == Some("csv".as_ref()) { OutputFormat::Csv } else { OutputFormat::Jsonl };
    OutputSettings {
        path: folder.join(name),
        format,
        errors: Some(folder.join("out.errors.jsonl")),
        include: None,
        prefix: String::new(),
        response: false,
        answers: AnswerColumns::default(),
    }
}

fn errors(settings: &OutputSettings) -> &Path {
    settings.errors.as_deref().unwrap()
}

fn columns(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn known(names: &[&str]) -> InputColumns {
    InputColumns::of_text(columns(names), Dialect::default())
}

fn unknown() -> InputColumns {
    InputColumns::default()
}

fn write(settings: &OutputSettings, columns: &InputColumns, samples: &[Sample]) -> Written {
    let mut writer = Writer::create(settings, columns, false).unwrap();
    for sample in samples {
        writer.write(&sample.view()).unwrap();
    }
    writer.finish().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_result_line_has_its_fields_in_the_order_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), "out.jsonl");
    settings.include = Some(columns(&["review_id", "not there"]));
    let sample = Sample::succeeded(17, &answer("good"), json!({"review": "fine", "review_id": "r17"}));
    assert_eq!(
        sample.line(&settings),
        concat!(
            r#"{"id":"r17","row":17,"task":"tag","status":"succeeded","provider":"gateway","model":"qwen-plus","#,
            r#""content":"good","finish_reason":"stop","usage":{"input_tokens":412,"cached_input_tokens":0,"#,
            r#""output_tokens":18,"reasoning_tokens":0},"cost_usd":0.000186,"attempts":1,"latency_ms":812,"#,
            r#""input":{"review_id":"r17"}}"#,
            "\n"
        )
    );
}

#[test]
fn trail_tool_calls_and_response_stand_where_there_is_reason_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), "out.jsonl");
    settings.response = true;
    let reply = json!({"choices": [{"message": {"content": null, "tool_calls": [{"id": "t"}]}}]});
    let mut sample = Sample::succeeded(1, &reply, json!({"n": 1, "gone": null}));
    (sample.outcome.attempts, sample.outcome.usage, sample.outcome.row_cost) = (2, None, None);
    sample.outcome.trail = vec![TrailEntry {
        provider: "gateway".to_owned(),
        model: "tiny".to_owned(),
        kind: Some(FailureKind::ServerError),
        status: Some(500),
        latency_ms: 3,
        cost_usd: None,
    }];
    assert_eq!(
        sample.line(&settings),
        concat!(
            r#"{"id":"r1","row":1,"task":"tag","status":"succeeded","provider":"gateway","model":"qwen-plus","#,
            r#""content":null,"tool_calls":[{"id":"t"}],"finish_reason":null,"usage":null,"cost_usd":null,"#,
            r#""attempts":2,"latency_ms":812,"trail":[{"provider":"gateway","model":"tiny","kind":"server_error","#,
            r#""status":500,"latency_ms":3,"cost_usd":null}],"#,
            r#""response":{"choices":[{"message":{"content":null,"tool_calls":[{"id":"t"}]}}]},"#,
            r#""input":{"n":1,"gone":null}}"#,
            "\n"
        )
    );
}

#[test]
fn an_errors_line_has_the_whole_row_the_place_and_the_trail() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), "out.jsonl");
    settings.include = Some(columns(&["a"]));
    let failure = Failure { kind: FailureKind::ContextLength, status: Some(400), message: "too long".to_owned() };
    let sample = Sample::failed(1717, failure, json!({"a": 1, "b": "x"}));
    assert_eq!(
        sample.line(&settings),
        concat!(
            r#"{"id":"r1717","row":1717,"task":"tag","status":"failed","provider":"gateway","model":"qwen-plus","#,
            r#""error":{"kind":"context_length","status":400,"message":"too long"},"at":"data/reviews.csv:1718","#,
            r#""failed_at":"1970-01-01T00:00:00.000Z","#,
            r#""cost_usd":0.000186,"attempts":1,"input":{"a":1,"b":"x"},"trail":[{"provider":"gateway","#,
            r#""model":"qwen-plus","kind":"context_length","status":400,"latency_ms":812,"cost_usd":0.000186}]}"#,
            "\n"
        )
    );
}

#[test]
fn a_record_that_could_not_be_parsed_goes_into_the_errors_file_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let mut sample = Sample::failed(1, Failure::new(FailureKind::BadRow, "no JSON"), json!({}));
    sample.row = None;
    (sample.outcome.attempts, sample.outcome.row_cost) = (0, Some(Money::ZERO));
    sample.outcome.provider.clear();
    sample.outcome.model.clear();
    let line: Value = serde_json::from_str(&sample.line(&settings(folder.path(), "out.jsonl"))).unwrap();
    assert_eq!(line["input"], "{\"broken\": \u{fffd}");
    assert_eq!(line["trail"], json!([]));
    assert_eq!((&line["provider"], &line["model"], &line["cost_usd"]), (&Value::Null, &Value::Null, &json!(0)));
}

#[test]
fn jsonl_holds_succeeded_rows_in_the_order_written_and_errors_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(&folder.path().join("new/folder"), "out.jsonl");
    let samples = [
        Sample::succeeded(1, &answer("one"), json!({})),
        Sample::failed(2, Failure::new(FailureKind::Timeout, "slow"), json!({})),
        Sample::succeeded(3, &answer("three"), json!({})),
    ];
    let written = write(&settings, &unknown(), &samples);
    let contents: Vec<_> = fs::read_to_string(&settings.path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["content"].clone())
        .collect();
    assert_eq!(contents, ["one", "three"]);
    assert_eq!(fs::read_to_string(errors(&settings)).unwrap(), samples[1].line(&settings));
    assert_eq!(written.results, WrittenFile { path: settings.path, rows: 2, changed: true });
    assert_eq!(written.errors, Some(WrittenFile { path: settings.errors.unwrap(), rows: 1, changed: true }));
    assert_eq!(names(&folder.path().join("new/folder")), ["out.errors.jsonl", "out.jsonl"]);
}

#[test]
fn csv_has_a_line_for_every_row_and_quotes_what_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), "out.csv");
    settings.prefix = "llm_".to_owned();
    settings.include = Some(columns(&["text", "tags"]));
    let tools = json!({"choices": [{"message": {"tool_calls": [{"id": "t"}]}}]});
    let mut broken = Sample::failed(3, Failure::new(FailureKind::BadRow, "line 3, column 9"), json!({}));
    broken.row = None;
    broken.outcome.model.clear();
    broken.outcome.row_cost = None;
    let row = json!({"id": 1, "text": "he said \"no\"\nand left", "tags": ["a", 1]});
    let samples = [
        Sample::succeeded(1, &answer("a, b"), row),
        Sample::succeeded(2, &tools, json!({"text": null, "tags": true})),
        broken,
    ];
    let written = write(&settings, &known(&["id", "text", "tags"]), &samples);
    assert_eq!(
        fs::read_to_string(&settings.path).unwrap(),
        concat!(
            "text,tags,llm_content,llm_model,llm_status,llm_cost_usd,llm_error\n",
            "\"he said \"\"no\"\"\nand left\",\"[\"\"a\"\",1]\",\"a, b\",qwen-plus,succeeded,0.000186,\n",
            ",true,\"[{\"\"id\"\":\"\"t\"\"}]\",qwen-plus,succeeded,0.000186,\n",
            ",,,,failed,,\"bad_row: data/reviews.csv:4: line 3, column 9\"\n",
        )
    );
    assert_eq!((written.results.rows, written.errors.unwrap().rows), (3, 1));
}

#[test]
fn a_file_with_the_same_bytes_is_not_touched_and_a_missing_one_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.jsonl");
    let samples = [Sample::succeeded(1, &answer("one"), json!({}))];
    write(&settings, &unknown(), &samples);
    let old = SystemTime::UNIX_EPOCH;
    fs::File::options().write(true).open(&settings.path).unwrap().set_modified(old).unwrap();
    fs::remove_file(errors(&settings)).unwrap();
    let again = write(&settings, &unknown(), &samples);
    assert_eq!((again.results.changed, again.errors.unwrap().changed), (false, true));
    assert_eq!(fs::metadata(&settings.path).unwrap().modified().unwrap(), old);
    assert_eq!(fs::read(errors(&settings)).unwrap(), b"");
    let other = write(&settings, &unknown(), &[Sample::succeeded(1, &answer("two"), json!({}))]);
    assert!(other.results.changed, "as many bytes, but others");
    assert!(!other.errors.unwrap().changed);
}

#[test]
fn an_end_before_finish_leaves_the_old_files_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.csv");
    fs::write(&settings.path, "old").unwrap();
    let mut writer = Writer::create(&settings, &unknown(), false).unwrap();
    writer.write(&Sample::succeeded(1, &answer("one"), json!({})).view()).unwrap();
    drop(writer);
    assert_eq!(fs::read_to_string(&settings.path).unwrap(), "old");
    assert_eq!(names(folder.path()), ["out.csv"]);
}

#[test]
fn what_a_killed_process_left_is_removed_and_files_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.jsonl");
    fs::write(folder.path().join(".out.jsonl.AbC123.overnight.tmp"), "torn").unwrap();
    fs::write(folder.path().join(".out.jsonl.swp"), "an editor's").unwrap();
    write(&settings, &unknown(), &[]);
    assert_eq!(names(folder.path()), [".out.jsonl.swp", "out.errors.jsonl", "out.jsonl"]);
}

#[test]
fn names_that_begin_alike_do_not_disturb_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out");
    write(&settings, &unknown(), &[]);
    assert_eq!(names(folder.path()), ["out", "out.errors.jsonl"]);
}

#[test]
fn a_subset_goes_to_partial_names_and_the_whole_files_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.csv");
    let written = Writer::create(&settings, &unknown(), true).unwrap().finish().unwrap();
    assert_eq!(written.results.path, folder.path().join("out.partial.csv"));
    assert_eq!(names(folder.path()), ["out.errors.partial.jsonl", "out.partial.csv"]);
    assert_eq!(partial_path(Path::new("a/b")), Path::new("a/b.partial"));
}

#[test]
fn a_clash_of_csv_columns_names_the_key_that_solves_it() {
    let mut settings = settings(Path::new("nowhere"), "out.csv");
    let input = known(&["id", "content"]);
    let error = check(&settings, &input).unwrap_err().to_string();
    assert!(error.contains("\"content\"") && error.contains("output.prefix"), "{error}");
    settings.include = Some(columns(&["id"]));
    check(&settings, &input).unwrap();
    settings.include = None;
    settings.prefix = "llm_".to_owned();
    check(&settings, &input).unwrap();
    settings.prefix.clear();
    settings.format = OutputFormat::Jsonl;
    check(&settings, &input).unwrap();
}

#[test]
fn an_include_that_the_input_lacks_is_told_with_the_nearest_name() {
    let mut settings = settings(Path::new("nowhere"), "out.jsonl");
    settings.include = Some(columns(&["reviewid"]));
    let error = check(&settings, &known(&["text", "review_id"])).unwrap_err().to_string();
    assert_eq!(error, "output.include: the input has no column \"reviewid\"; did you mean \"review_id\"?");
    check(&settings, &unknown()).unwrap();
}

#[test]
fn targets_that_no_file_can_replace_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), "out.jsonl");
    fs::create_dir(&settings.path).unwrap();
    assert!(matches!(check(&settings, &unknown()), Err(SinkError::NotAFile(_))));
    settings.path = errors(&settings).to_owned();
    assert!(matches!(check(&settings, &unknown()), Err(SinkError::SameFile(_))));
    settings.path = "/dev/null".into();
    assert!(matches!(check(&settings, &unknown()), Err(SinkError::NotAFile(_))));
}

#[test]
fn an_embedding_stands_in_place_of_a_text_and_logprobs_as_received() {
    let folder = tempfile::tempdir().unwrap();
    let reply = json!({"object": "list", "data": [{"index": 0, "embedding": [0.5, -1e-7]}]});
    let mut vector = Sample::succeeded(1, &reply, json!({"a": "x"}));
    vector.outcome.endpoint = Endpoint::Embeddings;
    let line = vector.line(&settings(folder.path(), "out.jsonl"));
    assert!(line.contains(r#""model":"qwen-plus","embedding":[0.5,-1e-7],"finish_reason":null,"#), "{line}");
    let reply = json!({"choices": [{"message": {"content": "hi"}, "logprobs": {"content": [{"token": "hi"}]}}]});
    let line = Sample::succeeded(2, &reply, json!({})).line(&settings(folder.path(), "out.jsonl"));
    assert!(line.contains(r#""content":"hi","logprobs":{"content":[{"token":"hi"}]},"finish_reason""#), "{line}");

    let settings = settings(folder.path(), "out.csv");
    write(&settings, &known(&["a"]), &[vector]);
    let table = fs::read_to_string(&settings.path).unwrap();
    assert!(table.contains("\nx,\"[0.5,-1e-7]\",qwen-plus,succeeded,"), "{table}");
}

#[test]
fn an_answer_that_cannot_be_read_stops_the_writing_and_names_the_row() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.jsonl");
    let mut sample = Sample::succeeded(5, &json!({"choices": []}), json!({}));
    let error = result_line(&sample.view(), &settings).unwrap_err().to_string();
    assert!(error.starts_with("row 5: ") && error.contains("no choices"), "{error}");
    sample.outcome.reply = None;
    assert!(matches!(result_line(&sample.view(), &settings), Err(SinkError::NoReply { row: 5 })));
}

#[cfg(unix)]
#[test]
fn links_and_permissions_of_the_target_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), "out.jsonl");
    let real = folder.path().join("real.jsonl");
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    symlink(&real, &settings.path).unwrap();
    write(&settings, &unknown(), &[]);
    assert!(fs::symlink_metadata(&settings.path).unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"");
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    let fresh = fs::metadata(errors(&settings)).unwrap().permissions().mode() & 0o777;
    assert_eq!(fresh & 0o600, 0o600);
    assert_eq!(fresh, fs::metadata(umask_probe(folder.path())).unwrap().permissions().mode() & 0o777);
}

#[cfg(unix)]
fn umask_probe(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("probe");
    fs::write(&path, "").unwrap();
    path
}

/// The lines of an `OpenAI` Batch output: among the results, and in a file of their own where one is wanted.
fn batch_lines(samples: &[Sample], apart: bool) -> (Vec<Value>, Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let settings = OutputSettings {
        format: OutputFormat::OpenaiBatch,
        errors: apart.then(|| folder.path().join("failed")),
        ..settings(folder.path(), "out.batch")
    };
    let written = write(&settings, &unknown(), samples);
    assert_eq!(written.errors.is_some(), apart);
    let lines = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    (lines(&settings.path), settings.errors.as_deref().map(lines).unwrap_or_default())
}

fn with_reply(mut sample: Sample, reply: &Value) -> Sample {
    sample.outcome.reply = Some(RawValue::from_string(reply.to_string()).unwrap().into());
    sample.outcome.id_hash = Some(crate::types::RowHash(1));
    sample
}

fn refused(number: u64, status: u16) -> Sample {
    let kind = FailureKind::InvalidRequest;
    Sample::failed(number, Failure { kind, status: Some(status), message: "no such tool".to_owned() }, json!({}))
}

#[test]
fn a_batch_output_has_a_response_or_an_error_for_every_row() {
    let mut good = Sample::succeeded(1, &answer("one"), json!({}));
    good.outcome.request_id = Some("req_1".to_owned());
    let mut filtered =
        with_reply(Sample::failed(4, Failure::new(FailureKind::ContentFilter, "no"), json!({})), &answer(""));
    filtered.outcome.failure.as_mut().unwrap().status = Some(200);
    let mut late = Sample::failed(5, Failure::new(FailureKind::Timeout, "slow"), json!({}));
    late.outcome.id_hash = Some(crate::types::RowHash(1));
    let mut broken = Sample::failed(6, Failure::new(FailureKind::BadRow, "not JSON"), json!({}));
    (broken.row, broken.outcome.attempts) = (None, 0);
    let samples = [good, refused(2, 400), with_reply(refused(3, 422), &json!({"detail": "x"})), filtered, late, broken];
    let (lines, _) = batch_lines(&samples, false);
    let id = format!("batch_req_{}", "0".repeat(32));
    let response = |status: u16, body: Value| json!({"status_code": status, "request_id": "", "body": body});
    let made = json!({"message": "no such tool", "type": "invalid_request", "param": null, "code": "invalid_request"});
    let mut first = response(200, answer("one"));
    first["request_id"] = json!("req_1");
    let expected = [
        json!({"id": id, "custom_id": "r1", "response": first, "error": null}),
        json!({"id": id, "custom_id": "r2", "response": response(400, json!({"error": made})), "error": null}),
        json!({"id": id, "custom_id": "r3", "response": response(422, json!({"detail": "x", "error": made})), "error": null}),
        json!({"id": id, "custom_id": "r4", "response": response(200, answer("")),
            "error": {"code": "content_filter", "message": "no"}}),
        json!({"id": id, "custom_id": "r5", "response": null, "error": {"code": "timeout", "message": "slow"}}),
        json!({"id": id, "custom_id": null, "response": null,
            "error": {"code": "bad_row", "message": "line 7: not JSON"}}),
    ];
    assert_eq!(lines, expected);
    let (good, bad) = batch_lines(&samples, true);
    assert_eq!((good.as_slice(), bad.as_slice()), (&expected[..1], &expected[1..]));
}

#[test]
fn what_a_server_said_of_a_refusal_stands_in_a_batch_output_as_it_was() {
    let said = json!({"error": {"message": "m", "type": "t", "code": 7}, "x": [1]});
    let (lines, _) = batch_lines(&[with_reply(refused(1, 404), &said)], false);
    assert_eq!(lines[0]["response"]["body"], said);
}
