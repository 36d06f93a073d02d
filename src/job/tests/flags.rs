use super::{Folder, LEAST};
use crate::job::{Job, MaxCost, Period};
use crate::limit::Limits;
use crate::source::{Format, InputPath};
use crate::types::Money;

const TWO_TASKS: &str = r#"
[input]
path = "rows.jsonl"
[output]
path = "out/rows.jsonl"
[tasks.tag]
model = "cheap"
fallback = ["strong"]
prompt = "x"
[tasks.sum]
model = "cheap"
prompt = "x"
[models]
cheap = "ollama/small"
strong = "ollama/large"
"#;

fn route(job: &Job, task: usize) -> Vec<&str> {
    job.tasks[task].route.iter().map(|model| job.models[*model].wire.as_str()).collect()
}

fn set(pairs: &[&str]) -> Vec<String> {
    pairs.iter().map(|pair| (*pair).to_owned()).collect()
}

#[test]
fn set_takes_toml_or_else_a_text() {
    let folder = Folder::with(LEAST);
    let pairs = [
        "run.concurrency=7",
        "input.format=csv",
        "output.include=[\"a\", \"b\"]",
        "vars.lang=German",
        "vars.\"a.b = c\"= 5",
        "vars.deep.er=true",
        "tasks.tag.params.temperature=0.5",
        "job.name=two words = one",
    ];
    let job = folder.load_with(|args| args.set = set(&pairs)).unwrap();
    assert_eq!(job.concurrency, 7);
    assert_eq!(job.input.format, Format::Csv);
    assert_eq!(job.output.include, Some(vec!["a".to_owned(), "b".to_owned()]));
    let vars = serde_json::json!({"lang": "German", "a.b = c": 5, "deep": {"er": true}});
    assert_eq!(serde_json::Value::Object(job.vars), vars);
    assert_eq!(job.tasks[0].params["temperature"], 0.5);
    assert_eq!(job.name, "two words = one");
}

#[test]
fn what_is_wrong_with_a_flag_is_told_by_the_flag() {
    let printed = Folder::with(TWO_TASKS).problems_with(|args| {
        args.set = set(&["tasks.tag.modle=x", "nonsense", "a..b=1", "input.max_row=0"]);
        args.routes = vec!["tga=cheap".to_owned(), "sum".to_owned(), "sum=".to_owned()];
        args.model = Some("chaep".to_owned());
        args.concurrency = Some(0);
    });
    let expected = [
        "--set: tasks.tag.modle: unknown key",
        "--set: not KEY=VALUE: \"nonsense\"",
        "--set: not a key: \"a..b\"",
        "--set: input.max_row: is not a size",
        "--route: no task is called \"tga\"",
        "--route: not TASK=MODEL[,FALLBACK...]: \"sum\"",
        "--route: tasks.sum.model: must not be empty",
        "--model: tasks.tag.model: no model is called \"chaep\"",
        "--concurrency: run.concurrency: must be at least 1 and at most 65535",
        "  hint: did you mean `tag`?",
    ];
    for line in expected {
        assert!(printed.lines().any(|found| found == line), "{line} in\n{printed}");
    }
}

#[test]
fn model_is_the_first_choice_of_all_tasks_and_fallbacks_stay() {
    let folder = Folder::with(TWO_TASKS);
    let job = folder.load_with(|args| args.model = Some("vllm/mid".to_owned())).unwrap();
    assert_eq!((route(&job, 0), route(&job, 1)), (vec!["mid", "large"], vec!["mid"]));
    let job = folder.load_with(|args| args.model = Some("strong".to_owned())).unwrap();
    assert_eq!((route(&job, 0), route(&job, 1)), (vec!["large"], vec!["large"]));
}

#[test]
fn route_is_a_task_s_whole_route_and_wins_over_model() {
    let job = Folder::with(TWO_TASKS).load_with(|args| {
        args.model = Some("strong".to_owned());
        args.routes = vec!["tag=vllm/mid, cheap".to_owned(), "sum=cheap".to_owned()];
    });
    let job = job.unwrap();
    assert_eq!((route(&job, 0), route(&job, 1)), (vec!["mid", "small"], vec!["small"]));
}

