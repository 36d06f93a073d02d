//! What a run would do, and all about one row, told without a call or a file.

use overnight::engine::{Explanation, Survey};
use serde_json::{Value, json};

use crate::world::{Ran, SimServer, World};

/// Ten rows of two tasks, the first two alike but for their ids.
fn world(sim: &SimServer, change: impl Fn(String) -> String) -> World {
    let world = World::new();
    let rows: Vec<Value> = (1..=10)
        .map(|n| json!({"id": n, "task_type": if n > 8 { "sum" } else { "tag" }, "text": format!("row {}", n.max(2))}))
        .collect();
    write_rows(&world, &rows);
    world.write("job.toml", change(job(sim)));
    world
}

fn write_rows(world: &World, rows: &[Value]) {
    world.write("in.jsonl", rows.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
}

fn job(sim: &SimServer) -> String {
    format!(
        r#"
        [input]
        path = "in.jsonl"
        [output]
        path = "out/out.jsonl"
        [tasks.tag]
        model = "m"
        prompt = "Tag {{{{ text }}}}"
        params = {{ max_tokens = 100 }}
        [tasks.sum]
        model = "big"
        fallback = ["m"]
        prompt = "Summarize {{{{ text }}}}"
        [models.m]
        provider = "p"
        price = {{ input = 1, output = 2 }}
        limits = {{ rpm = 60 }}
        [models.big]
        provider = "p"
        [providers.p]
        base_url = "{}"
        api_key_env = "P_KEY"
        "#,
        sim.url()
    )
}

fn plan(world: &World, more: &[&str]) -> Value {
    let args: Vec<&str> = ["plan", "job.toml", "--json"].iter().chain(more).copied().collect();
    let ran = world.overnight(&args);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.summary()
}

fn run(world: &World) -> Ran {
    Ran::from(world.command(&["run", "job.toml", "--json"]).env("P_KEY", "k").output().unwrap())
}

#[test]
fn a_plan_tells_rows_tokens_cost_and_time_and_leaves_no_trace() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job);
    let told = plan(&world, &[]);
    assert_eq!((&told["rows"], &told["remaining"]), (&json!(10), &json!(10)));
    assert_eq!(told["resend"], json!({"new": 10, "row_changed": 0, "job_changed": 0, "failed": 0}));
    assert_eq!(told["duplicates"], 1);
    assert_eq!(told["missing_keys"], json!(["P_KEY"]));
    // 8 rows at 60 a minute.
    assert_eq!((&told["seconds"], &told["bound_by"]), (&json!(8), &json!("rpm 60 of p/m")));
    // 3 tokens for "Tag row 2", 7 around it; 800 output tokens at most, half of it expected. Of the 39 bytes of each request
    // the first 35 are the same. Low and high allow for a tokenizer that is not known.
    assert_eq!(
        told["by_model"][0],
        json!({"provider": "p", "model": "m", "task": "tag", "rows": 8,
               "input_tokens": 80, "tokens": {"by": "estimated"},
               "output_tokens": {"low": 8, "expected": 400, "high": 800},
               "cost_usd": {"low": 0.000_044, "expected": 0.000_88, "high": 0.001_764},
               "seconds": 8, "bound_by": "rpm 60 of p/m", "duplicates": 1,
               "cacheable": {"prefix_tokens": 8, "percent": 89}})
    );
    let saved = json!({"calls": 1, "input_tokens": 10, "output_tokens": 50, "cost_usd": 0.000_11});
    assert_eq!(told["dedupe_saves"], saved);
    let unknown = json!({"low": 2, "expected": null, "high": null});
    assert_eq!(told["by_model"][1]["output_tokens"], unknown);
    let files: Vec<_> = std::fs::read_dir(world.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    assert_eq!(sim.ledger().requests, 0);
    assert_eq!(plan(&world, &["--limit", "3"])["rows"], 3);
    assert_eq!(plan(&world, &["--task", "sum"])["rows"], 2);
    assert_eq!(plan(&world, &["--sample", "4"])["remaining"], 4);
}

