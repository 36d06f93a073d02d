//! `[run]` and `[retry]`.

use std::path::PathBuf;
use std::time::Duration;

use crate::job::checked::{OnChange, RetryFailed};
use crate::job::reader::Reader;
use crate::job::stopping::{Deadline, MaxCost, MaxFailures, read_deadline, read_max_cost, read_max_failures};
use crate::retry::RetrySettings;

const DEFAULT_CONCURRENCY: usize = 256;
/// More sockets than one address has ports for cannot be open at once.
const MAX_CONCURRENCY: u64 = 65_535;
const DEFAULT_DRAIN: Duration = Duration::from_mins(1);
const DEFAULT_ON_OUTAGE: Duration = Duration::from_hours(1);

/// `[run]` as checked.
pub(in crate::job) struct Run {
    pub(in crate::job) concurrency: usize,
    pub(in crate::job) drain: Duration,
    pub(in crate::job) hedge: bool,
    pub(in crate::job) deadline: Option<Deadline>,
    pub(in crate::job) max_failures: Option<MaxFailures>,
    pub(in crate::job) max_cost: Option<MaxCost>,
    pub(in crate::job) on_outage: Duration,
    pub(in crate::job) retry_failed: RetryFailed,
    pub(in crate::job) on_change: OnChange,
    pub(in crate::job) dedupe: bool,
    pub(in crate::job) state: Option<PathBuf>,
}

/// `has_id`: the job says what the id of a row is.
pub(in crate::job) fn read_run(reader: &Reader<'_>, has_id: bool) -> Run {
    const WORDS: [(&str, RetryFailed); 3] =
        [("transient", RetryFailed::Transient), ("all", RetryFailed::All), ("none", RetryFailed::None)];
    let concurrency = reader.take("concurrency").and_then(|field| field.whole(1..=MAX_CONCURRENCY));
    let drain = reader.take("drain").and_then(|field| field.duration()).unwrap_or(DEFAULT_DRAIN);
    Run {
        concurrency: concurrency.and_then(|calls| usize::try_from(calls).ok()).unwrap_or(DEFAULT_CONCURRENCY),
        drain,
        hedge: reader.take("hedge").and_then(|field| field.flag()).unwrap_or(false),
        deadline: deadline(reader, drain),
        max_failures: reader.take("max_failures").and_then(|field| read_max_failures(&field)),
        max_cost: reader.take("max_cost").and_then(|field| read_max_cost(&field)),
        on_outage: reader.take("on_outage").and_then(|field| field.duration()).unwrap_or(DEFAULT_ON_OUTAGE),
        retry_failed: reader.take("retry_failed").and_then(|field| field.choice(&WORDS)).unwrap_or_default(),
        on_change: on_change(reader, has_id).unwrap_or_default(),
        dedupe: reader.take("dedupe").and_then(|field| field.flag()).unwrap_or(false),
        state: reader.take("state").and_then(|field| field.path()),
    }
}

fn on_change(reader: &Reader<'_>, has_id: bool) -> Option<OnChange> {
    const CHANGES: [(&str, OnChange); 3] =
        [("resend", OnChange::Resend), ("keep", OnChange::Keep), ("stop", OnChange::Stop)];
    let field = reader.take("on_change")?;
    let on_change = field.choice(&CHANGES)?;
    if on_change == OnChange::Keep && !has_id {
        let hint = "name the column that tells rows apart, for example id = \"review_id\" under [input]";
        field.refuse("keeps answers by the id of their row, so it needs input.id", Some(hint.to_owned()));
        return None;
    }
    Some(on_change)
}

/// A deadline within the drain would stop the run before it sent anything.
fn deadline(reader: &Reader<'_>, drain: Duration) -> Option<Deadline> {
    let field = reader.take("deadline")?;
    let deadline = read_deadline(&field)?;
    match deadline {
        Deadline::After(time) if time <= drain => {
            let message = format!("leaves no time for calls: run.drain ({drain:?}) is part of it");
            field.refuse(message, Some("make it longer, or run.drain shorter".to_owned()));
            None
        }
        Deadline::After(_) | Deadline::At(_) => Some(deadline),
    }
}

pub(in crate::job) fn read_retry(reader: &Reader<'_>) -> RetrySettings {
    let mut settings = RetrySettings::default();
    let attempts = reader.take("max_attempts").and_then(|field| field.whole(1..=1_000));
    if let Some(attempts) = attempts.and_then(|attempts| u32::try_from(attempts).ok()) {
        settings.max_attempts = attempts;
    }
    reader.section("backoff", |reader| {
        let duration = |name| reader.take(name).and_then(|field| field.positive_duration());
        let (base, max) = (duration("base"), duration("max"));
        // The default of one gives way to the other as written.
        settings.backoff_base = base.unwrap_or(settings.backoff_base.min(max.unwrap_or(Duration::MAX)));
        settings.backoff_max = max.unwrap_or(settings.backoff_max.max(settings.backoff_base));
        if settings.backoff_max < settings.backoff_base {
            reader.scope().problems.add(reader.problem("base is longer than max"));
        }
    });
    settings
}
