//! Bytes packed as they are written.
//!
//! The same lines give the same bytes (no time stands in the gzip header), so that a file that did not change is known.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::types::Packing;

/// What `zstd` itself takes: nearly as small as higher levels, and far faster.
const ZSTD_LEVEL: i32 = 3;

/// A writer behind a compressor, or without one.
pub(super) enum Packed<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
    Zstd(Box<zstd::Encoder<'static, W>>),
}

impl<W: Write> Packed<W> {
    pub(super) fn new(out: W, packing: Packing) -> io::Result<Self> {
        Ok(match packing {
            Packing::None => Self::Plain(out),
            Packing::Gzip => Self::Gzip(Box::new(GzEncoder::new(out, Compression::default()))),
            Packing::Zstd => {
                let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
                // As the command does: a damaged file is then known as one.
                encoder.include_checksum(true)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Writes the compressor's end; gives back what is behind it.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::MultiGzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn packed(pieces: &[Vec<u8>], packing: Packing) -> Vec<u8> {
        let mut out = Packed::new(Vec::new(), packing).unwrap();
        for piece in pieces {
            out.write_all(piece).unwrap();
        }
        out.finish().unwrap()
    }

    fn unpacked(bytes: &[u8], packing: Packing) -> Vec<u8> {
        let mut all = Vec::new();
        match packing {
            Packing::None => all.extend_from_slice(bytes),
            Packing::Gzip => drop(MultiGzDecoder::new(bytes).read_to_end(&mut all).unwrap()),
            Packing::Zstd => drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut all).unwrap()),
        }
        all
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_and_the_same_lines_give_the_same_bytes(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
            packing in prop::sample::select(vec![Packing::None, Packing::Gzip, Packing::Zstd]),
        ) {
            let bytes = packed(&pieces, packing);
            prop_assert_eq!(unpacked(&bytes, packing), pieces.concat());
            prop_assert_eq!(packed(&pieces, packing), bytes);
        }
    }
}
