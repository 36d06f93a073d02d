//! overnight against a bare HTTP loop: the same rows to the same simulator, one after the other in one run.
//!
//! `cargo bench --bench end_to_end [-- ROWS]` prints a table of medians. The loop reads the same file, sends the same
//! requests with the same client and writes one line a row; whatever overnight takes beyond it is what routing, limits,
//! keys, the checkpoint and ordered results cost. CPU time is the process's own, the simulator's is not in it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod rows;
mod simulator;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use simulator::Simulator;
use tokio::sync::{Semaphore, mpsc};

const CONCURRENCY: usize = 256;
const ROUNDS: usize = 3;
/// Clock ticks a second in `/proc`: the same on every Linux.
const TICKS: f64 = 100.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["baseline", url, input, output] => baseline(url, input, output),
        [] => compare(30_000),
        [rows] => compare(rows.parse().expect("ROWS is a number")),
        _ => panic!("usage: end_to_end [ROWS]"),
    }
}

/// What one process took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    cpu_seconds: f64,
}

fn compare(rows: usize) {
    let dir = tempfile::tempdir().unwrap();
    let sim = Simulator::start(&[]);
    let input = dir.path().join("in.jsonl");
    rows::write(&input, rows, 1000);
    let (mut loops, mut runs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        loops.push(bare_loop(&sim.url, &input, &dir.path().join("loop.jsonl")));
        runs.push(overnight(&sim.url, dir.path(), round));
    }
    report(rows, &loops, &runs);
}

fn report(rows: usize, loops: &[Cost], runs: &[Cost]) {
    let line = |name: &str, costs: &[Cost]| {
        let wall = median(costs.iter().map(|cost| cost.wall.as_secs_f64()));
        let cpu = median(costs.iter().map(|cost| cost.cpu_seconds));
        println!("{name:<12} {:>12.0} {:>16.1}", rows as f64 / wall, cpu / rows as f64 * 1e6);
        (wall, cpu)
    };
    println!("{rows} rows of 1 kB, concurrency {CONCURRENCY}, simulator at 0 ms, medians of {ROUNDS}");
    println!("{:<12} {:>12} {:>16}", "", "rows/s", "CPU us a row");
    let (loop_wall, loop_cpu) = line("bare loop", loops);
    let (run_wall, run_cpu) = line("overnight", runs);
    println!("{:<12} {:>12.2} {:>16.2}", "ratio", loop_wall / run_wall, run_cpu / loop_cpu);
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs a child to its end; its CPU time is what the sum over our ended children grows by.
fn cost_of(command: &mut Command) -> Cost {
    let (before, began) = (children_cpu_seconds(), Instant::now());
    let status = command.stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{status}");
    Cost { wall: began.elapsed(), cpu_seconds: children_cpu_seconds() - before }
}

fn children_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name in brackets, which may hold blanks: fields 3 and on; cutime and cstime are 16 and 17.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / TICKS
}

fn bare_loop(url: &str, input: &Path, output: &Path) -> Cost {
    cost_of(Command::new(std::env::current_exe().unwrap()).args(["baseline", url]).arg(input).arg(output))
}

fn overnight(url: &str, dir: &Path, round: usize) -> Cost {
    let job = format!(
        r#"
        [input]
        path = "in.jsonl"
        [output]
        path = "out{round}.jsonl"
        include = []
        [tasks.tag]
        model = "m"
        prompt = "{{{{ text }}}}"
        [models.m]
        provider = "p"
        price = {{ input = 1, output = 2 }}
        limits = {{ rpm = 100_000_000, tpm = 100_000_000_000 }}
        [providers.p]
        base_url = "{url}"
        [run]
        concurrency = {CONCURRENCY}
        state = "state{round}"
        "#
    );
    let path = dir.join("job.toml");
    fs::write(&path, job).unwrap();
    cost_of(Command::new(env!("CARGO_BIN_EXE_overnight")).args(["run", "-q"]).arg(&path).current_dir(dir))
}

/// The loop that anyone would write: as many requests at once, a line for each answer as it comes.
fn baseline(url: &str, input: &str, output: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // reqwest is built without a TLS provider of its own; over plain HTTP none is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime.block_on(async {
        let client = reqwest::Client::builder().http1_only().pool_max_idle_per_host(CONCURRENCY).build().unwrap();
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        let (lines, mut written) = mpsc::channel::<Vec<u8>>(1024);
        let mut file = BufWriter::new(File::create(output).unwrap());
        let writer = std::thread::spawn(move || {
            while let Some(line) = written.blocking_recv() {
                file.write_all(&line).unwrap();
                file.write_all(b"\n").unwrap();
            }
            file.flush().unwrap();
        });
        let handle = tokio::runtime::Handle::current();
        for line in BufReader::new(File::open(input).unwrap()).lines() {
            let permit = Arc::clone(&slots).acquire_owned().await.unwrap();
            let (client, lines, url) = (client.clone(), lines.clone(), format!("{url}/chat/completions"));
            handle.spawn(async move {
                let line = line.unwrap();
                let row: serde_json::Value = serde_json::from_str(&line).unwrap();
                let body = serde_json::json!({
                    "model": "m",
                    "messages": [{ "role": "user", "content": row["text"] }],
                });
                let body = serde_json::to_vec(&body).unwrap();
                let request = client.post(url).header("content-type", "application/json").body(body);
                let reply = request.send().await.unwrap().bytes().await.unwrap();
                let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
                let content = &reply["choices"][0]["message"]["content"];
                lines.send(serde_json::to_vec(&serde_json::json!({ "content": content })).unwrap()).await.unwrap();
                drop(permit);
            });
        }
        drop(lines);
        writer.join().unwrap();
    });
}
