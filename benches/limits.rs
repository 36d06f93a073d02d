//! How fully limits are used, and how little is sent into refusals and outages: over real HTTP, in real time.
//!
//! `cargo bench --bench limits [-- NAME...]` prints a table of what was reached and what is wanted, in some 15 minutes for
//! all scenarios; a NAME takes those whose names contain it. All figures come from the simulator's own ledger but the two
//! makespans: these are ratios of two runs that go side by side, on one machine at one time. The exit code is 1 where
//! something is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod figures;
mod rows;
mod simulator;

use std::fs::{self, File};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use figures::{Figure, Goal, Scenario, ratio};
use overnight::sim::{SecondLedger, SimLedger};
use serde_json::Value;
use simulator::Simulator;
use tempfile::TempDir;

/// The bytes of a row's text: some 100 tokens.
const TEXT_BYTES: usize = 392;

/// Where a server is told to keep the figures that are read here.
const SECONDS: &str = "count_seconds=true";

const SCENARIOS: &[Scenario] = &[
    ("rpm-minute", || requests_a_minute("1m")),
    ("rpm-second", || requests_a_minute("1s")),
    ("tpm-over", || tokens_a_minute(&OVER)),
    ("tpm-under", || tokens_a_minute(&UNDER)),
    ("told", told_limit),
    ("halved", halved_limit),
    ("knee-flat", || knee("flat")),
    ("knee-degrading", || knee("degrading")),
    ("dead", dead_provider),
    ("hangs", hanging_calls),
    ("outage", outage_of_all),
    ("storm", storm),
];

fn main() -> ExitCode {
    figures::table(SCENARIOS, &figures::names())
}

/// A job in a folder of its own.
struct Job {
    dir: TempDir,
}

/// What a job is made of.
struct Setup<'a> {
    rows: usize,
    /// The route, and the keys of each provider's table.
    route: &'a [(&'a Simulator, &'a str)],
    /// Keys of the task.
    task: &'a str,
    concurrency: usize,
}

impl Job {
    fn new(setup: &Setup<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        rows::write(&dir.path().join("in.jsonl"), rows::numbered(setup.rows, TEXT_BYTES));
        let fallback: Vec<String> = (1..setup.route.len()).map(|at| format!("\"p{at}/m\"")).collect();
        let mut job = format!(
            r#"
            [input]
            path = "in.jsonl"
            [output]
            path = "out.jsonl"
            [tasks.tag]
            model = "p0/m"
            fallback = [{}]
            prompt = "{{{{ text }}}}"
            {}
            [run]
            concurrency = {}
            "#,
            fallback.join(", "),
            setup.task,
            setup.concurrency
        );
        let table = |(at, (sim, keys)): (usize, &(&Simulator, &str))| {
            format!("[providers.p{at}]\nbase_url = \"{}\"\n{keys}\n", sim.url)
        };
        job.extend(setup.route.iter().enumerate().map(table));
        fs::write(dir.path().join("job.toml"), job).unwrap();
        Self { dir }
    }

    fn start(self) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overnight"));
        command.args(["run", "--json", "--progress", "none", "job.toml"]).current_dir(self.dir.path());
        let log = File::create(self.dir.path().join("log")).unwrap();
        let child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        Run { child, dir: self.dir }
    }
}

/// A job that runs. It is killed when this is dropped: what is to be seen has been seen.
struct Run {
    child: Child,
    dir: TempDir,
}

impl Run {
    /// Waits for its end, which is a good one.
    fn summary(mut self) -> Value {
        let output = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        let log = || fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}{}", log()))
    }

    fn assert_is_busy(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "the rows did not last");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a job on one provider for so many seconds from its first request on; what its simulator saw, and in which second
