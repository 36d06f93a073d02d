//! `overnight completions`.

use clap::CommandFactory;

use crate::cli::args::{Args, CompletionsArgs};
use crate::cli::print;

/// Prints the shell's completions; gives the exit code.
pub fn execute(args: &CompletionsArgs) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "overnight", &mut script);
    print(&String::from_utf8_lossy(&script));
    0
}
