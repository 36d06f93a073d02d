//! Which files a path of the settings means.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::error::SourceError;
use super::file::Kind;
use super::settings::Format;
use crate::types::Packing;

/// A file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Absolute, links followed.
    pub(super) path: PathBuf,
    /// As the job names it.
    pub(super) shown: String,
    /// Whether a folder or glob named it, and not the user.
    pub(super) among: bool,
}

/// The files of one file, folder or glob, sorted by path.
pub(super) fn find(path: &Path, shown: &str, format: Format) -> Result<Vec<Found>, SourceError> {
    // What is there is meant as it stands: `a[1].csv` is a file before it is a pattern.
    match path.metadata() {
        Ok(meta) if meta.is_dir() => in_folder(path, shown, format),
        Ok(_) => Ok(vec![found(path, shown.to_owned(), false)?]),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(SourceError::Io { file: shown.to_owned(), doing: "find", source: error })
        }
        Err(_) if shown.contains(['*', '?', '[']) => by_glob(path, shown),
        Err(_) => Err(SourceError::NotFound { file: shown.to_owned() }),
    }
}

/// Fails where two of the files are one.
pub(super) fn check_distinct(files: &[Found]) -> Result<(), SourceError> {
    let mut seen = HashMap::new();
    for file in files {
        if let Some(first) = seen.insert(&file.path, &file.shown) {
            return Err(SourceError::Twice { first: first.clone(), second: file.shown.clone() });
        }
    }
    Ok(())
}

fn found(path: &Path, shown: String, among: bool) -> Result<Found, SourceError> {
    // Asked first: a pipe that a shell hands over has no path to follow, and opening one may wait for its writer.
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return Err(SourceError::NotRegular { file: shown });
    }
    match path.canonicalize() {
        Ok(path) => Ok(Found { path, shown, among }),
        Err(source) => Err(SourceError::Io { file: shown, doing: "find", source }),
    }
}

fn in_folder(folder: &Path, shown: &str, format: Format) -> Result<Vec<Found>, SourceError> {
    let mut paths = Vec::new();
    walk(folder, shown, format, &mut paths)?;
    if paths.is_empty() && format == Format::Auto {
        walk(folder, shown, Format::Text, &mut paths)?;
    }
    paths.sort_unstable();
    if paths.is_empty() {
        let texts = if format == Format::Auto { Kind::extensions(Format::Text) } else { &[] };
        let wanted = [Kind::extensions(format), texts].concat().join(" ");
        let wanted = format!("{wanted}, each also with .gz or .zst");
        return Err(SourceError::EmptyFolder { folder: shown.to_owned(), wanted });
    }
    paths
        .iter()
        .map(|path| {
            let below = path.strip_prefix(folder).unwrap_or(path);
            found(path, Path::new(shown).join(below).display().to_string(), true)
        })
        .collect()
}

/// Gathers the files below a folder. Links to files are followed; links to folders are not, as they may lead in a ring.
fn walk(folder: &Path, shown: &str, format: Format, into: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let failed = |source| SourceError::Io { file: shown.to_owned(), doing: "list the folder", source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type().map_err(failed)?.is_dir() {
            walk(&path, shown, format, into)?;
        } else if path.is_file() && fits(&path, format) {
            into.push(path);
        }
    }
    Ok(())
}

fn fits(path: &Path, format: Format) -> bool {
    let (_, extension) = Packing::of(path);
    extension.is_some_and(|extension| Kind::extensions(format).contains(&extension.as_str()))
}

fn by_glob(path: &Path, shown: &str) -> Result<Vec<Found>, SourceError> {
    let options =
        MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let matches = glob::glob_with(&pattern(path), options)
        .map_err(|source| SourceError::Pattern { pattern: shown.to_owned(), source })?;
    let mut paths = Vec::new();
    for path in matches {
        let path = path.map_err(|error| SourceError::Io {
            file: error.path().display().to_string(),
            doing: "list the folder",
            source: error.into(),
        })?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    if paths.is_empty() {
        return Err(SourceError::NoMatch { pattern: shown.to_owned() });
    }
    let base = base(path, shown);
    paths.iter().map(|path| found(path, path.strip_prefix(base).unwrap_or(path).display().to_string(), true)).collect()
}

/// The pattern with the folders that are there escaped: the job's own folder may be called `runs[2]`.
fn pattern(path: &Path) -> String {
    let literal = path.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new(""));
    let rest = path.strip_prefix(literal).unwrap_or(path);
    Path::new(&Pattern::escape(&literal.to_string_lossy())).join(rest).to_string_lossy().into_owned()
}

/// What was put before the path as written to make it absolute; empty where nothing was.
fn base<'a>(path: &'a Path, shown: &str) -> &'a Path {
    let nothing = Path::new("");
    let written: PathBuf = Path::new(shown).components().filter(|part| *part != Component::CurDir).collect();
    if written.is_absolute() || !path.ends_with(&written) {
        return nothing;
    }
    path.ancestors().nth(written.components().count()).unwrap_or(nothing)
}
