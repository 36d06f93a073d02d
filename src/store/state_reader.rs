//! The state as others than its writer see it: no lock, no checkpoint, nothing made or changed, also while a run is on.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::io_error;
use super::log::{HEADER, LOG, check_header};
use super::prune::{Needed, Pruned, weigh};
use super::scan::Scan;
use super::{End, Ended, LogReader, OrderReader, StateDir, Store, StoreError, read_totals};
use crate::types::{
    CallNumber, FailureKind, Key, Ledger, RowHash, RunEndLine, RunKind, RunLine, RunNumber, Usage, UsedValues,
};

/// A job's state, to look at. All that it tells is of one log, the one that was there when it was opened.
pub struct StateReader {
    dir: StateDir,
    path: PathBuf,
    log: File,
    /// As they were last saved, at most a second old while a run is on; `None` where they are not there to be read.
    ledger: Option<Ledger>,
}

impl StateReader {
    /// The state of this job file at `path`; `None` where nothing was ever sent.
    ///
    /// # Errors
    /// [`StoreError::OtherJob`], [`StoreError::Version`] and [`StoreError::NotALog`] where it is not this job's or not ours
    /// to read; I/O.
    pub fn open(path: &Path, job_file: &Path) -> Result<Option<Self>, StoreError> {
        let Some(dir) = StateDir::open_existing(path)? else { return Ok(None) };
        let job_file = job_file.canonicalize().unwrap_or_else(|_| job_file.to_owned());
        dir.is_claimed_by(&job_file)?;
        let path = dir.file(LOG);
        let log = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let len = log.metadata().map_err(io_error("look at", &path))?.len();
        if !check_header(&log, len, &path)? {
            return Ok(None);
        }
        let ledger = match read_totals(&dir) {
            Err(StoreError::Totals { .. }) => None,
            totals => totals?.map(|totals| totals.ledger),
        };
        Ok(Some(Self { dir, path, log, ledger }))
    }

    /// The state that this store writes, as it is now: with the store's own sums, as saved ones may be damaged.
    ///
    /// # Errors
    /// I/O.
    pub fn beside(dir: &StateDir, store: &Store) -> Result<Self, StoreError> {
        let path = dir.file(LOG);
        let log = File::open(&path).map_err(io_error("open", &path))?;
        Ok(Self { dir: dir.clone(), path, log, ledger: Some(store.ledger().clone()) })
    }

    /// The sums as they were last saved: at most a second old while a run is on; `None` where they cannot be read.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.ledger.as_ref()
    }

    /// What the job asked when a run of it last began; `None` where that is not on record.
    ///
    /// # Errors
    /// I/O.
    pub fn asked(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.dir.asked()
    }

    /// A reader of single outcomes.
    ///
    /// # Errors
    /// I/O.
    pub fn log(&self) -> Result<LogReader, StoreError> {
        Ok(LogReader::over(self.handle()?, self.path.clone()))
    }

    /// All outcomes of the log.
    ///
    /// # Errors
    /// I/O.
    pub fn outcomes(&self) -> Result<Logged, StoreError> {
        Ok(Logged { scan: self.scan(HEADER.len() as u64)?, open_run: None })
    }

    /// The outcomes in about the last `bytes` of the log.
    ///
    /// # Errors
    /// I/O.
    pub fn last_outcomes(&self, bytes: u64) -> Result<Logged, StoreError> {
        let len = self.log.metadata().map_err(io_error("look at", &self.path))?.len();
        let from = len.saturating_sub(bytes).max(HEADER.len() as u64);
        // One byte early: where a line begins just there, it is not lost with what stands before it.
        let mut scan = self.scan(from - 1)?;
        scan.next_raw()?;
        Ok(Logged { scan, open_run: None })
    }

    /// The order of outcomes by record number, where one was made for this identity (of the input and the job), and where
    /// the run that goes on began in the log, if there is one. `None` where only a pass over the log can tell.
    ///
    /// # Errors
    /// I/O.
    pub fn order_for(&self, identity: [u8; 16]) -> Result<Option<(OrderReader, Option<u64>)>, StoreError> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let Some((mut order, late_from)) = OrderReader::open_matched(&self.dir, identity)? else { return Ok(None) };
        // An order is of the log that was there when it was: both are replaced when the log is pruned.
        if !self.is_current()? {
            return Ok(None);
        }
        let open_run = ledger.open_run().map(|run| (run.run, run.offset));
        let mut late = Logged { scan: self.scan(late_from)?, open_run };
        for outcome in &mut late {
            let ended = outcome?.ended;
            order.put_late(ended.row, ended.end);
        }
        Ok(Some((order, late.open_run())))
    }

    /// What the log would come to without the outcomes that nothing needs.
    ///
    /// # Errors
    /// [`StoreError::BrokenLine`] where an outcome that is needed does not stand there; I/O.
    pub fn pruned(&self, needed: &Needed) -> Result<Pruned, StoreError> {
        let begin = HEADER.len() as u64;
        weigh(self.scan(begin)?, self.scan(begin)?, needed, &self.path)
    }

    /// Whether the log that was opened is still the one that stands under its name.
    fn is_current(&self) -> Result<bool, StoreError> {
        let opened = self.log.metadata().map_err(io_error("look at", &self.path))?;
        let named = match self.path.metadata() {
            Ok(named) => named,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("look at", &self.path)(error)),
        };
        Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino()))
    }

    fn scan(&self, from: u64) -> Result<Scan, StoreError> {
        Ok(Scan::over(self.handle()?, &self.path, from))
    }

    fn handle(&self) -> Result<File, StoreError> {
        self.log.try_clone().map_err(io_error("open", &self.path))
    }
}

