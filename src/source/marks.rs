//! What the files of an input held, up to which record: so that a later input is known to begin with the same records.
//!
//! A mark is a place right behind a record's line end, with how many records stand before it and a hash of all the bytes
//! before it. What is appended to a file leaves its marks true; a change within leaves those before it. Of files whose
//! records do not end with their line, and of packed ones, only the whole is known, by its size and times.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::error::SourceError;
use super::file::InputFile;
use super::input::Input;

const MAGIC: &[u8; 8] = b"ovmarks\x01";
const CHECK: usize = 16;

/// Marks of an input at most, or two for each file, so that they take next to nothing; a change within a file costs the
/// records of one step.
const MOST: usize = 1024;
/// The least distance between marks, in bytes.
const STEP: u64 = 4096;

/// Large enough that the hash can work on many of its blocks at once.
const BUFFER: usize = 256 * 1024;

/// The marks of an input's files.
#[derive(Debug, PartialEq, Eq)]
pub struct Marks {
    fingerprint: [u8; 16],
    files: Vec<FileMarks>,
}

#[derive(Debug, PartialEq, Eq)]
struct FileMarks {
    /// The file's path, and how it is read.
    how: [u8; 16],
    /// The same, and its size and times.
    print: [u8; 16],
    records: u64,
    /// In ascending order.
    marks: Vec<Mark>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mark {
    place: u64,
    records: u64,
    hash: [u8; 32],
}

impl Input {
    /// Reads all files, and marks them. Whoever keeps the marks asks [`Input::is_as_opened`] afterwards.
    ///
    /// # Errors
    /// Where a file cannot be read to its end.
    pub fn marks(&self) -> Result<Marks, SourceError> {
        let most = (MOST / self.files.len().max(1)).max(2);
        let files = self.files.iter().map(|file| marks_of(file, most)).collect::<Result<_, _>>()?;
        Ok(Marks { fingerprint: self.fingerprint(), files })
    }

    /// How many records from the first one on are those of the input that was marked; there may be more. Whoever relies on
    /// it asks [`Input::is_as_opened`] afterwards.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn records_in_common(&self, marks: &Marks) -> Result<u64, SourceError> {
        let mut records = 0;
        for (file, before) in self.files.iter().zip(&marks.files) {
            if file.print() != before.print {
                // Of the files behind it the records have other numbers now.
                return Ok(records + before.in_common(file)?);
            }
            records += before.records;
        }
        Ok(records)
    }
}

impl Marks {
    /// That of the input that was marked.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 16] {
        self.fingerprint
    }

    /// How many records it had.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.files.iter().map(|file| file.records).sum()
    }

    /// For [`Marks::decode`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.fingerprint);
        for file in &self.files {
            bytes.extend(file.how.iter().chain(&file.print));
            bytes.extend(file.records.to_le_bytes());
            bytes.extend((file.marks.len() as u64).to_le_bytes());
            for mark in &file.marks {
                bytes.extend(mark.place.to_le_bytes());
                bytes.extend(mark.records.to_le_bytes());
                bytes.extend(mark.hash);
            }
        }
        bytes.extend(checksum(&bytes));
        bytes
    }

    /// What was encoded; `None` where it is damaged, or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, check) = bytes.split_last_chunk::<CHECK>()?;
        let mut rest = bytes.strip_prefix(MAGIC).filter(|_| checksum(bytes) == *check)?;
        let fingerprint = take(&mut rest)?;
        let mut files = Vec::new();
        while !rest.is_empty() {
            let (how, print) = (take(&mut rest)?, take(&mut rest)?);
            let (records, count) = (number(&mut rest)?, number(&mut rest)?);
            let marks = (0..count)
                .map(|_| Some(Mark { place: number(&mut rest)?, records: number(&mut rest)?, hash: take(&mut rest)? }));
            files.push(FileMarks { how, print, records, marks: marks.collect::<Option<_>>()? });
        }
        Some(Self { fingerprint, files })
    }
}

impl FileMarks {
    /// How many records the file has in common with the one that was marked, as far as its marks tell.
    fn in_common(&self, file: &InputFile) -> Result<u64, SourceError> {
        if file.how() != self.how || self.marks.is_empty() {
            return Ok(0);
        }
        let mut beginning = Beginning::of(file.file()?);
        let mut records = 0;
        for mark in &self.marks {
            if beginning.hash_to(mark.place).map_err(|error| file.broken(error.into()))? != Some(mark.hash) {
                break;
            }
            records = mark.records;
        }
        Ok(records)
    }
}

