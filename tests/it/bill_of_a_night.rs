//! The report equals the bill, where everything that bills happens at once: faults, retries, fallbacks, refused answers,
//! tokens from the cache and for reasoning, a budget; and as far as it can where the run was killed on the way.

use std::fs;

use overnight::sim::SimLedger;
use overnight::types::Money;
use serde_json::{Value, json};

use crate::process::{Running, wait_until};
use crate::world::{Ran, SimServer, World};

/// Calls in flight, and so lost by a kill at most.
const AT_ONCE: u64 = 16;

/// `BILL_ROWS=20000` for a whole night's worth.
fn rows() -> u64 {
    std::env::var("BILL_ROWS").map_or(400, |rows| rows.parse().unwrap())
}

/// USD per million tokens, as picodollars a token: plain input, cached input, output.
const SMALL: [u64; 3] = [137_000, 13_701, 2_900_001];
const LARGE: [u64; 3] = [1_000_003, 250_000, 9_000_000];

const SCHEMA: &str = r#"schema = { type = "object", required = ["tag", "good"], additionalProperties = false, properties = { tag = { type = "string" }, good = { type = "boolean" } } }"#;

fn usd(pico: u64) -> String {
    // A picodollar a token is a microdollar for a million of them.
    Money::from_pico(pico * 1_000_000).to_string()
}

/// Rows that are refused and rejected, with a budget that does not last for all of them.
fn write_job(world: &World, url: &str) {
    let model = |alias: &str, wire: &str, [input, cached, output]: [u64; 3]| {
        let (input, cached, output) = (usd(input), usd(cached), usd(output));
        format!(
            "[models.{alias}]\nprovider = \"p\"\nmodel = \"{wire}\"\n\
             price = {{ input = {input}, cached_input = {cached}, output = {output} }}\n"
        )
    };
    let (small, large) = (model("small", "small", SMALL), model("large", "large", LARGE));
    let budget = budget();
    world.write(
        "job.toml",
        format!(
            "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"small\"\n\
             fallback = [\"large\"]\nprompt = \"Tag {{{{ text }}}}\"\nparams = {{ max_tokens = 96 }}\n\
             [tasks.tag.answer]\n{SCHEMA}\non_invalid = \"reask\"\nmax_reasks = 1\n{small}{large}\
             [providers.p]\nbase_url = \"{url}\"\nadaptive = false\n[retry]\nmax_attempts = 2\nbackoff = {{ base = \"1ms\", max = \"5ms\" }}\n\
             [run]\nconcurrency = {AT_ONCE}\nmax_cost = \"{budget}\"\n"
        ),
    );
    let row =
        |n: u64| json!({ "id": n, "text": format!("row {n} {}", "words ".repeat((n % 23) as usize)) }).to_string();
    world.write("in.jsonl", (1..=rows()).map(row).collect::<Vec<_>>().join("\n"));
}

/// Less than all rows cost.
fn budget() -> Money {
    Money::from_pico(rows() * 90_000_000)
}

/// Ten calls in a hundred go wrong. `more`: faults whose calls may be on the bill, or not.
fn start_sim(more: &Value) -> SimServer {
    // A 429 holds up all rows for a second: three of them are enough.
    let rate_limit = 3.0 / f64::from(u32::try_from(rows()).unwrap());
    let mut faults = json!({
        "server_error": 0.02, "overloaded": 0.01, "rate_limit": rate_limit, "empty": 0.01, "content_filter": 0.01,
        "invalid_answer": 0.05,
    });
    faults.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    SimServer::start(json!({
        "seed": 6, "latency": ["2ms", "12ms"], "cached_share": 0.37, "reasoning_tokens": 11, "faults": faults,
    }))
}

/// What the provider bills by its own books, worked out here.
fn bill(ledger: &SimLedger) -> Money {
    let of = |name: &str, [input, cached, output]: [u64; 3]| {
        let model = ledger.by_model.get(name).cloned().unwrap_or_default();
        let plain = model.input_tokens - model.cached_input_tokens;
        plain * input + model.cached_input_tokens * cached + model.output_tokens * output
    };
    Money::from_pico(of("small", SMALL) + of("large", LARGE))
}

