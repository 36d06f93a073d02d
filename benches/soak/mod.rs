//! The soak: many rows through a server that fails now and then, killed on the way, and every one of them accounted for.
//!
//! What is checked is read line by line, so that this takes as little memory as what it checks.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use overnight::sim::{SimLedger, answer_mark};
use overnight::store::{StateDir, read_totals};
use overnight::types::{FailureKind, Money, PossiblyBilled, Price, Tally, Usage};
use serde::Deserialize;

use super::figures::{Figure, Goal};
use super::measure::Running;
use super::{Bench, CONCURRENCY, folder_bytes, rows};

/// How many rows, where not ten million.
const ROWS: &str = "SOAK_ROWS";

/// Bytes of a row's text beside its number: the smallest that there are, as it is rows that count.
const TEXT: usize = 1;

/// It is killed when so many percent of the rows are answered.
const KILLED_AT: [u64; 2] = [30, 70];

/// The server is asked this often how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// What goes wrong: calls that are tried again, some of them after they were billed, and a few rows that no call will do for.
const FAULTS: [&str; 6] = [
    "faults.server_error=0.01",
    "faults.html=0.001",
    "faults.reset=0.001",
    "faults.truncated=0.001",
    "poison.context_length=0.0005",
    "poison.content_filter=0.0005",
];

/// TOML of the job: failed calls are tried again soon, and often enough that chance fails no row.
const RETRIES: &str = "[retry]\nmax_attempts = 10\nbackoff = { base = \"10ms\", max = \"1s\" }";

/// Runs, kills, goes on, and looks at what is left.
pub fn soak() -> Vec<Figure> {
    let rows = std::env::var(ROWS).map_or(10_000_000, |rows| rows.parse().unwrap());
    let bench = Bench::new(usize::try_from(rows).unwrap(), TEXT, &FAULTS);
    bench.job("soak", Path::new("state-soak"), CONCURRENCY, RETRIES);
    let began = Instant::now();
    let killed = KILLED_AT.map(|percent| run_and_kill(&bench, rows * percent / 100));
    let last = run_to_the_end(&bench);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let (succeeded, failed) = account_for(&bench, rows);
    let again = check_books(&bench, succeeded, failed);
    let disk = folder_bytes(bench.dir.path());
    vec![
        Figure::new("rows, each with one result or error", rows as f64, Goal::None),
        Figure::new("rows that failed", failed as f64, Goal::None),
        Figure::new("answers bought again", again as f64, Goal::AtMost((KILLED_AT.len() * CONCURRENCY) as f64)),
        Figure::new("MB resident at most", killed.into_iter().fold(last, f64::max), Goal::None),
        Figure::new("minutes", minutes, Goal::None),
        Figure::new("GB on disk, input included", disk as f64 / 1e9, Goal::None),
    ]
}

fn start(bench: &Bench) -> Running {
    // With a cap on its output, what a call may have cost at most is known.
    Running::start(bench.command("run", "soak").args(["--set", "tasks.tag.params.max_tokens=64"]))
}

/// Runs until so many rows are answered; the memory that it took.
fn run_and_kill(bench: &Bench, answered: u64) -> f64 {
    let mut run = start(bench);
    while bench.sim.ledger().answered < answered {
        assert!(run.look().is_none(), "it ended before it was killed");
        sleep(LOOK);
    }
    run.kill()
}

fn run_to_the_end(bench: &Bench) -> f64 {
    let mut run = start(bench);
    let status = run.wait();
    // Some rows fail, whatever is done for them.
    assert!(matches!(status.code(), Some(0 | 4)), "{status}");
    run.peak_mb
}

/// Goes through the input once more: each row must stand in the results, with its own answer, or in the errors, and in the
/// input's order. How many stand where.
fn account_for(bench: &Bench, rows: u64) -> (u64, u64) {
    let mut results = Ended::read(&bench.dir.path().join("out-soak.jsonl"));
    let mut errors = Ended::read(&bench.dir.path().join("out-soak.errors.jsonl"));
    for (id, text) in (0..rows).zip(rows::texts(TEXT)) {
        let failed = errors.take(id);
        match results.take(id) {
            Some(row) => {
                assert!(failed.is_none(), "row {id} has both a result and an error");
                let mark = answer_mark(&text);
                assert!(row.content.is_some_and(|content| content.starts_with(&mark)), "row {id} has another answer");
            }
            None => assert!(failed.is_some(), "row {id} has neither a result nor an error"),
        }
    }
    (results.end(), errors.end())
}

/// A line of the results or of the errors.
#[derive(Deserialize)]
struct Line {
    id: u64,
    row: u64,
    content: Option<String>,
}

/// Lines in the order of the input.
struct Ended {
    lines: Lines<BufReader<File>>,
    next: Option<Line>,
    taken: u64,
}

impl Ended {
    fn read(path: &Path) -> Self {
        let mut ended = Self { lines: BufReader::new(File::open(path).unwrap()).lines(), next: None, taken: 0 };
        ended.advance();
        ended
    }

    fn advance(&mut self) {
        self.next = self.lines.next().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    }

    /// The line of this row, if it is the next one.
    fn take(&mut self, id: u64) -> Option<Line> {
        let line = self.next.take_if(|line| line.id == id)?;
        assert_eq!(line.row, id + 1, "records are numbered from 1");
        self.taken += 1;
        self.advance();
        Some(line)
    }

    /// Nothing may be left behind the last row.
    fn end(self) -> u64 {
        assert!(self.next.is_none(), "lines out of order, or of no row");
        self.taken
    }
}

/// What overnight says that it sent and paid, beside what the server says: they differ at most by the calls that are told as
/// possibly billed. How many answers the kills lost.
fn check_books(bench: &Bench, succeeded: u64, failed: u64) -> u64 {
    let (sum, unsure) = told(&bench.dir.path().join("state-soak"));
    let bill = bench.sim.ledger();
    assert_eq!((sum.succeeded, sum.failed), (succeeded, failed), "the report and the files");
    assert!(bill.requests <= sum.attempts, "{} requests, {} told", bill.requests, sum.attempts);
    assert!(sum.attempts <= bill.requests + unsure.attempts, "{} requests, {} told", bill.requests, sum.attempts);
    let (least, billed) = (sum.cost_usd, billed(&bill));
    let most = least + unsure.max_cost_usd;
    assert!(least <= billed && billed <= most, "billed {billed}, told {least} to {most}");
    let filtered = sum.failures.iter().filter(|(kind, _)| *kind == FailureKind::ContentFilter);
    let arrived = succeeded + filtered.map(|(_, setback)| setback.calls).sum::<u64>();
    bill.answered.checked_sub(arrived).expect("no more answers are told than were given")
}

/// The sums of the one run that it was, and of its calls whose end is not known.
fn told(state: &Path) -> (Tally, PossiblyBilled) {
    let state = StateDir::open_existing(state).unwrap().unwrap();
    let ledger = read_totals(&state).unwrap().unwrap().ledger;
    assert_eq!(ledger.runs.len(), 1, "three invocations, one run");
    let totals = &ledger.runs[0].totals;
    (totals.sum(), totals.possibly_billed)
}

/// At the price in the job.
fn billed(bill: &SimLedger) -> Money {
    let usd = |usd: f64| Money::from_usd(usd).unwrap();
    let SimLedger { input_tokens, output_tokens, .. } = *bill;
    let price = Price::flat(usd(1.0), usd(1.0), usd(2.0));
    price.cost(&Usage { input_tokens, output_tokens, ..Usage::default() }).unwrap()
}
