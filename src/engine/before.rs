//! What the totals said of the job besides its sums before this invocation began.

use serde_json::{Map, Value};

use crate::store::{StateDir, read_totals};

/// Where the totals of a comparison keep what they said of the job: its own rows are none of the job's, and it may be killed.
pub(super) const JOB_BEFORE: &str = "job";

/// What an earlier invocation had to say besides its sums.
pub(super) fn told_before(state: &StateDir) -> Map<String, Value> {
    // Totals that cannot be read are written anew in a second.
    let mut told = read_totals(state).ok().flatten().map(|totals| totals.extra).unwrap_or_default();
    match told.remove(JOB_BEFORE) {
        Some(Value::Object(mut job)) => {
            job.extend(told.remove("held").map(|held| ("held".to_owned(), held)));
            job
        }
        Some(_) | None => told,
    }
}
