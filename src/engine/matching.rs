//! How a row finds its outcome: by its number while input and job are as they were, by its key else, and where answers are
//! kept after a change of the job, by its id and the values that were used. Of an input that changed behind some row, those
//! before it are still found by their number.

use super::RunError;
use super::key::{used_hash, whole_row_hash};
use super::plan::Plan;
use super::prepare::{Prepared, What, prepare};
use crate::job::OnChange;
use crate::source::{Input, Marks, Record};
use crate::store::{
    Beginning, End, KeptIndex, KeyIndex, MadeOf, OrderReader, OrderState, Owner, StateDir, StateReader, Store,
};
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
    /// What rows at the beginning of the input have by their number, as they were there before; the others find the rest.
    beginning: Option<OrderReader>,
    index: KeyIndex,
    /// Where answers outlast a change of the job.
    kept: Option<KeptIndex>,
}

impl Matching {
    /// As a run finds them, or who else holds the lock.
    pub fn of_run(plan: &Plan, input: &Input, state: &StateDir, store: &mut Store) -> Result<Self, RunError> {
        let identity = plan.identity(input);
        if store.resume_order(identity)? {
            return Ok(Self::ByNumber(store.order()?));
        }
        if let Some(before) = beginning(plan, input, state, store)
            && let Some((others, claimed)) = store.carry_order(identity, &before)?
        {
            return Self::behind(plan, others, &claimed, state, store);
        }
        match store.order_for(identity)? {
            OrderState::Matched => Ok(Self::ByNumber(store.order()?)),
            OrderState::Unmatched => {
                let index = KeyIndex::build(store.outcomes())?;
                Self::over(plan, index, &StateReader::beside(state, store)?)
            }
        }
    }

    /// The same from the first row on, for a pass of its own beside one that has not begun.
    pub fn again(&self, store: &mut Store) -> Result<Self, RunError> {
        match self {
            Self::ByNumber(_) => Ok(Self::ByNumber(store.order()?)),
            Self::ByKey(by_key) => {
                let ByKey { beginning, index, kept } = &**by_key;
                let beginning = beginning.as_ref().map(|_| store.order()).transpose()?;
                Ok(Self::ByKey(Box::new(ByKey { beginning, index: index.clone(), kept: kept.clone() })))
            }
        }
    }

    /// By number where the order tells; the others by key among what that leaves.
    fn behind(
        plan: &Plan,
        others: KeyIndex,
        claimed: &[u64],
        state: &StateDir,
        store: &mut Store,
    ) -> Result<Self, RunError> {
        let beginning = store.order()?;
        if others.is_empty() {
            return Ok(Self::ByNumber(beginning));
        }
        let mut by_key = ByKey::over(plan, others, &StateReader::beside(state, store)?)?;
        if let Some(kept) = &mut by_key.kept {
            kept.strike_all(claimed);
        }
        by_key.beginning = Some(beginning);
        Ok(Self::ByKey(Box::new(by_key)))
    }

    /// As one that only reads finds them.
    pub fn seen(plan: &Plan, input: &Input, state: &StateReader) -> Result<Self, RunError> {
        if let Some((order, _)) = state.order_for(plan.identity(input))? {
            return Ok(Self::ByNumber(order));
        }
        let index = KeyIndex::build(state.outcomes()?.map(|outcome| Ok(outcome?.ended)))?;
        Self::over(plan, index, state)
    }

    /// By this index, and by what is kept beside it.
    pub fn over(plan: &Plan, index: KeyIndex, state: &StateReader) -> Result<Self, RunError> {
        Ok(Self::ByKey(Box::new(ByKey::over(plan, index, state)?)))
    }

    /// Where nothing is on record.
    pub fn nothing() -> Self {
        Self::ByKey(Box::new(ByKey { beginning: None, index: KeyIndex::default(), kept: None }))
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
                if let Some(end) = by_key.by_number(record.number)? {
                    return Ok((Some(end), None));
                }
                let prepared = prepare(plan, record);
                Ok((by_key.take(plan, record, &prepared), Some(prepared)))
            }
        }
    }
}

impl ByKey {
    fn over(plan: &Plan, index: KeyIndex, state: &StateReader) -> Result<Self, RunError> {
        let kept = match plan.job.on_change {
            OnChange::Keep => Some(KeptIndex::build(state.outcomes()?)?),
            OnChange::Resend | OnChange::Stop => None,
        };
        Ok(Self { beginning: None, index, kept })
    }

    fn by_number(&mut self, row: u64) -> Result<Option<End>, RunError> {
        Ok(self.beginning.as_mut().map(|order| order.get(row)).transpose()?.flatten())
    }

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

/// What today's input has in common with the one that the order on disk was made of, where that was marked. Marks that
/// cannot be read only save no time, and an input that cannot be read is told by whoever needs its rows.
fn beginning(plan: &Plan, input: &Input, state: &StateDir, store: &Store) -> Option<Beginning> {
    let marks = Marks::decode(&state.marks().ok()??)?;
    let identity = plan.identity_with(&marks.fingerprint());
    // Of another job, or of an input in between: its files need not be read.
    if store.order_identity() != Some(identity) {
        return None;
    }
    let rows = input.records_in_common(&marks).ok()?;
    let is_known = rows > 0 && input.is_as_opened().unwrap_or(false);
    is_known.then_some(Beginning { identity, rows })
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
