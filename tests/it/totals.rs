//! The report equals the bill: summary, ledger on disk, output files and the provider's own books agree, to the last digit.

use overnight::event::Summary;
use overnight::sim::SimLedger;
use overnight::store::{StateDir, read_totals};
use overnight::types::{Money, Tally, Totals, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::night::{Night, TOP};

/// USD per million tokens, in picodollars a token.
const INPUT_PICO: u64 = 137_000;
const OUTPUT_PICO: u64 = 2_900_001;

fn three_models() -> String {
    let model = |name: &str| {
        format!(
            "[models.\"p/{name}\"]\nprovider = \"p\"\nmodel = \"{name}\"\nprice = {{ input = 0.137, output = 2.900001 }}\n"
        )
    };
    let models: String = ["a", "b", "c"].map(model).concat();
    format!(
        "{TOP}
        [tasks.tag]
        model = \"p/a\"
        fallback = [\"p/b\", \"p/c\"]
        prompt = \"Tag {{{{ text }}}}\"
        params = {{ max_tokens = 40 }}
        [tasks.other]
        model = \"p/b\"
        prompt = \"Other {{{{ text }}}}\"
        params = {{ max_tokens = 40 }}
        {models}
        [providers.p]
        base_url = \"https://sim.example/v1\"
        [retry]
        max_attempts = 2
        [run]
        concurrency = 20"
    )
}

fn row(n: usize) -> Value {
    let task = if n.is_multiple_of(3) { "other" } else { "tag" };
    json!({"id": n, "text": format!("row {n} {}", "words ".repeat(n % 17)), "task_type": task})
}

/// What an output line says of its row.
#[derive(Deserialize)]
struct Line {
    cost_usd: Option<Money>,
    attempts: u64,
    usage: Option<Usage>,
    #[serde(default)]
    trail: Vec<Value>,
}

fn lines(text: &str) -> Vec<Line> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn price(ledger: &SimLedger) -> Money {
    Money::from_pico(ledger.input_tokens * INPUT_PICO + ledger.output_tokens * OUTPUT_PICO)
}

fn totals_on_disk(night: &Night) -> Totals {
    let state = StateDir::open_existing(&night.world.path(".overnight/job")).unwrap().unwrap();
    let ledger = read_totals(&state).unwrap().unwrap().ledger;
    assert_eq!(ledger.runs.len(), 1);
    assert!(ledger.runs[0].ended_at.is_some());
    ledger.runs[0].totals.clone()
}

/// What holds whatever happened.
fn agree(night: &Night, summary: &Summary, ledger: &SimLedger) -> Tally {
    let totals = totals_on_disk(night);
    let sum = totals.sum();
    assert_eq!(totals.tallies, summary.tallies, "the ledger on disk and the summary");
    assert_eq!(totals.possibly_billed, summary.possibly_billed);
    assert_eq!((sum.attempts, sum.rate_limited), (summary.attempts, summary.rate_limited));
    assert_eq!((sum.usage, sum.cost_usd), (summary.usage, summary.cost_usd));
    assert_eq!((sum.succeeded, sum.failed), (summary.rows.succeeded, summary.rows.failed));

    let results = lines(&night.world.read("out.jsonl"));
    let errors = lines(&night.world.read("out.errors.jsonl"));
    assert_eq!((results.len() as u64, errors.len() as u64), (sum.succeeded, sum.failed));
    let all = || results.iter().chain(&errors);
    assert_eq!(all().map(|line| line.attempts).sum::<u64>(), summary.attempts);
    assert_eq!(all().filter_map(|line| line.cost_usd).sum::<Money>(), summary.cost_usd);
    for line in all() {
        let trail = line.trail.len() as u64;
        assert!(trail == line.attempts || (trail == 0 && line.attempts == 1));
    }
    let used: u64 = results.iter().map(|line| line.usage.unwrap().input_tokens).sum();
    assert!(used <= summary.usage.input_tokens);

    assert_eq!(summary.attempts, ledger.requests, "every request is counted, 429s included");
    let limited = ledger.by_status.get(&429).copied().unwrap_or(0);
    assert_eq!(summary.rate_limited, limited);
    assert_eq!(summary.rows.succeeded, results.len() as u64);
    for (model, asked) in &ledger.by_model {
        let of_model = || summary.tallies.iter().filter(|(id, _)| id.model == *model).map(|(_, tally)| tally);
        assert_eq!(of_model().map(|tally| tally.attempts).sum::<u64>(), asked.requests, "{model}");
    }
    sum
}

#[tokio::test(start_paused = true)]
async fn summary_ledger_files_and_the_providers_books_agree_to_the_last_digit() {
    let faults = json!({
        "server_error": 0.1, "overloaded": 0.05, "rate_limit": 0.05, "empty": 0.05, "content_filter": 0.03,
        "null_choices": 0.03, "error_in_200": 0.03, "html": 0.03, "context_length": 0.02,
    });
    for seed in 0..5 {
        let mut night = Night::new(&three_models(), (1..=250).map(row));
        let sim = json!({ "seed": seed, "faults": faults, "latency": ["10ms", "700ms"] });
        let p = night.provider("p", sim);
        let summary = night.run().await;
        assert!(matches!(summary.exit_code, 0 | 4), "{seed}: {summary:?}");
        let ledger = p.sim.ledger();
        let sum = agree(&night, &summary, &ledger);
        assert_eq!(summary.possibly_billed.attempts, 0);
        let tokens = (summary.usage.input_tokens, summary.usage.output_tokens);
        assert_eq!(tokens, (ledger.input_tokens, ledger.output_tokens), "{seed}");
        assert_eq!(summary.cost_usd, price(&ledger), "{seed}");
        for (model, billed) in &ledger.by_model {
            let usages = summary.tallies.iter().filter(|(id, _)| id.model == *model).map(|(_, tally)| tally.usage);
            assert_eq!(usages.map(|usage| usage.output_tokens).sum::<u64>(), billed.output_tokens, "{seed}: {model}");
        }
        assert!(sum.wasted_usd > Money::ZERO && sum.retries > 0 && sum.fallbacks_in > 0, "{seed}: {sum:?}");
        routes_add_up(&summary);
    }
}

/// Every row that came to a model ended there or left for the next.
fn routes_add_up(summary: &Summary) {
    let of = |task: &str, model: &str| {
        let found = summary.tallies.iter().find(|(id, _)| (id.task.as_str(), id.model.as_str()) == (task, model));
        found.map(|(_, tally)| tally.clone()).unwrap_or_default()
    };
    let came = |tally: &Tally| tally.succeeded + tally.failed + tally.fallbacks_out;
    let (a, b, c) = (of("tag", "a"), of("tag", "b"), of("tag", "c"));
    assert_eq!(came(&a), 167, "{a:?}");
    assert_eq!(came(&b), a.fallbacks_out, "{b:?}");
    assert_eq!(came(&c), b.fallbacks_out, "{c:?}");
    assert_eq!((a.fallbacks_in, b.fallbacks_in, c.fallbacks_in), (0, a.fallbacks_out, b.fallbacks_out));
    assert_eq!(came(&of("other", "b")), 83);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_falls_back_within_a_provider_came_to_it_once() {
    let mut night = Night::new(&three_models(), (1..=250).map(row));
    night.provider("p", json!({ "faults": { "content_filter": 0.2 } }));
    let summary = night.run().await;
    routes_add_up(&summary);
    let report = night.world.overnight(&["report", "job.toml", "--json"]).summary();
    let figures = |entry: &Value| json!([entry["rows"], entry["fallbacks_in"], entry["fallbacks_out"]]);
    assert_eq!(report["by_provider"].as_array().unwrap().len(), 1);
    assert_eq!(figures(&report["by_provider"][0]), json!([250, 0, 0]), "{report}");
    let models = report["by_model"].as_array().unwrap().iter();
    assert!(models.map(|model| model["rows"].as_u64().unwrap()).sum::<u64>() > 260, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_the_provider_may_have_billed_without_telling_is_told_apart() {
    let faults = json!({ "reset": 0.06, "truncated": 0.06, "slow_body": 0.02, "empty": 0.05, "server_error": 0.05 });
    for seed in 0..3 {
        let mut night = Night::new(&three_models(), (1..=250).map(row));
        let sim = json!({ "seed": seed, "faults": faults, "latency": ["10ms", "700ms"], "slow_body": "20m" });
        let p = night.provider("p", sim);
        let summary = night.run().await;
        let ledger = p.sim.ledger();
        agree(&night, &summary, &ledger);
        let possibly = summary.possibly_billed;
        assert!(possibly.attempts > 0 && possibly.cost_unknown == 0, "{seed}: {possibly:?}");
        assert!(ledger.billed >= possibly.attempts);
        let bill = price(&ledger);
        assert!(summary.cost_usd < bill && bill <= summary.cost_usd + possibly.max_cost_usd, "{seed}: {bill}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_said_and_never_zero() {
    let priceless = three_models().replace("price = { input = 0.137, output = 2.900001 }\n", "");
    let mut night = Night::new(&priceless, (1..=30).map(row));
    let p = night.provider("p", json!({}));
    let summary = night.run().await;
    assert_eq!((summary.cost_usd, summary.cost_unknown_rows), (Money::ZERO, 30));
    assert_eq!(summary.usage.input_tokens, p.sim.ledger().input_tokens);
    assert!(night.results().iter().all(|line| line["cost_usd"].is_null()));
}
