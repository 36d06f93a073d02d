//! Runs through bad weather, on paused time: what several providers do to a job, and what became of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use overnight::event::Summary;
use overnight::sim::SimLedger;
use serde_json::{Value, json};

use crate::night::{Night, Provider, TOP, rows};

/// A job of one task over a route of providers, and what each provider's simulator does.
pub struct Weather {
    rows: usize,
    tables: String,
    /// Their names, the keys of their tables, what they do.
    providers: Vec<(String, String, Value)>,
}

/// How a run through it ended.
pub struct Morning {
    pub night: Night,
    pub summary: Summary,
    providers: HashMap<String, Arc<Provider>>,
}

impl Weather {
    /// So many rows, no provider yet.
    pub fn of(rows: usize) -> Self {
        Self { rows, tables: String::new(), providers: Vec::new() }
    }

    /// The next provider of the route: its simulator, with every second in its ledger.
    pub fn provider(mut self, name: &str, mut simulate: Value) -> Self {
        simulate["count_seconds"] = json!(true);
        self.providers.push((name.to_owned(), String::new(), simulate));
        self
    }

    /// Keys of the last provider's table.
    pub fn keys(mut self, keys: &str) -> Self {
        let (_, table, _) = self.providers.last_mut().unwrap();
        table.push_str(keys);
        self
    }

    /// More tables of the job.
    pub fn tables(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self.tables.push('\n');
        self
    }

    fn job(&self) -> String {
        let route: Vec<_> = self.providers.iter().map(|(name, ..)| format!("\"{name}/m\"")).collect();
        let mut job = format!(
            "{TOP}\n[tasks.tag]\nmodel = {}\nfallback = [{}]\nprompt = \"Tag {{{{ text }}}}\"\nparams = {{ max_tokens = 32 }}\n{}",
            route[0],
            route[1..].join(", "),
            self.tables
        );
        let table = |(name, keys, _): &(String, String, Value)| {
            format!("[providers.{name}]\nbase_url = \"https://{name}.example/v1\"\n{keys}\n")
        };
        job.extend(self.providers.iter().map(table));
        job
    }

    pub async fn run(self) -> Morning {
        let mut night = Night::new(&self.job(), rows(self.rows));
        let providers = self.providers.into_iter().map(|(name, _, simulate)| {
            let provider = night.provider(&name, simulate);
            (name, provider)
        });
        let providers = providers.collect();
        let summary = night.run().await;
        Morning { night, summary, providers }
    }
}

impl Morning {
    pub fn provider(&self, name: &str) -> &Provider {
        &self.providers[name]
    }

    pub fn ledger(&self, name: &str) -> SimLedger {
        self.provider(name).sim.ledger()
    }

    /// When the last call to any provider ended.
    pub fn makespan(&self) -> Duration {
        let ends = self.providers.values().flat_map(|provider| provider.calls()).map(|call| call.ended);
        ends.max().unwrap_or_default()
    }

    /// The share of so many requests a minute that a provider let in from one second to another.
    pub fn share_used(&self, name: &str, rpm: u64, from: u64, to: u64) -> f64 {
        let let_in = self.ledger(name).over(from, to, |second| second.let_in);
        #[expect(clippy::cast_precision_loss, reason = "some thousand requests")]
        let (used, room) = (let_in as f64, (rpm * (to - from)) as f64 / 60.0);
        used / room
    }

    /// Every row ended once, and every call that a provider saw is told.
    pub fn assert_accounted(&self) {
        let rows = &self.summary.rows;
        assert_eq!(rows.total, rows.succeeded + rows.failed + rows.failed_before + rows.remaining, "{rows:?}");
        if rows.remaining == 0 {
            let mut ids: Vec<_> = self
                .night
                .results()
                .into_iter()
                .chain(self.night.errors())
                .map(|line| line["row"].as_u64().unwrap())
                .collect();
            ids.sort_unstable();
            assert_eq!(ids, (1..=rows.total).collect::<Vec<_>>());
        }
        let calls: usize = self.providers.values().map(|provider| provider.calls().len()).sum();
        assert_eq!(self.summary.attempts, calls as u64);
    }
}

