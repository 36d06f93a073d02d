//! Answers that must fit a schema or a rule, and what follows from those that do not.

use std::time::Duration;

use overnight::event::Summary;
use overnight::job::{JobArgs, load};
use overnight::sim::SimLedger;
use overnight::types::{Money, Tally};
use serde_json::{Value, json};

use crate::night::{Night, job, rows, two_providers};
use crate::process::{Running, pause, wait_until};
use crate::truth;
use crate::world::{SimServer, World};

const SCHEMA: &str = r#"schema = { type = "object", required = ["mood", "tags"], additionalProperties = false, properties = { mood = { enum = ["good", "bad"] }, tags = { type = "array", items = { type = "string" } } } }"#;

fn answer(more: &str) -> String {
    format!("[tasks.tag.answer]\n{SCHEMA}\n{more}")
}

/// What the model of these jobs costs.
const PRICE: &str = "[models.\"p/m\"]\nprovider = \"p\"\nmodel = \"m\"\nprice = { input = 1, output = 2 }\n";

/// One provider `p` with a priced model, and this answer table.
fn priced(answer: &str, more: &str) -> String {
    job(&["m"], &format!("{PRICE}\n{answer}\n{more}"))
}

/// As [`job`], with room for an answer that repeats the schema in the prompt.
fn long(route: &[&str], more: &str) -> String {
    job(route, more).replace("max_tokens = 32", "max_tokens = 200")
}

fn sum(summary: &Summary) -> Tally {
    let mut sum = Tally::default();
    for (_, tally) in &summary.tallies {
        sum.merge(tally);
    }
    sum
}

fn first(fault: &str, calls: u64) -> Value {
    json!({ "script": [{ "from": 1, "to": calls, "fault": fault }] })
}

