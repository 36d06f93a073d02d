//! What a process took: time, CPU, memory.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Clock ticks a second in `/proc`: the same on every Linux.
const TICKS: f64 = 100.0;

/// A process's memory is looked at this often.
const LOOK: Duration = Duration::from_millis(10);

/// What one process took from its start to its end.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    pub cpu_seconds: f64,
    /// The most memory that it had resident, in MB.
    pub peak_mb: f64,
}

/// A process that is looked at while it runs.
pub struct Running {
    child: Child,
    /// The most memory that it has had resident, in MB, when it was last looked at.
    pub peak_mb: f64,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self { child: command.stdout(Stdio::null()).spawn().unwrap(), peak_mb: 0.0 }
    }

    /// How it ended, once it has.
    pub fn look(&mut self) -> Option<ExitStatus> {
        self.peak_mb = resident_mb(&self.child).unwrap_or(self.peak_mb);
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.look() {
                return status;
            }
            sleep(LOOK);
        }
    }

    /// SIGKILL; the memory that it took.
    pub fn kill(mut self) -> f64 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.peak_mb
    }
}

/// Runs a child to its end; its CPU time is what the sum over our ended children grows by.
pub fn cost_of(command: &mut Command) -> Cost {
    let (before, began) = (children_cpu_seconds(), Instant::now());
    let mut child = Running::start(command);
    let status = child.wait();
    let wall = began.elapsed();
    assert!(status.success(), "{status}");
    Cost { wall, cpu_seconds: children_cpu_seconds() - before, peak_mb: child.peak_mb }
}

/// How long a child takes, without anyone who looks at it meanwhile.
pub fn wall_of(command: &mut Command) -> f64 {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).status().unwrap();
    let wall = began.elapsed().as_secs_f64();
    assert!(status.success(), "{status}");
    wall
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn children_cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name in brackets, which may hold blanks: fields 3 and on; cutime and cstime are 16 and 17.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / TICKS
}

/// The most that a process has had resident; `None` once it has ended.
fn resident_mb(child: &Child) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}