#[test]
fn paths_of_flags_start_from_the_working_directory() {
    let job = Folder::with(LEAST).load_with(|args| {
        args.input = Some("data/other.csv".into());
        args.output = Some("other.csv".into());
    });
    let (job, here) = (job.unwrap(), std::env::current_dir().unwrap());
    let path = InputPath::Path { path: here.join("data/other.csv"), shown: "data/other.csv".to_owned() };
    assert_eq!(job.input.paths, [path]);
    assert_eq!(job.output.path, here.join("other.csv"));
    assert_eq!(job.output.errors, Some(here.join("other.errors.jsonl")));
    let job = Folder::with(LEAST).load_with(|args| args.input = Some("-".into())).unwrap();
    assert_eq!(job.input.paths, [InputPath::Stdin]);
}

#[test]
fn the_job_overrides_the_config_key_by_key_and_flags_override_both() {
    let folder = Folder::new();
    folder.write(
        "overnight.toml",
        r#"
models.cheap = { provider = "gateway", model = "a", limits = { rpm = 10, tpm = 20 }, max_output = 5 }
providers.gateway = { base_url = "http://localhost:1/v1", timeout = { connect = "1s" } }
run = { concurrency = 3, drain = "5s", state = "states" }
"#,
    );
    let job = LEAST.replace("ollama/qwen3", "cheap");
    folder.write(
        "deep/jobs/job.toml",
        &format!("{job}\n[models.cheap]\nmodel = \"b\"\nlimits.rpm = 30\n[run]\nconcurrency = 4\n"),
    );
    let load = |pairs: &[&str]| {
        folder.load_with(|args| {
            args.job_file = folder.path("deep/jobs/job.toml");
            args.set = set(pairs);
        })
    };
    let job = load(&[]).unwrap();
    assert_eq!(job.models[0].wire, "b");
    assert_eq!(job.models[0].max_output, Some(5));
    assert_eq!(job.models[0].limits, Limits { rpm: Some(30), tpm: Some(20), ..Limits::default() });
    assert_eq!((job.concurrency, job.drain.as_secs()), (4, 5));
    assert_eq!(job.state, folder.path("states"), "a path starts from the file that names it");
    let job = load(&["models.cheap.limits.rpm=40", "run.concurrency=5"]).unwrap();
    assert_eq!((job.models[0].limits.rpm, job.concurrency), (Some(40), 5));
}

#[test]
fn a_short_model_keeps_its_name_when_a_flag_adds_to_it() {
    let folder = Folder::with(TWO_TASKS);
    let job = folder.load_with(|args| args.set = set(&["models.cheap.limits.rpm=5"])).unwrap();
    assert_eq!((job.models[0].wire.as_str(), job.models[0].limits.rpm), ("small", Some(5)));
}

#[test]
fn a_named_config_stands_instead_of_the_found_one() {
    let folder = Folder::with(&LEAST.replace("ollama/qwen3", "cheap"));
    folder.write("overnight.toml", "models.cheap = \"ollama/found\"");
    folder.write("other.toml", "models.cheap = \"ollama/named\"");
    assert_eq!(folder.load().unwrap().models[0].wire, "found");
    let named = folder.load_with(|args| args.config = Some(folder.path("other.toml"))).unwrap();
    assert_eq!(named.models[0].wire, "named");
    let printed = folder.problems_with(|args| args.config = Some(folder.path("none.toml")));
    assert!(printed.starts_with("none.toml: cannot be read: "), "{printed}");
}

#[test]
fn a_config_holds_only_what_is_for_all_jobs_and_tells_its_own_places() {
    let folder = Folder::with(LEAST);
    folder.write("overnight.toml", "[input]\npath = \"x\"\n[modles]\n[run]\ndrain = 5\n");
    let expected = "overnight.toml:1:2: input: belongs in a job file, not in the config for all jobs
overnight.toml:3:2: modles: unknown key
  hint: did you mean `models`?
overnight.toml:5:9: run.drain: must be a duration, is a whole number
  hint: write for example \"500ms\", \"60s\" or \"1h\"";
    assert_eq!(folder.problems(), expected);
}

#[test]
fn a_cost_on_the_command_line_lies_over_the_job_s() {
    let folder = Folder::with(&format!("{LEAST}\n[run]\nmax_cost = 5"));
    let max_cost = |flag: &str| folder.load_with(|args| args.max_cost = Some(flag.to_owned())).unwrap().max_cost;
    assert_eq!(max_cost("0.5"), Some(MaxCost { amount: Money::from_usd(0.5).unwrap(), period: Period::Run }));
    assert_eq!(max_cost("7/month"), Some(MaxCost { amount: Money::from_usd(7.0).unwrap(), period: Period::Month }));
    let printed = folder.problems_with(|args| args.max_cost = Some("lots".to_owned()));
    assert!(printed.starts_with("--max-cost: run.max_cost: is no amount of USD"), "{printed}");
}
