//! A file's bytes, unpacked as they are read.

use std::fs::File;
use std::io::{self, BufReader, Chain, Cursor, Read};

use crate::types::Packing;

/// Large enough that system calls do not show, small enough that a pass holds next to nothing.
const BUFFER: usize = 256 * 1024;

/// A byte order mark, which some editors write before UTF-8.
pub(super) const BOM: &[u8] = &[0xEF, 0xBB, 0xBF];

/// Enough for every mark that we know, and for the first character of a record behind a BOM.
const START: usize = 16;

/// Unpacked bytes without a leading BOM.
pub(super) type Bytes = Chain<Cursor<Vec<u8>>, BufReader<Box<dyn Read + Send>>>;

/// A file being read.
pub(super) struct Stream {
    pub(super) bytes: Bytes,
    /// The first few bytes, BOM included: they tell what the file is.
    pub(super) start: Vec<u8>,
}

impl Stream {
    pub(super) fn new(file: File, packing: Packing) -> io::Result<Self> {
        let mut rest = BufReader::with_capacity(BUFFER, unpacked(file, packing)?);
        let mut start = Vec::with_capacity(START);
        rest.by_ref().take(START as u64).read_to_end(&mut start)?;
        let text = start.strip_prefix(BOM).unwrap_or(&start).to_vec();
        Ok(Self { bytes: Cursor::new(text).chain(rest), start })
    }

    /// Whether the file begins with a BOM.
    pub(super) fn has_bom(&self) -> bool {
        self.start.starts_with(BOM)
    }
}

fn unpacked(file: File, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
    Ok(match packing {
        Packing::None => Box::new(file),
        // Both read all members and frames: `cat a.gz b.gz` is a valid file.
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file))),
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER, file))?),
    })
}