#[test]
fn a_plan_that_dedupes_tells_what_is_left_to_pay() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job + "[run]\ndedupe = true\n");
    let text = world.overnight(&["plan", "job.toml"]).stdout;
    assert!(text.contains("about $0.0008, at most $0.0015 without retries"), "{text}");
    assert!(text.contains("run.dedupe saves 10 tokens in, 50 out, about $0.0001"), "{text}");
    // Seven calls of eight rows.
    let told = plan(&world, &[]);
    let share = &told["by_model"][0];
    assert_eq!((&told["dedupe"], &told["seconds"], &share["rows"]), (&json!(true), &json!(7), &json!(8)));
    assert_eq!((&share["input_tokens"], &share["seconds"]), (&json!(70), &json!(7)));
    assert_eq!(share["output_tokens"], json!({"low": 7, "expected": 350, "high": 700}));
    assert_eq!(share["cost_usd"]["expected"], json!(0.000_77));
}

#[test]
fn after_a_run_a_plan_tells_why_rows_are_sent_again() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job.replace("limits = { rpm = 60 }", ""));
    let ran = run(&world);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let done = plan(&world, &[]);
    assert_eq!((&done["remaining"], &done["seconds"], &done["bound_by"]), (&json!(0), &json!(0), &Value::Null));

    // Row 5 is edited, row 11 is new, row 12 is a further copy of row 3.
    let mut rows = world.lines("in.jsonl");
    rows[4]["text"] = json!("edited");
    let copy = rows[2].clone();
    rows.extend([json!({"id": 11, "task_type": "tag", "text": "new"}), copy]);
    write_rows(&world, &rows);
    let reasons =
        |new: u64, row: u64, job: u64| json!({"new": new, "row_changed": row, "job_changed": job, "failed": 0});
    let edited = plan(&world, &[]);
    assert_eq!(edited["resend"], reasons(2, 1, 0));
    // What the eight answers were like is known now.
    let output = &edited["by_model"][0]["output_tokens"];
    assert!(output["expected"].as_u64().unwrap() != 150 && output["low"].as_u64().unwrap() >= 3, "{output}");
    // The prompt of one task: its two rows, and those that were to be sent anyway.
    let prompt = plan(&world, &["--set", "tasks.sum.prompt=Sum {{ text }}"]);
    assert_eq!(prompt["resend"], reasons(2, 1, 2));

    // The plan is what the run does; a stopped run is planned by record number, for the same reasons.
    let before = sim.ledger().requests;
    let ran = run(&world);
    assert_eq!((ran.code, sim.ledger().requests - before), (Some(0), 3), "{ran:?}");
    assert_eq!(plan(&world, &[])["remaining"], 0);
}

#[test]
fn rows_that_failed_are_planned_as_the_policy_says() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job.replace("limits = { rpm = 60 }", ""));
    let mut rows = world.lines("in.jsonl");
    rows[0].as_object_mut().unwrap().remove("text");
    write_rows(&world, &rows);
    let told = plan(&world, &[]);
    assert_eq!((&told["remaining"], &told["unsendable"][0]["kind"]), (&json!(10), &json!("template")));
    assert_eq!((&told["unsendable"][0]["at"], &told["by_model"][0]["rows"]), (&json!("in.jsonl:1"), &json!(7)));
    assert_eq!(run(&world).code, Some(4));
    assert_eq!(plan(&world, &[])["remaining"], 0);
    let all = plan(&world, &["--set", "run.retry_failed=all"]);
    assert_eq!(all["resend"], json!({"new": 0, "row_changed": 0, "job_changed": 0, "failed": 1}));
}

#[test]
fn a_dry_run_is_a_plan_and_its_text_fits_the_page() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job);
    let dry = world.overnight(&["run", "job.toml", "--dry-run"]);
    assert_eq!((dry.code, sim.ledger().requests), (Some(0), 0), "{dry:?}");
    assert_eq!(dry.stdout, world.overnight(&["plan", "job.toml"]).stdout);
    assert!(dry.stdout.lines().all(|line| line.chars().count() <= 80), "{}", dry.stdout);
    let text = dry.stdout.replace(&world.root().canonicalize().unwrap().display().to_string(), "DIR");
    insta::assert_snapshot!(text, @"
    job: the plan; nothing was sent
    rows             10 selected: 0 done, 10 to send
    because          10 new
    time             about 8s, bound by rpm 60 of p/m
    cost             about $0.0009, at most $0.0018 without retries
    input tokens     estimated by script
    duplicates       1 request like one before
                     run.dedupe would save 10 tokens in, 50 out, about $0.0001
    warning          environment variable P_KEY is not set; run needs it

     model  task  rows  in  out     cost  at most  time
     p/m    tag      8  80  400  $0.0009  $0.0018    8s
     p/big  sum      2  22    ?       $0       $0    2s

    Tokens and costs are estimates; at most: every answer as long as it may be.
    Retries and fallbacks come on top.
    Send them: `overnight run` with the same arguments.
    ");
}

