//! How far two inputs begin alike, by the marks of the first one.

use std::fs::{self, OpenOptions};
use std::io::Write;

use proptest::prelude::*;

use super::{Bench, all, shown};
use crate::source::{Input, InputPath, Marks};

fn marks(input: &Input) -> Marks {
    let marks = input.marks().unwrap();
    assert_eq!(Marks::decode(&marks.encode()), Some(input.marks().unwrap()));
    assert_eq!((marks.records(), marks.fingerprint()), (input.count().unwrap(), input.fingerprint()));
    marks
}

/// Of the records of the first content, those that are known again at the beginning of the second.
fn in_common(name: &str, before: &str, after: &str) -> u64 {
    let bench = Bench::with(name, before);
    let marks = marks(&bench.open().unwrap());
    bench.file(name, after).open().unwrap().records_in_common(&marks).unwrap()
}

#[test]
fn what_is_put_behind_whole_lines_leaves_all_of_them_known() {
    let (jsonl, csv) = ("{\"a\":1}\n{\"a\":2}\r\n\n", "\u{feff}x;y\n1;2\n\"a\n\nb\";3\n");
    assert_eq!(in_common("a.jsonl", jsonl, &format!("{jsonl}{{}}")), 2);
    assert_eq!(in_common("a.csv", csv, &format!("{csv}\n4;5\n")), 2);
    assert_eq!(in_common("a.csv", csv, &csv.replace("\u{feff}", "")), 0, "the bytes are what counts");
    assert_eq!(in_common("a.csv", csv, &csv.replace("x;y", "x;z")), 0);
    assert_eq!(in_common("a.csv", "x,y\n", "x,y\n1,2\n"), 0);
}

#[test]
fn a_record_that_ends_with_its_file_is_not_known_when_the_file_grows() {
    assert_eq!(in_common("a.jsonl", "{\"a\":1}\n{\"a\":2}", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}"), 1);
    assert_eq!(in_common("a.jsonl", "{\"a\":1}\n12", "{\"a\":1}\n123"), 1);
    assert_eq!(in_common("a.jsonl", "{\"a\":1}", "{\"a\":1}\n"), 0);
    assert_eq!(in_common("a.csv", "x\n1\n\"a\n", "x\n1\n\"a\nb\"\n"), 1, "a quote that is open goes on");
    assert_eq!(in_common("a.csv", "x,y", "x,y;z\n1,2\n"), 0);
    assert_eq!(in_common("a.jsonl", "{\"a\":1}\n  ", "{\"a\":1}\n  {}\n"), 1, "blanks are no record");
}

#[test]
fn a_change_within_leaves_what_stands_before_it() {
    let line = |row: usize| format!("{{\"row\":{row},\"text\":\"{}\"}}\n", "x".repeat(900));
    let before: String = (0..20_000).map(line).collect();
    let bytes = before.len() / 20_000;
    let known = |edited: &str| usize::try_from(in_common("a.jsonl", &before, edited)).unwrap();
    for row in [150, 10_000, 19_990] {
        let at = row * bytes;
        let known = known(&format!("{}?{}", &before[..at], &before[at + 1..]));
        assert!(known <= row && known + 100 > row, "{known} of {row}");
    }
    assert_eq!(known(&line(7)), 0);
}

#[test]
fn a_file_that_is_as_it_was_is_known_whole_whatever_it_is() {
    let mut bench = Bench::new().file("d/b.json", "[{\"a\":1},{\"a\":2}]").file("d/c.jsonl", "{}\n{}\n{}\n").path("d");
    let before = marks(&bench.open().unwrap());
    let known = |bench: &Bench| bench.open().unwrap().records_in_common(&before).unwrap();
    assert_eq!(known(&bench), 5);
    bench = bench.file("d/d.jsonl", "{}\n");
    assert_eq!(known(&bench), 5);
    OpenOptions::new().append(true).open(bench.at("d/c.jsonl")).unwrap().write_all(b"{}\n").unwrap();
    assert_eq!(known(&bench), 5, "rows of the file behind have other numbers, and are not looked at");
    bench = bench.file("d/b2.jsonl", "{}\n");
    assert_eq!(known(&bench), 2);
    bench = bench.file("d/b.json", "[{\"a\":1},{\"a\":2},{\"a\":3}]");
    assert_eq!(known(&bench), 0, "an array has no marks");
    bench = bench.file("d/a.jsonl", "{}\n");
    assert_eq!(known(&bench), 0);
}

#[test]
fn another_way_of_reading_and_standard_input_have_nothing_in_common_with_what_was() {
    let bench = Bench::with("a.csv", "x,y\n1,2\n");
    let before = marks(&bench.open().unwrap());
    let bench = bench.set(|s| s.delimiter = Some(b';'));
    assert_eq!(bench.open().unwrap().records_in_common(&before).unwrap(), 0);
    let bench = Bench::new().set(|s| s.paths.push(InputPath::Stdin));
    let before = marks(&bench.open_with_stdin(b"{}\n{}\n").unwrap());
    assert_eq!(bench.open_with_stdin(b"{}\n{}\n{}\n").unwrap().records_in_common(&before).unwrap(), 0);
}

#[test]
fn marks_that_are_damaged_are_none() {
    let bytes = marks(&Bench::with("a.jsonl", "{}\n{}\n").open().unwrap()).encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert_eq!(Marks::decode(&damaged), None, "byte {at}");
        assert_eq!(Marks::decode(&bytes[..at]), None);
    }
}

