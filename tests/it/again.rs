//! Failed rows sent again, and what a change of the job sends again.

use serde_json::{Value, json};

use crate::night::TOP;
use crate::world::{Ran, SimServer, World};

/// Rows of which every fifth is too long for the model `short`, and answers of at most three tokens.
fn world(sim: &SimServer) -> World {
    let world = World::new();
    let job = format!(
        r#"
        {TOP}
        [tasks.tag]
        model = "short"
        prompt = "Tag {{{{ text }}}}"
        params = {{ max_tokens = 3 }}
        [models.short]
        provider = "p"
        model = "short-context-100"
        price = {{ input = 1, output = 2 }}
        [models.long]
        provider = "p"
        price = {{ input = 10, output = 20 }}
        [providers.p]
        base_url = "{}"
        "#,
        sim.url()
    );
    world.write("job.toml", job);
    world.write("in.jsonl", rows(20).join("\n"));
    world
}

fn rows(count: usize) -> Vec<String> {
    let text = |n: usize| if n.is_multiple_of(5) { "long ".repeat(200) } else { format!("row {n}") };
    (1..=count).map(|n| json!({"id": n, "text": text(n)}).to_string()).collect()
}

fn attempts(ran: &Ran) -> u64 {
    ran.summary()["attempts"].as_u64().unwrap()
}

#[test]
fn what_another_model_answers_counts_for_the_job_as_written() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    let first = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((first.code, &first.summary()["rows"]["failed"]), (Some(4), &json!(4)), "{first:?}");

    let none = world.overnight(&["retry", "job.toml", "--kind", "timeout,refusal", "--json"]);
    assert_eq!((none.code, attempts(&none)), (Some(0), 0), "{none:?}");
    let retried = world.overnight(&["retry", "job.toml", "--kind", "context_length", "--model", "long", "--json"]);
    assert_eq!((retried.code, attempts(&retried)), (Some(0), 4), "{retried:?}");
    assert_eq!(sim.ledger().by_model["long"].requests, 4);
    assert_eq!(world.lines("out.jsonl").len(), 20);
    assert_eq!(world.read("out.errors.jsonl"), "");

    let asked = sim.ledger().requests;
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((again.code, attempts(&again)), (Some(0), 0), "{again:?}");
    // Found by key too, when the order of the rows is another.
    world.write("in.jsonl", rows(20).into_iter().rev().collect::<Vec<_>>().join("\n"));
    let turned = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((turned.code, attempts(&turned)), (Some(0), 0), "{turned:?}");
    assert_eq!(sim.ledger().requests, asked);
}

#[test]
fn rows_that_did_not_fail_are_left_alone_also_new_ones() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    world.write("in.jsonl", rows(24).join("\n"));
    let retried = world.overnight(&["retry", "job.toml", "--json"]);
    let summary = retried.summary();
    assert_eq!((retried.code, &summary["attempts"]), (Some(4), &json!(4)), "{retried:?}");
    assert_eq!((&summary["rows"]["failed"], &summary["rows"]["remaining"]), (&json!(4), &json!(4)), "{summary}");
    assert_eq!(summary["stop_reason"], Value::Null);
    // The new ones are the next run's.
    let run = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((run.code, attempts(&run)), (Some(4), 4), "{run:?}");
}

