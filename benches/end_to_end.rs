//! overnight against a bare HTTP loop: the same rows to the same simulator, one after the other in one run.
//!
//! `cargo bench --bench end_to_end [-- NAME...]` prints a table of what was reached and what is wanted, in some five
//! minutes for all scenarios but `shapes`, `ten-million` and `soak`, which are run when they are named; a NAME takes those
//! whose names contain it.
//! The loop reads the same file, sends the same requests with the same client and writes one line a row; whatever overnight
//! takes beyond it is what routing, limits, keys, the checkpoint and ordered results cost. CPU time and memory are the
//! process's own, the simulator's are not in them. The exit code is 1 where something is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod figures;
mod measure;
mod rows;
mod shapes;
mod simulator;
mod soak;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use figures::{Figure, Goal, Scenario, ratio};
use measure::{Cost, cost_of, median, wall_of};
use serde_json::Value;
use simulator::Simulator;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc};

const CONCURRENCY: usize = 256;
/// Rounds of what is compared: each of the two in turn.
const ROUNDS: usize = 3;
/// Rounds of what ends within a second: its memory varies by a tenth.
const SHORT_ROUNDS: usize = 9;

const SCENARIOS: &[Scenario] = &[
    ("cpu", cpu_a_row),
    ("latency", bound_by_latency),
    ("durability", syncs),
    ("start", start_up),
    ("million", || million(1_000_000)),
];

/// Each takes longer than all others together.
const NAMED_ONLY: &[Scenario] =
    &[("shapes", shapes::shapes), ("ten-million", || million(10_000_000)), ("soak", soak::soak)];

fn main() -> ExitCode {
    let args = figures::names();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["baseline", output, loops @ ..] => {
            baseline(output, loops);
            ExitCode::SUCCESS
        }
        ["shapes" | "ten-million" | "soak"] => figures::table(NAMED_ONLY, &args),
        _ => figures::table(SCENARIOS, &args),
    }
}

/// A folder with rows, a simulator, and jobs over them.
struct Bench {
    dir: TempDir,
    sim: Simulator,
}

impl Bench {
    /// So many rows of so many bytes, and a simulator with these settings.
    fn new(rows: usize, bytes: usize, settings: &[&str]) -> Self {
        Self::over(rows::numbered(rows, bytes), settings)
    }

    fn over(rows: impl Iterator<Item = Value>, settings: &[&str]) -> Self {
        let bench = Self { dir: tempfile::tempdir().unwrap(), sim: Simulator::start(settings) };
        rows::write(&bench.dir.path().join("in.jsonl"), rows);
        bench
    }

    /// A job whose state and results are of this name; `further`: TOML behind its tables.
    fn job(&self, name: &str, state: &Path, concurrency: usize, further: &str) {
        let job = format!(
            r#"
            [input]
            path = "in.jsonl"
            [output]
            path = "out-{name}.jsonl"
            include = []
            [tasks.tag]
            model = "m"
            prompt = "{{{{ text }}}}"
            [models.m]
            provider = "p"
            price = {{ input = 1, output = 2 }}
            limits = {{ rpm = 100_000_000, tpm = 100_000_000_000 }}
            [run]
            concurrency = {concurrency}
            state = "{}"
            [providers.p]
            base_url = "{}"
            {further}
            "#,
            state.display(),
            self.sim.url
        );
        fs::write(self.dir.path().join(format!("{name}.toml")), job).unwrap();
    }

    /// A command of overnight on the job of this name.
    fn command(&self, verb: &str, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overnight"));
        command.args([verb, "-q", &format!("{name}.toml")]).current_dir(self.dir.path());
        command
    }

    /// A run of its own from nothing to its end.
    fn run(&self, name: &str) -> Cost {
        self.job(name, Path::new(&format!("state-{name}")), CONCURRENCY, "");
        cost_of(&mut self.command("run", name))
    }

    fn bare_loop(&self, at_once: usize) -> Cost {
        self.bare_loops(&[("in.jsonl", &self.sim.url, at_once)])
    }

    /// A process with bare loops side by side: the rows of each, whom it asks, and how often at once.
    fn bare_loops(&self, loops: &[(&str, &str, usize)]) -> Cost {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["baseline", "loop.jsonl"]).current_dir(self.dir.path());
        for (input, url, at_once) in loops {
            command.args([input, url, at_once.to_string().as_str()]);
        }
        cost_of(&mut command)
    }
}

