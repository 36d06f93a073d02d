use std::time::Duration;

use super::{Folder, LEAST, job, problems};
use crate::job::{Job, MaxCost, Period, RetryFailed};
use crate::prompt::PromptSettings;
use crate::retry::RetrySettings;
use crate::sink::OutputFormat;
use crate::source::{Format, InputPath};

#[test]
fn the_least_job_has_the_documented_defaults() {
    let folder = Folder::with(LEAST);
    let job = folder.load().unwrap();
    assert_eq!((job.name.as_str(), job.task.as_str()), ("job", "task_type"));
    assert_eq!((&job.file, &job.state), (&folder.path("job.toml"), &folder.path(".overnight/job")));
    assert_eq!((job.id.clone(), job.filter.clone(), job.allow_overrides), (None, None, false));
    let path = InputPath::Path { path: folder.path("rows.jsonl"), shown: "rows.jsonl".to_owned() };
    assert_eq!(job.input.paths, [path]);
    assert_eq!((job.input.format, job.input.delimiter, job.input.max_row), (Format::Auto, None, 16_000_000));
    assert_eq!((&job.output.path, job.output.format), (&folder.path("out/rows.jsonl"), OutputFormat::Jsonl));
    assert_eq!(job.output.errors, Some(folder.path("out/rows.errors.jsonl")));
    assert_eq!((job.output.include.clone(), job.output.prefix.as_str(), job.output.response), (None, "", false));
    assert_eq!((job.concurrency, job.drain), (256, Duration::from_mins(1)));
    assert_eq!((job.retry, job.retry_failed), (RetrySettings::default(), RetryFailed::Transient));
    assert!(job.vars.is_empty());
}

#[test]
fn what_is_written_is_what_is_meant() {
    let folder = Folder::with(
        r#"
vars = { lang = "German", when = 2024-01-02, list = [1, 2.5] }
job.name = "tags"
[input]
path = ["b.csv", "${DATA}/*.csv", "-"]
format = "csv"
delimiter = "\t"
id = "review_id"
task = "kind"
where = "lang == 'en'"
max_row = "2MiB"
allow_overrides = true
[output]
path = "out.CSV"
errors = "failed.jsonl"
include = ["a"]
prefix = "llm_"
response = true
[tasks.tag]
model = "ollama/small"
prompt = "x"
[retry]
max_attempts = 3
backoff = { base = "10ms", max = "20ms" }
[run]
concurrency = 9
drain = "0s"
retry_failed = "all"
state = "state"
"#,
    );
    let folder = folder.env("DATA", "/data");
    let job = folder.load().unwrap();
    let path = |path, shown: &str| InputPath::Path { path, shown: shown.to_owned() };
    let expected = [path(folder.path("b.csv"), "b.csv"), path("/data/*.csv".into(), "/data/*.csv"), InputPath::Stdin];
    assert_eq!(job.input.paths, expected);
    assert_eq!((job.input.format, job.input.delimiter, job.input.max_row), (Format::Csv, Some(b'\t'), 2 << 20));
    assert_eq!((job.id.as_deref(), job.task.as_str()), (Some("review_id"), "kind"));
    assert_eq!((job.filter.as_deref(), job.allow_overrides), (Some("lang == 'en'"), true));
    assert_eq!((job.output.format, &job.output.errors), (OutputFormat::Csv, &Some(folder.path("failed.jsonl"))));
    assert_eq!((job.output.prefix.as_str(), job.output.response), ("llm_", true));
    let (base, max) = (Duration::from_millis(10), Duration::from_millis(20));
    assert_eq!(job.retry, RetrySettings { max_attempts: 3, backoff_base: base, backoff_max: max });
    assert_eq!((job.concurrency, job.drain, job.retry_failed), (9, Duration::ZERO, RetryFailed::All));
    assert_eq!((job.name.as_str(), &job.state), ("tags", &folder.path("state")));
    let vars = serde_json::json!({"lang": "German", "when": "2024-01-02", "list": [1, 2.5]});
    assert_eq!(serde_json::Value::Object(job.vars), vars);
}

