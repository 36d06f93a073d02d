//! Rows to measure with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes so many rows as JSONL, each with an id and a text of its own of some so many bytes.
pub fn write(path: &Path, rows: usize, bytes: usize) {
    const WORDS: &str = "the quick brown fox jumps over the lazy dog and then ";
    let mut file = BufWriter::new(File::create(path).unwrap());
    let text: String = WORDS.chars().cycle().take(bytes).collect();
    for row in 0..rows {
        writeln!(file, "{}", serde_json::json!({ "id": row, "text": format!("{row} {text}") })).unwrap();
    }
    file.flush().unwrap();
}