fn marks_of(file: &InputFile, most: usize) -> Result<FileMarks, SourceError> {
    let (records, places) = places_of(file, most)?;
    let mut marks = Vec::with_capacity(places.len());
    if places.is_empty() {
        return Ok(FileMarks { how: file.how(), print: file.print(), records, marks });
    }
    let mut beginning = Beginning::of(file.file()?);
    for (place, records) in places {
        // A file that ends earlier by now has changed.
        let Some(hash) = beginning.hash_to(place).map_err(|error| file.broken(error.into()))? else { break };
        marks.push(Mark { place, records, hash });
    }
    Ok(FileMarks { how: file.how(), print: file.print(), records, marks })
}

/// How many records a file has, and the places to be marked, each with the records before it.
fn places_of(file: &InputFile, most: usize) -> Result<(u64, Vec<(u64, u64)>), SourceError> {
    let placed = || Placed::new(file.file()?, file.bom_len()).map_err(|error| file.broken(error.into()));
    let records = if file.may_grow() { file.lines(placed()?)? } else { None };
    let Some(mut records) = records else { return Ok((file.count()?, Vec::new())) };
    let (mut count, mut places, mut scratch) = (0, Places::new(most), Vec::new());
    while records.next(&mut scratch, 0).map_err(|error| file.broken(error.into()))?.is_some() {
        count += 1;
        places.add(records.input(), count);
    }
    Ok((count, places.finish()))
}

/// Places behind records: some of them all, the further apart the more there are, and the last.
struct Places {
    most: usize,
    step: u64,
    next: u64,
    taken: Vec<(u64, u64)>,
    last: Option<(u64, u64)>,
}

impl Places {
    fn new(most: usize) -> Self {
        Self { most, step: STEP, next: STEP, taken: Vec::new(), last: None }
    }

    /// A record ends here. One that ends with the file and not with its line may go on another day.
    fn add(&mut self, read: &Placed, records: u64) {
        if !read.ends_line {
            return;
        }
        let place = (read.place, records);
        self.last = Some(place);
        if read.place < self.next {
            return;
        }
        self.taken.push(place);
        if self.taken.len() >= self.most {
            self.step *= 2;
            let mut nth = 0;
            self.taken.retain(|_| {
                nth += 1;
                nth % 2 == 0
            });
        }
        self.next = read.place + self.step;
    }

    fn finish(mut self) -> Vec<(u64, u64)> {
        if self.taken.last() != self.last.as_ref() {
            self.taken.extend(self.last);
        }
        self.taken
    }
}

/// A file's bytes behind its byte order mark, and where it has been read to.
pub(super) struct Placed {
    bytes: BufReader<File>,
    place: u64,
    /// The last byte that was read is a line end, and there may be more.
    ends_line: bool,
}

impl Placed {
    /// `bom`: the length of the byte order mark.
    fn new(file: File, bom: usize) -> io::Result<Self> {
        let mut bytes = BufReader::with_capacity(BUFFER, file);
        io::copy(&mut bytes.by_ref().take(bom as u64), &mut io::sink())?;
        Ok(Self { bytes, place: bom as u64, ends_line: false })
    }
}

impl Read for Placed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Placed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let chunk = self.bytes.fill_buf()?;
        self.ends_line &= !chunk.is_empty();
        Ok(chunk)
    }

    fn consume(&mut self, count: usize) {
        if let Some(last) = self.bytes.buffer()[..count].last() {
            self.ends_line = *last == b'\n';
        }
        self.place += count as u64;
        self.bytes.consume(count);
    }
}

/// A file's first bytes, hashed one after the other.
struct Beginning {
    file: File,
    hasher: blake3::Hasher,
    place: u64,
    buffer: Vec<u8>,
}

impl Beginning {
    fn of(file: File) -> Self {
        Self { file, hasher: blake3::Hasher::new(), place: 0, buffer: vec![0; BUFFER] }
    }

    /// The hash of all bytes before this place, which must not lie behind; `None` where the file ends before it.
    fn hash_to(&mut self, place: u64) -> io::Result<Option<[u8; 32]>> {
        while self.place < place {
            let wanted = usize::try_from(place - self.place).unwrap_or(BUFFER).min(BUFFER);
            match self.file.read(&mut self.buffer[..wanted]) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    self.hasher.update(&self.buffer[..count]);
                    self.place += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(*self.hasher.finalize().as_bytes()))
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK] {
    blake3::hash(bytes).as_bytes().first_chunk().copied().unwrap_or_default()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn number(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}
