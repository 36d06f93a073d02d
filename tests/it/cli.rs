//! The command line: exit codes, what goes to which stream, and errors with their place and a hint.

use std::io::Read;
use std::process::Stdio;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{Ran, World};

const JOB: &str = r#"
[input]
path = "in.jsonl"
[output]
path = "out.jsonl"
[tasks.tag]
model = "p/m"
prompt = "Tag {{ text }}"
[providers.p]
kind = "simulated"
"#;

/// A folder with a job that works.
fn world() -> World {
    let world = World::new();
    world.write("job.toml", JOB);
    world.write("in.jsonl", "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
    world
}

/// What a refusal says on stderr, with this code and nothing on stdout.
fn refused(world: &World, args: &[&str], code: i32) -> String {
    let ran = world.overnight(args);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    let root = world.root().canonicalize().unwrap();
    ran.stderr.replace(&format!("{}", root.display()), "ROOT")
}

#[test]
fn what_was_typed_wrong_is_usage_and_names_what_was_meant() {
    let world = world();
    assert_snapshot!(refused(&world, &["run"], 2), @r#"
    error: the following required arguments were not provided:
      <JOB>

    Usage: overnight run <JOB>

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused(&world, &["rum", "job.toml"], 2), @r#"
    error: unrecognized subcommand 'rum'

      tip: a similar subcommand exists: 'run'

    Usage: overnight [OPTIONS] <COMMAND>

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused(&world, &["run", "job.toml", "--limti", "3"], 2), @r#"
    error: unexpected argument '--limti' found

      tip: a similar argument exists: '--limit'

    Usage: overnight run --limit <N> <JOB>

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused(&world, &["run", "job.toml", "--task", "tga"], 2), @r#"
    error: no task "tga" in the job; it has: tag
    "#);
    assert_snapshot!(refused(&world, &["sim", "--listen", "0.0.0.0:0"], 2), @r#"
    error: 0.0.0.0:0: the simulator listens on loopback only
      hint: --listen 127.0.0.1:8089
    "#);
    assert_snapshot!(refused(&world, &["sim", "--set", "latncy=1s"], 2), @r#"
    error: --set: latncy: unknown field `latncy`, expected one of `latency`, `noise`, `knee`, `limits`, `limit_window`, `window_kind`, `counts`, `headers`, `hints`, `changes`, `seed`, `faults`, `poison`, `script`, `outages`, `slow_body`, `max_context_tokens`, `truncates_at`, `key`, `quota`, `output_tokens`, `cached_share`, `reasoning_tokens`, `count_marks`, `count_seconds`
    "#);
}

#[test]
fn a_job_that_is_wrong_is_told_all_at_once_with_places_and_hints() {
    let world = world();
    world.write(
        "job.toml",
        r#"
[input]
path = "in.jsonl"
fromat = "csv"
[output]
path = "out.jsonl"
[tasks.tag]
model = "cheep"
prompt = "Tag {{ text }}"
[models.cheap]
provider = "gateway"
limits = { rpm = 0 }
[providers.gateway]
base_url = "https://gateway.example/v1"
api_key_env = "GATEWAY_KEY"
[retry]
max_attempts = "three"
"#,
    );
    assert_snapshot!(refused(&world, &["run", "job.toml"], 3), @r#"
    error: job.toml:4:1: input.fromat: unknown key
      hint: did you mean `format`?
    job.toml:8:9: tasks.tag.model: no model is called "cheep"
      hint: did you mean `cheap`?
    job.toml:12:18: models.cheap.limits.rpm: must be at least 1
    job.toml:17:16: retry.max_attempts: must be a whole number, is a text
    "#);
}

#[test]
fn each_error_says_where_and_what_to_do() {
    let world = world();
    let told = |args: &[&str]| refused(&world, &[&["run", "job.toml"], args].concat(), 3);
    assert_snapshot!(refused(&world, &["run", "nothing.toml"], 3), @r#"
    error: nothing.toml: cannot be read: No such file or directory (os error 2)
    "#);
    assert_snapshot!(told(&["--set", "nonsense"]), @r#"
    error: --set: not KEY=VALUE: "nonsense"
      hint: write for example --set input.format=csv
    "#);
    assert_snapshot!(told(&["--route", "tga=p/m"]), @r#"
    error: --route: no task is called "tga"
      hint: did you mean `tag`?
    "#);
    assert_snapshot!(told(&["--model", "q/m"]), @r#"
    error: --model: tasks.tag.model: no provider is called "q"
      hint: providers known here: p, openai, anthropic, gemini, qwen, mistral, groq, deepseek, together, fireworks, openrouter, xai, cerebras, ollama, vllm, lmstudio
    "#);
    assert_snapshot!(told(&["--input", "gone.jsonl"]), @r#"
    error: gone.jsonl: no such file or folder
      hint: check input.path
    "#);
    assert_snapshot!(told(&["--set", "tasks.tag.prompt=Tag {{ text }"]), @r#"
    error: --set: tasks.tag: prompt, line 1: syntax error: unexpected `}`, expected end of variable block, near `Tag {{ text }`
    "#);
    assert_snapshot!(told(&["--set", "providers.p.simulate.latncy=1s"]), @r#"
    error: --set: providers.p.simulate.latncy: unknown field `latncy`, expected one of `latency`, `noise`, `knee`, `limits`, `limit_window`, `window_kind`, `counts`, `headers`, `hints`, `changes`, `seed`, `faults`, `poison`, `script`, `outages`, `slow_body`, `max_context_tokens`, `truncates_at`, `key`, `quota`, `output_tokens`, `cached_share`, `reasoning_tokens`, `count_marks`, `count_seconds`
    "#);
    let wrong = ["latncy=1s", "limits={ rpm = 0 }", "noise=-1"].map(|pair| format!("providers.p.simulate.{pair}"));
    let wrong = wrong.iter().flat_map(|pair| ["--set", pair]).collect::<Vec<_>>();
    for command in ["run", "plan"] {
        let told = refused(&world, &[&[command, "job.toml"][..], &wrong].concat(), 3);
        for key in ["latncy: unknown field `latncy`", "limits: a limit of 0 lets nothing through", "noise: "] {
            assert!(told.contains(&format!("--set: providers.p.simulate.{key}")), "{told}");
        }
    }
    world.write("job.toml", JOB.replace("Tag {{ text }}", "Tag {% if text %}"));
    assert_snapshot!(told(&[]), @r#"
    error: job.toml:6:1: tasks.tag: prompt, line 1: syntax error: unexpected end of input, expected end of block, near `Tag {% if text %}`
    "#);
    world.write("job.toml", JOB.replace("p/m", "openai/gpt-4o-mini"));
    assert_snapshot!(told(&[]), @r#"
    error: job.toml:7:9: tasks.tag.model: environment variable OPENAI_API_KEY is not set
      hint: provider openai needs a key: set it in the environment or in `env_file`, or name another variable in providers.openai.api_key_env
    "#);
    world.write("job.toml", "[input]\npath = ");
    assert_snapshot!(told(&[]), @r#"
    error: job.toml:2:8: string values must be quoted, expected literal string
    "#);
}

#[test]
fn results_go_to_files_the_summary_to_stdout_and_progress_to_stderr() {
    let world = world();
    let ran = world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let (heading, rest) = ran.stdout.split_once('\n').unwrap();
    assert!(heading.starts_with("job, run 1, finished after ") && heading.ends_with('s'), "{heading}");
    assert_snapshot!(rest, @r#"
    rows             2 in all: 2 succeeded, 0 failed, 0 remaining
    requests         2 sent
    tokens           10 in, 14 out
    cost             $0

     model  rows  failed  requests  in  out  cost
     p/m       2       0         2  10   14    $0

    simulated        the answers of p are invented
    results          out.jsonl
    "#);
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "job: run 1 begins"), "{ran:?}");
    assert!(lines[1].starts_with("finished: 2 of 2 rows, $0, "), "{ran:?}");
}

#[test]
fn json_is_one_line_with_the_figures_of_the_contract() {
    let world = world();
    for args in [&["--json"][..], &["--json", "-q"], &["--json", "--progress", "none"]] {
        let ran = world.overnight(&[&["run", "job.toml"], args].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!((ran.stdout.lines().count(), ran.stdout.ends_with("}\n")), (1, true), "{ran:?}");
        let summary = ran.summary();
        let names: Vec<&String> = summary.as_object().unwrap().keys().collect();
        let expected = [
            "job",
            "run",
            "exit_code",
            "stop_reason",
            "rows",
            "attempts",
            "rate_limited",
            "usage",
            "cost_usd",
            "cost_unknown_rows",
            "possibly_billed",
            "elapsed_ms",
        ];
        assert_eq!(names, expected);
        let rows = &summary["rows"];
        let of = |name: &str| rows[name].as_u64().unwrap();
        assert_eq!(of("total"), of("succeeded") + of("failed") + of("failed_before") + of("remaining"));
        assert_eq!((&summary["exit_code"], &summary["stop_reason"]), (&json!(0), &Value::Null));
        if args.len() > 1 {
            assert_eq!(ran.stderr, "", "{ran:?}");
        }
    }
}

#[test]
fn quiet_prints_nothing_unless_something_is_wrong() {
    let world = world();
    let ran = world.overnight(&["run", "job.toml", "-q"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    let ran = world.overnight(&["run", "job.toml", "-q", "--model", "p/fail-400"]);
    // Done rows that are paid for again are never sent in silence.
    let told = "the job changed (tasks.tag.model): 2 rows that are done must be sent again, at no cost\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(4), told));
    assert!(ran.stdout.contains("2 invalid_request"), "{ran:?}");
    let ran = world.overnight(&["run", "job.toml", "-q", "--model", "p/fail-404"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(6), told));
    assert!(ran.stdout.contains("model_not_found"), "{ran:?}");
    refused(&world, &["run", "gone.toml", "-q"], 3);
}

#[test]
fn each_end_has_its_exit_code_in_process_and_summary() {
    let world = world();
    for (model, code) in [("p/fail-404", 6), ("p/fail-400", 4), ("p/fail-400", 0), ("p/m", 0)] {
        let ran = world.overnight(&["run", "job.toml", "--json", "--model", model]);
        assert_eq!(ran.code, Some(code), "{model}: {ran:?}");
        let summary = ran.summary();
        assert_eq!(summary["exit_code"], code);
        assert_eq!(summary["stop_reason"].is_null(), code != 6, "{summary}");
    }
}

#[test]
fn verbose_tells_failed_attempts_and_logs_can_be_json() {
    let world = world();
    let flags = ["run", "job.toml", "--model", "p/fail-500", "--set", "retry.max_attempts=2"];
    let quick = ["--set", "retry.backoff.base=1ms", "--set", "retry.backoff.max=2ms", "--set", "run.retry_failed=all"];
    let told = |more: &[&str]| {
        let ran = world.overnight(&[&flags[..], &quick, more].concat());
        assert_eq!(ran.code, Some(4), "{ran:?}");
        ran.stderr
    };
    assert!(!told(&[]).contains("row 1"));
    let verbose = told(&["-v"]);
    assert!(verbose.contains("row 1: p/fail-500: server_error 500: The server had an error"), "{verbose}");
    let json = told(&["-v", "--log-format", "json"]);
    let events: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((named("run_started"), named("attempt_failed"), named("row_done")), (1, 2, 2), "{json}");
    assert_eq!(events.last().unwrap()["event"], "run_finished");
    assert!(events.iter().all(|event| event["ts"].is_u64()));
}

#[test]
fn help_fits_eighty_columns_and_names_every_flag_of_the_contract() {
    let world = world();
    for args in [&["--help"][..], &["-h"], &["run", "--help"], &["run", "-h"], &["sim", "--help"]] {
        let ran = Ran::from(world.command(args).env("COLUMNS", "80").output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        let widest = ran.stdout.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 80, "{args:?}: {widest}");
    }
    let run = world.overnight(&["run", "--help"]).stdout;
    for flag in [
        "--input",
        "--output",
        "--limit",
        "--sample",
        "--task",
        "--model",
        "--route",
        "--set",
        "--concurrency",
        "--config",
        "--json",
        "--quiet",
        "--verbose",
        "--progress",
        "--log-format",
        "--color",
    ] {
        assert!(run.contains(flag), "{flag}");
    }
    assert_eq!(world.overnight(&["--version"]).stdout, concat!("overnight ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let world = world();
    for args in [&["run", "job.toml"][..], &["run", "job.toml", "--json"], &["--help"], &["run", "job.toml", "-v"]] {
        let mut command = world.command(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {told}");
        assert!(!told.contains("panicked") && !told.contains("error"), "{args:?}: {told}");

        let mut command = world.command(args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
    }
    assert_eq!(world.lines("out.jsonl").len(), 2);
}

#[test]
fn colours_are_for_terminals_unless_asked_for() {
    let world = world();
    let run = |args: &[&str], no_color: bool| {
        let mut command = world.command(&[&["run", "job.toml", "--model", "p/fail-404"], args].concat());
        if no_color {
            command.env("NO_COLOR", "1");
        }
        let ran = Ran::from(command.output().unwrap());
        ran.stdout.contains('\u{1b}') || ran.stderr.contains('\u{1b}')
    };
    assert!(!run(&[], false) && !run(&[], true) && !run(&["--color", "never"], false));
    assert!(run(&["--color", "always"], false));
}

#[test]
fn long_flags_come_from_the_environment_as_well() {
    let world = world();
    let mut command = world.command(&["run", "job.toml"]);
    let ran = Ran::from(command.env("OVERNIGHT_JSON", "1").env("OVERNIGHT_LIMIT", "1").output().unwrap());
    assert_eq!((ran.code, &ran.summary()["rows"]["total"]), (Some(0), &json!(1)), "{ran:?}");
    let mut command = world.command(&["run", "job.toml", "--json"]);
    let ran = Ran::from(command.env("OVERNIGHT_SET", "input.path=gone.jsonl").output().unwrap());
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("gone.jsonl"), "{ran:?}");
    // A flag without a value as well, and one that keeps money from being spent above all.
    let mut command = world.command(&["run", "job.toml", "--json"]);
    let ran = Ran::from(command.env("OVERNIGHT_DRY_RUN", "1").env("OVERNIGHT_FRESH", "1").output().unwrap());
    assert_eq!((ran.code, ran.summary()["rows"].is_u64()), (Some(0), true), "a plan, no run: {ran:?}");
    let mut command = world.command(&["retry", "job.toml", "--json"]);
    let ran = Ran::from(command.env("OVERNIGHT_KIND", "nonsense").output().unwrap());
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn a_variable_is_no_more_than_a_default() {
    let world = world();
    world.overnight(&["run", "job.toml"]);
    let told = |variable: (&str, &str), args: &[&str]| {
        Ran::from(world.command(args).env(variable.0, variable.1).output().unwrap())
    };
    for value in ["", "0", "1"] {
        let status = told(("OVERNIGHT_WATCH", value), &["status"]);
        assert!(status.code == Some(0) && status.stdout.contains("finished"), "{value:?}: {status:?}");
    }
    for (variable, args) in [
        (("OVERNIGHT_ID", "nobody's"), &["explain", "job.toml", "1"][..]),
        (("OVERNIGHT_FAILED", "1"), &["export", "job.toml", "--format", "csv"]),
    ] {
        let (with, without) = (told(variable, args), world.overnight(args));
        assert_eq!((with.code, with.stdout), (Some(0), without.stdout), "{variable:?}");
    }
    let failed = told(("OVERNIGHT_FAILED", "1"), &["export", "job.toml"]);
    assert_eq!(failed.stdout, world.overnight(&["export", "job.toml", "--failed"]).stdout);
    for written in [&["status", "--watch"][..], &["explain", "job.toml", "1", "--id", "1"], &["explain", "job.toml"]] {
        assert_eq!(world.overnight(written).code, Some(2), "{written:?}");
    }
}

#[test]
fn a_format_from_the_environment_is_for_those_who_know_it() {
    let world = world();
    world.overnight(&["run", "job.toml"]);
    let told =
        |format: &str, args: &[&str]| Ran::from(world.command(args).env("OVERNIGHT_FORMAT", format).output().unwrap());
    assert!(told("html", &["report", "job.toml"]).stdout.starts_with("<!DOCTYPE html>"));
    assert!(told("openai-batch", &["export", "job.toml"]).stdout.starts_with("{\"id\":\"batch_req_"));
    assert!(told("json", &["models", "gpt-4o-mini"]).stdout.starts_with('{'));
    for (format, args) in [
        ("html", &["models", "gpt-4o-mini"][..]),
        ("jsonl", &["report", "job.toml"]),
        ("table", &["export", "job.toml"]),
    ] {
        let (with, without) = (told(format, args), world.overnight(args));
        assert_eq!((with.code, with.stdout), (Some(0), without.stdout), "{format} says nothing to it");
    }
    assert_eq!(told("csv", &["export", "job.toml", "--failed"]).code, Some(0), "a default is in nobody's way");
    assert_eq!(world.overnight(&["export", "job.toml", "--failed", "--format", "csv"]).code, Some(2));
    let compare = &["compare", "job.toml", "--models", "p/m,p/n"][..];
    assert_eq!(told("prices", &[compare, &["--sample", "1"]].concat()).code, Some(0), "not one of its formats");
    let markdown = told("markdown", &[compare, &["--sample", "1"]].concat());
    assert!(markdown.stdout.contains("\n|"), "{markdown:?}");
    for args in [&["report", "job.toml"][..], &["export", "job.toml"], &["models"], compare] {
        let nobody = told("htlm", args);
        assert!(nobody.code == Some(2) && nobody.stderr.contains("htlm"), "{nobody:?}");
    }
}

#[test]
fn status_tells_the_same_reason_of_a_stop_as_the_summary() {
    let world = world();
    let ran = world.overnight(&["run", "job.toml", "--model", "p/fail-404", "--json"]);
    assert_eq!((ran.code, &ran.summary()["stop_reason"]), (Some(6), &json!("no_model_left")), "{ran:?}");
    let told = world.overnight(&["status", "job.toml", "--json"]);
    assert_eq!(told.summary()["stop_reason"], json!("no_model_left"), "{told:?}");
}

#[test]
fn with_json_every_command_tells_its_error_as_an_object_on_one_line() {
    let world = World::new();
    let plain = ["run", "plan", "status", "report", "errors", "retry", "prune"].map(|command| (command, None));
    for (command, more) in plain.into_iter().chain([("explain", Some("1")), ("control", Some("pause"))]) {
        let args: Vec<&str> = [command, "nothing.toml"].into_iter().chain(more).chain(["--json", "-q"]).collect();
        let ran = world.overnight(&args);
        assert_eq!((ran.code, ran.stdout.lines().count()), (Some(3), 1), "{ran:?}");
        let told = ran.summary();
        assert_eq!((&told["job_file"], &told["exit_code"]), (&json!("nothing.toml"), &json!(3)), "{ran:?}");
        assert!(told["error"].as_str().unwrap().starts_with("nothing.toml: cannot be read"), "{ran:?}");
        assert!(ran.stderr.starts_with("error: nothing.toml"), "{ran:?}");
    }
    // Where data go to standard output, it goes beside them.
    for data in [&["run", "nothing.toml", "--json", "--output", "-"][..], &["export", "nothing.toml", "--json"]] {
        let ran = world.overnight(data);
        assert!(ran.stdout.is_empty() && ran.stderr.contains("\"exit_code\":3"), "{ran:?}");
    }
    assert_eq!(world.overnight(&["run", "nothing.toml"]).stdout, "");
}
