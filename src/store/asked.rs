//! What the job asked when a run of it last began: so that a change that re-sends rows can be told before it does.

use std::fs;
use std::io::ErrorKind;

use super::error::io_error;
use super::{StateDir, StoreError};

const NAME: &str = "asked";

impl StateDir {
    /// What [`StateDir::keep_asked`] kept last; `None` where there is nothing.
    ///
    /// # Errors
    /// I/O.
    pub fn asked(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.file(NAME);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Keeps what the job asks, in place of what was kept before.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_asked(&self, asked: &[u8]) -> Result<(), StoreError> {
        let (path, beside) = (self.file(NAME), self.file("asked.new"));
        fs::write(&beside, asked).map_err(io_error("write to", &beside))?;
        fs::rename(&beside, &path).map_err(io_error("replace", &path))
    }
}