fn money(value: &Value) -> Money {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// What the plan tells, what the report tells, and what was billed.
struct Morning {
    plan: Value,
    report: Value,
    ledger: SimLedger,
    world: World,
}

/// A whole night, killed so many times on the way, until its budget is reached; and the rest of it with more money.
fn night(kills: u64, more_faults: &Value) -> Morning {
    let (world, sim) = (World::new(), start_sim(more_faults));
    write_job(&world, sim.url());
    let plan = world.overnight(&["plan", "job.toml", "--json"]).summary();
    for kill in 1..=kills {
        let run = Running::start(&world, &["run", "job.toml", "--json"]);
        wait_until("the run has come far enough", || sim.ledger().requests >= kill * rows() / 5);
        assert_eq!(run.kill().code, None);
    }
    let stopped = run_to_end(&world, &[]);
    assert_eq!((stopped.code, &stopped.summary()["stop_reason"]), (Some(5), &json!("budget")), "{stopped:?}");
    let billed = bill(&sim.ledger());
    assert!(billed <= budget(), "{billed} billed of {}", budget());
    let ended = run_to_end(&world, &["--max-cost", "1000"]);
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
    let report = world.overnight(&["report", "job.toml", "--json"]).summary();
    Morning { plan, report, ledger: sim.ledger(), world }
}

fn run_to_end(world: &World, more: &[&str]) -> Ran {
    Running::start(world, &[&["run", "job.toml", "--json"], more].concat()).wait()
}

impl Morning {
    fn total(&self, name: &str) -> u64 {
        self.report["totals"][name].as_u64().unwrap()
    }

    fn cost(&self) -> Money {
        money(&self.report["totals"]["cost_usd"])
    }

    /// The output files tell the same cost as the report, row by row.
    fn assert_rows_add_up(&self) {
        let text = fs::read_to_string(self.world.path("out.jsonl")).unwrap() + &self.world.read("out.errors.jsonl");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len() as u64, rows());
        let sum: Money = lines.iter().map(|row| money(&row["cost_usd"])).sum();
        assert_eq!(sum, self.cost());
    }

    /// What makes a bill hard to tell has happened.
    fn assert_all_happened(&self) {
        for figure in ["reasks", "fallbacks_in", "retries", "rate_limited", "cached_input_tokens", "reasoning_tokens"] {
            assert!(self.total(figure) > 0, "{figure}: {}", self.report["totals"]);
        }
        assert!(money(&self.report["totals"]["wasted_usd"]) > Money::ZERO);
    }

    /// The figures, for who runs a night of another size.
    #[expect(clippy::print_stdout, reason = "they are what it was run for")]
    fn say(&self, name: &str) {
        let (report, ledger) = (&self.report["totals"], &self.ledger);
        println!("{name}: {} rows, budget {}, bill {}", rows(), budget(), bill(ledger));
        println!("  plan {}", self.plan["by_model"][0]["cost_usd"]);
        println!("  report {report}\n  possibly billed {}", self.report["possibly_billed"]);
        println!("  ledger: {} requests, {} billed, {:?}", ledger.requests, ledger.billed, ledger.by_model);
    }
}

#[test]
fn the_report_is_the_bill_to_the_last_token_and_digit() {
    let morning = night(0, &json!({}));
    morning.say("without kills");
    let ledger = &morning.ledger;
    assert_eq!(morning.cost(), bill(ledger));
    assert_eq!(morning.total("input_tokens"), ledger.input_tokens);
    assert_eq!(morning.total("cached_input_tokens"), ledger.cached_input_tokens);
    assert_eq!(morning.total("output_tokens"), ledger.output_tokens);
    assert_eq!(morning.total("reasoning_tokens"), ledger.reasoning_tokens);
    assert_eq!(morning.total("attempts"), ledger.requests);
    assert_eq!(morning.report["possibly_billed"]["attempts"], 0);
    morning.assert_all_happened();
    morning.assert_rows_add_up();
}

#[test]
fn after_kills_the_bill_lies_between_the_report_and_what_was_possibly_billed_besides() {
    let morning = night(2, &json!({ "reset": 0.01 }));
    morning.say("with two kills");
    let told = morning.cost();
    let possibly = &morning.report["possibly_billed"];
    let (lost, most) = (possibly["attempts"].as_u64().unwrap(), money(&possibly["max_cost_usd"]));
    let billed = bill(&morning.ledger);
    assert!(told <= billed && billed <= told + most, "{told} told, {billed} billed, {most} possibly");
    let answered = morning.ledger.answered;
    // A kill loses the calls in flight; each call that broke in the middle is one of these too.
    let broken = morning.ledger.billed - answered;
    assert!((1..=2 * AT_ONCE + broken).contains(&lost), "{lost} calls lost, {broken} broken by the server or a kill");
    for figure in ["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"] {
        assert!(morning.total(figure) <= ledger_figure(&morning.ledger, figure), "{figure}");
    }
    assert!(morning.total("attempts") <= morning.ledger.requests + lost);
    morning.assert_all_happened();
    morning.assert_rows_add_up();
}

fn ledger_figure(ledger: &SimLedger, name: &str) -> u64 {
    serde_json::to_value(ledger).unwrap()[name].as_u64().unwrap()
}

#[test]
fn what_a_night_cost_lies_between_the_low_and_the_high_of_its_plan() {
    let (world, sim) = (World::new(), SimServer::start(json!({ "latency": "1ms", "reasoning_tokens": 3 })));
    write_job(&world, sim.url());
    let plan = |world: &World| world.overnight(&["plan", "job.toml", "--json", "--max-cost", "1000"]).summary();
    let range = |plan: &Value| {
        let cost = |end: &str| money(&plan["by_model"][0]["cost_usd"][end]);
        (cost("low"), cost("expected"), cost("high"))
    };
    // A part of it first: what it was like makes the second plan.
    let (low, _, high) = range(&plan(&world));
    let begun = run_to_end(&world, &["--limit", "50", "--max-cost", "1000"]);
    let cost_of_part = money(&begun.summary()["cost_usd"]);
    let (low_of_rest, expected, high_of_rest) = range(&plan(&world));
    let ended = run_to_end(&world, &["--max-cost", "1000"]);
    assert_eq!((begun.code, ended.code), (Some(0), Some(0)), "{ended:?}");
    let cost_of_rest = money(&ended.summary()["cost_usd"]);
    let cost = cost_of_part + cost_of_rest;
    assert_eq!(cost, bill(&sim.ledger()));
    assert!(low <= cost && cost <= high, "{low} to {high} planned, {cost} paid");
    assert!(
        low_of_rest <= cost_of_rest && cost_of_rest <= high_of_rest,
        "{low_of_rest} to {high_of_rest} planned, {cost_of_rest} paid"
    );
    let off = cost_of_rest.pico().abs_diff(expected.pico());
    assert!(off * 10 < expected.pico(), "{expected} expected of what had been seen, {cost_of_rest} paid");
}
