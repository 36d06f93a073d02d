//! Why a run cannot begin or go on. A row that fails is no error: it is an outcome.

use std::path::PathBuf;

use crate::event::StopReason;
use crate::job::JobError;
use crate::provider::ProviderError;
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::store::StoreError;

/// Why a run cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The command line asks for what the job does not have.
    #[error("{0}")]
    Usage(String),
    /// The run was stopped while it waited for the job's lock; nothing was sent.
    #[error("stopped while another run holds this job's lock: {}; nothing was sent", .0.words())]
    StoppedWaiting(StopReason),
    /// The job does not fit itself or its input; nothing was sent.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The input cannot be opened; nothing was sent.
    #[error("{0}")]
    Input(SourceError),
    /// The job changed so that rows that are done would be sent again, and it says to stop then; nothing was sent.
    #[error(
        "{0}\n  hint: nothing was sent, as run.on_change is \"stop\"; to send them again: --set run.on_change=resend"
    )]
    Changed(String),
    /// The file to export to is one of the input's.
    #[error("{0}: the output would overwrite the input\n  hint: give -o another name")]
    OutputIsInput(PathBuf),
    /// The output does not fit the input, or cannot be written; nothing was sent.
    #[error("{0}")]
    Output(SinkError),
    /// The input cannot be read, or not on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The input cannot be read on, and rows before that were sent.
    #[error("{}", kept(at, *ended))]
    BrokenOff {
        /// Where and why.
        at: SourceError,
        /// Rows before that which have ended.
        ended: u64,
    },
    /// Another file is there now than was read.
    #[error(
        "the input changed while it was read; nothing is lost\n  hint: run the same command again, it goes on with the input as it is then"
    )]
    InputChanged,
    /// There is no row that could need anything; nothing was forgotten.
    #[error(
        "the input has no rows; nothing was forgotten\n  hint: to put all that is kept aside, `run --fresh` begins anew"
    )]
    NoRows,
    /// A provider's client cannot be made.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The state directory, the log or the checkpoint failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Results cannot be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A simulated provider cannot be started.
    #[error("cannot start the simulated provider {name}: {message}")]
    Simulator {
        /// The provider's name.
        name: String,
        /// What is wrong.
        message: String,
    },
    /// A bug of ours: a worker ended without an outcome.
    #[error(
        "a worker failed: {0}\n  hint: this is a bug in overnight; what was done is kept, the same command goes on from there"
    )]
    Worker(tokio::task::JoinError),
    /// A bug of ours: a row that is said to be done has no outcome.
    #[error("row {0} has no outcome in the checkpoint\n  hint: this is a bug in overnight; what was done is kept")]
    NoOutcome(u64),
    /// A thread of the run failed.
    #[error("a thread of the run failed: {0}")]
    Thread(String),
}

/// What stands before a break in the input is not lost, however often that is met.
fn kept(at: &SourceError, ended: u64) -> String {
    let text = at.to_string();
    let (message, hint) = text.split_once("\n  hint: ").unwrap_or((&text, "mend the file"));
    let rows = match ended {
        1 => "the row that ended before it is".to_owned(),
        ended => format!("the {ended} rows that ended before it are"),
    };
    format!("{message}; {rows} kept\n  hint: {hint}; the same command goes on then")
}

impl RunError {
    /// The same, where calls were sent by then.
    pub(super) fn behind_calls(self, ended: u64) -> Self {
        match self {
            Self::Source(at) => Self::BrokenOff { at, ended },
            other => other,
        }
    }

    /// The exit code that tells it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::StoppedWaiting(reason) => reason.exit_code(),
            Self::Job(_)
            | Self::Input(_)
            | Self::Changed(_)
            | Self::Output(_)
            | Self::OutputIsInput(_)
            | Self::NoRows
            | Self::Provider(_)
            | Self::Simulator { .. }
            | Self::Store(StoreError::OtherJob { .. }) => 3,
            Self::Store(StoreError::Locked { .. }) => 7,
            // The same command would never go on: somebody must mend the file.
            Self::Source(error) if error.is_of_content() => 3,
            Self::Source(_)
            | Self::BrokenOff { .. }
            | Self::InputChanged
            | Self::Store(_)
            | Self::Sink(_)
            | Self::Worker(_)
            | Self::NoOutcome(_)
            | Self::Thread(_) => 1,
        }
    }
}
