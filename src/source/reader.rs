//! A pass over one file, whatever its layout.

use std::io::{self, BufRead, ErrorKind};

use super::array::Elements;
use super::frame::{Frame, Framer};
use super::parquet::Rows;
use super::stream::Bytes;

/// A pass over one file: how its bytes become records.
pub(super) enum Reader {
    /// At line ends.
    Lines(Framer<Bytes>),
    /// At the commas of an array.
    Array(Elements<Bytes>),
    /// Not at all; `None` when it is read.
    Whole(Option<Bytes>),
    /// In row groups.
    Parquet(Box<Rows>),
}

/// Why a file cannot be read on.
pub(super) enum Stopped {
    Io(io::Error),
    /// The array is broken in a way that hides where its next element starts.
    Array {
        line: u64,
        problem: String,
    },
    /// What is wrong with a Parquet file.
    Parquet(String),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Reader {
    /// The next record; `into` gets its first `keep` bytes at most.
    pub(super) fn next(&mut self, into: &mut Vec<u8>, keep: usize) -> Result<Option<Frame>, Stopped> {
        match self {
            Self::Lines(framer) => Ok(framer.next(into, keep)?),
            Self::Array(elements) => elements.next(into, keep),
            Self::Whole(bytes) => match bytes.take() {
                Some(bytes) => Ok(Some(whole(bytes, into, keep)?)),
                None => Ok(None),
            },
            Self::Parquet(rows) => rows.next(into, keep).map_err(Stopped::Parquet),
        }
    }
}

/// All of the file as one record, an empty one too: each file is a row.
fn whole(mut bytes: Bytes, into: &mut Vec<u8>, keep: usize) -> io::Result<Frame> {
    into.clear();
    let mut frame = Frame { line: 1, len: 0, open_quote: false };
    loop {
        let chunk = match bytes.fill_buf() {
            Ok([]) => return Ok(frame),
            // Only a count keeps nothing, and it has what it wants.
            Ok(_) if keep == 0 => return Ok(frame),
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        into.extend_from_slice(&chunk[..chunk.len().min(keep.saturating_sub(into.len()))]);
        let used = chunk.len();
        frame.len += used;
        bytes.consume(used);
    }
}