#[test]
fn texts_come_from_files_beside_the_file_that_names_them_and_end_lines_with_lf() {
    let folder = Folder::with(
        r#"
input.path = "rows.jsonl"
output.path = "rows.jsonl"
[tasks.a]
model = "ollama/m"
system = { file = "${KIND}/a.md" }
prompt = "one\r\ntwo"
[tasks.b]
model = "ollama/m"
messages = [{ role = "user", content = { file = "prompts/a.md" } }, { role = "assistant", content = "ok" }]
[tasks.c]
model = "ollama/m"
messages = []
"#,
    );
    folder.write("prompts/a.md", "\u{feff}Be\r\nbrief.\n");
    let job = folder.env("KIND", "prompts").load().unwrap();
    let text = |text: &str| Some(text.to_owned());
    let prompts: Vec<_> = job.tasks.iter().map(|task| task.prompt.clone()).collect();
    let messages = [("user", "Be\nbrief.\n"), ("assistant", "ok")];
    let messages = messages.map(|(role, content)| (role.to_owned(), content.to_owned())).to_vec();
    let expected = [
        PromptSettings { system: text("Be\nbrief.\n"), prompt: text("one\ntwo"), ..PromptSettings::default() },
        PromptSettings { messages, ..PromptSettings::default() },
        PromptSettings::default(),
    ];
    assert_eq!(prompts, expected);
}

#[test]
fn an_output_over_its_errors_is_refused() {
    let printed = problems(&LEAST.replace("[tasks", "errors = \"out/rows.jsonl\"\n[tasks"));
    assert!(printed.contains("output.errors: is the file of the results as well"), "{printed}");
    let printed = problems(&LEAST.replace("[tasks", "errors = \"out/errors.csv\"\n[tasks"));
    assert!(printed.contains("output.errors: must end in .jsonl"), "{printed}");
}

#[test]
fn one_backoff_bound_alone_moves_the_other_s_default() {
    let retry = |backoff: &str| job(&format!("{LEAST}[retry]\nbackoff = {{ {backoff} }}")).retry;
    let short = retry("max = \"100ms\"");
    assert_eq!(short.backoff_base, short.backoff_max);
    let long = retry("base = \"2m\"");
    assert_eq!(long.backoff_max, Duration::from_mins(2));
    let printed = problems(&format!("{LEAST}[retry]\nbackoff = {{ base = \"2s\", max = \"1s\" }}"));
    assert!(printed.contains("retry.backoff: base is longer than max"), "{printed}");
}

fn tasks(names: &[&str]) -> Job {
    let head = "input.path = \"rows.jsonl\"\noutput.path = \"out.jsonl\"\n".to_owned();
    let tables = names.iter().map(|name| format!("tasks.{name} = {{ model = \"ollama/m\", prompt = \"x\" }}\n"));
    job(&(head + &tables.collect::<String>()))
}

#[test]
fn a_row_finds_its_task_by_name_then_the_only_one_then_default() {
    let single = tasks(&["tag"]);
    assert_eq!(
        (single.task_for(None), single.task_for(Some("tag")), single.task_for(Some("x"))),
        (Some(0), Some(0), None)
    );
    let two = tasks(&["tag", "sum"]);
    assert_eq!((two.task_for(None), two.task_for(Some("sum")), two.task_for(Some("x"))), (None, Some(1), None));
    let with_default = tasks(&["tag", "default", "sum"]);
    assert_eq!(with_default.default_task, Some(1));
    assert_eq!((with_default.task_for(None), with_default.task_for(Some("x"))), (Some(1), Some(1)));
}

#[test]
fn tasks_keep_the_order_of_the_file_and_share_models() {
    let job = tasks(&["zebra", "ant", "mole"]);
    let names: Vec<_> = job.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["zebra", "ant", "mole"]);
    assert_eq!((job.models.len(), job.providers.len()), (1, 1));
}

