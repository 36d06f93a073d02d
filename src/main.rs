//! The `overnight` binary: arguments in, exit code out. All else is the library's.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
