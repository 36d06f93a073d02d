//! Rows to measure with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Writes so many rows as JSONL, each with its number as its id and a text of its own.
pub fn write(path: &Path, rows: usize, bytes: usize) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for (row, text) in texts(bytes).enumerate().take(rows) {
        writeln!(file, "{}", serde_json::json!({ "id": row, "text": text })).unwrap();
    }
    file.flush().unwrap();
}

/// The rows' texts, each of its number and so many bytes.
pub fn texts(bytes: usize) -> impl Iterator<Item = String> {
    const WORDS: &str = "the quick brown fox jumps over the lazy dog and then ";
    let text: String = WORDS.chars().cycle().take(bytes).collect();
    (0u64..).map(move |row| format!("{row} {text}"))
}
