//! `.json`: one array of objects.

use super::*;

#[test]
fn elements_are_rows_with_the_lines_they_start_on() {
    let bench =
        Bench::with("a.json", "\u{feff} [\n  {\"a\": [1, {\"b\": \"},]\\\"\"}]},\n\n {\n\"a\": 2\n} , {\"a\":3}\n]\n");
    assert_eq!(bench.shown(), [r#"a.json:2 {"a":[1,{"b":"},]\""}]}"#, r#"a.json:4 {"a":2}"#, r#"a.json:6 {"a":3}"#]);
    assert_eq!(bench.records()[1].raw(), &b"{\n\"a\": 2\n}"[..]);
    assert!(Bench::with("a.json", "[]").shown().is_empty());
}

#[test]
fn an_element_that_is_no_object_fails_alone() {
    let bench = Bench::with("a.json", "[{\"a\":1}, 7, {\"a\": tru}, \"x, ]\", {\"a\" 1}, {\n\"a\":\n1,}, {\"a\":2}, ]");
    assert_eq!(
        bench.shown(),
        [
            r#"a.json:1 {"a":1}"#,
            "a.json:1 ! not a JSON object: the element starts with '7'",
            "a.json:1 ! not valid JSON at column 10: expected ident",
            "a.json:1 ! not a JSON object: the element starts with '\"'",
            "a.json:1 ! not valid JSON at column 6: expected `:`",
            "a.json:1 ! not valid JSON at line 3, column 3: trailing comma",
            r#"a.json:3 {"a":2}"#,
        ]
    );
}

/// The error that ends a pass, and how many rows came before it.
fn stop(text: &str) -> (usize, String) {
    let bench = Bench::with("a.json", text);
    let input = bench.open().unwrap();
    let count = input.count().unwrap_err().to_string();
    let records: Vec<_> = input.records().unwrap().collect();
    let error = records.last().unwrap().as_ref().unwrap_err().to_string();
    assert_eq!(count, error);
    (records.len() - 1, error)
}

#[test]
fn an_array_that_cannot_be_read_on_stops_with_its_place() {
    let cases = [
        ("[{},\n{}", 1, "a.json:2: the file ends within an element of the array\n  hint: if it was cut short, "),
        ("[{},\n{},\n", 2, "a.json:3: the file ends before the array's `]`\n  hint: if it was cut short, "),
        ("[{},\n{\"a\": \"x},\n{}]\n", 1, "a.json:4: the file ends within a string\n  hint: look for a quote"),
        ("[{},\n{\"a\":\n[1}, {}]", 1, "a.json:3: `}` closes what is not open; the elements"),
        ("[{}]\n[{}]", 1, "a.json:2: something follows the array\n  hint: the file must hold one array"),
    ];
    for (text, rows, problem) in cases {
        let (before, error) = stop(text);
        assert_eq!(before, rows, "{text}");
        assert!(error.starts_with(problem), "{error}");
    }
    let (_, deep) = stop(&format!("[{}", "[".repeat(5_000)));
    assert!(deep.contains("nested too deep"), "{deep}");
}

#[test]
fn what_is_no_array_is_told_before_it_is_read() {
    let long = format!("{}{{", " \n".repeat(200_000));
    let cases = [
        ("", "a.json:1: the file is empty, but"),
        (" \n ", "a.json:2: the file is empty, but"),
        ("{\"data\":\n[]}", "a.json:1: an object stands where a JSON array was expected\n  hint: if each line"),
        ("\u{feff}\n\nid,text", "a.json:3: the file does not start with `[`"),
        (long.as_str(), "a.json:200001: an object stands"),
    ];
    for (text, problem) in cases {
        let error = Bench::with("a.json", text).error();
        assert!(error.starts_with(problem), "{error}");
    }
}

#[test]
fn an_element_over_max_row_is_not_kept_and_the_rest_is_read() {
    let long = "x".repeat(700_000);
    let bench = Bench::with("a.json", format!("[{{\"a\":\"{long}\"}}  ,\n{{\"a\":1}}]")).set(|s| s.max_row = 100_000);
    assert_eq!(bench.shown(), ["a.json:1 ! record is over 100 kB (max_row)", r#"a.json:2 {"a":1}"#]);
    assert!(bench.records()[0].size() < 100_000);
}

#[test]
fn elements_that_cross_buffers_come_out_whole() {
    let row = |n: usize| format!("{{\"n\": {n}, \"text\": \"{}\\\\\"}}", "ab]},\\\"".repeat(n % 900));
    let rows: Vec<String> = (0..700).map(row).collect();
    let bench = Bench::with("a.json", format!("[{}\n]", rows.join(" \r\n, ")));
    let records = bench.records();
    assert_eq!(records.len(), rows.len());
    for (n, (record, row)) in records.iter().zip(&rows).enumerate() {
        assert_eq!((record.raw().as_ref(), record.place.line), (row.as_bytes(), n as u64 + 1));
        assert!(record.row().is_ok());
    }
}

#[test]
fn a_file_of_lines_called_json_is_read_when_the_format_says_so() {
    let bench = Bench::with("a.json", "{\"a\":1}\n{\"a\":2}\n").set(|s| s.format = Format::Jsonl);
    assert_eq!(bench.shown(), [r#"a.json:1 {"a":1}"#, r#"a.json:2 {"a":2}"#]);
    let clash = Bench::with("a.jsonl", "[]").set(|s| s.format = Format::Json).error();
    assert!(clash.contains("JSONL by its extension, but input.format says a JSON array"), "{clash}");
}