/// it began.
fn watch(sim: &Simulator, setup: &Setup<'_>, seconds: u64) -> (SimLedger, u64) {
    let mut run = Job::new(setup).start();
    let first = loop {
        if let Some(second) = sim.ledger().seconds.first() {
            break second.second;
        }
        sleep(Duration::from_millis(50));
    };
    // Whole seconds are read, so the one that has begun goes, and the last one has to be over.
    sleep(Duration::from_millis(seconds * 1_000 + 1_500));
    let ledger = sim.ledger();
    run.assert_is_busy();
    (ledger, first + 1)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Rows that did not succeed.
fn failed_or_left(summary: &Value) -> f64 {
    number(&summary["rows"]["failed"]) + number(&summary["rows"]["remaining"])
}

fn refusals(ledger: &SimLedger) -> f64 {
    ledger.by_status.get(&429).copied().unwrap_or(0) as f64
}

/// The share of all requests that was refused.
fn refused_share(ledger: &SimLedger) -> f64 {
    refusals(ledger) / ledger.requests as f64
}

/// A configured limit, that the server enforces to the letter.
fn requests_a_minute(window: &str) -> Vec<Figure> {
    const RPM: u64 = 6_000;
    let window = format!("limit_window={window}");
    let sim = Simulator::start(&[SECONDS, "latency=[\"200ms\", \"400ms\"]", "limits.rpm=6000", &window]);
    let setup = Setup { rows: 6_800, route: &[(&sim, "limits = { rpm = 6000 }")], task: "", concurrency: 256 };
    let (ledger, from) = watch(&sim, &setup, 60);
    let used = ratio(ledger.over(from, from + 60, |second| second.let_in), RPM);
    vec![
        Figure::new("used of 6,000 RPM in 60 s", used, Goal::AtLeast(0.985)),
        Figure::new("429s", refusals(&ledger), Goal::AtMost(0.0)),
    ]
}

/// How estimates err: what the job lets be estimated, and what answers have.
struct Estimates {
    task: &'static str,
    output_tokens: &'static str,
}

/// A prompt of 100 and an answer of at most 280 are estimated, 250 in all are used.
const OVER: Estimates = Estimates { task: "params = { max_tokens = 280 }", output_tokens: "output_tokens=[100, 200]" };

/// A prompt of 100 is estimated, 200 in all are used.
const UNDER: Estimates = Estimates { task: "", output_tokens: "output_tokens=[50, 150]" };

fn tokens_a_minute(estimates: &Estimates) -> Vec<Figure> {
    const TPM: u64 = 600_000;
    let sim =
        Simulator::start(&[SECONDS, "latency=[\"500ms\", \"1500ms\"]", "limits.tpm=600000", estimates.output_tokens]);
    let route = &[(&sim, "limits = { tpm = 600000 }")];
    let setup = Setup { rows: 4_500, route, task: estimates.task, concurrency: 256 };
    let (ledger, from) = watch(&sim, &setup, 60);
    let used = ratio(ledger.over(from, from + 60, |second| second.counted_tokens), TPM);
    vec![
        Figure::new("used of 600,000 TPM in 60 s", used, Goal::AtLeast(0.97)),
        Figure::new("429s, of all requests", refused_share(&ledger), Goal::Below(0.005)),
    ]
}

/// A limit that only the headers tell.
fn told_limit() -> Vec<Figure> {
    const WARM: u64 = 15;
    let sim = Simulator::start(&[SECONDS, "latency=[\"200ms\", \"400ms\"]", "limits.rpm=6000"]);
    let setup = Setup { rows: 9_000, route: &[(&sim, "")], task: "", concurrency: 256 };
    let (ledger, from) = watch(&sim, &setup, WARM + 60);
    let used = ratio(ledger.over(from + WARM, from + WARM + 60, |second| second.let_in), 6_000);
    vec![
        Figure::new("used of 6,000 RPM after 15 s", used, Goal::AtLeast(0.95)),
        Figure::new("429s, of all requests", refused_share(&ledger), Goal::Below(0.02)),
    ]
}

/// The told limit is halved after 40 seconds; what is used of the new one between 60 and 90 seconds later.
fn halved_limit() -> Vec<Figure> {
    let change = "changes=[{ at = 40, limits = { rpm = 3000 } }]";
    let sim = Simulator::start(&[SECONDS, "latency=[\"200ms\", \"400ms\"]", "limits.rpm=6000", change]);
    let setup = Setup { rows: 12_000, route: &[(&sim, "")], task: "", concurrency: 256 };
    let (ledger, _) = watch(&sim, &setup, 131);
    let used = ratio(ledger.over(100, 130, |second| second.let_in), 1_500);
    vec![
        Figure::new("used of 3,000 RPM 60 s after the change", used, Goal::AtLeast(0.95)),
        Figure::new("429s, of all requests", refused_share(&ledger), Goal::None),
    ]
}

/// A server that says nothing of limits, and has its best throughput at 48 calls at once: 96 answers a second.
fn knee(beyond: &str) -> Vec<Figure> {
    let knee = format!("knee={{ concurrency = 48, beyond = \"{beyond}\" }}");
    let sim = Simulator::start(&[SECONDS, "latency=500ms", "noise=0.2", &knee]);
    let setup = Setup { rows: 12_000, route: &[(&sim, "")], task: "", concurrency: 256 };
    let (ledger, from) = watch(&sim, &setup, 90);
    let late = |figure: fn(&SecondLedger) -> u64| ledger.over(from + 60, from + 90, figure);
    vec![
        Figure::new(
            "of its best throughput after 60 s",
            ratio(late(|second| second.answered), 96 * 30),
            Goal::AtLeast(0.9),
        ),
        Figure::new("calls at once by then", ratio(late(|second| second.peak_in_flight), 30), Goal::None),
    ]
}

/// The makespans of two jobs that run at one time, the second over the first.
fn makespans(clean: Job, tried: Job) -> (f64, Value) {
    let (clean, tried) = (clean.start(), tried.start());
    let (clean, tried) = (clean.summary(), tried.summary());
    (number(&tried["elapsed_ms"]) / number(&clean["elapsed_ms"]), tried)
}

/// The first of two providers is out for a third of the run.
fn dead_provider() -> Vec<Figure> {
    let a = [SECONDS, "latency=500ms"];
    let outage = "outages=[{ from = 20, to = 40, fault = \"refuse\" }]";
    let (clean_a, clean_b) = (Simulator::start(&a), Simulator::start(&a));
    let (dead_a, dead_b) = (Simulator::start(&[a[0], a[1], outage]), Simulator::start(&a));
    let job = |a, b| Job::new(&Setup { rows: 7_500, route: &[(a, ""), (b, "")], task: "", concurrency: 64 });
    let (longer, summary) = makespans(job(&clean_a, &clean_b), job(&dead_a, &dead_b));
    vec![
        Figure::new("makespan, the clean one is 1", longer, Goal::AtMost(1.1)),
        Figure::new("rows on the fallback, of all", ratio(dead_b.ledger().answered, 7_500), Goal::None),
        Figure::new("failed rows", number(&summary["rows"]["failed"]), Goal::AtMost(0.0)),
    ]
}

/// One call in a hundred is never answered.
fn hanging_calls() -> Vec<Figure> {
    let clean = Simulator::start(&[SECONDS, "latency=500ms"]);
    let hangs = Simulator::start(&[SECONDS, "latency=500ms", "faults.hang=0.01"]);
    let timeout = "timeout = { attempt = \"3s\" }";
    let job = |sim| Job::new(&Setup { rows: 2_500, route: &[(sim, timeout)], task: "", concurrency: 32 });
    let (longer, summary) = makespans(job(&clean), job(&hangs));
    vec![
        Figure::new("makespan, the clean one is 1", longer, Goal::AtMost(1.3)),
        Figure::new("failed rows", number(&summary["rows"]["failed"]), Goal::AtMost(0.0)),
    ]
}

/// Both providers are out for 75 seconds.
fn outage_of_all() -> Vec<Figure> {
    let outage = |fault: &str| format!("outages=[{{ from = 15, to = 90, fault = \"{fault}\" }}]");
    let a = Simulator::start(&[SECONDS, "latency=300ms", &outage("503")]);
    let b = Simulator::start(&[SECONDS, "latency=300ms", &outage("500")]);
    let run = Job::new(&Setup { rows: 2_500, route: &[(&a, ""), (&b, "")], task: "", concurrency: 32 }).start();
    let summary = run.summary();
    let calls = |from, to| {
        let ledgers = [a.ledger(), b.ledger()];
        ledgers.iter().map(|ledger| ledger.over(from, to, |second| second.requests)).sum::<u64>() as f64
    };
    vec![
        Figure::new("failed rows", number(&summary["rows"]["failed"]), Goal::AtMost(0.0)),
        Figure::new("rows left", number(&summary["rows"]["remaining"]), Goal::AtMost(0.0)),
        Figure::new("calls in the first 2 s of the outage", calls(15, 17), Goal::None),
        Figure::new("calls in the minute after them", calls(17, 77), Goal::Below(50.0)),
    ]
}

/// With 500 rows in flight everything is refused for 30 seconds.
fn storm() -> Vec<Figure> {
    const END: u64 = 45;
    const IN_FLIGHT: f64 = 500.0;
    let outage = "outages=[{ from = 15, to = 45, fault = \"429\", hint = \"30s\" }]";
    let sim = Simulator::start(&[SECONDS, "latency=1s", outage]);
    let began = Instant::now();
    let setup = Setup { rows: 9_000, route: &[(&sim, "")], task: "", concurrency: 500 };
    let run = Job::new(&setup).start();
    // A little before the end, as the clock here is not that of the simulator.
    sleep((Duration::from_millis(END * 1_000 - 200)).saturating_sub(began.elapsed()));
    let first_second = first_second(&sim);
    let summary = run.summary();
    let ledger = sim.ledger();
    vec![
        Figure::new(
            "in flight before",
            ledger.over(14, 15, |second| second.peak_in_flight) as f64,
            Goal::AtLeast(IN_FLIGHT),
        ),
        Figure::new("refused requests a row in flight", refusals(&ledger) / IN_FLIGHT, Goal::Below(2.0)),
        Figure::new("sent in the first second after", first_second as f64, Goal::AtMost(IN_FLIGHT / 10.0)),
        Figure::new("failed or left rows", failed_or_left(&summary), Goal::AtMost(0.0)),
    ]
}

/// How many requests come within a second from the first one on that comes now.
fn first_second(sim: &Simulator) -> u64 {
    const LOOK: Duration = Duration::from_millis(10);
    let before = sim.ledger().requests;
    while sim.ledger().requests == before {
        sleep(LOOK);
    }
    // It came up to a look ago.
    sleep(Duration::from_millis(980));
    sim.ledger().requests - before
}
