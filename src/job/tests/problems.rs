use super::{Folder, LEAST, job, problems};

#[test]
fn every_problem_of_rows_and_tasks_is_told_at_once_with_its_place() {
    let folder = Folder::with(
        r#"[jobb]
name = "x"
[input]
path = "${NOWHERE}/rows.jsonl"
format = "jsonlines"
delimiter = ";;"
max_row = "lots"
[output]
path = "out/rows.xlsx"
include = "id"
[tasks.tag]
model = "chep"
fallbak = ["strong"]
prompt = { file = "prompts/none.md" }
[tasks.sum]
prompt = "x"
messages = [{ role = "usr", content = "x" }]
params = { messages = [] }
[models]
cheap = "ollama/qwen3"
"#,
    );
    let expected = r#"job.toml:1:2: jobb: unknown key
  hint: did you mean `job`?
job.toml:4:8: input.path: environment variable NOWHERE is not set
  hint: set it in the environment or in `env_file`
job.toml:5:10: input.format: "jsonlines" is not known
  hint: did you mean `jsonl`?
job.toml:6:13: input.delimiter: must be one character
  hint: write for example ";" or "\t"
job.toml:7:11: input.max_row: is not a size
  hint: write for example "16MB" or "512KiB"
job.toml:9:8: output.path: ends in .xlsx: it says how results are written
  hint: .jsonl, .csv or .tsv, each also with .gz or .zst; or .parquet
job.toml:10:11: output.include: must be a list, is a text
job.toml:12:9: tasks.tag.model: no model is called "chep"
  hint: did you mean `cheap`?
job.toml:13:1: tasks.tag.fallbak: unknown key
  hint: did you mean `fallback`?
job.toml:14:19: tasks.tag.prompt.file: prompts/none.md cannot be read: No such file or directory (os error 2)
job.toml:15:1: tasks.sum.model: is missing
  hint: write for example model = "openai/gpt-4o-mini"
job.toml:17:12: tasks.sum.messages: stands instead of `system` and `prompt`, not beside them
  hint: put them into messages as { role = "system", content = ... }
job.toml:17:22: tasks.sum.messages[0].role: "usr" is not known
  hint: did you mean `user`?
job.toml:18:10: tasks.sum.params: `messages` cannot be set here: overnight sets it for each call"#;
    similar(&folder.problems(), expected);
}

#[test]
fn every_problem_of_models_and_runs_is_told_at_once_with_its_place() {
    let job = r#"[models]
cheap = "gatway/qwen-plus"
[models.strong]
provider = "gateway"
limits = { rpm = 0, rps = 5 }
price = { input = -1 }
[providers.gateway]
timeout = { attempt = 60 }
headers = { "x key" = "y" }
[retry]
max_attempts = "five"
backoff = { base = "soon" }
[run]
concurrency = 0
retry_failed = "some"
"#;
    let expected = r#"job.toml:10:9: models.cheap: no provider is called "gatway"
  hint: did you mean `gateway`?
job.toml:13:18: models.strong.limits.rpm: must be at least 1
job.toml:13:21: models.strong.limits.rps: unknown key
  hint: known here: rpm, tpm, input_tpm, output_tpm, rpd, concurrency
job.toml:14:9: models.strong.price.output: is missing
  hint: write for example price = { input = 0.40, output = 1.20 }, in USD per million tokens
job.toml:14:19: models.strong.price.input: is not an amount of USD per million tokens
  hint: at least 0, with at most twelve decimals
job.toml:15:1: providers.gateway: base_url is missing
  hint: gateway is not a provider known by name: write base_url = "https://.../v1"
job.toml:16:23: providers.gateway.timeout.attempt: must be a duration, is a whole number
  hint: write for example "500ms", "60s" or "1h"
job.toml:17:23: providers.gateway.headers."x key": is not a header's name
job.toml:19:16: retry.max_attempts: must be a whole number, is a text
job.toml:20:20: retry.backoff.base: is not a duration: "soon"
  hint: write for example "500ms", "60s" or "1h"
job.toml:22:15: run.concurrency: must be at least 1 and at most 65535
job.toml:23:16: run.retry_failed: "some" is not known
  hint: known here: transient, all, none"#;
    similar(&problems(&format!("{LEAST}{job}")), expected);
}

/// Line by line, so that a failure shows the line.
fn similar(found: &str, expected: &str) {
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count(), "{found}");
}

#[test]
fn an_empty_job_says_what_is_missing() {
    let expected = r#"job.toml: input.path: is missing
  hint: write for example path = "data/rows.jsonl"
job.toml: output.path: is missing
  hint: write for example path = "out/rows.jsonl"
job.toml: tasks: no task: nothing says which model a row gets
  hint: write for example [tasks.default] with model = "openai/gpt-4o-mini" and a prompt"#;
    similar(&problems(""), expected);
}

#[test]
fn a_syntax_error_has_its_place() {
    let printed = problems("[input]\npath = \"rows.jsonl\nformat = 3\n");
    assert!(printed.starts_with("job.toml:2:"), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(problems("[input]\npath = 1\npath = 2\n").starts_with("job.toml:3:1: "));
    assert_eq!(
        problems("[run]\nconcurrency = 99999999999999999999"),
        "job.toml:2:15: run.concurrency: the number is too large"
    );
}

#[test]
fn places_count_characters_and_survive_windows_line_ends() {
    let text =
        format!("{LEAST}[job]\nname = \"x\"\n[vars]\n\"größe\" = 1\n[run]\ndrian = \"1s\"").replace('\n', "\r\n");
    let line = text.lines().count();
    assert!(problems(&text).starts_with(&format!("job.toml:{line}:1: run.drian: unknown key")), "{}", problems(&text));
    let inline = problems(&format!("{LEAST}params = {{ \"größe\" = 1, x = nan }}"));
    assert!(inline.contains(":9:29: tasks.tag.params.x: must be a finite number"), "{inline}");
}

#[test]
fn a_missing_file_is_told_by_the_name_the_user_gave() {
    let folder = Folder::new();
    assert!(folder.problems().starts_with("job.toml: cannot be read: "), "{}", folder.problems());
    let printed = folder.problems_with(|args| args.job_file = "no/such/job.toml".into());
    assert!(printed.starts_with("no/such/job.toml: cannot be read: "), "{printed}");
}

#[test]
fn a_wrong_model_is_told_once_however_many_tasks_name_it() {
    let text = r#"
input.path = "rows.jsonl"
output.path = "rows.csv"
tasks.a = { model = "m", prompt = "x" }
tasks.b = { model = "m", prompt = "x" }
models.m = { provider = "ollama", max_output = 0 }
"#;
    let printed = problems(text);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(printed.contains("models.m.max_output: must be at least 1"), "{printed}");
}

#[test]
fn later_problems_get_the_place_of_their_key_or_of_its_table() {
    let job = job(LEAST);
    let at = |key: &str| {
        let problem = job.problem(key, "bad template");
        (problem.line, problem.column)
    };
    assert_eq!(at("tasks.tag.prompt"), (Some(8), Some(10)));
    assert_eq!(at("tasks.tag.system"), (Some(6), Some(1)));
    assert_eq!(at("input.id"), (Some(2), Some(1)));
    assert_eq!(at("vars.lang"), (None, None));
    let printed = job.problem("tasks.tag.prompt", "bad template").with_hint("close it").to_string();
    assert!(printed.ends_with("job.toml:8:10: tasks.tag.prompt: bad template\n  hint: close it"), "{printed}");
}
