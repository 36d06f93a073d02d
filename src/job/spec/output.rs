//! `[output]`.

use std::path::{Path, PathBuf};

use crate::job::reader::{Field, Reader};
use crate::sink::{OutputFormat, OutputSettings};

pub(in crate::job) fn read_output(reader: &Reader<'_>) -> Option<OutputSettings> {
    let path = reader.require("path", "path = \"out/rows.jsonl\"");
    let errors = reader.take("errors").map(|field| (errors_path(&field), field));
    let include = reader.take("include").and_then(|field| columns(&field));
    let prefix = reader.take("prefix").and_then(|field| field.any_text());
    let response = reader.take("response").and_then(|field| field.flag());
    let field = path?;
    let path = field.path()?;
    let format = format(&field, &path)?;
    let errors = match errors {
        Some((errors, field)) => {
            let errors = errors?;
            if errors == path {
                field.refuse("is the same file as output.path", None);
            }
            errors
        }
        None => beside(&path, "errors.jsonl"),
    };
    let (prefix, response) = (prefix.unwrap_or_default().to_owned(), response.unwrap_or(false));
    Some(OutputSettings { path, format, errors, include, prefix, response })
}

/// `out/reviews.jsonl` becomes `out/reviews.<ending>`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn format(field: &Field<'_>, path: &Path) -> Option<OutputFormat> {
    match extension(path).as_str() {
        "jsonl" => Some(OutputFormat::Jsonl),
        "csv" => Some(OutputFormat::Csv),
        other => {
            let ending = if other.is_empty() { "has no extension".to_owned() } else { format!("ends in .{other}") };
            field.refuse(format!("{ending}: it says how results are written"), Some(".jsonl or .csv".to_owned()));
            None
        }
    }
}

fn errors_path(field: &Field<'_>) -> Option<PathBuf> {
    let path = field.path()?;
    if extension(&path) == "jsonl" {
        return Some(path);
    }
    field.refuse("must end in .jsonl: failed rows are written as JSON lines", None);
    None
}

fn columns(field: &Field<'_>) -> Option<Vec<String>> {
    field.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
}
