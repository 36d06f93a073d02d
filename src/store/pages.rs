//! A few pages of a file in memory: for places that are visited nearly in order, but not quite.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// The size of a page, in bytes.
pub(super) const PAGE: usize = 64 << 10;

struct Page {
    number: u64,
    bytes: Box<[u8]>,
    /// How much of it the file had.
    filled: usize,
    dirty: Range<usize>,
    used: u64,
}

/// The pages. Those used longest ago make room, and are written back first where they changed.
pub(super) struct Pages {
    file: File,
    kept: Vec<Page>,
    capacity: usize,
    clock: u64,
}

impl Pages {
    pub(super) fn new(file: File, capacity: usize) -> Self {
        Self { file, kept: Vec::new(), capacity, clock: 0 }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes from `offset` to the end of its page, or of the file.
    pub(super) fn bytes_from(&mut self, offset: u64) -> io::Result<&[u8]> {
        let (number, within) = place(offset);
        let at = self.load(number)?;
        if self.kept[at].filled <= within {
            // The file may have grown since.
            self.reload(at)?;
        }
        let page = &self.kept[at];
        Ok(&page.bytes[within.min(page.filled)..page.filled])
    }

    /// Forgets what is known of the page that holds `offset`, so that it is read anew.
    pub(super) fn refresh(&mut self, offset: u64) -> io::Result<()> {
        let at = self.load(place(offset).0)?;
        self.reload(at)
    }

    /// Changes eight bytes that lie within one page, and returns what stood there. They reach the file when the page makes
    /// room, or with `write_back`.
    pub(super) fn put(&mut self, offset: u64, bytes: [u8; 8]) -> io::Result<[u8; 8]> {
        let (number, within) = place(offset);
        let at = self.load(number)?;
        let page = &mut self.kept[at];
        let end = within + bytes.len();
        let mut before = bytes;
        before.swap_with_slice(&mut page.bytes[within..end]);
        page.filled = page.filled.max(end);
        page.dirty =
            if page.dirty.is_empty() { within..end } else { page.dirty.start.min(within)..page.dirty.end.max(end) };
        Ok(before)
    }

    /// Writes all changes to the file.
    pub(super) fn write_back(&mut self) -> io::Result<()> {
        self.kept.iter_mut().try_for_each(|page| write_page(&self.file, page))
    }

    fn load(&mut self, number: u64) -> io::Result<usize> {
        self.clock += 1;
        let at = match self.kept.iter().position(|page| page.number == number) {
            Some(at) => at,
            None => self.bring_in(number)?,
        };
        self.kept[at].used = self.clock;
        Ok(at)
    }

    fn bring_in(&mut self, number: u64) -> io::Result<usize> {
        let oldest = self.kept.iter().enumerate().min_by_key(|(_, page)| page.used).map(|(at, _)| at);
        let at = oldest.filter(|_| self.kept.len() >= self.capacity).unwrap_or_else(|| {
            let bytes = vec![0; PAGE].into_boxed_slice();
            self.kept.push(Page { number, bytes, filled: 0, dirty: 0..0, used: 0 });
            self.kept.len() - 1
        });
        write_page(&self.file, &mut self.kept[at])?;
        self.kept[at].number = number;
        if let Err(error) = self.reload(at) {
            // A page that was not read must not pass for one that was.
            self.kept.swap_remove(at);
            return Err(error);
        }
        Ok(at)
    }

    fn reload(&mut self, at: usize) -> io::Result<()> {
        let page = &mut self.kept[at];
        write_page(&self.file, page)?;
        page.filled = read_full(&self.file, &mut page.bytes, page.number * PAGE as u64)?;
        page.bytes[page.filled..].fill(0);
        Ok(())
    }
}

/// The page of an offset, and where in it.
fn place(offset: u64) -> (u64, usize) {
    let page = PAGE as u64;
    (offset / page, usize::try_from(offset % page).unwrap_or(0))
}

fn write_page(file: &File, page: &mut Page) -> io::Result<()> {
    let dirty = page.dirty.clone();
    if dirty.is_empty() {
        return Ok(());
    }
    file.write_all_at(&page.bytes[dirty.clone()], page.number * PAGE as u64 + dirty.start as u64)?;
    page.dirty = 0..0;
    Ok(())
}

/// As many bytes as there are, up to the buffer's length.
fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