#[test]
fn rows_may_name_models_off_all_routes_only_with_overrides() {
    let models = "[models]\nother = \"groq/llama\"\n";
    let closed = job(&format!("{LEAST}{models}"));
    assert_eq!(closed.models.len(), 1);
    let open = job(&format!("{}{models}", LEAST.replace("[output]", "allow_overrides = true\n[output]")));
    assert_eq!(open.model_for("other"), Some(1));
    assert_eq!(
        (open.model_for("groq/llama"), open.model_for("ollama/qwen3"), open.model_for("x")),
        (Some(1), Some(0), None)
    );
}

/// What changes the identity, and what does not.
#[test]
fn identity_is_of_what_decides_keys_and_reading() {
    let base = r#"
[input]
path = "rows.jsonl"
[output]
path = "out.jsonl"
[tasks.tag]
model = "ollama/m"
fallback = ["ollama/n"]
prompt = "Tag {{ text }}"
params = { temperature = 0 }
[vars]
lang = "English"
"#;
    let identity = |pairs: &[&str]| {
        let set = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        Folder::with(base).load_with(|args| args.set = set).unwrap().identity()
    };
    let same = [
        "tasks.tag.fallback=[]",
        "tasks.tag.model=vllm/m",
        "providers.ollama.base_url=http://localhost:2/v1",
        "providers.ollama.limits.rpm=5",
        "output.include=[]",
        "output.path=other.csv",
        "run.concurrency=3",
        "retry.max_attempts=2",
        "job.name=x",
    ];
    for pair in same {
        assert_eq!(identity(&[pair]), identity(&[]), "{pair}");
    }
    let other = [
        "input.where=lang == 'en'",
        "tasks.tag.prompt=Label {{ text }}",
        "tasks.tag.system=Be brief.",
        "tasks.tag.params.temperature=1",
        "tasks.tag.model=ollama/other",
        "tasks.more={model = 'ollama/m', prompt = 'x'}",
        "vars.lang=German",
        "input.id=key",
        "input.task=kind",
        "input.format=csv",
        "input.delimiter=;",
        "input.max_row=5",
        "input.allow_overrides=true",
    ];
    for pair in other {
        assert_ne!(identity(&[pair]), identity(&[]), "{pair}");
    }
}

#[test]
fn costs_and_waits_have_their_defaults_and_are_what_is_written() {
    let usual = job(LEAST);
    assert_eq!((usual.max_cost, usual.on_outage), (None, Duration::from_hours(1)));
    assert_eq!((usual.tasks[0].max_cost, usual.tasks[0].fallback_after), (None, Some(Duration::from_mins(1))));
    let written = LEAST.replace("model =", "fallback_after = \"never\"\nmax_cost = \"2.5/day\"\nmodel =");
    let written = job(&format!("{written}\n[run]\nmax_cost = 25\non_outage = \"5m\""));
    let cost = |usd: &str, period| Some(MaxCost { amount: usd.parse().unwrap(), period });
    assert_eq!((written.max_cost, written.on_outage), (cost("25", Period::Run), Duration::from_mins(5)));
    assert_eq!((written.tasks[0].max_cost, written.tasks[0].fallback_after), (cost("2.5", Period::Day), None));
    let wrong = LEAST.replace("model =", "fallback_after = \"always\"\nmax_cost = true\nmodel =");
    let wrong = problems(&format!("{wrong}\n[run]\nmax_cost = \"25/week\"\non_outage = 60"));
    let hint =
        "is no amount of USD, and none a day or month\n  hint: write for example 25.0, \"25/day\" or \"500/month\"";
    for what in [
        "tasks.tag.fallback_after: is not a duration: \"always\"".to_owned(),
        format!("tasks.tag.max_cost: {hint}"),
        format!("run.max_cost: {hint}"),
        "run.on_outage: must be a duration, is a whole number".to_owned(),
    ] {
        assert!(wrong.contains(&what), "{what}: {wrong}");
    }
    assert!(problems(&format!("{LEAST}\n[run]\nmax_cost = -1")).contains("run.max_cost: is no amount"));
}
