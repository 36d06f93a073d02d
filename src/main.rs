//! The `overnight` binary: arguments in, exit code out. All else is the library's.

mod cli;

use std::process::ExitCode;

/// What one thread allocates another often frees: a request goes out from one thread, its line is written by another.
/// glibc's allocator locks for that, and gives memory back to the system only to ask for it again.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    cli::main()
}
