//! How a row finds its outcome: by its number while input and job are as they were, by its key else, and where answers are
//! kept after a change of the job, by its id and the values that were used.

use super::RunError;
use super::key::{used_hash, whole_row_hash};
use super::plan::Plan;
use super::prepare::{Prepared, What, prepare};
use crate::job::OnChange;
use crate::source::{Input, Record};
use crate::store::{End, KeptIndex, KeyIndex, MadeOf, OrderReader, OrderState, Owner, StateDir, StateReader, Store};
use crate::types::{ImageFile, Key, RowHash};

/// How a row finds its outcome.
pub(super) enum Matching {
    /// Input and job are as they were: by record number, without rendering.
    ByNumber(OrderReader),
    /// Something changed: by what each row asks.
    ByKey(Box<ByKey>),
}

/// All outcomes that a row may find.
pub(super) struct ByKey {
    index: KeyIndex,
    /// Where answers outlast a change of the job.
    kept: Option<KeptIndex>,
}

impl Matching {
    /// As a run finds them, or who else holds the lock.
    pub fn of_run(plan: &Plan, input: &Input, state: &StateDir, store: &mut Store) -> Result<Self, RunError> {
        match store.order_for(plan.identity(input))? {
            OrderState::Matched => Ok(Self::ByNumber(store.order()?)),
            OrderState::Unmatched => Self::by_key(plan, state, store),
        }
    }

    /// The same from the first row on, for a pass of its own.
    pub fn again(&self, plan: &Plan, state: &StateDir, store: &mut Store) -> Result<Self, RunError> {
        match self {
            Self::ByNumber(_) => Ok(Self::ByNumber(store.order()?)),
            Self::ByKey(_) => Self::by_key(plan, state, store),
        }
    }

    /// As one that only reads finds them.
    pub fn seen(plan: &Plan, input: &Input, state: &StateReader) -> Result<Self, RunError> {
        if let Some((order, _)) = state.order_for(plan.identity(input))? {
            return Ok(Self::ByNumber(order));
        }
        let index = KeyIndex::build(state.outcomes()?.map(|outcome| Ok(outcome?.ended)))?;
        Self::over(plan, index, state)
    }

    fn by_key(plan: &Plan, state: &StateDir, store: &Store) -> Result<Self, RunError> {
        Self::over(plan, KeyIndex::build(store.outcomes())?, &StateReader::beside(state, store)?)
    }

    /// By this index, and by what is kept beside it.
    pub fn over(plan: &Plan, index: KeyIndex, state: &StateReader) -> Result<Self, RunError> {
        let kept = match plan.job.on_change {
            OnChange::Keep => Some(KeptIndex::build(state.outcomes()?)?),
            OnChange::Resend | OnChange::Stop => None,
        };
        Ok(Self::ByKey(Box::new(ByKey { index, kept })))
    }

    /// Where nothing is on record.
    pub fn nothing() -> Result<Self, RunError> {
        Ok(Self::ByKey(Box::new(ByKey { index: KeyIndex::build(std::iter::empty())?, kept: None })))
    }

    /// Whether rows of this key may find something that only a pass over those before them can tell.
    pub fn depends_on_order(&self, key: Key) -> bool {
        match self {
            Self::ByNumber(_) => false,
            Self::ByKey(by_key) => by_key.kept.is_some() || by_key.index.has(key),
        }
    }

    /// A row's end, and its request where it had to be rendered for that. Of rows that are the same the k-th finds the k-th
    /// end, so each row is looked up once, in the order of the input.
    pub fn find(&mut self, plan: &Plan, record: &Record) -> Result<(Option<End>, Option<Prepared>), RunError> {
        match self {
            Self::ByNumber(order) => Ok((order.get(record.number)?, None)),
            Self::ByKey(by_key) => {
                let prepared = prepare(plan, record);
                Ok((by_key.take(plan, record, &prepared), Some(prepared)))
            }
        }
    }
}

impl ByKey {
    fn take(&mut self, plan: &Plan, record: &Record, prepared: &Prepared) -> Option<End> {
        let found = self.index.take(prepared.key);
        let Some(kept) = &mut self.kept else { return found };
        let Some((owner, values)) = used_by(kept, plan, record, prepared) else { return found };
        // An answer that is kept comes before one that a comparison has asked for.
        if let Some(end) = found.filter(|end| !end.compared) {
            values.for_each(|values| kept.strike(owner, values, end));
            return found;
        }
        values.into_iter().find_map(|values| kept.take(owner, values)).or(found)
    }
}

/// Whose answers a row may keep, and the hashes of its values that such an answer may have.
fn used_by(
    kept: &KeptIndex,
    plan: &Plan,
    record: &Record,
    prepared: &Prepared,
) -> Option<(Owner, impl Iterator<Item = RowHash> + use<>)> {
    let task = match &prepared.what {
        What::Ask(request) => request.task,
        What::Fail { task, .. } => (*task)?,
    };
    let owner = Owner::new(&plan.tasks[task].name, prepared.hashes.id?);
    let files = match &prepared.what {
        What::Ask(request) => request.payload.images(),
        What::Fail { .. } => &[],
    };
    let made_of = kept.made_of(owner)?;
    let values = values_hash(made_of, record, prepared, files)?;
    // An answer that was made without files does not mind those that go with the row today.
    let bare = if made_of.files || files.is_empty() { None } else { values_hash(made_of, record, prepared, &[]) };
    Some((owner, [values].into_iter().chain(bare)))
}

/// Of the row's values of what an answer was made of, and of these files.
fn values_hash(made_of: &MadeOf, record: &Record, prepared: &Prepared, files: &[ImageFile]) -> Option<RowHash> {
    match (&made_of.columns, &prepared.hashes.used) {
        (columns, Some(used)) if used.columns == *columns && used.files != files.is_empty() => Some(used.hash),
        (None, _) => Some(whole_row_hash(prepared.hashes.row, files)),
        // The job used others then.
        (Some(columns), _) => Some(used_hash(columns, &record.row().ok()?, files)),
    }
}
