//! Documents: a file is a row.

use super::*;

fn documents() -> Bench {
    Bench::new().file("docs/b.md", "# B\r\n\r\n").file("docs/a.txt", "\u{feff}one\ntwo").file("docs/.c.txt", "hidden")
}

#[test]
fn a_folder_of_documents_is_a_row_a_file() {
    let bench = documents().file("docs/deep/d.txt", "").file("docs/photo.png", [0x89, 0x50]).path("docs");
    assert_eq!(
        bench.shown(),
        [
            r#"docs/a.txt:1 {"path":"docs/a.txt","name":"a.txt","text":"one\ntwo"}"#,
            r##"docs/b.md:1 {"path":"docs/b.md","name":"b.md","text":"# B\r\n\r\n"}"##,
            r#"docs/deep/d.txt:1 {"path":"docs/deep/d.txt","name":"d.txt","text":""}"#,
        ]
    );
    let input = bench.open().unwrap();
    assert_eq!(input.header().unwrap(), ["path", "name", "text"]);
    assert_eq!(input.columns().unwrap(), ["path", "name", "text"]);
}

#[test]
fn data_beside_documents_is_what_a_folder_means() {
    let bench = documents().file("docs/rows.csv", "a\n1\n").path("docs");
    assert_eq!(bench.shown(), [r#"docs/rows.csv:2 {"a":"1"}"#]);
    let text = documents().file("docs/rows.csv", "a\n1\n").path("docs").set(|s| s.format = Format::Text);
    assert_eq!(text.records().len(), 2);
}

#[test]
fn a_glob_takes_any_file_as_text_when_asked_to() {
    let bench = Bench::new().file("src/a.rs", "fn a() {}").file("src/b.csv", "x\n").path("src/*");
    let shown = bench.set(|s| s.format = Format::Text).shown();
    assert_eq!(shown[0], r#"src/a.rs:1 {"path":"src/a.rs","name":"a.rs","text":"fn a() {}"}"#);
    assert_eq!(shown[1], r#"src/b.csv:1 {"path":"src/b.csv","name":"b.csv","text":"x\n"}"#);
    assert_eq!(documents().path("docs/*.md").records().len(), 1, "by extension among others");
}

#[test]
fn one_document_that_is_no_text_or_too_long_fails_alone() {
    let bench =
        Bench::new().file("d/a.txt", b"ab\xff").file("d/b.txt", b"\xff\xfeP\0K\0").file("d/c.txt", "x".repeat(300));
    let bench = bench.file("d/d.txt", "fine").path("d").set(|s| s.max_row = 200);
    assert_eq!(
        bench.shown(),
        [
            "d/a.txt:1 ! the file is not UTF-8 at its byte 2 (0xFF); convert the file, for example by \
             `iconv -f windows-1252 -t utf-8 FILE > NEW`",
            "d/b.txt:1 ! the file is UTF-16 text; convert it: `iconv -f utf-16 -t utf-8 FILE > NEW`",
            "d/c.txt:1 ! record is over 200 bytes (max_row)",
            r#"d/d.txt:1 {"path":"d/d.txt","name":"d.txt","text":"fine"}"#,
        ]
    );
}

#[test]
fn a_document_that_changes_changes_the_fingerprint() {
    let bench = documents().path("docs");
    let before = bench.open().unwrap();
    let bench = bench.file("docs/a.txt", "another text");
    assert!(!before.is_as_opened().unwrap());
    assert_ne!(before.fingerprint(), bench.open().unwrap().fingerprint());
}