/// Lines as files have them, some of them long enough that there are marks between them.
fn lines(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => prop::sample::select(of.to_vec()).prop_map(str::to_owned),
        1 => (0..3_000usize).prop_map(|len| format!("{{\"a\":\"{}\"}}\n", "y".repeat(len))),
    ];
    prop::collection::vec(line, 0..30).prop_map(|lines| lines.concat())
}

/// What somebody does to a file between two nights.
#[derive(Clone, Debug)]
enum Edit {
    Append(String),
    Insert(prop::sample::Index, String),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Change(prop::sample::Index, char),
}

fn edit(of: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        lines(of).prop_map(Edit::Append),
        (place(), lines(of)).prop_map(|(at, text)| Edit::Insert(at, text)),
        place().prop_map(Edit::Cut),
        (place(), 1..40usize).prop_map(|(at, len)| Edit::Remove(at, len)),
        (place(), prop::sample::select(vec!['\n', '\r', '"', ',', ' ', 'z'])).prop_map(|(at, to)| Edit::Change(at, to)),
    ]
}

impl Edit {
    fn apply(self, text: &str) -> String {
        let at = |index: prop::sample::Index| index.index(text.len() + 1);
        match self {
            Self::Append(more) => text.to_owned() + &more,
            Self::Insert(index, more) => format!("{}{more}{}", &text[..at(index)], &text[at(index)..]),
            Self::Cut(index) => text[..at(index)].to_owned(),
            Self::Remove(index, len) => {
                let from = at(index);
                format!("{}{}", &text[..from], &text[(from + len).min(text.len())..])
            }
            Self::Change(index, to) => {
                let at = at(index).min(text.len().saturating_sub(1));
                text.char_indices().map(|(place, char)| if place == at { to } else { char }).collect()
            }
        }
    }
}

const JSONL: &[&str] = &["{\"a\":1}\n", "{\"a\":1}", "\n", "  \n", "{}\r\n", "\r", "not json\n", "{\"a\":\"\\n\"}\n"];
const CSV: &[&str] = &["1,2\n", "1,2", "\n", "\"a\nb\",2\n", "\"a\"\"\n", "\"", "1\r\n", "a\"b,\"\n"];

/// What is known again must be the same: with the same number, place and content.
fn is_sound(name: &str, head: &str, before: &str, edit: Edit) -> Result<(), TestCaseError> {
    let before = head.to_owned() + before;
    let bench = Bench::with(name, &before);
    let input = bench.open().unwrap();
    let (marks, old) = (marks(&input), all(&input));
    let appends = matches!(edit, Edit::Append(_));
    let after = edit.apply(&before);
    fs::write(bench.at(name), &after).unwrap();
    let Ok(input) = bench.open() else { return Ok(()) };
    let (known, new) = (usize::try_from(input.records_in_common(&marks).unwrap()).unwrap(), all(&input));
    let look = |records: &[crate::source::Record]| -> Vec<String> { records.iter().map(shown).collect() };
    prop_assert!(known <= old.len() && known <= new.len());
    prop_assert_eq!(look(&old[..known]), look(&new[..known]));
    // All but the last line, where it has no end.
    prop_assert!(!appends || known + 1 >= old.len());
    Ok(())
}

proptest! {
    #[test]
    fn lines_that_are_known_again_are_the_same(before in lines(JSONL), edit in edit(JSONL)) {
        is_sound("a.jsonl", "", &before, edit)?;
    }

    #[test]
    fn tables_rows_that_are_known_again_are_the_same(before in lines(CSV), edit in edit(CSV)) {
        is_sound("a.csv", "x,y\n", &before, edit)?;
    }
}
