//! Standard input, fingerprints and many passes.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Bench, all, shown};
use crate::source::{Format, Input, InputPath, SourceError};

fn stdin() -> Bench {
    Bench::new().set(|s| s.paths.push(InputPath::Stdin))
}

fn rows(input: &Input) -> Vec<String> {
    all(input).iter().map(shown).collect()
}

#[test]
fn standard_input_is_spooled_and_its_format_found_out() {
    let bench = stdin();
    let input = bench.open_with_stdin(b" \n{\"a\":1}\n").unwrap();
    assert_eq!(rows(&input), [r#"stdin:2 {"a":1}"#]);
    assert_eq!(rows(&input), [r#"stdin:2 {"a":1}"#], "a second pass reads the spool");
    assert_eq!(input.files(), [bench.at("state/stdin").canonicalize().unwrap()]);

    let csv = bench.open_with_stdin("\u{feff}a;b\n1;2\n".as_bytes()).unwrap();
    assert_eq!(rows(&csv), [r#"stdin:2 {"a":"1","b":"2"}"#]);
    let array = bench.open_with_stdin(b"[{\"a\":1}]").unwrap();
    assert_eq!(rows(&array), [r#"stdin:1 {"a":1}"#]);
    assert!(rows(&bench.open_with_stdin(b"").unwrap()).is_empty());

    let bench = bench.set(|s| s.format = Format::Tsv);
    let tsv = bench.open_with_stdin(b"{\tb\n1\t2\n").unwrap();
    assert_eq!(rows(&tsv), [r#"stdin:2 {"{":"1","b":"2"}"#]);
}

#[test]
fn a_spool_is_known_by_its_content() {
    let bench = stdin();
    let first = bench.open_with_stdin(b"{\"a\":1}").unwrap();
    assert_eq!(first.fingerprint(), bench.open_with_stdin(b"{\"a\":1}").unwrap().fingerprint());
    assert!(first.is_as_opened().unwrap());
    assert_ne!(first.fingerprint(), bench.open_with_stdin(b"{\"a\":2}").unwrap().fingerprint());
}

#[test]
fn standard_input_stands_beside_files_but_not_twice() {
    let bench = Bench::with("a.jsonl", "{}").set(|s| s.paths.insert(0, InputPath::Stdin));
    assert_eq!(rows(&bench.open_with_stdin(b"{\"x\":1}").unwrap()), [r#"stdin:1 {"x":1}"#, "a.jsonl:1 {}"]);
    let twice = bench.set(|s| s.paths.push(InputPath::Stdin));
    assert!(matches!(twice.open(), Err(SourceError::Twice { .. })));
}

#[test]
fn a_misspelt_path_is_told_before_standard_input_is_read() {
    struct Untouched;
    impl Read for Untouched {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("standard input was read")
        }
    }
    let bench = stdin().path("no.jsonl");
    let opened = Input::open_with(&bench.settings, &bench.at("state"), &mut Untouched);
    assert!(matches!(opened, Err(SourceError::NotFound { .. })));
}

#[test]
fn the_fingerprint_is_the_same_until_something_changes() {
    let bench = Bench::with("a.csv", "x,y\n1,2\n");
    let input = bench.open().unwrap();
    assert_eq!(input.fingerprint(), bench.open().unwrap().fingerprint());
    assert!(input.is_as_opened().unwrap());

    rewrite_with_old_mtime(&bench.at("a.csv"), "x,y\n1,3\n");
    assert!(!input.is_as_opened().unwrap());
    let changed = bench.open().unwrap().fingerprint();
    assert_ne!(input.fingerprint(), changed);

    let bench = bench.set(|s| s.delimiter = Some(b';'));
    assert_ne!(changed, bench.open().unwrap().fingerprint());
    let bench = bench.set(|s| (s.delimiter, s.max_row) = (None, 5));
    assert_ne!(changed, bench.open().unwrap().fingerprint());
    fs::remove_file(bench.at("a.csv")).unwrap();
    assert!(input.is_as_opened().is_err());
    assert!(input.records().is_err());
}

/// Another content of the same size under the same mtime: only ctime tells. It is a coarse clock, hence the loop.
fn rewrite_with_old_mtime(path: &Path, content: &str) {
    let before = path.metadata().unwrap();
    while (path.metadata().unwrap().ctime(), path.metadata().unwrap().ctime_nsec())
        == (before.ctime(), before.ctime_nsec())
    {
        fs::write(path, content).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    }
}

/// Any JSON below a column.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_reads_back_the_same(
        rows in prop::collection::vec(prop::collection::vec((any::<String>(), value()), 0..5), 0..10),
        end in prop::sample::select(vec!["\n", "\r\n", "\n\n"]),
    ) {
        let rows: Vec<Map<String, Value>> = rows.into_iter().map(|row| row.into_iter().collect()).collect();
        let lines = rows.iter().map(|row| json!(row).to_string() + end).collect::<Vec<_>>().concat();
        let bench = Bench::with("a.jsonl", lines);
        let read: Vec<_> = bench.records().iter().map(|record| record.row().unwrap().fields().clone()).collect();
        prop_assert_eq!(read, rows);
    }
}
