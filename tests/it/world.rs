//! A folder with a job in it, the binary to run it, and a simulator to talk to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use overnight::sim::{Sim, SimLedger, SimSettings, serve};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A folder of its own for each test.
pub struct World {
    dir: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn read_bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// A JSONL file, each line parsed.
    pub fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The binary, in this folder, with nothing of our environment that could change what it does.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overnight"));
        command.args(args).current_dir(self.root()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn overnight(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }
}

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ran {
    /// `None`: by a signal.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// The summary that `--json` printed.
    pub fn summary(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A simulator that serves on loopback as long as it lives.
pub struct SimServer {
    sim: Arc<Sim>,
    url: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl SimServer {
    /// Starts one with these settings, as in a job's `simulate` table.
    pub fn start(settings: Value) -> Self {
        let settings: SimSettings = serde_json::from_value(settings).unwrap();
        let sim = Sim::new(settings);
        let serving = Arc::clone(&sim);
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let stop = async {
                    let _ = stopped.await;
                };
                serve(serving, listener, stop).await.unwrap();
            });
        });
        let url = format!("http://{}/v1", told.recv().unwrap());
        Self { sim, url, stop: Some(stop), thread: Some(thread) }
    }

    /// The base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn ledger(&self) -> SimLedger {
        self.sim.ledger()
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}
