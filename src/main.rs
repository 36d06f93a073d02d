//! The `overnight` binary.

fn main() {}
