//! Finds where the elements of a JSON array end, without parsing them.

use std::io::{BufRead, ErrorKind};

use memchr::{memchr_iter, memchr2};

use super::frame::Frame;
use super::reader::Stopped;

/// Deeper than any parser of ours goes; more open brackets are no data.
const MAX_DEPTH: usize = 1024;

/// Splits a file that holds one array into its elements, however long it is. Whether an element is an object is not
/// asked here: what can be told from its neighbours is a record, if a broken one.
pub(super) struct Elements<R> {
    input: R,
    line: u64,
    state: State,
    /// The brackets that are open within the element.
    open: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the array's `[`.
    Before,
    /// Between elements.
    Between,
    /// Within an element, outside strings.
    Element,
    /// Within a string of an element.
    Text,
    /// Behind a backslash within a string.
    Escape,
    /// Behind the array's `]`.
    Behind,
}

/// What a byte does to the element being read.
enum Step {
    /// It belongs to no element.
    Skip,
    /// It belongs to the element.
    Keep,
    /// It ends the element, and is no part of it.
    End,
}

impl<R: BufRead> Elements<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 1, state: State::Before, open: Vec::new() }
    }

    /// Goes to the array's beginning.
    pub(super) fn begin(&mut self) -> Result<(), Stopped> {
        while self.state == State::Before {
            let chunk = match self.input.fill_buf() {
                Ok([]) => return self.end().map(drop),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let blanks = chunk.len() - chunk.trim_ascii_start().len();
            let mut scan = Scan { line: self.line, state: self.state, open: &mut self.open };
            scan.line += memchr_iter(b'\n', &chunk[..blanks]).count() as u64;
            if let Some(first) = chunk.get(blanks) {
                scan.before(*first)?;
            }
            (self.line, self.state) = (scan.line, scan.state);
            let used = chunk.len().min(blanks + 1);
            self.input.consume(used);
        }
        Ok(())
    }

    /// The next element; `into` gets its first `keep` bytes at most, without blanks around it.
    pub(super) fn next(&mut self, into: &mut Vec<u8>, keep: usize) -> Result<Option<Frame>, Stopped> {
        into.clear();
        let mut frame = Frame { line: self.line, len: 0, open_quote: false };
        let mut blanks = 0;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok([]) => return self.end(),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut scan = Scan { line: self.line, state: self.state, open: &mut self.open };
            let (part, used, ended) = scan.run(chunk, &mut frame)?;
            (self.line, self.state) = (scan.line, scan.state);
            into.extend_from_slice(&part[..part.len().min(keep.saturating_sub(into.len()))]);
            frame.len += part.len();
            blanks = if part.trim_ascii_end().is_empty() { blanks + part.len() } else { trailing_blanks(part) };
            self.input.consume(used);
            if ended {
                frame.len -= blanks;
                into.truncate(frame.len);
                return Ok(Some(frame));
            }
        }
    }

    fn end(&self) -> Result<Option<Frame>, Stopped> {
        let problem = match self.state {
            State::Behind => return Ok(None),
            State::Before => "the file is empty, but a JSON array was expected\n  hint: one without rows is []",
            State::Between => {
                "the file ends before the array's `]`\n  hint: if it was cut short, write or copy it again in full"
            }
            State::Element => {
                "the file ends within an element of the array\n  hint: if it was cut short, write or copy it again in full"
            }
            State::Text | State::Escape => {
                "the file ends within a string\n  hint: look for a quote that is not closed, before this line"
            }
        };
        Err(Stopped::Array { line: self.line, problem: problem.to_owned() })
    }
}

fn trailing_blanks(part: &[u8]) -> usize {
    part.len() - part.trim_ascii_end().len()
}

/// One chunk under reading.
struct Scan<'a> {
    line: u64,
    state: State,
    open: &'a mut Vec<u8>,
}

