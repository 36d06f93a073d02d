//! The simulator as a process of its own, so that its clock and its work are not those of what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use overnight::sim::SimLedger;

/// `overnight sim` on a free port; it ends when this is dropped.
pub struct Simulator {
    child: Child,
    /// With `/v1` at its end.
    pub url: String,
}

impl Simulator {
    /// Starts it with settings as in `--set KEY=VALUE`.
    pub fn start(settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_overnight"));
        command.args(["sim", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, url }
    }

    /// What it was asked so far.
    #[allow(dead_code, reason = "not every benchmark reads it")]
    pub fn ledger(&self) -> SimLedger {
        let address = self.url.trim_start_matches("http://").trim_end_matches("/v1");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /_sim/ledger HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
