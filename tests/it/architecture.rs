//! The layer table of docs/architecture.md against the code: arrows point down only, and rooms of one level are strangers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The level of each room, as the document has it.
fn levels() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| L")?.split_once(" | "));
    let mut levels = BTreeMap::new();
    for (level, rooms) in rows {
        let level = level.parse().unwrap();
        levels.extend(rooms.split('`').skip(1).step_by(2).map(|room| (room.to_owned(), level)));
    }
    levels
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file of `src`, by its path below it.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let src = root().join("src");
    sources(&src, &mut found);
    let name = |path: &Path| path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect();
    files.sort();
    files
}

/// The rooms that a text names by their path from the crate's root.
fn named(text: &str, prefix: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let rest = &text[at + prefix.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = &group[..group.find("};").unwrap_or(group.len())];
            rooms.extend(group.split(',').map(|item| first_word(item.trim())));
        } else {
            rooms.push(first_word(rest));
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// What a file is made of, less what it says about itself.
fn code(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

#[test]
fn every_room_has_a_level_and_every_level_has_its_rooms() {
    let levels = levels();
    let in_lib = named(&fs::read_to_string(root().join("src/lib.rs")).unwrap(), "pub mod ");
    let mut rooms: Vec<&String> = levels.keys().collect();
    let mut expected: Vec<String> = in_lib;
    expected.push("cli".to_owned());
    expected.sort();
    rooms.sort();
    assert_eq!(rooms, expected.iter().collect::<Vec<_>>(), "the table in docs/architecture.md and src/lib.rs");
    assert_eq!(levels["types"], 0);
    assert!(levels.values().filter(|level| **level == 0).count() == 1);
}

#[test]
fn arrows_point_down_only() {
    let levels = levels();
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let room = file.split('/').next().unwrap();
        let Some(level) = levels.get(room) else { continue };
        let prefix = if room == "cli" { "overnight::" } else { "crate::" };
        for other in named(&code(&text), prefix) {
            match levels.get(&other) {
                Some(_) if other == room => {}
                Some(below) if below < level => {}
                Some(_) => wrong.push(format!("{file}: {room} uses {other}")),
                None => wrong.push(format!("{file}: {other} is no room")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_binary_sees_the_library_from_outside_only() {
    for (file, text) in files().iter().filter(|(file, _)| file.starts_with("cli/")) {
        let inner: Vec<String> = named(&code(text), "crate::").into_iter().filter(|room| room != "cli").collect();
        assert!(inner.is_empty(), "{file}: {inner:?}");
    }
    for (file, text) in files().iter().filter(|(file, _)| !file.starts_with("cli/") && file != "main.rs") {
        for of_the_binary in ["clap::", "indicatif::", "comfy_table::", "println!", "eprintln!"] {
            assert!(!code(text).contains(of_the_binary), "{file}: {of_the_binary} belongs to cli");
        }
    }
}

#[test]
fn files_stay_small_and_finished() {
    for (file, text) in files() {
        assert!(text.lines().count() <= 500, "{file} is over 500 lines");
        let name = file.rsplit('/').next().unwrap();
        assert!(!["utils.rs", "helpers.rs", "common.rs", "imp.rs"].contains(&name), "{file}");
        for unfinished in ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX"] {
            assert!(!text.contains(unfinished), "{file}: {unfinished}");
        }
        if name == "mod.rs" || name == "lib.rs" || name == "main.rs" {
            assert!(text.starts_with("//!"), "{file} does not say what it is");
        }
    }
}
