//! What to say of bytes that are no text as we read it.

use std::str::Utf8Error;

/// What a file surely is by its first bytes, where that is no text in UTF-8, and what to do about it.
pub(super) fn no_text(start: &[u8]) -> Option<(&'static str, &'static str)> {
    if let Some(hint) = utf16(start) {
        return Some(("UTF-16 text", hint));
    }
    Some(match start {
        [0x1F, 0x8B, ..] => ("gzip data", "give the file the extension .gz, or unpack it before the pipe"),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => ("zstd data", "give the file the extension .zst, or unpack it before the pipe"),
        [b'P', b'K', 3, 4, ..] => ("a zip archive or a spreadsheet", "export it as CSV"),
        [b'P', b'A', b'R', b'1', ..] => ("a Parquet file", "give it the extension .parquet"),
        start if start.contains(&0) => ("binary data", "export it as JSONL or CSV"),
        _ => return None,
    })
}

/// How to convert what is UTF-16, with a byte order mark or by the zeros beside its first two letters.
fn utf16(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => Some("convert it: `iconv -f utf-16 -t utf-8 FILE > NEW`"),
        [1..=255, 0, 1..=255, 0, ..] => Some("convert it: `iconv -f utf-16le -t utf-8 FILE > NEW`"),
        [0, 1..=255, 0, 1..=255, ..] => Some("convert it: `iconv -f utf-16be -t utf-8 FILE > NEW`"),
        _ => None,
    }
}

/// How a file becomes UTF-8. Most that are not come out of older spreadsheets.
pub(super) const CONVERT: &str = "convert the file, for example by `iconv -f windows-1252 -t utf-8 FILE > NEW`";

/// Where `what` is not UTF-8, and how its file becomes it.
pub(super) fn not_utf8(what: &str, bytes: &[u8], error: Utf8Error) -> String {
    format!("{}; {CONVERT}", where_not_utf8(what, bytes, error))
}

/// Where `what` is not UTF-8.
pub(super) fn where_not_utf8(what: &str, bytes: &[u8], error: Utf8Error) -> String {
    let at = error.valid_up_to();
    let byte = bytes.get(at).copied().unwrap_or_default();
    format!("{what} is not UTF-8 at its byte {at} (0x{byte:02X})")
}

/// As [`not_utf8`], for a whole file that nobody looked at before.
pub(super) fn file_not_utf8(bytes: &[u8], error: Utf8Error) -> String {
    match utf16(bytes) {
        Some(hint) => format!("the file is UTF-16 text; {hint}"),
        None => not_utf8("the file", bytes, error),
    }
}
