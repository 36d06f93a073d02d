//! Memory with what is harder to hold than rows of one kind: as flat as with them?

use std::path::Path;

use serde_json::{Value, json};

use super::figures::{Figure, Goal};
use super::measure::{Cost, cost_of, median};
use super::simulator::Simulator;
use super::{Bench, CONCURRENCY, SHORT_ROUNDS, rows};

/// Rows of the long runs, and of those that they are compared to.
const MANY: usize = 200_000;
const FEW: usize = 10_000;
/// Runs of many rows: such a one hardly varies.
const ROUNDS: usize = 3;

/// Calls of the slow route at once.
const SLOW: usize = 64;

/// Rows, and who answers each fiftieth of them, slowly, where it is a route of its own.
struct Shape {
    name: &'static str,
    row: fn(usize) -> Value,
    slow: Option<Simulator>,
}

/// Each shape's memory beside the bare loop's over the same rows; a slow route has a loop of its own beside that of the others,
/// as its connections are the pool's too.
pub fn shapes() -> Vec<Figure> {
    let shapes = [
        Shape { name: "no ids", row: |row| json!({ "text": row.to_string() }), slow: None },
        // Its answers take a second: it holds the run up, and rows of the other route pass.
        Shape { name: "slow route", row: of_two_routes, slow: Some(Simulator::start(&["latency=1s"])) },
        Shape { name: "rows of 1 MB", row: of_two_sizes, slow: None },
    ];
    shapes.iter().flat_map(Shape::figures).collect()
}

/// Whether the slow route has a row of this number.
fn is_slow(row: usize) -> bool {
    row.is_multiple_of(50)
}

fn of_two_routes(row: usize) -> Value {
    let task = if is_slow(row) { "slow" } else { "tag" };
    json!({ "id": row, "task_type": task, "text": row.to_string() })
}

/// Each thousandth row has 1 MB.
fn of_two_sizes(row: usize) -> Value {
    let text = row.to_string();
    let text = if row % 1000 == 500 { text.repeat(1_000_000 / text.len()) } else { text };
    json!({ "id": row, "text": text })
}

impl Shape {
    fn figures(&self) -> Vec<Figure> {
        let (few_loop, few_run) = self.peaks(FEW, SHORT_ROUNDS);
        let (many_loop, many_run) = self.peaks(MANY, ROUNDS);
        let name = self.name;
        let beyond = (many_run - many_loop) / (few_run - few_loop);
        vec![
            Figure::new(format!("{name}: MB, {FEW} rows"), few_run, Goal::None),
            Figure::new(format!("{name}: MB beyond the bare loop's"), few_run - few_loop, Goal::AtMost(64.0)),
            Figure::new(format!("{name}: MB beyond at {MANY}, those are 1"), beyond, Goal::AtMost(1.1)),
            Figure::new(format!("{name}: MB at {MANY}, at {FEW} is 1"), many_run / few_run, Goal::None),
            Figure::new(format!("{name}: MB of the bare loop, the same"), many_loop / few_loop, Goal::None),
        ]
    }

    /// The most memory of the bare loop and of a run, medians, in MB.
    fn peaks(&self, rows: usize, rounds: usize) -> (f64, f64) {
        let bench = Bench::over((0..rows).map(self.row), &[]);
        if self.slow.is_some() {
            for (file, slow) in [("fast.jsonl", false), ("slow.jsonl", true)] {
                let rows = (0..rows).filter(|&row| is_slow(row) == slow);
                rows::write(&bench.dir.path().join(file), rows.map(self.row));
            }
        }
        let both = |round: usize| {
            let name = round.to_string();
            bench.job(&name, Path::new(&format!("state-{name}")), CONCURRENCY, &self.second_route());
            (self.bare_loop(&bench).peak_mb, cost_of(&mut bench.command("run", &name)).peak_mb)
        };
        let (loops, runs): (Vec<_>, Vec<_>) = (0..rounds).map(both).unzip();
        (median(loops), median(runs))
    }

    fn bare_loop(&self, bench: &Bench) -> Cost {
        let Some(slow) = &self.slow else { return bench.bare_loop(CONCURRENCY) };
        bench.bare_loops(&[("fast.jsonl", &bench.sim.url, CONCURRENCY - SLOW), ("slow.jsonl", &slow.url, SLOW)])
    }

    /// The tables of the slow route, if there is one.
    fn second_route(&self) -> String {
        let Some(slow) = &self.slow else { return String::new() };
        format!(
            r#"
            [tasks.slow]
            model = "q/m"
            prompt = "{{{{ text }}}}"
            [providers.q]
            base_url = "{}"
            limits = {{ concurrency = {SLOW} }}
            "#,
            slow.url
        )
    }
}
