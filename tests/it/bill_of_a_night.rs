//! The report equals the bill, where everything that bills happens at once: faults, retries, fallbacks, refused answers,
//! tokens from the cache and for reasoning, a budget; and as far as it can where the run was killed on the way.

use std::fs;

use overnight::sim::SimLedger;
use overnight::types::Money;
use serde_json::{Value, json};

use crate::process::{Running, wait_until};
use crate::world::{SimServer, World};

const ROWS: u64 = 400;

/// USD per million tokens, as picodollars a token: plain input, cached input, output.
const SMALL: [u64; 3] = [137_000, 13_701, 2_900_001];
const LARGE: [u64; 3] = [1_000_003, 250_000, 9_000_000];

fn usd(pico: u64) -> String {
    // A picodollar a token is a microdollar for a million of them.
    Money::from_pico(pico * 1_000_000).to_string()
}

fn write_job(world: &World, url: &str) {
    let model = |alias: &str, wire: &str, [input, cached, output]: [u64; 3]| {
        let (input, cached, output) = (usd(input), usd(cached), usd(output));
        format!(
            "[models.{alias}]\nprovider = \"p\"\nmodel = \"{wire}\"\n\
             price = {{ input = {input}, cached_input = {cached}, output = {output} }}\n"
        )
    };
    let (small, large) = (model("small", "small", SMALL), model("large", "large", LARGE));
    world.write(
        "job.toml",
        format!(
            "[input]\npath = \"in.jsonl\"\n[output]\npath = \"out.jsonl\"\n[tasks.tag]\nmodel = \"small\"\n\
             fallback = [\"large\"]\nprompt = \"Tag {{{{ text }}}}\"\nparams = {{ max_tokens = 48 }}\n{small}{large}\
             [providers.p]\nbase_url = \"{url}\"\n[retry]\nmax_attempts = 2\nbackoff = {{ base = \"1ms\", max = \"5ms\" }}\n\
             [run]\nconcurrency = 16\nmax_cost = 1\n"
        ),
    );
    let row =
        |n: u64| json!({ "id": n, "text": format!("row {n} {}", "words ".repeat((n % 23) as usize)) }).to_string();
    world.write("in.jsonl", (1..=ROWS).map(row).collect::<Vec<_>>().join("\n"));
}

fn start_sim() -> SimServer {
    SimServer::start(json!({
        "seed": 6, "latency": ["2ms", "12ms"], "cached_share": 0.37, "reasoning_tokens": 11,
        "faults": { "server_error": 0.03, "overloaded": 0.02, "rate_limit": 0.01, "empty": 0.02, "content_filter": 0.02 },
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

/// What the report tells, and what was billed.
struct Morning {
    report: Value,
    ledger: SimLedger,
    world: World,
}

/// A whole night, killed so many times on the way.
fn night(kills: u64) -> Morning {
    let (world, sim) = (World::new(), start_sim());
    write_job(&world, sim.url());
    for kill in 1..=kills {
        let run = Running::start(&world, &["run", "job.toml", "--json"]);
        wait_until("the run has come far enough", || sim.ledger().requests >= kill * ROWS / 4);
        assert_eq!(run.kill().code, None);
    }
    let ended = Running::start(&world, &["run", "job.toml", "--json"]).wait();
    assert!(matches!(ended.code, Some(0 | 4)), "{ended:?}");
    let report = world.overnight(&["report", "job.toml", "--json"]).summary();
    Morning { report, ledger: sim.ledger(), world }
}

impl Morning {
    fn total(&self, name: &str) -> u64 {
        self.report["totals"][name].as_u64().unwrap()
    }

    /// The output files tell the same cost as the report, row by row.
    fn assert_rows_add_up(&self) {
        let text = fs::read_to_string(self.world.path("out.jsonl")).unwrap() + &self.world.read("out.errors.jsonl");
        let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len() as u64, ROWS);
        let sum: Money = rows.iter().map(|row| money(&row["cost_usd"])).sum();
        assert_eq!(sum, money(&self.report["totals"]["cost_usd"]));
    }
}

#[test]
fn the_report_is_the_bill_to_the_last_token_and_digit() {
    let morning = night(0);
    let ledger = &morning.ledger;
    assert_eq!(money(&morning.report["totals"]["cost_usd"]), bill(ledger));
    assert_eq!(morning.total("input_tokens"), ledger.input_tokens);
    assert_eq!(morning.total("cached_input_tokens"), ledger.cached_input_tokens);
    assert_eq!(morning.total("output_tokens"), ledger.output_tokens);
    assert_eq!(morning.total("reasoning_tokens"), ledger.reasoning_tokens);
    assert_eq!(morning.total("attempts"), ledger.requests);
    assert_eq!(morning.report["possibly_billed"]["attempts"], 0);
    assert!(ledger.cached_input_tokens > 0 && ledger.reasoning_tokens > 0);
    assert!(morning.total("fallbacks_in") > 0 && morning.total("retries") > 0);
    assert!(money(&morning.report["totals"]["wasted_usd"]) > Money::ZERO);
    morning.assert_rows_add_up();
}

#[test]
fn after_kills_the_bill_lies_between_the_report_and_what_was_possibly_billed_besides() {
    let morning = night(2);
    let told = money(&morning.report["totals"]["cost_usd"]);
    let possibly = &morning.report["possibly_billed"];
    let (lost, most) = (possibly["attempts"].as_u64().unwrap(), money(&possibly["max_cost_usd"]));
    let billed = bill(&morning.ledger);
    assert!(told <= billed && billed <= told + most, "{told} told, {billed} billed, {most} possibly");
    assert!((1..=32).contains(&lost), "{lost} calls lost by two kills of 16 in flight");
    assert!(morning.total("input_tokens") <= morning.ledger.input_tokens);
    assert!(morning.total("attempts") <= morning.ledger.requests + lost);
}
