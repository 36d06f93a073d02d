//! A run as a process of its own: started, waited for, signalled, killed.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::NamedTempFile;

use crate::world::{Ran, World};

/// Looks each millisecond until this holds; gives up after a minute.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if holds() {
            return;
        }
        pause(Duration::from_millis(1));
    }
    panic!("waited in vain until {what}");
}

/// Lets time pass where a moment is to be hit by chance, never for something to happen.
pub fn pause(time: Duration) {
    let (_nobody, nothing) = mpsc::channel::<()>();
    assert_eq!(nothing.recv_timeout(time), Err(mpsc::RecvTimeoutError::Timeout));
}

/// The binary, running. Dropping it kills it.
pub struct Running {
    child: Child,
    stdout: NamedTempFile,
    stderr: NamedTempFile,
}

impl Running {
    /// Starts the binary in the world's folder.
    pub fn start(world: &World, args: &[&str]) -> Self {
        let (stdout, stderr) = (NamedTempFile::new().unwrap(), NamedTempFile::new().unwrap());
        let mut command = world.command(args);
        command.stdout(Stdio::from(stdout.reopen().unwrap())).stderr(Stdio::from(stderr.reopen().unwrap()));
        Self { child: command.spawn().unwrap(), stdout, stderr }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        fs::read_to_string(self.stderr.path()).unwrap()
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ran {
        wait_until("the process ends", || self.has_ended());
        let status = self.child.wait().unwrap();
        Ran { code: status.code(), stdout: fs::read_to_string(self.stdout.path()).unwrap(), stderr: self.said() }
    }

    /// Kills it, unless it has ended by itself.
    pub fn kill(mut self) -> Ran {
        self.child.kill().unwrap();
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
