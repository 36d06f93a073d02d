//! The order: for each input row where its outcome stands, 8 bytes each. Scratch: made again by matching keys.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::error::io_error;
use super::pages::Pages;
use super::{End, StateDir, StoreError};

const NAME: &str = "order";
const MAGIC: &[u8; 8] = b"ovorder\x02";
const HEADER: usize = 72;
const ENTRY: u64 = 8;
/// An entry whose line may be gone. It unpacks to none.
const FORGOTTEN: u64 = 0x100;
/// Rows end nearly in order: two pages would do, the others are for a slow row that comes late.
const WRITE_PAGES: usize = 4;
const READ_PAGES: usize = 2;

/// Whether the order tells all outcomes that today's rows have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderState {
    /// It does: a row without an entry has no outcome.
    Matched,
    /// It is empty, and there are outcomes: rows must be matched by key.
    Unmatched,
}

/// What an input has in common with an earlier one, of which an order tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Of the earlier input, and of the job that the order was made for.
    pub identity: [u8; 16],
    /// So many rows from the first one on are the same.
    pub rows: u64,
}

/// What the file's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Of the input and the job.
    identity: [u8; 16],
    matched: bool,
    /// The log's length when this order began: outcomes behind it have today's row numbers.
    base: u64,
    /// The log's length up to which entries are known to be on disk.
    synced: u64,
    /// What was put in before the log had this length is of the input that the identity speaks of: that had not changed by
    /// then. 56 bits; nothing in orders of before it was noted.
    confirmed: u64,
    /// The weights of all entries that point to a place before `summed`, added up: a page that went bad shows.
    sum: u64,
    summed: u64,
}

impl Header {
    fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.identity);
        bytes[24..32].copy_from_slice(&(self.confirmed << 8 | u64::from(self.matched)).to_le_bytes());
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.sum.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.summed.to_le_bytes());
        let check = checksum(&bytes);
        bytes[64..].copy_from_slice(&check);
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        if !bytes.starts_with(MAGIC) || checksum(bytes) != bytes[64..] {
            return None;
        }
        Some(Self {
            identity: *bytes[8..].first_chunk()?,
            matched: bytes[24] != 0,
            confirmed: u64::from_le_bytes(*bytes[24..].first_chunk()?) >> 8,
            base: u64::from_le_bytes(*bytes[32..].first_chunk()?),
            synced: u64::from_le_bytes(*bytes[40..].first_chunk()?),
            sum: u64::from_le_bytes(*bytes[48..].first_chunk()?),
            summed: u64::from_le_bytes(*bytes[56..].first_chunk()?),
        })
    }
}

