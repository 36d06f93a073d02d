//! `[output]`.

use std::path::{Path, PathBuf};

use crate::job::reader::{Field, Reader};
use crate::sink::{OutputFormat, OutputSettings};
use crate::types::{AnswerColumns, Packing, stem};

const FORMATS: [(&str, Option<OutputFormat>); 6] = [
    ("auto", None),
    ("jsonl", Some(OutputFormat::Jsonl)),
    ("csv", Some(OutputFormat::Csv)),
    ("tsv", Some(OutputFormat::Tsv)),
    ("parquet", Some(OutputFormat::Parquet)),
    ("openai-batch", Some(OutputFormat::OpenaiBatch)),
];

pub(in crate::job) fn read_output(reader: &Reader<'_>) -> Option<OutputSettings> {
    let path = reader.require("path", "path = \"out/rows.jsonl\"");
    let format = reader.take("format").and_then(|field| field.choice(&FORMATS)).flatten();
    let errors = reader.take("errors").map(|field| (errors_path(&field, format), field));
    let include = reader.take("include").and_then(|field| columns(&field));
    let prefix = reader.take("prefix").and_then(|field| field.any_text());
    let response = reader.take("response").and_then(|field| field.flag());
    let field = path?;
    let path = field.path()?;
    let format = match format {
        Some(OutputFormat::Parquet) => parquet(&field, &path)?,
        Some(format) => format,
        None => by_extension(&field, &path)?,
    };
    let errors = match errors {
        Some((errors, field)) => {
            let errors = errors?;
            if errors == path {
                field.refuse("is the file of the results as well", Some("give it another name".to_owned()));
            }
            Some(errors)
        }
        None if format == OutputFormat::OpenaiBatch => None,
        None => Some(beside(&path, "errors.jsonl")),
    };
    let (prefix, response) = (prefix.unwrap_or_default().to_owned(), response.unwrap_or(false));
    Some(OutputSettings { path, format, errors, include, prefix, response, answers: AnswerColumns::default() })
}

/// `out/reviews.jsonl` becomes `out/reviews.<ending>`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = stem(path).to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

fn by_extension(field: &Field<'_>, path: &Path) -> Option<OutputFormat> {
    let (packing, extension) = Packing::of(path);
    let ending = match (extension.as_deref(), packing) {
        (Some("jsonl"), _) => return Some(OutputFormat::Jsonl),
        (Some("csv"), _) => return Some(OutputFormat::Csv),
        (Some("tsv"), _) => return Some(OutputFormat::Tsv),
        (Some("parquet"), _) => return parquet(field, path),
        (Some(other), _) => format!("ends in .{other}"),
        (None, Packing::None) => "has no extension".to_owned(),
        (None, Packing::Gzip | Packing::Zstd) => format!("says only that it is {}", packing.name()),
    };
    let hint = ".jsonl, .csv or .tsv, each also with .gz or .zst; or .parquet".to_owned();
    field.refuse(format!("{ending}: it says how results are written"), Some(hint));
    None
}

fn parquet(field: &Field<'_>, path: &Path) -> Option<OutputFormat> {
    if Packing::of(path).0 != Packing::None {
        field.refuse("is Parquet, which is packed inside", Some("write .parquet".to_owned()));
        return None;
    }
    if cfg!(feature = "parquet") {
        return Some(OutputFormat::Parquet);
    }
    let hint = "build it with `cargo install --path . --features parquet`, or write .jsonl or .csv".to_owned();
    field.refuse("this build of overnight does not write Parquet", Some(hint));
    None
}

fn errors_path(field: &Field<'_>, format: Option<OutputFormat>) -> Option<PathBuf> {
    let path = field.path()?;
    if format == Some(OutputFormat::OpenaiBatch) || Packing::of(&path).1.as_deref() == Some("jsonl") {
        return Some(path);
    }
    field.refuse("must end in .jsonl (.gz, .zst): failed rows are written as JSON lines", None);
    None
}

fn columns(field: &Field<'_>) -> Option<Vec<String>> {
    field.items()?.iter().map(|item| item.text().map(str::to_owned)).collect()
}
