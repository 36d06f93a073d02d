//! What a run leaves for the next one, in words of others: what the job asked when it last began, so that a change that
//! re-sends rows can be told before it does; and the marks of its input, so that rows are known again behind which others
//! were put.

use super::{StateDir, StoreError};

const ASKED: &str = "asked";
const MARKS: &str = "marks";

impl StateDir {
    /// What [`StateDir::keep_asked`] kept last; `None` where there is nothing.
    ///
    /// # Errors
    /// I/O.
    pub fn asked(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(ASKED)
    }

    /// Keeps what the job asks, in place of what was kept before.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_asked(&self, asked: &[u8]) -> Result<(), StoreError> {
        self.replace(ASKED, asked)
    }

    /// What [`StateDir::keep_marks`] kept last; `None` where there is nothing.
    ///
    /// # Errors
    /// I/O.
    pub fn marks(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(MARKS)
    }

    /// Keeps the marks of an input, in place of what was kept before.
    ///
    /// # Errors
    /// I/O.
    pub fn keep_marks(&self, marks: &[u8]) -> Result<(), StoreError> {
        self.replace(MARKS, marks)
    }
}