/// A time at which a whole provider is out, in seconds: "refuse", "hang", "429", "500" or "503".
pub fn outage(fault: &str, from: u64, to: u64) -> Value {
    json!({ "from": from, "to": to, "fault": fault })
}

#[tokio::test(start_paused = true)]
async fn poisoned_rows_fail_alone_and_all_others_succeed() {
    let weather = Weather::of(400).provider("p", json!({ "latency": "200ms", "poison": { "server_error": 0.02 } }));
    let morning = weather.tables("[retry]\nbackoff = { base = \"10ms\", max = \"1s\" }").run().await;
    morning.assert_accounted();
    let rows = &morning.summary.rows;
    assert!(rows.failed > 0 && rows.failed < 20, "{rows:?}");
    assert_eq!(morning.night.error_kinds()["server_error"] as u64, rows.failed);
    assert_eq!(morning.summary.exit_code, 4);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_out_for_a_while_leaves_its_rows_to_the_next_one() {
    let first = json!({ "latency": "200ms", "outages": [outage("503", 2, 600)] });
    let weather = Weather::of(300).provider("a", first).keys("limits = { rpm = 600 }");
    let morning = weather.provider("b", json!({ "latency": "200ms" })).run().await;
    morning.assert_accounted();
    assert_eq!((morning.summary.exit_code, morning.summary.rows.succeeded), (0, 300));
    assert!(morning.ledger("a").answered > 0 && morning.ledger("b").answered > 0);
}

#[tokio::test(start_paused = true)]
async fn a_configured_limit_is_used_minute_by_minute_in_fixed_windows_too() {
    let limits = json!({ "limits": { "rpm": 600 }, "window_kind": "fixed", "latency": "200ms" });
    let morning = Weather::of(1_200).provider("p", limits).keys("limits = { rpm = 600 }").run().await;
    morning.assert_accounted();
    assert_eq!((morning.summary.exit_code, morning.summary.rate_limited), (0, 0));
    assert!(morning.share_used("p", 600, 0, 60) >= 0.95, "{}", morning.share_used("p", 600, 0, 60));
    assert!(morning.makespan() <= Duration::from_secs(125), "{:?}", morning.makespan());
}

/// A server that refuses some calls without a cause or a hint, whatever is asked of it; the share of calls that it took
/// of those that it could have taken.
async fn share_used_of_a_server_that_refuses_at_random(rows: usize, keys: &str, limits: Value) -> f64 {
    let faults = json!({ "rate_limit": 0.02, "server_error": 0.02 });
    let server = json!({ "latency": ["200ms", "900ms"], "limits": limits, "faults": faults, "hints": false });
    let morning = Weather::of(rows).provider("p", server).keys(keys).run().await;
    morning.assert_accounted();
    assert_eq!((morning.summary.exit_code, morning.summary.rows.succeeded), (0, rows as u64));
    let sent = f64::from(u32::try_from(morning.summary.attempts).unwrap());
    sent / 20.0 / morning.makespan().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn refusals_without_a_cause_do_not_take_away_a_limit() {
    let (keys, limits) = ("limits = { rpm = 1200 }", json!({ "rpm": 1200 }));
    let used = share_used_of_a_server_that_refuses_at_random(3_000, keys, limits).await;
    assert!(used >= 0.7, "{used}");
}

#[tokio::test(start_paused = true)]
async fn refusals_without_a_cause_do_not_take_away_calls_in_flight() {
    // How many fit has to be found out first: of fewer rows that takes a larger part.
    let used = share_used_of_a_server_that_refuses_at_random(6_000, "", json!({ "concurrency": 11 })).await;
    assert!(used >= 0.5, "{used}");
}
