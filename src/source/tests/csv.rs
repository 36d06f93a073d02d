//! Delimited text.

use ::csv::{ReaderBuilder, WriterBuilder};
use proptest::prelude::*;

use super::{Bench, all};
use crate::source::Format;

#[test]
fn fields_are_strings_and_empty_ones_are_there() {
    let bench = Bench::with("a.csv", "id,n,text\n1,007,\n2,,x\n");
    assert_eq!(bench.shown(), [r#"a.csv:2 {"id":"1","n":"007","text":""}"#, r#"a.csv:3 {"id":"2","n":"","text":"x"}"#]);
    assert_eq!(bench.open().unwrap().header().unwrap(), ["id", "n", "text"]);
}

#[test]
fn quoted_fields_hold_delimiters_quotes_and_line_ends_and_places_stay_right() {
    let bench = Bench::with("a.csv", "id,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n\r\n2,5\" disk\r\n3,x");
    assert_eq!(
        bench.shown(),
        [
            r#"a.csv:2 {"id":"1","text":"a, \"b\"\r\nc"}"#,
            r#"a.csv:5 {"id":"2","text":"5\" disk"}"#,
            r#"a.csv:6 {"id":"3","text":"x"}"#,
        ]
    );
    assert_eq!(&*bench.records()[0].raw(), b"1,\"a, \"\"b\"\"\r\nc\"");
}

#[test]
fn a_bom_does_not_show_in_the_first_column_even_when_it_is_quoted() {
    let bench = Bench::with("a.csv", "\u{feff}\"id\",\"a,b\"\n1,\u{feff}\n\u{feff},2\n");
    assert_eq!(bench.open().unwrap().header().unwrap(), ["id", "a,b"]);
    assert_eq!(
        bench.shown(),
        ["a.csv:2 {\"id\":\"1\",\"a,b\":\"\u{feff}\"}", "a.csv:3 {\"id\":\"\u{feff}\",\"a,b\":\"2\"}"]
    );
}

#[test]
fn the_delimiter_is_found_in_the_header_outside_quotes() {
    for (header, columns) in [
        ("a,b", vec!["a", "b"]),
        ("a;b", vec!["a", "b"]),
        ("a\tb", vec!["a", "b"]),
        ("\"a,x,y\";b", vec!["a,x,y", "b"]),
        ("\"a\"\",;;\"\",\"\tb\tc", vec!["a\",;;\",", "b", "c"]),
        ("a|b", vec!["a|b"]),
        ("one, two;three, four", vec!["one", " two;three", " four"]),
    ] {
        let bench = Bench::with("a.csv", header);
        assert_eq!(bench.open().unwrap().header().unwrap(), columns, "{header}");
    }
}

#[test]
fn a_set_delimiter_and_tsv_are_taken_as_they_are() {
    let pipe = Bench::with("a.csv", "a|b,c\n1|2\n").set(|s| s.delimiter = Some(b'|'));
    assert_eq!(pipe.shown(), [r#"a.csv:2 {"a":"1","b,c":"2"}"#]);
    let tsv = Bench::with("a.tsv", "a,b,c\td\n1\t2\n");
    assert_eq!(tsv.shown(), [r#"a.tsv:2 {"a,b,c":"1","d":"2"}"#]);
    let as_tsv = Bench::with("a.txt", "a,b\tc\n1\t2\n").set(|s| s.format = Format::Tsv);
    assert_eq!(as_tsv.shown(), [r#"a.txt:2 {"a,b":"1","c":"2"}"#]);
    let quote = Bench::with("a.csv", "a").set(|s| s.delimiter = Some(b'"'));
    assert!(quote.error().starts_with("input.delimiter: '\"' cannot separate fields"));
}

#[test]
fn ragged_records_are_bad_rows_and_the_rest_goes_on() {
    let bench = Bench::with("a.csv", "a,b\n1\n1,2,3\n1,2\n");
    assert_eq!(
        bench.shown(),
        [
            "a.csv:2 ! has 1 field, the header 2; is a quote or a delimiter missing?",
            "a.csv:3 ! has 3 fields, the header 2; is a quote or a delimiter missing?",
            r#"a.csv:4 {"a":"1","b":"2"}"#,
        ]
    );
}

#[test]
fn a_quote_that_never_closes_is_one_bad_row_within_max_row() {
    let bench = Bench::with("a.csv", "a,b\n1,2\n3,\"4\n5,6\n7,8\n");
    let bad = "a.csv:3 ! record runs to the end of the file: a quote is opened and never closed";
    assert_eq!(bench.shown(), [r#"a.csv:2 {"a":"1","b":"2"}"#, bad]);

    let long = format!("a,b\n1,\"{}", "5,6\n".repeat(100_000));
    let bench = Bench::with("a.csv", long).set(|s| s.max_row = 100_000);
    assert_eq!(bench.shown(), ["a.csv:2 ! record is over 100 kB (max_row)"]);
}

#[test]
fn bytes_that_are_no_utf8_are_a_bad_row_that_names_the_column() {
    let bench = Bench::with("a.csv", b"id,text\n1,caf\xE9\n2,x\n");
    assert_eq!(
        bench.shown(),
        [
            "a.csv:2 ! column \"text\" is not UTF-8 at its byte 3 (0xE9); convert the file, for example by \
             `iconv -f windows-1252 -t utf-8 FILE > NEW`",
            r#"a.csv:3 {"id":"2","text":"x"}"#
        ]
    );
}

#[test]
fn a_header_that_cannot_name_its_columns_is_an_error() {
    for (content, message) in [
        ("", "a.csv: empty, but a CSV file starts with a header line"),
        ("\n\r\n", "a.csv: empty, but a CSV file starts with a header line"),
        ("b,a,c,b,c\n", "a.csv:1: the header names a column twice: b, c\n  hint: rename one"),
        (
            "\n,a\n0,1\n",
            "a.csv:2: the header has no name for column 1\n  hint: give it one (pandas: `to_csv(index=False)`)",
        ),
        ("a\rb", "a.csv:1: the header holds bare CRs\n  hint: save the file with LF or CRLF line ends"),
        ("a,\"b\n1,2\n", "a.csv:1: the header has no end: is a quote not closed?"),
    ] {
        assert_eq!(Bench::with("a.csv", content).error(), message);
    }
    let latin = Bench::with("a.csv", b"id,caf\xE9\n");
    assert!(
        latin
            .error()
            .starts_with("a.csv:1: the header name of column 2 is not UTF-8 at its byte 3 (0xE9)\n  hint: convert ")
    );
}

#[test]
fn files_keep_their_own_headers_and_the_common_columns_are_told() {
    let bench = Bench::with("a.csv", "id,x,text\n1,2,3\n").file("b.csv", "text;id\n4;5\n").path("b.csv");
    assert_eq!(bench.open().unwrap().header().unwrap(), ["id", "text"]);
    assert_eq!(bench.shown()[1], r#"b.csv:2 {"text":"4","id":"5"}"#);
    let bench = bench.file("c.jsonl", "{\"id\":6}").path("c.jsonl");
    assert_eq!(bench.open().unwrap().header(), None);
    assert_eq!(bench.shown()[2], r#"c.jsonl:1 {"id":6}"#);
    assert_eq!(bench.records()[2].number, 3);
}

/// Text full of what CSV treats specially.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[,;\t\"\n\r\u{feff} aß✓]{0,8}", "\\PC{0,12}"]
}

proptest! {
    #[test]
    fn what_a_csv_writer_writes_reads_back_the_same(
        rows in prop::collection::vec(prop::array::uniform3(field()), 0..12),
        delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        crlf in any::<bool>(),
    ) {
        let terminator = if crlf { ::csv::Terminator::CRLF } else { ::csv::Terminator::Any(b'\n') };
        let mut writer = WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["a", "b", "c"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let bench = Bench::with("a.csv", writer.into_inner().unwrap());
        let read = bench.records().iter().map(|record| {
            let row = record.row().unwrap();
            ["a", "b", "c"].map(|column| row.get(column).unwrap().as_str().unwrap().to_owned())
        }).collect::<Vec<_>>();
        prop_assert_eq!(read, rows);
    }

    /// The csv crate's own idea of records, on bytes that no one wrote on purpose. A bare CR is left out: it ends a
    /// record there, and is a character here.
    #[test]
    fn any_bytes_split_into_the_records_that_the_csv_crate_sees(
        body in prop::collection::vec(prop::sample::select(vec!["a", ",", "\"", "\n", "\r\n", ";", "é"]), 0..40),
    ) {
        let content = format!("x,y\n{}", body.concat());
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(content.as_bytes());
        let theirs = reader.byte_records().map(Result::unwrap).collect::<Vec<_>>();
        let bench = Bench::with("a.csv", &content);
        let ours = all(&bench.open().unwrap());
        prop_assert_eq!(ours.len(), theirs.len());
        for (our, their) in ours.iter().zip(&theirs) {
            prop_assert_eq!(our.place.line, line_of(&content, their.position().unwrap().byte()));
            if let Ok(row) = our.row() {
                let fields = row.fields().values().map(|value| value.as_str().unwrap().as_bytes());
                prop_assert_eq!(fields.collect::<Vec<_>>(), their.iter().collect::<Vec<_>>());
            }
        }
    }
}

/// The line of the first byte of a record at or behind an offset: their offset may stand before line ends.
fn line_of(content: &str, offset: u64) -> u64 {
    let bytes = content.as_bytes();
    let mut at = usize::try_from(offset).unwrap();
    while matches!(bytes.get(at), Some(b'\n' | b'\r')) {
        at += 1;
    }
    1 + memchr::memchr_iter(b'\n', &bytes[..at]).count() as u64
}