/// What a row of 1 kB takes at full speed.
fn cpu_a_row() -> Vec<Figure> {
    const ROWS: usize = 30_000;
    let bench = Bench::new(ROWS, 1000, &[]);
    let (mut loops, mut runs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        loops.push(bench.bare_loop(CONCURRENCY));
        runs.push(bench.run(&round.to_string()));
    }
    let cpu = |costs: &[Cost]| median(costs.iter().map(|cost| cost.cpu_seconds)) / ROWS as f64 * 1e6;
    let rate = |costs: &[Cost]| ROWS as f64 / median(costs.iter().map(|cost| cost.wall.as_secs_f64()));
    vec![
        Figure::new("CPU us a row, bare loop", cpu(&loops), Goal::None),
        Figure::new("CPU us a row, overnight", cpu(&runs), Goal::None),
        Figure::new("CPU a row, that of the loop is 1", cpu(&runs) / cpu(&loops), Goal::AtMost(1.5)),
        Figure::new("rows/s, bare loop", rate(&loops).round(), Goal::None),
        Figure::new("rows/s, overnight", rate(&runs).round(), Goal::None),
    ]
}

/// Calls that take 50 ms each: 500 at once, which is what is wanted, and half as many, which leaves two cores some room.
fn bound_by_latency() -> Vec<Figure> {
    let wanted = at_once(500, Goal::AtLeast(0.95));
    wanted.into_iter().chain(at_once(250, Goal::None)).collect()
}

/// So many calls at once that take 50 ms each: 20 times as many rows a second at best.
fn at_once(calls: u32, goal: Goal) -> Vec<Figure> {
    const SECONDS: u32 = 10;
    let ideal = calls * 20;
    let (rows, calls) = ((ideal * SECONDS) as usize, calls as usize);
    let bench = Bench::new(rows, 100, &["latency=50ms", "count_seconds=true"]);
    bench.job("job", Path::new("state"), calls, "adaptive = false");
    let cost = cost_of(&mut bench.command("run", "job"));
    let ledger = bench.sim.ledger();
    let rate = |cost: Cost| rows as f64 / cost.wall.as_secs_f64() / f64::from(ideal);
    // From the third second on all is warm; the last one is not whole.
    let (from, to) = (ledger.seconds[2].second, ledger.seconds[ledger.seconds.len() - 2].second);
    let answered = ledger.over(from, to, |second| second.answered);
    vec![
        Figure::new(format!("of {ideal} rows/s, once warm"), ratio(answered, u64::from(ideal) * (to - from)), goal),
        Figure::new(format!("of {ideal} rows/s, start to end"), rate(cost), Goal::None),
        // Where two cores are all there is, they bound it too.
        Figure::new(format!("of {ideal} rows/s, bare loop"), rate(bench.bare_loop(calls)), Goal::None),
    ]
}

/// The same run with its state on a disk, and in memory, where a sync costs nothing.
fn syncs() -> Vec<Figure> {
    const ROWS: usize = 30_000;
    let bench = Bench::new(ROWS, 1000, &[]);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let (mut synced, mut unsynced) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        synced.push(bench.run(&format!("disk-{round}")));
        let name = format!("memory-{round}");
        bench.job(&name, &memory.path().join(&name), CONCURRENCY, "");
        unsynced.push(cost_of(&mut bench.command("run", &name)));
    }
    let wall = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall.as_secs_f64()));
    vec![Figure::new("throughput, that without syncs is 1", wall(&unsynced) / wall(&synced), Goal::AtLeast(0.8))]
}

fn start_up() -> Vec<Figure> {
    let bench = Bench::new(1, 100, &[]);
    let version = || wall_of(Command::new(env!("CARGO_BIN_EXE_overnight")).arg("--version"));
    let one_row = |round: usize| {
        let name = format!("one-{round}");
        bench.job(&name, Path::new(&format!("state-{name}")), CONCURRENCY, "");
        wall_of(&mut bench.command("run", &name))
    };
    vec![
        Figure::new("ms, --version", median((0..51).map(|_| version())) * 1e3, Goal::AtMost(5.0)),
        Figure::new("ms, a job of one row, at 0 ms", median((0..21).map(one_row)) * 1e3, Goal::AtMost(50.0)),
    ]
}