#[test]
fn a_row_is_explained_before_and_after_it_ran() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job.replace("limits = { rpm = 60 }", ""));
    let explain = |more: &[&str]| {
        let args: Vec<&str> = ["explain", "job.toml", "--json"].iter().chain(more).copied().collect();
        let ran = world.overnight(&args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.summary()
    };
    let new = explain(&["9"]);
    assert_eq!((&new["task"], &new["reason"], &new["outcome"]), (&json!("sum"), &json!("new"), &Value::Null));
    let models: Vec<&Value> = new["route"].as_array().unwrap().iter().map(|stop| &stop["model"]).collect();
    assert_eq!(models, ["big", "m"]);
    assert_eq!(new["messages"], json!([{"role": "user", "content": "Summarize row 9"}]));
    assert_eq!((&new["key_parts"]["id"], &new["key_parts"]["model"]), (&json!(9), &json!("big")));

    assert_eq!(run(&world).code, Some(0));
    let done = explain(&["--id", "9"]);
    assert_eq!((&done["row"], &done["key"], &done["reason"]), (&json!(9), &new["key"], &Value::Null));
    assert_eq!((&done["outcome"]["run"], &done["outcome"]["model"]), (&json!(1), &json!("big")));
    let changed = explain(&["3", "--set", "tasks.tag.params.max_tokens=7"]);
    assert_eq!((&changed["reason"], &changed["route"][0]["output_tokens"]["high"]), (&json!("job_changed"), &json!(7)));
    assert_ne!(changed["key"], explain(&["3"])["key"]);

    let text = world.overnight(&["explain", "job.toml", "1"]).stdout;
    let steady: Vec<&str> = text.lines().filter(|line| !line.contains("about")).collect();
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(steady.join("\n"), @r#"
    row 1, id 1, at in.jsonl:1
    task             tag
    state            done in run 1 by p/m for <$0.0001 (1 request)
                     it is not sent again
    warning          environment variable P_KEY is not set; run needs it
    key              d4d0b6be7189bc521586801b38b65a0a
      of             id 1, model m
                     params {"max_tokens":100}
                     messages 71071ba56a11454d
    model            p/m (m)

    [user]
    Tag row 2
    "#);
    let missing = world.overnight(&["explain", "job.toml", "11"]);
    assert_eq!((missing.code, missing.stderr.contains("the input has 10")), (Some(2), true), "{missing:?}");
}

/// Texts of several scripts and lengths, `from` up to before `to`.
fn texts(from: u64, to: u64) -> Vec<Value> {
    const TEXTS: [&str; 5] = [
        "The parcel arrived two days late, but the seller answered at once and sent a new one.",
        "这家餐厅的服务非常好，我们下次还会再来。",
        "Очень удобное приложение, но иногда оно работает медленно.",
        "for (let i = 0; i < rows.length; i++) { sum += rows[i].price * 1.19; }",
        "ok",
    ];
    let row = |n: u64| {
        let text = TEXTS[usize::try_from(n).unwrap() % TEXTS.len()].repeat(1 + usize::try_from(n % 4).unwrap());
        json!({"id": n, "task_type": "tag", "text": format!("{n}: {text}")})
    };
    (from..to).map(row).collect()
}

/// The plan's cost from low to high, and what the run then costs.
fn planned_and_paid(world: &World) -> ([f64; 2], f64) {
    let told = plan(world, &[]);
    let sum = |end: &str| -> f64 {
        told["by_model"].as_array().unwrap().iter().map(|share| share["cost_usd"][end].as_f64().unwrap()).sum()
    };
    let ran = run(world);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ([sum("low"), sum("high")], ran.summary()["cost_usd"].as_f64().unwrap())
}

#[test]
fn what_a_run_costs_lies_between_the_plans_low_and_high() {
    for model in ["plain", "gpt-4o-mini"] {
        let sim = SimServer::start(json!({"output_tokens": [5, 90]}));
        let priced = format!("provider = \"p\"\nmodel = \"{model}\"");
        let world =
            world(&sim, |job| job.replacen("provider = \"p\"", &priced, 1).replace("limits = { rpm = 60 }", ""));
        write_rows(&world, &texts(0, 60));
        let ([low, high], paid) = planned_and_paid(&world);
        assert!(low <= paid && paid <= high, "{model}: {low} to {high}, and it was {paid}");

        // Now the provider's own counts are known.
        write_rows(&world, &texts(0, 100));
        let told = plan(&world, &[]);
        assert_eq!(told["by_model"][0]["tokens"], json!({"by": "observed", "answers": 60}));
        let before = sim.ledger().input_tokens;
        let ([low, high], paid) = planned_and_paid(&world);
        assert!(low <= paid && paid <= high, "{model}: {low} to {high}, and it was {paid}");
        let (expected, counted) =
            (told["by_model"][0]["input_tokens"].as_u64().unwrap(), sim.ledger().input_tokens - before);
        assert!(expected.abs_diff(counted) * 20 <= counted, "{model}: {expected} expected, {counted} counted");
    }
}

#[test]
fn a_long_common_beginning_is_told_as_what_a_prompt_cache_can_keep() {
    let sim = SimServer::start(json!({}));
    let system = "You tag product reviews with great care. ".repeat(150);
    let world = world(&sim, |job| job.replace("prompt = \"Tag", &format!("system = \"{system}\"\nprompt = \"Tag")));
    let told = plan(&world, &[]);
    let (tag, sum) = (&told["by_model"][0]["cacheable"], &told["by_model"][1]["cacheable"]);
    assert!(tag["prefix_tokens"].as_u64().unwrap() > 1_024 && tag["percent"].as_u64().unwrap() >= 98, "{tag}");
    assert!(sum["prefix_tokens"].as_u64().unwrap() < 64, "{sum}");
    let text = world.overnight(&["plan", "job.toml"]).stdout;
    assert!(text.contains("same beginning   p/m tag: ") && text.contains("need not read anew"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[cfg(feature = "tokenizer")]
#[test]
fn a_row_of_a_known_family_is_counted_exactly() {
    let sim = SimServer::start(json!({}));
    let world = world(&sim, |job| job.replacen("provider = \"p\"", "provider = \"p\"\nmodel = \"gpt-4o-mini\"", 1));
    let explained = world.overnight(&["explain", "job.toml", "1", "--json"]).summary();
    let stop = &explained["route"][0];
    // "Tag row 2" is Tag, row, a blank and 2; 4 around a message and 3 around the chat.
    assert_eq!((&stop["exact"], &stop["input_tokens"]), (&json!(true), &json!(11)));
    assert_eq!(plan(&world, &[])["by_model"][0]["tokens"], json!({"by": "exact"}));
    let text = world.overnight(&["explain", "job.toml", "1"]).stdout;
    assert!(text.contains("exactly 11 in"), "{text}");
}

/// Both are plain data for programs of other people.
const _: fn(&Survey, &Explanation) -> (u64, u64) = |survey, explanation| (survey.remaining, explanation.row);

#[test]
fn what_stands_beside_the_messages_counts_once_in_what_answers_so_far_tell() {
    let sim = SimServer::start(json!({}));
    let told = "It looks a word up in the dictionary. ".repeat(20);
    let tools =
        format!(r#"tools = [{{ type = "function", function = {{ name = "look_up", description = "{told}" }} }}]"#);
    let world = world(&sim, |job| job.replace("max_tokens = 100", &format!("max_tokens = 100, {tools}")));
    let row = |n: u64| json!({"id": n, "task_type": "tag", "text": format!("row {n}")});
    write_rows(&world, &(1..=60).map(row).collect::<Vec<_>>());
    let first = Ran::from(
        world
            .command(&["run", "job.toml", "--limit", "30", "--set", "models.m.limits.rpm=60000", "--json"])
            .env("P_KEY", "k")
            .output()
            .unwrap(),
    );
    let counted = first.summary()["usage"]["input_tokens"].as_u64().unwrap();
    let plan = plan(&world, &[]);
    let share = &plan["by_model"][0];
    assert_eq!((&share["rows"], &share["tokens"]), (&json!(30), &json!({ "by": "observed", "answers": 30 })));
    // The other half is like the first.
    let expected = share["input_tokens"].as_u64().unwrap();
    assert!(expected.abs_diff(counted) * 20 <= counted, "{expected} expected, {counted} counted of as many rows");
}
