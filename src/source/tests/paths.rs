//! From `input.path` to files.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::Bench;
use crate::source::{Format, InputPath, SourceError};

fn names(bench: &Bench) -> Vec<String> {
    bench.records().iter().map(|record| record.place.file.to_string()).collect()
}

#[test]
fn a_folder_is_all_its_files_of_known_extensions_sorted() {
    let bench = Bench::new()
        .file("data/b.jsonl", "{}")
        .file("data/a/z.csv", "x\n1\n")
        .file("data/a/readme.md", "# no data")
        .file("data/.hidden.jsonl", "{}")
        .file("data/.git/a.jsonl", "{}")
        .file("data/a.ndjson", "{}")
        .path("data");
    assert_eq!(names(&bench), ["data/a/z.csv", "data/a.ndjson", "data/b.jsonl"]);
    let bench = bench.set(|s| s.format = Format::Csv);
    assert_eq!(names(&bench), ["data/a/z.csv"]);
}

#[test]
fn a_folder_that_links_to_itself_is_read_once() {
    let bench = Bench::new().file("data/a.jsonl", "{}").path("data");
    symlink(bench.at("data"), bench.at("data/again")).unwrap();
    assert_eq!(names(&bench), ["data/a.jsonl"]);
}

#[test]
fn a_glob_is_its_matches_sorted_and_hidden_files_are_none() {
    let bench = Bench::new()
        .file("data/b.jsonl", "{}")
        .file("data/a.jsonl", "{}")
        .file("data/.c.jsonl", "{}")
        .file("data/sub/d.jsonl", "{}")
        .path("data/*.jsonl");
    assert_eq!(names(&bench), ["data/a.jsonl", "data/b.jsonl"]);
    let bench = Bench { settings: bench.settings.clone(), ..bench }.set(|s| s.paths.clear()).path("./data/**/*.jsonl");
    assert_eq!(names(&bench), ["data/a.jsonl", "data/b.jsonl", "data/sub/d.jsonl"]);
}

#[test]
fn entries_of_a_list_keep_their_order_and_numbers_go_on() {
    let bench = Bench::with("b.jsonl", "{}\n{}").file("a.jsonl", "{}").path("a.jsonl");
    assert_eq!(names(&bench), ["b.jsonl", "b.jsonl", "a.jsonl"]);
    assert_eq!(bench.records()[2].number, 3);
    let files = bench.open().unwrap().files();
    assert_eq!(files, [bench.at("b.jsonl"), bench.at("a.jsonl")].map(|path| path.canonicalize().unwrap()));
}

#[test]
fn names_that_look_like_patterns_are_read_as_names() {
    let bench = Bench::with("a[1].jsonl", "{}").file("runs[2]/x1.jsonl", "{}").path("runs[2]/*.jsonl");
    assert_eq!(names(&bench), ["a[1].jsonl", "runs[2]/x1.jsonl"]);
}

#[test]
fn an_absolute_glob_shows_absolute_places() {
    let bench = Bench::new().file("a.jsonl", "{}");
    let pattern = bench.at("*.jsonl");
    let shown = pattern.display().to_string();
    let bench = bench.set(|s| s.paths.push(InputPath::Path { path: pattern, shown }));
    assert_eq!(names(&bench), [bench.at("a.jsonl").display().to_string()]);
}

#[test]
fn the_same_file_twice_is_an_error_however_it_is_named() {
    let bench = Bench::with("data/a.jsonl", "{}").path("data/*.jsonl");
    assert!(matches!(bench.open(), Err(SourceError::Twice { .. })));
    let bench = Bench::with("data/a.jsonl", "{}").path("./data/../data/a.jsonl");
    assert_eq!(
        bench.error(),
        "./data/../data/a.jsonl is the same file as data/a.jsonl\n  hint: name it once in input.path"
    );
}

#[test]
fn what_cannot_be_read_says_why_and_what_to_do() {
    for (path, message) in [
        ("no.csv", "no.csv: no such file or folder\n  hint: check input.path"),
        ("no/*.csv", "no/*.csv: no file matches\n  hint: check input.path"),
        ("a[.csv", "a[.csv: not a valid pattern: "),
        (
            "empty",
            "empty: no file with a fitting extension in it (jsonl ndjson csv tsv json parquet txt md, each also with ",
        ),
        ("notes.txt", "notes.txt: the extension does not tell the format\n  hint: set input.format "),
        ("notes.txt.gz", "notes.txt.gz: the extension does not tell the format\n  hint: set input.format "),
        ("bare", "bare: the extension does not tell the format\n  hint: set input.format "),
        ("notes.txt/a.csv", "notes.txt/a.csv: cannot find: "),
    ] {
        let bench = Bench::new().file("notes.txt", "x").file("notes.txt.gz", "x").file("bare", "x");
        let bench = bench.file("empty/notes.pdf", "x").path(path);
        assert!(bench.error().starts_with(message), "{}", bench.error());
    }
    assert_eq!(Bench::new().error(), "input.path names no file");
}

#[test]
fn a_format_that_the_extension_denies_is_an_error() {
    let bench = Bench::with("a.csv", "x\n").set(|s| s.format = Format::Jsonl);
    assert_eq!(
        bench.error(),
        "a.csv: CSV by its extension, but input.format says JSONL\n  hint: leave input.format out or rename it"
    );
    let bench = Bench::with("a.jsonl.gz", "").set(|s| s.format = Format::Csv);
    assert!(matches!(bench.open(), Err(SourceError::Clash { .. })));
    let bench = Bench::with("a.tsv", "x;y\n1;2\n").set(|s| s.format = Format::Csv);
    assert_eq!(bench.shown(), [r#"a.tsv:2 {"x":"1","y":"2"}"#]);
}

#[test]
fn what_can_be_read_only_once_is_refused() {
    let bench = Bench::new().set(|s| {
        let path = Path::new("/dev/null").to_owned();
        s.paths.push(InputPath::Path { path, shown: "/dev/null".to_owned() });
    });
    assert!(matches!(bench.open(), Err(SourceError::NotRegular { .. })));
}