/// Many tiny rows: memory, disk, and what a job that is done takes to be looked at and to go on.
fn million(rows: usize) -> Vec<Figure> {
    let few = Bench::new(10_000, 1, &[]);
    let both = |round| (few.bare_loop(CONCURRENCY).peak_mb, few.run(&format!("few-{round}")).peak_mb);
    let (loops, runs): (Vec<_>, Vec<_>) = (0..SHORT_ROUNDS).map(both).unzip();
    let (few_loop, few_run) = (median(loops), median(runs));
    let bench = Bench::new(rows + 1, 1, &[]);
    bench.job("job", Path::new("state-job"), CONCURRENCY, "");
    let bare = bench.bare_loop(CONCURRENCY);
    let run = cost_of(bench.command("run", "job").args(["--limit", &rows.to_string()]));
    let beyond = (run.peak_mb - bare.peak_mb) / (few_run - few_loop);
    let (resumed, _) = first_request(&bench);
    let bytes = |path: &str| folder_bytes(&bench.dir.path().join(path)) as f64 / rows as f64;
    let mut figures = vec![
        Figure::new("MB beyond the bare loop's, 10,000 rows", few_run - few_loop, Goal::AtMost(64.0)),
        Figure::new(format!("MB beyond at {rows} rows, those at 10,000 are 1"), beyond, Goal::AtMost(1.1)),
        Figure::new(format!("MB at {rows} rows, those at 10,000 are 1"), run.peak_mb / few_run, Goal::AtMost(1.1)),
        Figure::new("MB of the bare loop, those at 10,000 are 1", bare.peak_mb / few_loop, Goal::None),
        Figure::new("rows/s", (rows as f64 / run.wall.as_secs_f64()).round(), Goal::None),
        Figure::new("bytes a row, checkpoint", bytes("state-job/sled"), Goal::AtMost(48.0)),
        Figure::new("bytes a row, log", bytes("state-job/results.log"), Goal::None),
    ];
    let look = |verb: &str| median((0..5).map(|_| wall_of(&mut bench.command(verb, "job"))));
    figures.extend([
        Figure::new("s, status", look("status"), Goal::AtMost(0.2)),
        Figure::new("s, report", look("report"), Goal::AtMost(0.2)),
        Figure::new("rows/s, plan", (rows as f64 / wall_of(&mut bench.command("plan", "job"))).round(), Goal::None),
        Figure::new("s, a run with nothing to do", wall_of(&mut bench.command("run", "job")), Goal::None),
    ]);
    let mut input = OpenOptions::new().append(true).open(bench.dir.path().join("in.jsonl")).unwrap();
    writeln!(input, r#"{{"id":-1,"text":"one more"}}"#).unwrap();
    drop(input);
    let (appended, again) = first_request(&bench);
    // Both take longer the more rows are done.
    let in_time = || if rows <= 1_000_000 { Goal::AtMost(2.0) } else { Goal::None };
    figures.extend([
        Figure::new("s to the first request, resumed", resumed, in_time()),
        Figure::new("s to the first request, a row added", appended, in_time()),
        Figure::new("MB of that run, those at 10,000 are 1", again.peak_mb / few_run, Goal::None),
    ]);
    figures
}

/// Runs a job of which one row remains; when that is asked for, in seconds.
fn first_request(bench: &Bench) -> (f64, Cost) {
    let before = bench.sim.ledger().requests;
    std::thread::scope(|scope| {
        let began = Instant::now();
        let run = scope.spawn(|| cost_of(&mut bench.command("run", "job")));
        while bench.sim.ledger().requests == before {
            sleep(Duration::from_millis(5));
        }
        (began.elapsed().as_secs_f64(), run.join().unwrap())
    })
}

/// The bytes of a file, or of all files in a folder.
fn folder_bytes(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| folder_bytes(&entry.unwrap().path())).sum(),
        Err(_) => fs::metadata(path).map_or(0, |file| file.len()),
    }
}

/// The loop that anyone would write: as many requests at once, a line for each answer as it comes. Each of the loops that run
/// side by side has a file with rows, a URL, and how many at once.
fn baseline(output: &str, loops: &[&str]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // reqwest is built without a TLS provider of its own; over plain HTTP none is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().http1_only().build().unwrap();
    let (lines, mut written) = mpsc::channel::<Vec<u8>>(1024);
    let mut file = BufWriter::new(File::create(output).unwrap());
    let writer = std::thread::spawn(move || {
        while let Some(line) = written.blocking_recv() {
            file.write_all(&line).unwrap();
            file.write_all(b"\n").unwrap();
        }
        file.flush().unwrap();
    });
    let (loops, _) = loops.as_chunks::<3>();
    let sent =
        loops.iter().map(|[input, url, at_once]| send_rows(&client, input, url, at_once.parse().unwrap(), &lines));
    runtime.block_on(futures::future::join_all(sent));
    drop(lines);
    writer.join().unwrap();
}

async fn send_rows(client: &reqwest::Client, input: &str, url: &str, at_once: usize, lines: &mpsc::Sender<Vec<u8>>) {
    let slots = Arc::new(Semaphore::new(at_once));
    for line in BufReader::new(File::open(input).unwrap()).lines() {
        let permit = Arc::clone(&slots).acquire_owned().await.unwrap();
        let (client, lines, url) = (client.clone(), lines.clone(), format!("{url}/chat/completions"));
        tokio::spawn(async move {
            let line = line.unwrap();
            let row: Value = serde_json::from_str(&line).unwrap();
            let body = serde_json::json!({
                "model": "m",
                "messages": [{ "role": "user", "content": row["text"] }],
            });
            let body = serde_json::to_vec(&body).unwrap();
            let request = client.post(url).header("content-type", "application/json").body(body);
            let reply = request.send().await.unwrap().bytes().await.unwrap();
            let reply: Value = serde_json::from_slice(&reply).unwrap();
            let content = &reply["choices"][0]["message"]["content"];
            lines.send(serde_json::to_vec(&serde_json::json!({ "content": content })).unwrap()).await.unwrap();
            drop(permit);
        });
    }
}
