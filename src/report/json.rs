//! The report as JSON.

use super::{Report, ReportError};

/// One object on one line, line break included. Money is exact.
///
/// # Errors
/// [`ReportError::Encode`], which nothing in a report should bring about.
pub fn to_json(report: &Report) -> Result<String, ReportError> {
    let mut line = serde_json::to_string(report).map_err(|error| ReportError::Encode(error.to_string()))?;
    line.push('\n');
    Ok(line)
}
