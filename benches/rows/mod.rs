//! Rows to measure with.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

/// Writes these rows as JSONL.
pub fn write(path: &Path, rows: impl Iterator<Item = Value>) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for row in rows {
        writeln!(file, "{row}").unwrap();
    }
    file.flush().unwrap();
}

/// So many rows, each with its number as its id and a text of its own.
pub fn numbered(rows: usize, bytes: usize) -> impl Iterator<Item = Value> {
    texts(bytes).enumerate().take(rows).map(|(row, text)| json!({ "id": row, "text": text }))
}

/// The rows' texts, each of its number and so many bytes.
pub fn texts(bytes: usize) -> impl Iterator<Item = String> {
    const WORDS: &str = "the quick brown fox jumps over the lazy dog and then ";
    let text: String = WORDS.chars().cycle().take(bytes).collect();
    (0u64..).map(move |row| format!("{row} {text}"))
}