#[test]
fn a_retry_that_no_row_fits_says_so_and_what_it_leaves_alone() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    let stopped = world.overnight(&["run", "job.toml", "--concurrency", "1", "--max-failures", "1"]);
    assert_eq!(stopped.code, Some(5), "{stopped:?}");
    let retry = |args: &[&str]| world.overnight(&[&["retry", "job.toml", "--kind", "timeout"], args].concat());
    let open = retry(&["--json"]);
    assert_eq!((open.code, &open.summary()["rows"]["failed"]), (Some(0), &json!(1)), "{open:?}");

    world.overnight(&["run", "job.toml"]);
    let note = "no row fits this retry, so nothing was sent again; left alone: 4 context_length\n";
    let none = retry(&[]);
    assert!(none.code == Some(0) && none.stderr.ends_with(note), "{none:?}");
    let rows = "16 done before and not sent again\n                 4 failed before, left alone\n";
    assert!(none.stdout.contains(rows), "{none:?}");
    let told = retry(&["--json"]);
    assert_eq!((told.code, attempts(&told)), (Some(0), 0), "{told:?}");
    assert!(told.stderr.ends_with(note) && told.summary()["rows"]["skipped"] == 20, "{told:?}");
    let quiet = retry(&["-q"]);
    assert_eq!((quiet.code, &*quiet.stdout, &*quiet.stderr), (Some(0), "", ""));
    let fits = world.overnight(&["retry", "job.toml"]);
    assert!(!fits.stderr.contains("no row fits"), "{fits:?}");
}

#[test]
fn a_retry_of_what_never_ran_says_so_and_makes_nothing() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.write("in.jsonl", rows(3).join("\n"));
    let ran = world.overnight(&["retry", "job.toml"]);
    assert_eq!((ran.code, &*ran.stderr), (Some(0), ""), "{ran:?}");
    assert!(ran.stdout.contains("nothing has run yet"), "{ran:?}");
    assert!(!world.path(".overnight").exists());
    assert_eq!(sim.ledger().requests, 0);
}

#[test]
fn truncated_answers_are_asked_for_again_with_more_room() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    let first = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(first.summary()["rows"]["truncated"], 16, "{first:?}");
    let more = "tasks.tag.params.max_tokens=500";
    let retried = world.overnight(&["retry", "job.toml", "--kind", "truncated", "--set", more, "--json"]);
    let summary = retried.summary();
    assert_eq!((&summary["attempts"], &summary["rows"]["truncated"]), (&json!(16), &json!(0)), "{retried:?}");
    assert!(world.lines("out.jsonl").iter().all(|line| line["finish_reason"] == "stop"));
    let again = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!((attempts(&again), &again.summary()["rows"]["truncated"]), (0, &json!(0)), "{again:?}");
}

#[test]
fn a_failure_never_takes_the_place_of_a_truncated_answer() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    let before = world.read("out.jsonl");
    // One that has no room for anything.
    let wrong = "models.short.model=short-context-1";
    let retried = world.overnight(&["retry", "job.toml", "--kind", "truncated", "--set", wrong, "--json"]);
    let summary = retried.summary();
    assert_eq!((retried.code, &summary["attempts"]), (Some(0), &json!(16)), "{retried:?}");
    assert_eq!((&summary["rows"]["succeeded"], &summary["rows"]["truncated"]), (&json!(16), &json!(16)), "{summary}");
    assert_eq!(world.read("out.jsonl"), before);
}

#[test]
fn a_kind_that_does_not_exist_is_told_with_those_that_do() {
    let sim = SimServer::start(json!({}));
    let ran = world(&sim).overnight(&["retry", "job.toml", "--kind", "slow"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("--kind slow") && ran.stderr.contains("row_timeout, truncated"), "{ran:?}");
}

#[test]
fn a_change_that_sends_done_rows_again_is_told_first() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    world.write("job.toml", world.read("job.toml").replace("Tag {{", "Label {{"));
    let asked = sim.ledger().requests;

    let stopped = world.overnight(&["run", "job.toml", "--set", "run.on_change=stop"]);
    assert_eq!((stopped.code, sim.ledger().requests), (Some(3), asked), "{stopped:?}");
    let words = "the job changed (tasks.tag.prompt): 20 rows that are done must be sent again, for about 0.00";
    assert!(stopped.stderr.contains(words) && stopped.stderr.contains("run.on_change=resend"), "{stopped:?}");

    let resent = world.overnight(&["run", "job.toml"]);
    assert!(resent.stderr.contains(words), "{resent:?}");
    assert_eq!(sim.ledger().requests, asked + 20);
    let again = world.overnight(&["run", "job.toml"]);
    assert!(!again.stderr.contains("the job changed"), "{again:?}");
}

