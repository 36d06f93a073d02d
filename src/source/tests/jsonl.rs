//! JSON Lines.

use super::Bench;
use crate::source::Format;

#[test]
fn each_line_is_a_row_and_blank_lines_are_none() {
    let bench = Bench::with("a.jsonl", "{\"id\":1}\n\n  \t\r\n{\"id\":2}\r\n\n{\"id\":3}");
    assert_eq!(bench.shown(), [r#"a.jsonl:1 {"id":1}"#, r#"a.jsonl:4 {"id":2}"#, r#"a.jsonl:6 {"id":3}"#]);
    let numbers: Vec<u64> = bench.records().iter().map(|record| record.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn a_bom_is_no_part_of_the_first_row() {
    assert_eq!(Bench::with("a.jsonl", "\u{feff}{\"a\":\"\u{feff}\"}\n").shown(), ["a.jsonl:1 {\"a\":\"\u{feff}\"}"]);
    assert_eq!(Bench::with("a.jsonl", "\u{feff}").shown(), [""; 0]);
}

#[test]
fn an_empty_file_has_no_records() {
    let bench = Bench::with("a.jsonl", "");
    assert!(bench.records().is_empty());
}

#[test]
fn columns_keep_their_order_and_the_last_of_doubled_keys_wins() {
    assert_eq!(
        Bench::with("a.jsonl", r#"{"z":1,"a":null,"z":{"b":[true]}}"#).shown(),
        [r#"a.jsonl:1 {"z":{"b":[true]},"a":null}"#]
    );
}

#[test]
fn a_broken_line_is_a_bad_row_with_place_and_column_and_the_rest_goes_on() {
    let bench = Bench::with("a.jsonl", "{\"a\":1}\n{\"a\":1,}\n[1]\n{\"a\":\n\"text\"\n{\"a\":1} x\n{\"a\":2}\n");
    assert_eq!(
        bench.shown(),
        [
            r#"a.jsonl:1 {"a":1}"#,
            "a.jsonl:2 ! not valid JSON at column 8: trailing comma",
            "a.jsonl:3 ! not a JSON object: the line starts with '['; each line must be one whole object",
            "a.jsonl:4 ! not valid JSON at column 5: EOF while parsing a value; each line must be one whole object",
            "a.jsonl:5 ! not a JSON object: the line starts with '\"'; each line must be one whole object",
            "a.jsonl:6 ! not valid JSON at column 9: trailing characters",
            r#"a.jsonl:7 {"a":2}"#,
        ]
    );
}

#[test]
fn bytes_that_are_no_utf8_are_a_bad_row_that_says_where() {
    let bench = Bench::with("a.jsonl", b"{\"a\":\"caf\xE9\"}\n{\"a\":1}\n");
    assert_eq!(
        bench.shown(),
        [
            "a.jsonl:1 ! the record is not UTF-8 at its byte 9 (0xE9); convert the file, for example by \
             `iconv -f windows-1252 -t utf-8 FILE > NEW`",
            r#"a.jsonl:2 {"a":1}"#
        ]
    );
    assert_eq!(&*bench.records()[0].raw(), b"{\"a\":\"caf\xE9\"}");
}

#[test]
fn a_record_of_exactly_max_row_is_a_row_and_one_byte_more_is_not() {
    let bench = Bench::with("a.jsonl", "{\"a\":10}\r\n{\"a\":100}\r\n{\"a\":3}\n").set(|s| s.max_row = 8);
    assert_eq!(
        bench.shown(),
        [r#"a.jsonl:1 {"a":10}"#, "a.jsonl:2 ! record is over 8 bytes (max_row)", r#"a.jsonl:3 {"a":3}"#]
    );
}

#[test]
fn a_record_without_an_end_is_skipped_and_little_of_it_is_kept() {
    let mut content = vec![b'x'; 3_000_000];
    content.extend_from_slice(b"\n{\"a\":1}\n");
    let bench = Bench::with("a.jsonl", content).set(|s| s.max_row = 1_000_000);
    assert_eq!(bench.shown(), ["a.jsonl:1 ! record is over 1 MB (max_row)", r#"a.jsonl:2 {"a":1}"#]);
    assert!(bench.records()[0].size() <= 64 * 1024);
}

#[test]
fn a_row_of_a_megabyte_is_nothing_special() {
    let text = "ä\\n".repeat(300_000);
    let bench = Bench::with("a.jsonl", format!("{{\"a\":\"{text}\"}}\n{{\"a\":\"b\"}}"));
    let records = bench.records();
    assert_eq!(records.len(), 2);
    let row = records[0].row().unwrap();
    assert_eq!(row.get("a").unwrap().as_str().unwrap(), "ä\n".repeat(300_000));
}

#[test]
fn an_openai_batch_file_is_read_as_json_lines() {
    let line = r#"{"custom_id":"r1","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}"#;
    let bench = Bench::with("a.jsonl", line);
    let plain = bench.shown();
    assert_eq!(bench.set(|s| s.format = Format::OpenaiBatch).shown(), plain);
}