fn contents(body: &Value) -> Vec<(&str, &str)> {
    let messages = body["messages"].as_array().unwrap();
    messages.iter().map(|one| (one["role"].as_str().unwrap(), one["content"].as_str().unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_model_is_told_what_is_wrong_with_its_answer_and_what_that_cost_is_wasted() {
    let mut night = Night::new(&priced(&answer(""), ""), rows(1));
    let p = night.provider("p", first("invalid_answer", 2));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, summary.attempts), (0, 1, 3));
    let result = &night.results()[0];
    assert!(result["data"]["mood"].is_string() && result["data"]["tags"].is_array(), "{result}");
    let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
    assert_eq!(keys[6..8], ["content", "data"]);
    let kinds: Vec<&Value> = result["trail"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, [&json!("invalid_answer"), &json!("invalid_answer"), &Value::Null]);

    let bodies = p.bodies();
    let (one, two, three) = (contents(&bodies[0]), contents(&bodies[1]), contents(&bodies[2]));
    assert_eq!((one.len(), two.len(), three.len()), (1, 3, 5));
    assert_eq!((two[0], two[1].0, two[2].0), (one[0], "assistant", "user"));
    assert_eq!(three[..3], two, "the same conversation goes on");
    assert!(two[2].1.starts_with("Your answer is not valid: it "), "{two:?}");
    assert_eq!(bodies[0]["response_format"], bodies[2]["response_format"]);

    let tally = sum(&summary);
    assert_eq!((tally.invalid_answers, tally.reasks, tally.retries, tally.succeeded), (2, 2, 2, 1));
    let costs: Vec<Money> = result["trail"].as_array().unwrap().iter().map(|one| cost(&one["cost_usd"])).collect();
    assert!(costs.iter().all(|cost| *cost > Money::ZERO));
    assert_eq!(tally.wasted_usd, costs[0] + costs[1]);
    assert_eq!(tally.cost_usd, costs.iter().copied().sum());
    assert_eq!(cost(&result["cost_usd"]), tally.cost_usd);
}

fn cost(value: &Value) -> Money {
    serde_json::from_value(value.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_on_invalid_leads_where_it_says() {
    for (on_invalid, asked, answered) in [
        ("on_invalid = \"reask\"", 3, true),
        ("on_invalid = \"reask\"\nmax_reasks = 0", 1, true),
        ("on_invalid = \"reask\"\nmax_reasks = 7", 8, true),
        ("on_invalid = \"retry\"", 5, true),
        ("on_invalid = \"fallback\"", 1, true),
        ("on_invalid = \"fail\"", 1, false),
    ] {
        let mut night = Night::new(&two_providers(&answer(on_invalid), "", ""), rows(1));
        let a = night.provider("a", json!({ "poison": { "invalid_answer": 1 } }));
        let b = night.provider("b", json!({}));
        let summary = night.run().await;
        assert_eq!((a.sent(), b.sent()), (asked, usize::from(answered)), "{on_invalid}");
        assert_eq!(summary.exit_code, if answered { 0 } else { 4 }, "{on_invalid}");
        assert!(a.age() < Duration::from_secs(1), "{on_invalid}: nothing is gained by a pause");
        if answered {
            let last = &b.bodies()[0];
            assert_eq!(contents(last).len(), 1, "{on_invalid}: another model is asked afresh");
            continue;
        }
        let error = &night.errors()[0];
        assert_eq!(error["error"]["kind"], "invalid_answer");
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the answer is not valid: it "), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_no_model_answers_well_fails_and_its_last_answer_is_kept() {
    let job = priced(&answer("max_reasks = 1"), "").replacen("\npath = \"out", "\nresponse = true\npath = \"out", 1);
    let mut night = Night::new(&job, rows(1));
    let p = night.provider("p", json!({ "poison": { "invalid_answer": 1 } }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, p.sent()), (4, 2));
    let error = &night.errors()[0];
    assert_eq!((&error["error"]["kind"], error["trail"].as_array().unwrap().len()), (&json!("invalid_answer"), 2));
    assert_eq!((&error["error"]["status"], &error["trail"][0]["status"]), (&json!(200), &json!(200)), "it did answer");
    assert!(error["response"]["choices"][0]["message"]["content"].is_string(), "{error}");
    let tally = sum(&summary);
    assert_eq!((tally.wasted_usd, tally.invalid_answers, tally.truncated), (tally.cost_usd, 2, 0));
    // It failed by itself, and so the next run leaves it.
    let again = night.run().await;
    assert_eq!((again.exit_code, p.sent(), again.rows.failed_before), (0, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_is_never_asked_for_again() {
    for on_invalid in ["reask", "retry", "fallback"] {
        let task = answer(&format!("on_invalid = \"{on_invalid}\""));
        let job = two_providers(&task, "", "").replace("a/m", "a/truncate");
        let mut night = Night::new(&job, rows(1));
        let (a, b) = (night.provider("a", json!({})), night.provider("b", json!({})));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, a.sent(), b.sent()), (0, 1, 1), "{on_invalid}");
        assert_eq!(summary.rows.truncated, 0);
    }
    let alone = job(&["truncate"], &answer(""));
    let mut night = Night::new(&alone, rows(1));
    let p = night.provider("p", json!({}));
    assert_eq!((night.run().await.exit_code, p.sent()), (4, 1));
    assert!(night.errors()[0]["error"]["message"].as_str().unwrap().contains("max_tokens"));
}

#[tokio::test(start_paused = true)]
async fn a_text_that_was_cut_off_is_an_answer() {
    let mut night = Night::new(&job(&["truncate"], "[tasks.tag.answer]\nregex = \"^sim:\""), rows(3));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.rows.succeeded, summary.rows.truncated, p.sent()), (3, 3, 3));
    assert!(night.results()[0].get("data").is_none());
}

#[tokio::test(start_paused = true)]
async fn rules_for_texts_hold_and_the_label_alone_stands_in_the_results() {
    let mut night = Night::new(&job(&["m"], "[tasks.tag.answer]\none_of = [\"good\", \"bad\"]"), rows(20));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.rows.succeeded, p.sent()), (20, 40), "the simulator learns the labels when it is told");
    assert!(night.results().iter().all(|row| row["content"] == "good" || row["content"] == "bad"));
    assert!(p.bodies().iter().all(|body| body.get("response_format").is_none()), "a text is asked for as ever");
    let mut night = Night::new(&job(&["m"], "[tasks.tag.answer]\nmax_chars = 3"), rows(1));
    night.provider("p", json!({}));
    night.run().await;
    let error = &night.errors()[0]["error"]["message"];
    assert!(error.as_str().unwrap().contains("and 3 are allowed"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_valid_say_nothing_against_the_server() {
    let run = "[run]\nmax_failures = 1000\nconcurrency = 20";
    let mut night = Night::new(&priced(&answer("on_invalid = \"fail\""), run), rows(400));
    let p = night.provider("p", json!({ "latency": "100ms", "poison": { "invalid_answer": 1 } }));
    let (summary, events) = night.try_run().await;
    let summary = summary.unwrap();
    assert_eq!((summary.exit_code, summary.rows.failed, p.sent()), (4, 400, 400));
    assert!(p.age() < Duration::from_secs(3), "{:?}: nothing slowed down", p.age());
    let states: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    assert!(!states.iter().any(|event| event.contains("Down")), "{states:?}");
}

#[tokio::test(start_paused = true)]
async fn of_answers_that_are_invalid_three_times_in_ten_all_end_valid_and_the_report_tells_the_price() {
    let mut night = Night::new(&priced(&answer("max_reasks = 6"), "[run]\nconcurrency = 16"), rows(400));
    let p = night.provider("p", json!({ "faults": { "invalid_answer": 0.3 }, "latency": ["50ms", "150ms"] }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded), (0, 400));
    let results = night.results();
    let is_valid = |row: &Value| {
        let data = row["data"].as_object().unwrap();
        data.len() == 2 && (data["mood"] == "good" || data["mood"] == "bad") && data["tags"].is_array()
    };
    assert!(results.iter().all(is_valid));
    let invalid = p.sent() as u64 - 400;
    assert!((120..230).contains(&invalid), "{invalid}");

    let report: Value = serde_json::from_str(&night.world.overnight(&["report", "job.toml", "--json"]).stdout).unwrap();
    let totals = &report["totals"];
    assert_eq!((&totals["invalid_answers"], &totals["reasks"]), (&json!(invalid), &json!(invalid)));
    let trail = |row: &Value| row["trail"].as_array().cloned().unwrap_or_default();
    let attempts = results.iter().flat_map(trail).filter(|attempt| attempt["kind"] == "invalid_answer");
    let wasted: Money = attempts.map(|attempt| cost(&attempt["cost_usd"])).sum();
    assert_eq!(cost(&totals["wasted_usd"]), wasted);
    assert_eq!(cost(&totals["cost_usd"]), bill(&p.sim.ledger()), "the report equals the bill");
}

fn bill(ledger: &SimLedger) -> Money {
    let pico = ledger.input_tokens * 1_000_000 + ledger.output_tokens * 2_000_000;
    Money::from_pico(pico)
}

#[tokio::test(start_paused = true)]
async fn each_mode_is_asked_in_its_own_way_and_answered() {
    for (kind, mode, format, told) in [
        ("", "", "json_schema", false),
        ("kind = \"deepseek\"", "", "json_object", true),
        ("kind = \"anthropic\"", "", "", true),
        ("kind = \"deepseek\"", "mode = \"json_schema\"", "json_schema", false),
        ("", "mode = \"json_object\"", "json_object", true),
        ("", "mode = \"prompt\"", "", true),
    ] {
        let job = long(&["m"], &format!("{kind}\napi_key_env = \"P_NIGHT_KEY\"\n{}", answer(mode)));
        let mut night = Night::new(&job, rows(1));
        let p = night.provider("p", json!({}));
        let summary = night.run().await;
        assert_eq!((summary.exit_code, p.sent()), (0, 1), "{kind} {mode}");
        let body = &p.bodies()[0];
        assert_eq!(body["response_format"]["type"].as_str().unwrap_or(""), format, "{kind} {mode}");
        let (_, prompt) = contents(body)[0];
        assert_eq!(prompt.contains("JSON schema:\n{\"type\":\"object\""), told, "{kind} {mode}: {prompt}");
        assert!(prompt.starts_with("Tag row 1"), "{prompt}");
        if format == "json_schema" {
            let asked = &body["response_format"]["json_schema"];
            assert_eq!((&asked["strict"], &asked["schema"]["required"]), (&json!(true), &json!(["mood", "tags"])));
        }
        assert!(night.results()[0]["data"]["mood"].is_string(), "{kind} {mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_model_refuses_is_asked_for_in_another_way_and_no_row_fails_by_it() {
    let more = format!("{}\n[retry]\nmax_attempts = 1\n[run]\nconcurrency = 1", answer(""));
    let mut night = Night::new(&long(&["text-only"], &more), rows(4));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, summary.rows.succeeded, p.sent()), (0, 4, 6));
    let formats: Vec<Value> = p.bodies().iter().map(|body| body["response_format"]["type"].clone()).collect();
    assert_eq!(formats[..3], [json!("json_schema"), json!("json_object"), Value::Null]);
    assert_eq!(night.results()[0]["trail"][0]["kind"], "invalid_request");
    let mut night = Night::new(&job(&["text-only"], &answer("mode = \"json_object\"")), rows(1));
    night.provider("p", json!({}));
    assert_eq!((night.run().await.exit_code, &night.errors()[0]["error"]["kind"]), (4, &json!("invalid_request")));
}

#[tokio::test(start_paused = true)]
async fn a_response_format_of_the_jobs_own_wins() {
    let job =
        job(&["m"], &answer("")).replace("{ max_tokens = 32 }", "{ response_format = { type = \"json_object\" } }");
    let mut night = Night::new(&job, rows(1));
    let p = night.provider("p", json!({}));
    assert_eq!(night.run().await.exit_code, 4, "nobody told the simulator of the schema");
    let body = &p.bodies()[0];
    assert_eq!((&body["response_format"], contents(body)[0].1), (&json!({"type": "json_object"}), "Tag row 1"));
}

#[tokio::test(start_paused = true)]
async fn another_schema_sends_the_rows_again_and_another_way_to_ask_for_it_does_not() {
    let mut night = Night::new(&priced(&answer(""), ""), rows(5));
    let p = night.provider("p", json!({}));
    night.run().await;
    for more in ["", "mode = \"prompt\"", "on_invalid = \"fail\"", "max_reasks = 9"] {
        night.world.write("job.toml", priced(&answer(more), ""));
        let again = night.run().await;
        assert_eq!((p.sent(), again.rows.skipped, again.attempts), (5, 5, 0), "{more}");
    }
    assert_eq!(night.results().len(), 5);
    night.world.write("job.toml", priced(&answer("").replace("\"bad\"", "\"awful\""), ""));
    let plan = night.world.overnight(&["plan", "job.toml", "--json"]).summary();
    assert_eq!(plan["resend"]["job_changed"], 5, "{plan}");
    assert_eq!((night.run().await.attempts, p.sent()), (5, 10));
    // Without any rule a row is known as it was before there were rules.
    night.world.write("job.toml", priced("", ""));
    assert_eq!(night.run().await.attempts, 5);
    assert!(night.results()[0].get("data").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_budget_holds_with_conversations_that_grow() {
    let more = "[run]\nmax_cost = 0.006\nconcurrency = 8";
    let mut night = Night::new(&priced(&answer("max_reasks = 9"), more), rows(60));
    let p = night.provider("p", json!({ "faults": { "invalid_answer": 0.9 }, "latency": ["50ms", "150ms"] }));
    let summary = night.run().await;
    assert_eq!(summary.exit_code, 5);
    let (spent, most) = (bill(&p.sim.ledger()), "0.006".parse::<Money>().unwrap());
    assert!(spent <= most && summary.cost_usd == spent, "{spent}");
    assert!(sum(&summary).reasks > 10, "{:?}", sum(&summary));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_on_the_way_goes_on_with_the_same_conversation() {
    let script =
        json!([{ "from": 1, "to": 1, "fault": "invalid_answer" }, { "from": 2, "to": 3, "fault": "server_error" }]);
    let mut night = Night::new(&priced(&answer(""), ""), rows(1));
    let p = night.provider("p", json!({ "script": script }));
    let summary = night.run().await;
    assert_eq!((summary.exit_code, p.sent()), (0, 4));
    let lengths: Vec<usize> = p.bodies().iter().map(|body| contents(body).len()).collect();
    assert_eq!(lengths, [1, 3, 3, 3]);
}

/// Rows of two tasks with schemas of their own, and one without.
fn table_job(more: &str) -> String {
    format!(
        r#"
[input]
path = "in.csv"
[output]
path = "out.csv"
{more}
[tasks.tag]
model = "sim/m"
prompt = "Tag {{{{ text }}}}"
{}
[tasks.rate]
model = "sim/m"
prompt = "Rate {{{{ text }}}}"
answer.schema = {{ type = "object", required = ["stars"], properties = {{ stars = {{ type = "integer", minimum = 1, maximum = 5 }}, status = {{ const = "ok" }} }} }}
[providers.sim]
kind = "simulated"
"#,
        answer("")
    )
}

#[test]
fn a_csv_has_a_column_for_each_property_of_the_schemas() {
    let world = World::new();
    world.write("in.csv", "id,task_type,text\n1,tag,one\n2,rate,two\n");
    world.write("job.toml", table_job("include = [\"id\"]"));
    let ran = world.overnight(&["run", "job.toml", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut table = csv::Reader::from_path(world.path("out.csv")).unwrap();
    let header: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(header, ["id", "mood", "tags", "stars", "data.status", "model", "status", "cost_usd", "error"]);
    let lines: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert!(["good", "bad"].contains(&&lines[0][1]) && lines[0][2].starts_with("[\""), "{lines:?}");
    assert_eq!((&lines[0][3], &lines[0][4], &lines[0][6]), ("", "", "succeeded"));
    assert!(("1".."6").contains(&&lines[1][3]), "{lines:?}");
    assert_eq!((&lines[1][1], &lines[1][4]), ("", "ok"));
    let export = world.overnight(&["export", "job.toml", "--format", "csv", "-o", "-"]);
    assert_eq!(export.stdout, world.read("out.csv"));

    world.write("job.toml", table_job("") + "\n[tasks.default]\nmodel = \"sim/m\"\nprompt = \"{{ text }}\"");
    world.overnight(&["run", "job.toml"]);
    let header = world.read("out.csv").lines().next().unwrap().to_owned();
    assert_eq!(header, "id,task_type,text,mood,tags,stars,data.status,content,model,status,cost_usd,error");
}

#[test]
fn a_column_of_the_input_that_is_named_like_a_property_is_told_with_the_key_that_helps() {
    let world = World::new();
    world.write("in.csv", "id,task_type,text,mood\n1,tag,one,x\n");
    world.write("job.toml", table_job(""));
    let ran = world.overnight(&["run", "job.toml"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.stderr.contains("\"mood\"") && ran.stderr.contains("output.prefix"), "{}", ran.stderr);
    world.write("job.toml", table_job("prefix = \"llm_\""));
    assert_eq!(world.overnight(&["run", "job.toml"]).code, Some(0));
    assert!(world.read("out.csv").starts_with("id,task_type,text,mood,llm_mood,llm_tags,"));
}

#[test]
fn explain_shows_how_each_model_is_asked_for_it() {
    let world = World::new();
    world.write("in.jsonl", "{\"id\": 1, \"text\": \"one\"}");
    let job = job(&["m", "n"], &answer("")).replace("\"p/n\"", "\"deepseek/n\"");
    world.write("job.toml", job);
    let told = world.overnight(&["explain", "job.toml", "1", "--json"]).summary();
    assert_eq!(told["route"][0]["response_format"]["json_schema"]["strict"], true, "{told}");
    assert_eq!(told["route"][1]["response_format"], json!({ "type": "json_object" }));
    assert_eq!(
        (&told["route"][0]["schema_in_prompt"], &told["route"][1]["schema_in_prompt"]),
        (&Value::Null, &json!(true))
    );
    assert!(
        told["key_parts"]["answer"]["schema"].is_object()
            && told["key_parts"]["params"].get("response_format").is_none()
    );
    let shown = world.overnight(&["explain", "job.toml", "1"]).stdout;
    assert!(shown.contains("sends") && shown.contains("the schema at the end of the prompt"), "{shown}");
}

#[test]
fn a_job_whose_schema_cannot_be_used_sends_nothing() {
    let world = World::new();
    world.write(
        "job.toml",
        job(&["m"], "[tasks.tag.answer]\nschema = { \"$ref\" = \"http://127.0.0.1:9/schema.json\" }"),
    );
    let args = JobArgs { job_file: world.path("job.toml"), ..JobArgs::default() };
    let error = load(&args, &|_| None).unwrap_err();
    assert!(error.to_string().contains("tasks.tag.answer.schema: refers to a schema"), "{error}");
}

#[test]
fn killed_in_the_middle_every_row_ends_once_with_a_valid_answer() {
    let (world, rows) = (World::new(), truth::rows(300));
    let sim = SimServer::start(json!({ "latency": ["5ms", "30ms"], "faults": { "invalid_answer": 0.3 } }));
    let more = format!("{}\n[run]\nconcurrency = 16", answer("max_reasks = 9"));
    truth::write_job(&world, sim.url(), &["sim"], &more);
    truth::write_rows(&world, &rows);
    let mut rng = fastrand::Rng::with_seed(6);
    let mut kills = 0;
    for _ in 0..5 {
        let goal = sim.ledger().requests + rng.u64(20..80);
        let mut run = Running::start(&world, &["run", "job.toml", "--json"]);
        wait_until("the run has come far enough", || sim.ledger().requests >= goal || run.has_ended());
        pause(Duration::from_micros(rng.u64(0..10_000)));
        kills += u64::from(run.kill().code.is_none());
    }
    let ended = Running::start(&world, &["run", "job.toml", "--json"]).wait();
    assert_eq!((ended.code, &ended.summary()["rows"]["remaining"]), (Some(0), &json!(0)), "{ended:?}");
    assert!(kills > 2, "only {kills} kills hit");
    let results = world.lines("out.jsonl");
    assert_eq!(results.len(), 300);
    assert!((1..).zip(&results).all(|(number, row)| row["row"] == number && row["data"]["tags"].is_array()));
    let totals = &truth::totals(&world).runs[0].totals;
    let (tally, lost, bill_told) = (totals.sum(), totals.possibly_billed, bill(&sim.ledger()));
    assert!(tally.reasks > 50, "{tally:?}");
    assert!(lost.attempts <= kills * 16, "{lost:?}");
    let requests = sim.ledger().requests;
    assert!(requests <= tally.attempts && tally.attempts <= requests + lost.attempts, "{requests}, {tally:?}");
    assert!(tally.cost_usd <= bill_told && bill_told <= tally.cost_usd + lost.max_cost_usd, "{bill_told}, {tally:?}");
}
