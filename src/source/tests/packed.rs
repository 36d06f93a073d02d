//! Compressed files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{Bench, all};
use crate::source::{Record, SourceError};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 3).unwrap()
}

fn first_error(bench: &Bench) -> Option<SourceError> {
    match bench.open() {
        Ok(input) => input.records().err().or_else(|| input.records().unwrap().find_map(Result::err)),
        Err(error) => Some(error),
    }
}

#[test]
fn all_members_and_frames_are_read() {
    for (name, first, second) in [
        ("a.jsonl.gz", gzip("{\"a\":1}\n{\"a\""), gzip(":2}\n{\"a\":3}")),
        ("a.jsonl.zst", zstd("{\"a\":1}\n{\"a\""), zstd(":2}\n{\"a\":3}")),
    ] {
        let bench = Bench::with(name, [first, second].concat());
        let rows = ["1 {\"a\":1}", "2 {\"a\":2}", "3 {\"a\":3}"].map(|rest| format!("{name}:{rest}"));
        assert_eq!(bench.shown(), rows);
    }
}

#[test]
fn a_packed_csv_has_its_header_and_all_rows() {
    let text = format!("id,text\n{}", "1,same again\n".repeat(10_000));
    for (name, packed) in [("A.CSV.GZ", gzip(&text)), ("a.csv.zst", zstd(&text))] {
        let bench = Bench::with(name, &packed);
        let input = bench.open().unwrap();
        assert_eq!(input.header().unwrap(), ["id", "text"]);
        assert_eq!(all(&input).len(), 10_000);
    }
}

#[test]
fn a_packed_file_cut_anywhere_is_an_error_and_never_silently_short() {
    let text = (0..40).map(|n| json!({ "a": n * 7919 }).to_string()).collect::<Vec<_>>().join("\n");
    for (name, packed) in [("a.jsonl.gz", gzip(&text)), ("a.jsonl.zst", zstd(&text))] {
        assert!(first_error(&Bench::with(name, &packed)).is_none());
        for cut in 0..packed.len() {
            let bench = Bench::with(name, &packed[..cut]);
            let error = first_error(&bench).unwrap_or_else(|| panic!("{name} cut at {cut} reads as whole"));
            assert!(error.to_string().starts_with(&format!("{name}: the ")), "{error}");
        }
    }
}

#[test]
fn a_second_member_that_is_cut_or_damaged_is_an_error_behind_the_rows_before_it() {
    let (first, second) = (gzip("{\"a\":1}\n"), gzip("{\"a\":2}\n"));
    for cut in 1..second.len() {
        let bench = Bench::with("a.jsonl.gz", [first.as_slice(), &second[..cut]].concat());
        assert!(matches!(first_error(&bench), Some(SourceError::Damaged { .. })), "cut at {cut}");
    }
    let mut damaged = second.clone();
    let crc = damaged.len() - 8;
    damaged[crc] ^= 1;
    let big = "{\"a\":\"0123456789\"}\n".repeat(50_000);
    let bench = Bench::with("a.jsonl.gz", [gzip(&big), damaged].concat());
    let input = bench.open().unwrap();
    let mut records = input.records().unwrap();
    let read: Vec<Record> = records.by_ref().map_while(Result::ok).collect();
    assert!(read.len() >= 10_000, "{}", read.len());
    assert!(records.next().is_none(), "a pass is over behind an error");
    assert!(matches!(input.count(), Err(SourceError::Damaged { .. })));
}

#[test]
fn a_wrong_extension_is_told_at_once() {
    assert_eq!(
        Bench::with("a.jsonl", gzip("{}")).error(),
        "a.jsonl: this is gzip data\n  hint: give the file the extension .gz, or unpack it before the pipe"
    );
    assert!(Bench::with("a.csv", zstd("a")).error().starts_with("a.csv: this is zstd data\n"));
    for (bytes, hint) in [
        (b"\xFF\xFEa\0,\0b\0".as_slice(), "UTF-16 text\n  hint: convert it: `iconv -f utf-16 -t utf-8 FILE > NEW`"),
        (b"a\0,\0b\0", "UTF-16 text\n  hint: convert it: `iconv -f utf-16le -t utf-8 FILE > NEW`"),
        (b"\0a\0,\0b", "UTF-16 text\n  hint: convert it: `iconv -f utf-16be -t utf-8 FILE > NEW`"),
        (b"SQLite format 3\0", "binary data\n  hint: export it as JSONL or CSV"),
    ] {
        assert_eq!(Bench::with("a.csv", bytes).error(), format!("a.csv: this is {hint}"));
    }
    assert!(Bench::with("a.csv", b"PK\x03\x04..").error().starts_with("a.csv: this is a zip archive"));
    assert!(
        Bench::with("a.jsonl.gz", "{}\n")
            .error()
            .starts_with("a.jsonl.gz: this is no gzip data, though its name says so\n  hint: ")
    );
}
