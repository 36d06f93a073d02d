//! Finds the failed outcomes that stand: those that no later line has replaced.

use super::error::io_error;
use super::log::{HEADER, LOG};
use super::scan::{Scan, Scanned};
use super::{OrderReader, StateDir, StoreError};
use crate::types::{LogLine, OutcomeLine};

/// Reads the log once and shows each failed outcome, with its place, to `see`; returns which of them stand, as their numbers in that
/// order, from 0. Memory grows with the failures, by some bytes for each.
///
/// With `by_order` the order of the last run also says whose row is still in the input: for a job that has finished.
///
/// # Errors
/// I/O. A log that is not there yet has no failures.
pub fn failed_outcomes(
    dir: &StateDir,
    by_order: bool,
    mut see: impl FnMut(u64, &OutcomeLine),
) -> Result<Vec<usize>, StoreError> {
    let log = dir.file(LOG);
    if !log.try_exists().map_err(io_error("look for", &log))? {
        return Ok(Vec::new());
    }
    let (mut failed, mut replaced) = (Vec::new(), Vec::new());
    let mut scan = Scan::open(&log, HEADER.len() as u64)?;
    loop {
        let begin = scan.position();
        match scan.next()? {
            None => break,
            Some(Scanned::Line(line)) => {
                let LogLine::Outcome(outcome) = *line else { continue };
                replaced.extend(outcome.replaces);
                // What one model failed in a comparison is no failure of the job.
                if outcome.failure.is_some() && !outcome.compared {
                    see(begin, &outcome);
                    failed.push(begin);
                }
            }
            Some(Scanned::Broken | Scanned::Torn) => {}
        }
    }
    replaced.sort_unstable();
    let known = if by_order { failed_in_order(dir)? } else { None };
    let stands = |offset: &u64| {
        let in_input = known.as_ref().is_none_or(|known| known.binary_search(offset).is_ok());
        in_input && replaced.binary_search(offset).is_err()
    };
    Ok(failed.iter().enumerate().filter(|(_, offset)| stands(offset)).map(|(number, _)| number).collect())
}

/// Where the outcomes of today's failed rows stand, sorted; `None` where there is no order.
fn failed_in_order(dir: &StateDir) -> Result<Option<Vec<u64>>, StoreError> {
    let path = dir.file("order");
    let Ok(found) = path.metadata() else { return Ok(None) };
    let mut order = OrderReader::open(dir)?;
    let mut failed = Vec::new();
    // An entry has 8 bytes; the header makes this a little more than there are.
    for row in 1..=found.len() / 8 {
        let end = order.get(row)?;
        failed.extend(end.filter(|end| end.failure.is_some()).map(|end| end.offset));
    }
    failed.sort_unstable();
    Ok(Some(failed))
}