fn checksum(header: &[u8; HEADER]) -> [u8; 8] {
    blake3::hash(&header[..64]).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// Where the entry of a row stands in the file, in bytes.
fn place(row: u64) -> u64 {
    HEADER as u64 + row.saturating_sub(1) * ENTRY
}

/// What an entry adds to the sum; nothing where there is none.
fn weight(place: u64, packed: u64) -> u64 {
    if packed == 0 {
        return 0;
    }
    // The mixing of splitmix64: a changed bit anywhere changes about half of the weight's.
    let mixed = (packed ^ place.rotate_left(40)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// The order, open for writing.
pub(super) struct Order {
    path: PathBuf,
    pages: Pages,
    /// As on disk, but for `sum` and `summed`: those are of the entries as they are now; and for `confirmed`.
    header: Header,
    /// What was confirmed is not on disk yet.
    unsaved: bool,
    /// An entry could not be put in: the order must not be taken for whole.
    lost_entries: bool,
}

impl Order {
    /// An empty order.
    pub(super) fn begin(
        dir: &StateDir,
        identity: [u8; 16],
        state: OrderState,
        base: u64,
        cursor: u64,
    ) -> Result<Self, StoreError> {
        let path = dir.file(NAME);
        let open = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        let matched = state == OrderState::Matched;
        let header = Header { identity, matched, base, synced: cursor, confirmed: 0, sum: 0, summed: 0 };
        file.write_all_at(&header.encode(), 0).map_err(io_error("write to", &path))?;
        Ok(Self::over(path, file, header))
    }

    /// Removes the order on disk.
    pub(super) fn remove(dir: &StateDir) -> Result<(), StoreError> {
        let path = dir.file(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", &path)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// The order on disk, if it is of this identity, matched, as it was written, and can be brought up to date from `cursor`
    /// on.
    pub(super) fn resume(
        dir: &StateDir,
        identity: [u8; 16],
        cursor: u64,
        log_len: u64,
    ) -> Result<Option<Self>, StoreError> {
        let path = dir.file(NAME);
        let file = match File::options().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let sound = |header: &Header| {
            header.identity == identity && header.matched && cursor <= header.synced && header.base <= log_len
        };
        let Some(header) = read_header(&file, &path)?.filter(sound) else { return Ok(None) };
        let mut order = Self::over(path, file, header);
        Ok(order.add_up()?.then_some(order))
    }

    fn over(path: PathBuf, file: File, header: Header) -> Self {
        Self { path, pages: Pages::new(file, WRITE_PAGES), header, unsaved: false, lost_entries: false }
    }

    /// Outcomes at or behind this place in the log have today's row numbers.
    pub(super) fn base(&self) -> u64 {
        self.header.base
    }

    /// Puts a row's end in.
    pub(super) fn put(&mut self, row: u64, end: End) -> Result<(), StoreError> {
        self.header.summed = self.header.summed.max(end.offset + 1);
        self.put_packed(place(row), end.pack())
    }

    fn put_packed(&mut self, place: u64, packed: u64) -> Result<(), StoreError> {
        match self.pages.put(place, packed.to_le_bytes()) {
            Ok(before) => {
                let before = weight(place, u64::from_le_bytes(before));
                self.header.sum = self.header.sum.wrapping_sub(before).wrapping_add(weight(place, packed));
                Ok(())
            }
            Err(error) => {
                self.lost_entries = true;
                Err(io_error("write to", &self.path)(error))
            }
        }
    }

    /// Sums up all entries, those written after the header too; `false` where those that the header sums up are others now.
    fn add_up(&mut self) -> Result<bool, StoreError> {
        let (mut at, mut known, mut new) = (HEADER as u64, 0u64, 0u64);
        let Header { sum, summed, .. } = self.header;
        loop {
            let entries = self.entries_from(at)?;
            if entries.is_empty() {
                self.header.sum = known.wrapping_add(new);
                return Ok(known == sum);
            }
            for packed in entries {
                let end = End::unpack(packed);
                let part = if end.is_some_and(|end| end.offset >= summed) { &mut new } else { &mut known };
                *part = part.wrapping_add(weight(at, packed));
                self.header.summed = self.header.summed.max(end.map_or(0, |end| end.offset + 1));
                at += ENTRY;
            }
        }
    }

    /// Marks all entries that point to this place in the log or behind it as forgotten; whether there were any.
    pub(super) fn forget_from(&mut self, offset: u64) -> Result<bool, StoreError> {
        let stands = |packed| packed == 0 || End::unpack(packed).is_some_and(|end| end.offset < offset);
        let (mut at, mut any) = (HEADER as u64, false);
        loop {
            let entries = self.entries_from(at)?;
            if entries.is_empty() {
                return Ok(any);
            }
            for (_, index) in entries.iter().zip(0u64..).filter(|(packed, _)| !stands(**packed)) {
                self.put_packed(at + index * ENTRY, FORGOTTEN)?;
                any = true;
            }
            at += entries.len() as u64 * ENTRY;
        }
    }

    /// Whether entries that were forgotten have not been put in again.
    pub(super) fn has_forgotten(&mut self) -> Result<bool, StoreError> {
        let mut at = HEADER as u64;
        loop {
            let entries = self.entries_from(at)?;
            if entries.is_empty() || entries.contains(&FORGOTTEN) {
                return Ok(!entries.is_empty());
            }
            at += entries.len() as u64 * ENTRY;
        }
    }

    /// The entries from here to the end of their page; none at the end of the file.
    fn entries_from(&mut self, at: u64) -> Result<Vec<u64>, StoreError> {
        let bytes = self.pages.bytes_from(at).map_err(io_error("read", &self.path))?;
        // A torn entry at the end counts as one, so that what comes behind it later does not complete it.
        let entry = |bytes: &[u8]| bytes.iter().rev().fold(0, |packed, byte| packed << 8 | u64::from(*byte));
        Ok(bytes.chunks(8).map(entry).collect())
    }

    /// Lets readers see all entries.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.pages.write_back().map_err(io_error("write to", &self.path))
    }

    /// The input has not changed up to now, when the log has this length: all that is told of it so far is true of it.
    pub(super) fn confirm(&mut self, log_len: u64) {
        if self.header.matched && self.header.confirmed != log_len {
            self.header.confirmed = log_len;
            self.unsaved = true;
        }
    }

    /// Makes last what was confirmed.
    pub(super) fn save_confirmed(&mut self) -> Result<(), StoreError> {
        if self.unsaved { self.commit(self.header) } else { Ok(()) }
    }

    /// Makes this the order of another input that begins with as many rows of the one that it tells of. What it tells of
    /// those, and was confirmed, stays; where they ended is returned, sorted. Not matched until that is said.
    pub(super) fn carry_over(
        &mut self,
        identity: [u8; 16],
        rows: u64,
        base: u64,
        cursor: u64,
    ) -> Result<Vec<u64>, StoreError> {
        // A kill from here on leaves an order that nobody takes for whole.
        self.commit(Header { matched: false, ..self.header })?;
        let (mut at, mut stay, confirmed) = (HEADER as u64, Vec::new(), self.header.confirmed);
        loop {
            let entries = self.entries_from(at)?;
            if entries.is_empty() {
                break;
            }
            for (packed, place_of) in entries.iter().zip((at..).step_by(8)) {
                match End::unpack(*packed) {
                    Some(end) if place_of < place(rows + 1) && end.offset < confirmed => stay.push(end.offset),
                    Some(_) => self.put_packed(place_of, 0)?,
                    None => {}
                }
            }
            at += entries.len() as u64 * ENTRY;
        }
        stay.sort_unstable();
        self.commit(Header { identity, matched: false, base, synced: cursor, confirmed: base, ..self.header })?;
        Ok(stay)
    }

    /// Makes all entries last through a power loss, before the checkpoint's cursor moves to `cursor`.
    pub(super) fn sync(&mut self, cursor: u64) -> Result<(), StoreError> {
        self.commit(Header { synced: cursor, ..self.header })
    }

    /// The same for another thread, of all entries that there are now. [`Order::is_synced`] comes once it is done, and no
    /// other change of the header before that.
    pub(super) fn sync_apart(
        &mut self,
        cursor: u64,
    ) -> Result<(Header, impl FnOnce() -> Result<(), StoreError> + Send + use<>), StoreError> {
        self.write_entries()?;
        let header = Header { synced: cursor, ..self.header };
        let (file, path) = (self.pages.file().try_clone().map_err(io_error("sync", &self.path))?, self.path.clone());
        Ok((header, move || make_last(&file, header).map_err(io_error("sync", &path))))
    }

    /// This header stands on disk; what has been put in or confirmed since is not in it.
    pub(super) fn is_synced(&mut self, header: Header) {
        self.header.synced = header.synced;
        self.unsaved = self.header.confirmed != header.confirmed;
    }

    /// All rows of today's input have been looked up.
    pub(super) fn mark_matched(&mut self) -> Result<(), StoreError> {
        // What was found by key was read by now, and nobody has looked whether the input changed before that.
        let confirmed = if self.header.matched { self.header.confirmed } else { 0 };
        self.commit(Header { matched: true, confirmed, ..self.header })
    }

    /// What was carried over is all that the rows of today's input have.
    pub(super) fn mark_carried(&mut self) -> Result<(), StoreError> {
        self.commit(Header { matched: true, ..self.header })
    }

    fn commit(&mut self, header: Header) -> Result<(), StoreError> {
        self.write_entries()?;
        make_last(self.pages.file(), header).map_err(io_error("sync", &self.path))?;
        self.header = header;
        self.unsaved = false;
        Ok(())
    }

    fn write_entries(&mut self) -> Result<(), StoreError> {
        if self.lost_entries {
            let source = io::Error::other("an entry was lost when it was written before");
            return Err(io_error("sync", &self.path)(source));
        }
        self.flush()
    }
}

/// The entries first: the header must not speak of entries that are not there.
fn make_last(file: &File, header: Header) -> io::Result<()> {
    file.sync_data()?;
    file.write_all_at(&header.encode(), 0)?;
    file.sync_data()
}

/// Of which identity the order on disk is, if there is one that another may take places from.
pub(super) fn identity_on_disk(dir: &StateDir) -> Option<[u8; 16]> {
    let path = dir.file(NAME);
    let header = read_header(&File::open(&path).ok()?, &path).ok()??;
    (header.matched && header.confirmed > 0).then_some(header.identity)
}

fn read_header(file: &File, path: &Path) -> Result<Option<Header>, StoreError> {
    let mut bytes = [0; HEADER];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Header::decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

/// The order, read by row: cheap where rows come in order. Sees what the writer had flushed when it was opened, and of rows
/// behind the last one of that nothing.
pub struct OrderReader {
    path: PathBuf,
    pages: Pages,
    /// Its length then, in bytes: looking for more would be a read for each new row.
    len: u64,
    /// Outcomes at this place of the log or behind it are taken from `late` alone; beyond all places where the order is
    /// whole.
    late_from: u64,
    late: HashMap<u64, End>,
}

impl OrderReader {
    /// Opens the order of this state directory for reading.
    ///
    /// # Errors
    /// I/O, also where no run has made an order yet.
    pub fn open(dir: &StateDir) -> Result<Self, StoreError> {
        let path = dir.file(NAME);
        let file = File::open(&path).map_err(io_error("open", &path))?;
        Self::over(path, file, u64::MAX)
    }

    fn over(path: PathBuf, file: File, late_from: u64) -> Result<Self, StoreError> {
        let len = file.metadata().map_err(io_error("look at", &path))?.len();
        Ok(Self { path, pages: Pages::new(file, READ_PAGES), len, late_from, late: HashMap::new() })
    }

    /// The order as the last commit left it, if it is of this identity and matched: for those who do not hold the lock.
    /// With it the place in the log from which on outcomes are missing; [`OrderReader::put_late`] takes them.
    pub(super) fn open_matched(dir: &StateDir, identity: [u8; 16]) -> Result<Option<(Self, u64)>, StoreError> {
        let path = dir.file(NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let header = read_header(&file, &path)?.filter(|header| header.identity == identity && header.matched);
        let Some(header) = header else { return Ok(None) };
        // Before its base an order has places that were found by key: there the log's row numbers mean other rows.
        let late_from = header.base.max(header.synced);
        Ok(Some((Self::over(path, file, late_from)?, late_from)))
    }

    /// Puts in an outcome that the order may not have on disk yet.
    pub(super) fn put_late(&mut self, row: u64, end: End) {
        self.late.insert(row, end);
    }

    /// How the row with this record number, from 1, ended; `None` where it has no outcome.
    ///
    /// # Errors
    /// I/O.
    pub fn get(&mut self, row: u64) -> Result<Option<End>, StoreError> {
        if let Some(end) = self.late.get(&row) {
            return Ok(Some(*end));
        }
        if place(row) >= self.len {
            return Ok(None);
        }
        let bytes = self.pages.bytes_from(place(row)).map_err(io_error("read", &self.path))?;
        let end = bytes.first_chunk().and_then(|entry| End::unpack(u64::from_le_bytes(*entry)));
        Ok(end.filter(|end| end.offset < self.late_from))
    }
}
