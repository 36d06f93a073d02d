//! What a file's name says: how the file is packed, and what is in it.

use std::ffi::OsStr;
use std::path::Path;

/// How a file is compressed, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    None,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
}

impl Packing {
    /// The packing, and the extension below it in lower case: `a.JSONL.gz` is gzip and `jsonl`.
    #[must_use]
    pub fn of(path: &Path) -> (Self, Option<String>) {
        let (packing, inner) = Self::unpacked_name(path);
        (packing, inner.extension().map(lower_case))
    }

    /// As in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The name that the file would have unpacked.
    fn unpacked_name(path: &Path) -> (Self, &Path) {
        let packing = match path.extension().map(lower_case).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            Some(_) | None => return (Self::None, path),
        };
        (packing, Path::new(path.file_stem().unwrap_or_default()))
    }
}

fn lower_case(extension: &OsStr) -> String {
    extension.to_string_lossy().to_lowercase()
}

/// The name without the extensions that say what the file is: `reviews` of `out/reviews.jsonl.gz`.
#[must_use]
pub fn stem(path: &Path) -> &OsStr {
    Packing::unpacked_name(path).1.file_stem().unwrap_or_default()
}

/// What [`stem`] leaves off, in order: `jsonl` and `gz` of `out/reviews.jsonl.gz`.
pub fn extensions(path: &Path) -> impl Iterator<Item = &OsStr> {
    let (packing, inner) = Packing::unpacked_name(path);
    let outer = path.extension().filter(|_| packing != Packing::None);
    inner.extension().into_iter().chain(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_packing_format_and_stem() {
        for (name, packing, extension, bare, ends) in [
            ("out/a.JSONL.gz", Packing::Gzip, Some("jsonl"), "a", vec!["JSONL", "gz"]),
            ("a.b.csv.ZST", Packing::Zstd, Some("csv"), "a.b", vec!["csv", "ZST"]),
            ("a.errors.jsonl", Packing::None, Some("jsonl"), "a.errors", vec!["jsonl"]),
            ("a.gz", Packing::Gzip, None, "a", vec!["gz"]),
            ("out.d/a", Packing::None, None, "a", vec![]),
            (".gz", Packing::None, None, ".gz", vec![]),
            ("a.gz.csv", Packing::None, Some("csv"), "a.gz", vec!["csv"]),
        ] {
            let path = Path::new(name);
            assert_eq!(Packing::of(path), (packing, extension.map(str::to_owned)), "{name}");
            assert_eq!(stem(path), bare, "{name}");
            assert_eq!(extensions(path).collect::<Vec<_>>(), ends, "{name}");
        }
    }
}
