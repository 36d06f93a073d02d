//! One file: what it is, found out once, and a fresh reader of it whenever one is asked for.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use super::array::Elements;
use super::encoding::no_text;
use super::error::{Damage, SourceError};
use super::find::Found;
use super::frame::{Ends, Framer};
use super::parquet::{Groups, Rows};
use super::reader::{Reader, Stopped};
use super::record::Shape;
use super::settings::{Format, InputSettings};
use super::spool::Spool;
use super::stream::{BOM, Bytes, Stream};
use super::table::Table;
use crate::types::{Dialect, Packing};

/// A file of the input, checked.
#[derive(Debug)]
pub(super) struct InputFile {
    pub(super) path: PathBuf,
    pub(super) shown: Arc<str>,
    pub(super) layout: Layout,
    pub(super) kind: Kind,
    /// Whether it begins with a byte order mark.
    bom: bool,
    packing: Packing,
    stamp: Stamp,
}

/// How a file's records are written.
#[derive(Debug)]
pub(super) enum Layout {
    Json,
    Array,
    Csv(Arc<Table>),
    Text,
    Parquet(Arc<Groups>),
}

/// What a row of a text file has.
static TEXT_COLUMNS: LazyLock<Vec<String>> = LazyLock::new(|| ["path", "name", "text"].map(str::to_owned).to_vec());

impl Layout {
    pub(super) fn shape(&self) -> Shape {
        match self {
            Self::Json => Shape::Json,
            Self::Array | Self::Parquet(_) => Shape::Element,
            Self::Csv(table) => Shape::Csv(Arc::clone(table)),
            Self::Text => Shape::Text,
        }
    }

    /// The columns that each row has, where the layout says so.
    pub(super) fn columns(&self) -> Option<&Vec<String>> {
        match self {
            Self::Csv(table) => Some(&table.columns),
            Self::Text => Some(&TEXT_COLUMNS),
            Self::Parquet(groups) => Some(&groups.columns),
            Self::Json | Self::Array => None,
        }
    }
}

/// What every Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// A format without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Array,
    Csv,
    Tsv,
    Text,
    Parquet,
}

impl Kind {
    /// The extensions of a folder's files that a format takes.
    pub(super) fn extensions(format: Format) -> &'static [&'static str] {
        match format {
            Format::Auto => &["jsonl", "ndjson", "csv", "tsv", "json", "parquet"],
            Format::Jsonl | Format::OpenaiBatch => &["jsonl", "ndjson"],
            Format::Csv => &["csv"],
            Format::Tsv => &["tsv"],
            Format::Json => &["json"],
            Format::Text => &["txt", "md"],
            Format::Parquet => &["parquet"],
        }
    }

    /// `among`: the file was found by folder or glob. Alone, `.txt` may as well be a list of lines.
    fn by_extension(extension: Option<&str>, among: bool) -> Option<Self> {
        match extension {
            Some("jsonl" | "ndjson") => Some(Self::Json),
            Some("csv") => Some(Self::Csv),
            Some("tsv") => Some(Self::Tsv),
            Some("json") => Some(Self::Array),
            Some("parquet") => Some(Self::Parquet),
            Some("txt" | "md") if among => Some(Self::Text),
            Some(_) | None => None,
        }
    }

    /// `None`: to be found out.
    fn by_format(format: Format) -> Option<Self> {
        match format {
            Format::Auto => None,
            Format::Jsonl | Format::OpenaiBatch => Some(Self::Json),
            Format::Csv => Some(Self::Csv),
            Format::Tsv => Some(Self::Tsv),
            Format::Json => Some(Self::Array),
            Format::Text => Some(Self::Text),
            Format::Parquet => Some(Self::Parquet),
        }
    }

    /// Whether a file of this kind can be read as the other: anything is text, and `.json` may hold lines.
    fn may_be(self, other: Self) -> bool {
        let table = |kind| matches!(kind, Self::Csv | Self::Tsv);
        self == other
            || self == Self::Text
            || other == Self::Text
            || (self == Self::Array && other == Self::Json)
            || (table(self) && table(other))
    }

    /// By the first character.
    fn by_content(start: &[u8]) -> Self {
        if start.starts_with(PARQUET) {
            return Self::Parquet;
        }
        let first = start.iter().find(|byte| !byte.is_ascii_whitespace() && byte.is_ascii());
        match first {
            None | Some(b'{') => Self::Json,
            Some(b'[') => Self::Array,
            Some(_) => Self::Csv,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSONL",
            Self::Array => "a JSON array",
            Self::Text => "text",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Parquet => "Parquet",
        }
    }
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// Size, mtime and ctime in seconds and nanoseconds.
    Disk([i64; 5]),
    /// A hash of the content.
    Content([u8; 32]),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        let size = meta.size().cast_signed();
        Self::Disk([size, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
    }

    fn hash_into(self, hasher: &mut blake3::Hasher) {
        match self {
            Self::Disk(numbers) => {
                hasher.update(b"disk");
                for number in numbers {
                    hasher.update(&number.to_le_bytes());
                }
            }
            Self::Content(hash) => {
                hasher.update(b"content").update(&hash);
            }
        }
    }
}