/// What a reader wants to know of an outcome: all but the reply.
#[derive(Clone, Debug)]
pub struct LoggedOutcome {
    /// Its key, and where and how it ended.
    pub ended: Ended,
    /// Of the row's own id.
    pub id_hash: Option<RowHash>,
    /// Of the row's bytes.
    pub row_hash: Option<RowHash>,
    /// Of the values that its request was made of.
    pub used: Option<UsedValues>,
    /// What it asked, whoever it was.
    pub request: Option<Key>,
    /// It ended as another row did.
    pub deduped: bool,
    /// Whether a call was made for it.
    pub called: bool,
    /// The table of the job file that the row used.
    pub task: String,
    /// The provider asked last.
    pub provider: String,
    /// The wire name of the model asked last.
    pub model: String,
    /// The tokens of the last call.
    pub usage: Option<Usage>,
    /// Of the last call, in milliseconds.
    pub latency_ms: u64,
}

/// Outcomes in the order of the log, up to its last whole line. Lines that cannot be read are passed over, as in a run.
pub struct Logged {
    scan: Scan,
    /// The run of the job that goes on, and where it began.
    open_run: Option<(RunNumber, u64)>,
}

impl Logged {
    /// Where the run that goes on began, as far as the log was read. Comparisons are none of the job's runs.
    #[must_use]
    pub fn open_run(&self) -> Option<u64> {
        self.open_run.map(|(_, offset)| offset)
    }

    fn note_run(&mut self, line: &RunLine) {
        let goes_on = self.open_run.is_some_and(|(run, _)| run == line.run);
        if line.kind == RunKind::Job && !goes_on {
            self.open_run = Some((line.run, line.offset));
        }
    }

    fn read_next(&mut self) -> Result<Option<LoggedOutcome>, StoreError> {
        loop {
            let offset = self.scan.position();
            let Some(bytes) = self.scan.next_raw()? else { return Ok(None) };
            let Ok(line) = serde_json::from_slice::<Line>(bytes) else { continue };
            if let Some(run) = &line.run {
                self.note_run(run);
            }
            if let Some(end) = line.run_end {
                self.open_run = self.open_run.filter(|(run, _)| *run != end.run);
            }
            if let Some(outcome) = line.outcome {
                return Ok(Some(outcome.at(offset)));
            }
        }
    }
}

impl Iterator for Logged {
    type Item = Result<LoggedOutcome, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// A line, read only as far as is needed: the replies are most of the log.
#[derive(Deserialize)]
struct Line {
    run: Option<RunLine>,
    run_end: Option<RunEndLine>,
    outcome: Option<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    call: CallNumber,
    key: Key,
    row: u64,
    id_hash: Option<RowHash>,
    row_hash: Option<RowHash>,
    used: Option<UsedValues>,
    request: Option<Key>,
    #[serde(default)]
    deduped: bool,
    task: String,
    failure: Option<Kind>,
    provider: String,
    model: String,
    usage: Option<Usage>,
    latency_ms: u64,
    replaces: Option<u64>,
    #[serde(default)]
    truncated: bool,
    #[serde(default)]
    compared: bool,
}

#[derive(Deserialize)]
struct Kind {
    kind: FailureKind,
}

impl Outcome {
    fn at(self, offset: u64) -> LoggedOutcome {
        let failure = self.failure.map(|failure| failure.kind);
        let end = End { offset, failure, truncated: self.truncated, compared: self.compared };
        LoggedOutcome {
            ended: Ended { key: self.key, row: self.row, end, replaces: self.replaces },
            id_hash: self.id_hash,
            row_hash: self.row_hash,
            used: self.used,
            request: self.request,
            deduped: self.deduped,
            called: self.call != 0,
            task: self.task,
            provider: self.provider,
            model: self.model,
            usage: self.usage,
            latency_ms: self.latency_ms,
        }
    }
}