impl Scan<'_> {
    /// The part of the chunk that belongs to the element, how much of the chunk is used, and whether the element ended.
    fn run<'c>(&mut self, chunk: &'c [u8], frame: &mut Frame) -> Result<(&'c [u8], usize, bool), Stopped> {
        let (mut start, mut at) = (0, 0);
        while at < chunk.len() {
            if self.state == State::Text {
                at = self.text(chunk, at);
                continue;
            }
            let outside = !self.within();
            match self.step(chunk[at])? {
                Step::Skip => start = at + 1,
                Step::Keep if outside => (start, frame.line) = (at, self.line),
                Step::Keep => {}
                Step::End => return Ok((&chunk[start..at], at + 1, true)),
            }
            self.line += u64::from(chunk[at] == b'\n');
            at += 1;
        }
        Ok((&chunk[start..], chunk.len(), false))
    }

    fn within(&self) -> bool {
        matches!(self.state, State::Element | State::Text | State::Escape)
    }

    /// Goes on within a string, to behind its quote or to the end of the chunk.
    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        let found = memchr2(b'"', b'\\', &chunk[at..]).map(|offset| at + offset);
        let end = found.map_or(chunk.len(), |found| found + 1);
        self.line += memchr_iter(b'\n', &chunk[at..end]).count() as u64;
        match found.map(|found| chunk[found]) {
            Some(b'"') => self.state = State::Element,
            Some(_) => self.state = State::Escape,
            None => {}
        }
        end
    }

    fn step(&mut self, byte: u8) -> Result<Step, Stopped> {
        match self.state {
            State::Before => self.before(byte),
            State::Between => self.between(byte),
            State::Element => self.element(byte),
            State::Text | State::Escape => {
                self.state = State::Text;
                Ok(Step::Keep)
            }
            State::Behind if byte.is_ascii_whitespace() => Ok(Step::Skip),
            State::Behind => self.stop("something follows the array\n  hint: the file must hold one array and no more"),
        }
    }

    fn before(&mut self, byte: u8) -> Result<Step, Stopped> {
        match byte {
            b'[' => self.state = State::Between,
            b'{' => {
                return self.stop(
                    "an object stands where a JSON array was expected\n  hint: if each line is an object, set \
                     input.format = \"jsonl\", else make the file one array of objects",
                );
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                return self.stop(
                    "the file does not start with `[`, as an array of objects does\n  hint: input.format says how it \
                     is read, else its name does",
                );
            }
        }
        Ok(Step::Skip)
    }

    fn between(&mut self, byte: u8) -> Result<Step, Stopped> {
        match byte {
            b']' => self.state = State::Behind,
            // Nothing stands before a comma that is one too many, as in JSONL nothing stands on an empty line.
            b',' => {}
            byte if byte.is_ascii_whitespace() => {}
            byte => {
                self.state = State::Element;
                return self.element(byte);
            }
        }
        Ok(Step::Skip)
    }

    fn element(&mut self, byte: u8) -> Result<Step, Stopped> {
        match byte {
            b'"' => self.state = State::Text,
            b'{' | b'[' if self.open.len() == MAX_DEPTH => return self.stop("brackets are nested too deep to be data"),
            b'{' | b'[' => self.open.push(byte),
            b',' if self.open.is_empty() => {
                self.state = State::Between;
                return Ok(Step::End);
            }
            b']' if self.open.is_empty() => {
                self.state = State::Behind;
                return Ok(Step::End);
            }
            b'}' | b']' => return self.close(byte),
            _ => {}
        }
        Ok(Step::Keep)
    }

    fn close(&mut self, byte: u8) -> Result<Step, Stopped> {
        let opener = if byte == b'}' { b'{' } else { b'[' };
        if self.open.pop() == Some(opener) {
            return Ok(Step::Keep);
        }
        let byte = char::from(byte);
        self.stop(&format!("`{byte}` closes what is not open; the elements behind it cannot be told apart\n  hint: mend the brackets there"))
    }

    fn stop(&self, problem: &str) -> Result<Step, Stopped> {
        Err(Stopped::Array { line: self.line, problem: problem.to_owned() })
    }
}
