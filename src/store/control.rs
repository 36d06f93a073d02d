//! The `control` file: a word for the process that runs the job, left by another one.

use std::fs::{self, File, TryLockError};

use super::error::io_error;
use super::lock::read_holder;
use super::{Holder, StateDir, StoreError};

const NAME: &str = "control";

/// What a running job can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Send no calls; those in flight finish.
    Pause,
    /// Send calls again.
    Resume,
    /// Stop: calls in flight finish and are recorded.
    Drain,
}

impl Control {
    fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Drain => "drain",
        }
    }
}

impl StateDir {
    /// Leaves a word for the process that runs the job; an earlier one that was not taken yet is replaced.
    ///
    /// # Errors
    /// I/O.
    pub fn put_control(&self, control: Control) -> Result<(), StoreError> {
        let (path, beside) = (self.file(NAME), self.file("control.new"));
        fs::write(&beside, control.word()).map_err(io_error("write to", &beside))?;
        fs::rename(&beside, &path).map_err(io_error("replace", &path))
    }

    /// Takes the word, if one was left; what is none is thrown away. For the holder of the lock.
    #[must_use]
    pub fn take_control(&self) -> Option<Control> {
        let path = self.file(NAME);
        let word = fs::read_to_string(&path).ok()?;
        // Where even this fails it is obeyed again, which changes nothing.
        let _ = fs::remove_file(&path);
        [Control::Pause, Control::Resume, Control::Drain].into_iter().find(|control| control.word() == word.trim())
    }

    /// Who has the lock; `None` where nobody does. It looks by taking the lock for an instant together with others who
    /// look.
    ///
    /// # Errors
    /// I/O.
    pub fn holder(&self) -> Result<Option<Holder>, StoreError> {
        let path = self.file("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(file))),
            Err(TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        }
    }
}
