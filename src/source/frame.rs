//! Finds where a record ends, without parsing it.

use std::io::{self, BufRead, ErrorKind};

use memchr::{memchr, memchr_iter, memchr2};

/// How records end.
#[derive(Debug)]
pub(super) enum Ends {
    /// At each line end; lines of nothing but blanks are no records.
    Lines,
    /// At a line end outside quotes; empty lines are no records.
    Quoted(Quotes),
}

impl Ends {
    fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => memchr(b'\n', chunk),
            Self::Quoted(quotes) => quotes.find(chunk),
        }
    }

    fn is_blank(&self, part: &[u8]) -> bool {
        match self {
            Self::Lines => part.iter().all(u8::is_ascii_whitespace),
            Self::Quoted(_) => part.iter().all(|byte| *byte == b'\r'),
        }
    }

    /// Line ends within a record.
    fn inner_lines(&self, part: &[u8]) -> u64 {
        match self {
            Self::Lines => 0,
            Self::Quoted(_) => memchr_iter(b'\n', part).count() as u64,
        }
    }

    /// Starts a new record; says whether the last one ended within quotes.
    fn restart(&mut self) -> bool {
        match self {
            Self::Lines => false,
            Self::Quoted(quotes) => quotes.restart(),
        }
    }
}

/// Follows CSV's quotes through a record: a quote opens only at the start of a field, and a doubled one is a character.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiters: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next byte starts a field.
    FieldStart,
    /// Outside quotes, within a field.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the end of them, or the first half of a doubled one.
    QuoteSeen,
}

impl Quotes {
    /// Several delimiters: it is not yet known which one it is.
    pub(super) fn new(delimiters: &[u8]) -> Self {
        Self { delimiters: delimiters.to_vec(), state: State::FieldStart }
    }

    fn restart(&mut self) -> bool {
        std::mem::replace(&mut self.state, State::FieldStart) == State::Quoted
    }

    fn after(&self, byte: u8) -> State {
        if self.delimiters.contains(&byte) { State::FieldStart } else { State::Plain }
    }

    /// Where the line end that ends the record stands in this chunk.
    fn find(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Quoted => match memchr(b'"', &chunk[at..]) {
                    Some(offset) => {
                        self.state = State::QuoteSeen;
                        at + offset + 1
                    }
                    None => chunk.len(),
                },
                State::QuoteSeen if chunk[at] == b'"' => {
                    self.state = State::Quoted;
                    at + 1
                }
                State::FieldStart | State::Plain | State::QuoteSeen => match self.find_outside(chunk, at) {
                    Ok(next) => next,
                    Err(end) => return Some(end),
                },
            };
        }
        None
    }

    /// Goes on outside quotes to behind the next quote (`Ok`), or to the record's end (`Err`).
    fn find_outside(&mut self, chunk: &[u8], at: usize) -> Result<usize, usize> {
        let found = memchr2(b'"', b'\n', &chunk[at..]).map(|offset| at + offset);
        let stop = found.unwrap_or(chunk.len());
        if stop > at {
            self.state = self.after(chunk[stop - 1]);
        }
        match found {
            None => Ok(chunk.len()),
            Some(end) if chunk[end] == b'\n' => Err(end),
            Some(quote) => {
                let opens = self.state == State::FieldStart;
                self.state = if opens { State::Quoted } else { State::Plain };
                Ok(quote + 1)
            }
        }
    }
}

/// The outline of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The line on which it starts, from 1.
    pub(super) line: u64,
    /// Its length in bytes without the line end, also where less of it was kept.
    pub(super) len: usize,
    /// Whether the file ended within quotes.
    pub(super) open_quote: bool,
}

/// Splits bytes into records, one after the other.
pub(super) struct Framer<R> {
    input: R,
    ends: Ends,
    line: u64,
}

impl<R: BufRead> Framer<R> {
    pub(super) fn new(input: R, ends: Ends) -> Self {
        Self { input, ends, line: 1 }
    }

    /// The same bytes under another rule, from the next record on.
    pub(super) fn with_ends(self, ends: Ends) -> Self {
        Self { ends, ..self }
    }

    /// What the records are read from, just behind the last one.
    pub(super) fn input(&self) -> &R {
        &self.input
    }

    /// The next record; `into` gets its first `keep` bytes at most, without the line end.
    pub(super) fn next(&mut self, into: &mut Vec<u8>, keep: usize) -> io::Result<Option<Frame>> {
        loop {
            into.clear();
            match self.read_one(into, keep)? {
                Some((_, true)) => {}
                Some((frame, false)) => return Ok(Some(frame)),
                None => return Ok(None),
            }
        }
    }

    /// One record, and whether it is blank.
    fn read_one(&mut self, into: &mut Vec<u8>, keep: usize) -> io::Result<Option<(Frame, bool)>> {
        let mut frame = Frame { line: self.line, len: 0, open_quote: false };
        let (mut any, mut blank, mut last) = (false, true, None);
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = self.ends.find(chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let at_end = end.is_some() || chunk.is_empty();
            any |= !chunk.is_empty();
            blank = blank && self.ends.is_blank(part);
            last = part.last().copied().or(last);
            into.extend_from_slice(&part[..part.len().min(keep.saturating_sub(into.len()))]);
            frame.len += part.len();
            self.line += self.ends.inner_lines(part) + u64::from(end.is_some());
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            if at_end {
                frame.open_quote = self.ends.restart();
                strip_carriage_return(&mut frame, last, into);
                return Ok(any.then_some((frame, blank)));
            }
        }
    }
}

/// Takes the CR of a CRLF off, where the record ends with one.
fn strip_carriage_return(frame: &mut Frame, last: Option<u8>, into: &mut Vec<u8>) {
    if last != Some(b'\r') || frame.open_quote {
        return;
    }
    if into.len() == frame.len {
        into.pop();
    }
    frame.len -= 1;
}