impl InputFile {
    pub(super) fn open(found: Found, settings: &InputSettings) -> Result<Self, SourceError> {
        let (packing, extension) = Packing::of(&found.path);
        let by_extension = Kind::by_extension(extension.as_deref(), found.among);
        let set = Kind::by_format(settings.format);
        if let (Some(by_extension), Some(set)) = (by_extension, set)
            && !by_extension.may_be(set)
        {
            let (extension, format) = (by_extension.name(), set.name());
            return Err(SourceError::Clash { file: found.shown, extension, format });
        }
        let Some(kind) = set.or(by_extension) else {
            return Err(SourceError::UnknownFormat { file: found.shown });
        };
        Self::check(found, packing, settings.delimiter, |_| kind, None)
    }

    pub(super) fn open_spool(spool: Spool, settings: &InputSettings) -> Result<Self, SourceError> {
        let set = Kind::by_format(settings.format);
        let found = Found { path: spool.path, shown: "stdin".to_owned(), among: false };
        let kind = |start: &[u8]| set.unwrap_or_else(|| Kind::by_content(start));
        Self::check(found, Packing::None, settings.delimiter, kind, Some(Stamp::Content(spool.hash)))
    }

    /// Opens the file once, and reads as much of it as tells what it is.
    fn check(
        found: Found,
        packing: Packing,
        delimiter: Option<u8>,
        kind: impl Fn(&[u8]) -> Kind,
        stamp: Option<Stamp>,
    ) -> Result<Self, SourceError> {
        let Found { path, shown, among: _ } = found;
        let failed = |source| SourceError::Io { file: shown.clone(), doing: "open", source };
        let file = File::open(&path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let cannot = |error| {
            let foreign = is_foreign(&path, packing);
            if foreign { damaged(&shown, packing, Damage::Foreign, error) } else { broken(&shown, packing, error) }
        };
        let stream = Stream::new(file, packing).map_err(cannot)?;
        let kind = kind(&stream.start);
        let bom = stream.has_bom();
        // Of many documents one that is no text fails alone.
        if !matches!(kind, Kind::Text | Kind::Parquet) {
            check_start(&shown, &stream.start)?;
        }
        let layout = match kind {
            Kind::Json => Layout::Json,
            Kind::Array => {
                let began = Elements::new(stream.bytes).begin();
                began.map_err(|stopped| stopped_at(&shown, packing, stopped))?;
                Layout::Array
            }
            Kind::Text => Layout::Text,
            Kind::Csv => table(&shown, packing, stream.bytes, delimiter)?,
            Kind::Tsv => table(&shown, packing, stream.bytes, delimiter.or(Some(b'\t')))?,
            Kind::Parquet => parquet(&shown, &path, packing)?,
        };
        let stamp = stamp.unwrap_or_else(|| Stamp::of(&meta));
        Ok(Self { path, shown: shown.into(), layout, kind, bom, packing, stamp })
    }

    /// A reader at the first record.
    pub(super) fn reader(&self) -> Result<Reader, SourceError> {
        Ok(match &self.layout {
            Layout::Json => Reader::Lines(Framer::new(self.bytes()?, Ends::Lines)),
            Layout::Array => Reader::Array(Elements::new(self.bytes()?)),
            Layout::Text => Reader::Whole(Some(self.bytes()?)),
            Layout::Csv(table) => Reader::Lines(self.behind_header(table, self.bytes()?)?),
            Layout::Parquet(groups) => Reader::Parquet(Box::new(Rows::new(Arc::clone(groups), self.file()?))),
        })
    }

    /// The records in bytes of this file (behind a byte order mark), if they end at their lines.
    pub(super) fn lines<R: BufRead>(&self, bytes: R) -> Result<Option<Framer<R>>, SourceError> {
        Ok(match &self.layout {
            Layout::Json => Some(Framer::new(bytes, Ends::Lines)),
            Layout::Csv(table) => Some(self.behind_header(table, bytes)?),
            Layout::Array | Layout::Text | Layout::Parquet(_) => None,
        })
    }

    fn behind_header<R: BufRead>(&self, table: &Table, bytes: R) -> Result<Framer<R>, SourceError> {
        let mut header = Framer::new(bytes, table.header_ends());
        header.next(&mut Vec::new(), 0).map_err(|error| self.broken(error.into()))?;
        Ok(header.with_ends(table.ends()))
    }

    /// Whether records may be put behind its own as bytes behind its own. Standard input is another one each time.
    pub(super) fn may_grow(&self) -> bool {
        let by_lines = matches!(self.layout, Layout::Json | Layout::Csv(_));
        by_lines && self.packing == Packing::None && matches!(self.stamp, Stamp::Disk(_))
    }

    /// The types of its columns, where it is Parquet.
    #[cfg(feature = "parquet")]
    pub(super) fn types(&self) -> Option<arrow_schema::SchemaRef> {
        match &self.layout {
            Layout::Parquet(groups) => Some(groups.schema()),
            Layout::Json | Layout::Array | Layout::Csv(_) | Layout::Text => None,
        }
    }

    /// How a table that is made from this one is written; `None` where it is none. The tabs of a TSV are no part of that: they
    /// go with its extension.
    pub(super) fn dialect(&self) -> Option<Dialect> {
        match &self.layout {
            Layout::Csv(_) if self.kind == Kind::Tsv => Some(Dialect { bom: self.bom, ..Dialect::default() }),
            Layout::Csv(table) => Some(Dialect { delimiter: table.delimiter, bom: self.bom }),
            Layout::Json | Layout::Array | Layout::Text | Layout::Parquet(_) => None,
        }
    }

    /// How many records it has, in a pass of its own that copies and parses nothing.
    pub(super) fn count(&self) -> Result<u64, SourceError> {
        let (mut count, mut scratch, mut reader) = (0, Vec::new(), self.reader()?);
        while reader.next(&mut scratch, 0).map_err(|error| self.broken(error))?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// The length of its byte order mark.
    pub(super) fn bom_len(&self) -> usize {
        if self.bom { BOM.len() } else { 0 }
    }

    pub(super) fn file(&self) -> Result<File, SourceError> {
        File::open(&self.path).map_err(|source| SourceError::Io { file: self.shown.to_string(), doing: "open", source })
    }

    fn bytes(&self) -> Result<Bytes, SourceError> {
        Ok(Stream::new(self.file()?, self.packing).map_err(|error| self.broken(error.into()))?.bytes)
    }

    /// A read error of this file, as the user should see it.
    pub(super) fn broken(&self, stopped: Stopped) -> SourceError {
        stopped_at(&self.shown, self.packing, stopped)
    }

    pub(super) fn fingerprint(&self, hasher: &mut blake3::Hasher) {
        self.hash_without_stamp(hasher);
        self.stamp.hash_into(hasher);
    }

    /// Whether it has the size and times that it had when it was opened.
    pub(super) fn is_as_opened(&self) -> Result<bool, SourceError> {
        let Stamp::Disk(_) = self.stamp else { return Ok(true) };
        let meta = self.path.metadata().map_err(|source| SourceError::Io {
            file: self.shown.to_string(),
            doing: "look at the file again",
            source,
        })?;
        Ok(Stamp::of(&meta) == self.stamp)
    }

    /// 128 bits of its path and of how it is read.
    pub(super) fn how(&self) -> [u8; 16] {
        half_hash(|hasher| self.hash_without_stamp(hasher))
    }

    /// As [`Self::how`], and of its size and times.
    pub(super) fn print(&self) -> [u8; 16] {
        half_hash(|hasher| self.fingerprint(hasher))
    }

    fn hash_without_stamp(&self, hasher: &mut blake3::Hasher) {
        let path = self.path.as_os_str().as_encoded_bytes();
        hasher.update(&(path.len() as u64).to_le_bytes()).update(path).update(self.packing.name().as_bytes());
        match &self.layout {
            Layout::Json => hasher.update(b"json"),
            Layout::Array => hasher.update(b"array"),
            Layout::Text => hasher.update(b"text"),
            Layout::Csv(table) => hasher.update(&[b'c', table.delimiter]),
            Layout::Parquet(_) => hasher.update(b"parquet"),
        };
    }
}

fn half_hash(feed: impl FnOnce(&mut blake3::Hasher)) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    feed(&mut hasher);
    first_half(&hasher)
}

/// 128 bits of a hash: enough to tell inputs apart.
pub(super) fn first_half(hasher: &blake3::Hasher) -> [u8; 16] {
    hasher.finalize().as_bytes().first_chunk().copied().unwrap_or_default()
}

fn table(shown: &str, packing: Packing, bytes: Bytes, delimiter: Option<u8>) -> Result<Layout, SourceError> {
    let failed = |error| broken(shown, packing, error);
    Ok(Layout::Csv(Arc::new(Table::read(shown, bytes, delimiter, failed)?)))
}

fn parquet(shown: &str, path: &Path, packing: Packing) -> Result<Layout, SourceError> {
    let file = shown.to_owned();
    if packing != Packing::None {
        let (what, hint) = ("a Parquet file that is packed once more", "unpack it: Parquet is packed inside");
        return Err(SourceError::Unreadable { file, what, hint });
    }
    let opened = File::open(path).map_err(|source| SourceError::Io { file: file.clone(), doing: "open", source })?;
    let groups = Groups::read(&opened).map_err(|problem| SourceError::Parquet { file, problem })?;
    Ok(Layout::Parquet(Arc::new(groups)))
}

fn stopped_at(shown: &str, packing: Packing, stopped: Stopped) -> SourceError {
    let file = shown.to_owned();
    match stopped {
        Stopped::Io(error) => broken(shown, packing, error),
        Stopped::Parquet(problem) => SourceError::Parquet { file, problem },
        Stopped::Array { line, problem } => SourceError::Array { file, line, problem },
    }
}

fn broken(shown: &str, packing: Packing, source: io::Error) -> SourceError {
    let file = shown.to_owned();
    match packing {
        // What the system says is of the disk or the network, not of what the file holds.
        Packing::Gzip | Packing::Zstd if source.raw_os_error().is_none() => {
            damaged(shown, packing, Damage::of(&source), source)
        }
        Packing::None | Packing::Gzip | Packing::Zstd => SourceError::Io { file, doing: "read", source },
    }
}

fn damaged(shown: &str, packing: Packing, damage: Damage, source: io::Error) -> SourceError {
    SourceError::Damaged { file: shown.to_owned(), packing: packing.name(), damage, source }
}

/// Whether a file begins otherwise than its name says. Decoders do not tell that apart from one that is cut short.
fn is_foreign(path: &Path, packing: Packing) -> bool {
    let magic: &[u8] = match packing {
        Packing::None => &[],
        Packing::Gzip => &[0x1f, 0x8b],
        Packing::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
    };
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(magic.len() as u64).read_to_end(&mut start));
    read.is_ok() && !magic.starts_with(&start)
}

/// Fails on what is surely no text as we read it.
fn check_start(shown: &str, start: &[u8]) -> Result<(), SourceError> {
    let Some((what, hint)) = no_text(start) else { return Ok(()) };
    Err(SourceError::Unreadable { file: shown.to_owned(), what, hint })
}
