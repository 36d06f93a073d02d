//! How one CSV record becomes its fields.
//!
//! By hand, as the csv crate's reader is dear to make and a record comes alone: it read 60,000 of them a second. The rules
//! are that crate's, to the byte, and a test holds them to it.

use memchr::{memchr, memchr2};

/// The fields of one record, without its line end.
pub(super) fn split(record: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
    let mut fields = Vec::new();
    let mut rest = Some(record);
    while let Some(bytes) = rest {
        let mut field = Vec::new();
        rest = take_field(bytes, delimiter, &mut field);
        fields.push(field);
    }
    fields
}

/// Reads the first field; what is left is behind its delimiter, where it has one.
fn take_field<'a>(bytes: &'a [u8], delimiter: u8, field: &mut Vec<u8>) -> Option<&'a [u8]> {
    let bytes = match bytes.strip_prefix(b"\"") {
        Some(quoted) => take_quoted(quoted, field),
        None => bytes,
    };
    // Text behind a closing quote is text, and a quote in it is a character.
    let end = memchr2(delimiter, b'\n', bytes).unwrap_or(bytes.len());
    field.extend_from_slice(&bytes[..end]);
    let (ended_by, rest) = bytes[end..].split_first()?;
    (*ended_by == delimiter).then_some(rest)
}

/// Reads up to the closing quote; gives what is behind it.
fn take_quoted<'a>(mut bytes: &'a [u8], field: &mut Vec<u8>) -> &'a [u8] {
    while let Some(quote) = memchr(b'"', bytes) {
        field.extend_from_slice(&bytes[..quote]);
        bytes = &bytes[quote + 1..];
        match bytes.strip_prefix(b"\"") {
            Some(more) => {
                field.push(b'"');
                bytes = more;
            }
            None => return bytes,
        }
    }
    field.extend_from_slice(bytes);
    &[]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// The csv crate's own reading. It takes a BOM off whatever it is given first, also off a field in the middle of a
    /// file: a field of our own in front keeps it from that.
    fn theirs(record: &[u8], delimiter: u8) -> Vec<Vec<u8>> {
        let front = [b'x', delimiter];
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(front.as_slice().chain(record));
        let mut fields = csv::ByteRecord::new();
        reader.read_byte_record(&mut fields).unwrap();
        fields.iter().skip(1).map(<[u8]>::to_vec).collect()
    }

    proptest! {
        #[test]
        fn any_record_splits_as_the_csv_crate_splits_it(
            record in "[a\";,\n\r\t \u{feff}é]{0,24}",
            delimiter in prop::sample::select(vec![b',', b';', b'\t']),
        ) {
            prop_assert_eq!(split(record.as_bytes(), delimiter), theirs(record.as_bytes(), delimiter));
        }
    }
}