#[test]
fn rows_that_are_new_are_no_change_of_the_job() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    world.write("in.jsonl", rows(30).join("\n"));
    let grown = world.overnight(&["run", "job.toml", "--set", "run.on_change=stop"]);
    assert_eq!(grown.code, Some(4), "{grown:?}");
    assert!(!grown.stderr.contains("the job changed"), "{grown:?}");
}

#[test]
fn a_plan_says_that_a_run_would_be_refused_in_the_words_of_the_run() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    let stop = ["--set", "run.on_change=stop", "--json"];
    let plan = |more: &[&str]| world.overnight(&[&["plan", "job.toml"], &stop[..], more].concat()).summary();
    assert_eq!(plan(&[])["refused"], Value::Null);
    world.write("job.toml", world.read("job.toml").replace("Tag {{", "Label {{"));

    let planned = plan(&[]);
    let ran = world.overnight(&[&["run", "job.toml", "-q"], &stop[..]].concat());
    let told = ran.summary();
    assert_eq!((ran.code, &told["exit_code"], &told["job_file"]), (Some(3), &json!(3), &json!("job.toml")), "{ran:?}");
    assert_eq!(planned["refused"]["error"], told["error"]);
    assert_eq!((&planned["refused"]["exit_code"], &planned["resend"]["job_changed"]), (&json!(3), &json!(20)));
    for hint in [&planned["refused"]["hint"], &told["hint"]] {
        assert!(hint.as_str().unwrap().contains("--set run.on_change=resend"), "{hint}");
    }
    assert_eq!(plan(&["--set", "run.on_change=resend"])["refused"], Value::Null);
    let text = world.overnight(&["plan", "job.toml", "--set", "run.on_change=stop"]);
    assert_eq!(text.code, Some(0));
    for words in ["ends with 3", told["error"].as_str().unwrap(), "--set run.on_change=resend"] {
        assert!(text.stdout.contains(words), "{text:?}");
    }
}

#[test]
fn what_a_note_says_of_a_change_is_what_the_plan_said() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    world.write("job.toml", world.read("job.toml").replace("Tag {{", "Label {{"));
    let plan = world.overnight(&["plan", "job.toml", "--json"]).summary();
    let ran = world.overnight(&["run", "job.toml"]);
    let cost = plan["by_model"][0]["cost_usd"]["expected"].as_f64().unwrap();
    let (_, told) = ran.stderr.split_once("20 rows that are done must be sent again, for about ").unwrap();
    let told: f64 = told.split(' ').next().unwrap().parse().unwrap();
    assert!(told >= cost && told < cost + 0.001, "{told} {cost}");
}

#[test]
fn outcomes_of_rows_that_are_not_asked_for_make_no_change() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim);
    world.overnight(&["run", "job.toml"]);
    // Another task, which asks nothing of these rows; ten of them went away, and ten are new.
    let more = "[tasks.other]\nmodel = \"long\"\nprompt = \"Other\"\n[models.short]";
    let job = world.read("job.toml").replace("[models.short]", more);
    world.write("job.toml", job.replace("path = \"in.jsonl\"", "path = \"in.jsonl\"\ntask = \"'tag'\""));
    world.write("in.jsonl", rows(30)[10..].join("\n"));
    let stop = ["run", "job.toml", "--set", "run.on_change=stop", "--json"];
    let part = world.overnight(&[&stop[..], &["--where", "id > 25"]].concat());
    assert_eq!((part.code, attempts(&part)), (Some(4), 5), "{part:?}");
    let whole = world.overnight(&stop);
    assert_eq!((whole.code, attempts(&whole)), (Some(4), 5), "{whole:?}");
}
