//! A run that is killed at any moment ends up where one that is never killed does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::log::HEADER;
use super::*;
use crate::types::Ledger;

const IDENTITY: [u8; 16] = [7; 16];

#[derive(Clone, Debug)]
enum Step {
    /// A new row ends, with one of a few keys.
    Outcome(u8),
    /// An earlier outcome is replaced.
    Retry(Index),
    Attempt(u8),
    Write,
    Checkpoint,
    /// A commit beside, which comes to its end.
    Advance,
    FlushOrder,
    /// What was not written is lost.
    Kill,
    /// What was not synced may be lost as well, from any byte on.
    PowerLoss(Index),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3).prop_map(Step::Outcome),
        1 => any::<Index>().prop_map(Step::Retry),
        2 => (0u8..3).prop_map(Step::Attempt),
        3 => Just(Step::Write),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Advance),
        1 => Just(Step::FlushOrder),
        1 => Just(Step::Kill),
        1 => any::<Index>().prop_map(Step::PowerLoss),
    ]
}

/// What must be there: the lines, each with where it stands.
#[derive(Default)]
struct Model {
    lines: Vec<(u64, LogLine)>,
    /// How many of the lines are written, and how many are synced.
    written: usize,
    synced: usize,
    /// The key of each row, lost ones too: the input keeps them.
    keys: Vec<u8>,
    /// Where rows were found when they were last matched by key, and how many lines there were.
    matched: (BTreeMap<u64, u64>, usize),
}

impl Model {
    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        self.lines.iter().for_each(|(_, line)| ledger.count(line));
        ledger
    }

    fn next_row(&mut self, key: u8) -> u64 {
        self.keys.push(key);
        self.keys.len() as u64
    }

    fn outcomes(&self) -> Vec<(u64, &OutcomeLine)> {
        outcomes_in(&self.lines)
    }

    fn order(&self) -> BTreeMap<u64, u64> {
        let (mut order, since) = (self.matched.0.clone(), &self.lines[self.matched.1..]);
        order.extend(outcomes_in(since).into_iter().map(|(offset, line)| (line.row, offset)));
        order
    }

    fn keep(&mut self, lines: usize) {
        self.lines.truncate(lines);
        self.written = lines;
        self.synced = self.synced.min(lines);
        self.matched.1 = self.matched.1.min(lines);
        let there: BTreeSet<u64> = self.lines.iter().map(|(offset, _)| *offset).collect();
        self.matched.0.retain(|_, offset| there.contains(offset));
    }
}

fn outcomes_in(lines: &[(u64, LogLine)]) -> Vec<(u64, &OutcomeLine)> {
    lines.iter().filter_map(|(offset, line)| Some((*offset, outcome_of(line)?))).collect()
}

fn outcome_of(line: &LogLine) -> Option<&OutcomeLine> {
    match line {
        LogLine::Outcome(outcome) => Some(outcome),
        LogLine::Run(_) | LogLine::RunEnd(_) | LogLine::Attempt(_) | LogLine::Carried(_) => None,
    }
}

struct Play {
    scene: Scene,
    memory: MemoryCheckpoint,
    store: Option<Store>,
    model: Model,
}

impl Play {
    fn new() -> Self {
        let mut play =
            Self { scene: Scene::new(), memory: MemoryCheckpoint::new(), store: None, model: Model::default() };
        play.open();
        play
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn open(&mut self) {
        let checkpoint = Box::new(self.memory.clone());
        let (mut store, _) = Store::open_with(&self.scene.dir, checkpoint, SLOTS, AT).unwrap();
        let state = store.order_for(IDENTITY).unwrap();
        self.store = Some(store);
        match state {
            OrderState::Matched => {}
            OrderState::Unmatched => self.match_rows(),
        }
        self.check();
        if self.model.lines.is_empty() {
            self.append(run_line());
        }
    }

    /// What the feed does with a changed input.
    fn match_rows(&mut self) {
        let store = self.store.as_mut().unwrap();
        let mut index = KeyIndex::build(store.outcomes()).unwrap();
        let mut order = BTreeMap::new();
        for (row, key) in (1..).zip(&self.model.keys) {
            if let Some(end) = index.take(Key([*key; 16])) {
                store.set_order(row, end).unwrap();
                order.insert(row, end.offset);
            }
        }
        store.mark_matched().unwrap();
        self.model.matched = (order, self.model.lines.len());
    }

    fn append(&mut self, line: LogLine) {
        let offset = self.store().append(&line).unwrap();
        self.model.lines.push((offset, line));
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Outcome(key) => {
                let row = self.model.next_row(*key);
                self.append(outcome_line(row, *key));
            }
            Step::Retry(which) => self.retry(*which),
            Step::Attempt(key) => {
                let row = self.model.next_row(*key);
                self.append(LogLine::Attempt(Box::new(attempt(row, row, *key))));
            }
            Step::Write => {
                self.store().write().unwrap();
                self.model.written = self.model.lines.len();
            }
            Step::Checkpoint => {
                self.store().checkpoint().unwrap();
                self.model.written = self.model.lines.len();
                self.model.synced = self.model.lines.len();
            }
            Step::Advance => {
                let store = self.store();
                store.commit_at = 1;
                let commits = !store.gathered.is_empty();
                keep_up(store);
                if commits {
                    self.model.written = self.model.lines.len();
                    self.model.synced = self.model.lines.len();
                }
            }
            Step::FlushOrder => {
                self.store().flush_order().unwrap();
                self.model.written = self.model.lines.len();
            }
            Step::Kill => {
                self.store = None;
                self.model.keep(self.model.written);
                self.open();
            }
            Step::PowerLoss(at) => self.lose_power(*at),
        }
    }

    fn retry(&mut self, which: Index) {
        let order: Vec<(u64, u64)> = self.model.order().into_iter().collect();
        if order.is_empty() {
            return;
        }
        let (row, offset) = order[which.index(order.len())];
        let key = self.model.keys[usize::try_from(row).unwrap() - 1];
        let line = OutcomeLine { call: 0, replaces: Some(offset), failure: None, ..outcome(row, key) };
        self.append(LogLine::Outcome(Box::new(line)));
    }

    fn lose_power(&mut self, at: Index) {
        self.store = None;
        self.model.keep(self.model.written);
        let end = |lines: usize| self.model.lines.get(lines).map(|(offset, _)| *offset);
        let len = fs::metadata(self.scene.log()).unwrap().len();
        let synced = if self.model.synced == 0 { HEADER.len() as u64 } else { end(self.model.synced).unwrap_or(len) };
        let cut = synced + at.index(usize::try_from(len - synced).unwrap() + 1) as u64;
        fs::File::options().write(true).open(self.scene.log()).unwrap().set_len(cut).unwrap();
        let whole = (0..=self.model.lines.len()).rev().find(|lines| *lines == 0 || end(*lines).unwrap_or(len) <= cut);
        self.model.keep(whole.unwrap());
        self.open();
    }

    fn check(&mut self) {
        let store = self.store.as_mut().unwrap();
        assert_eq!(store.ledger(), &self.model.ledger());
        let found: Vec<_> = store.outcomes().map(Result::unwrap).map(|it| (it.end.offset, it.row, it.key)).collect();
        let outcomes = self.model.outcomes();
        assert_eq!(found, outcomes.iter().map(|(offset, line)| (*offset, line.row, line.key)).collect::<Vec<_>>());
        let order = self.model.order();
        let mut reader = store.order().unwrap();
        for row in 1..=self.model.keys.len() as u64 + 1 {
            let place = reader.get(row).unwrap().map(|end| end.offset);
            assert_eq!(place, order.get(&row).copied(), "row {row}");
        }
        let standing = check_keys(store, outcomes);
        assert_eq!(order.into_values().collect::<BTreeSet<u64>>(), standing, "each outcome that stands has a row");
    }
}

/// Checks the key index, and returns the places of the outcomes that stand.
fn check_keys(store: &Store, outcomes: Vec<(u64, &OutcomeLine)>) -> BTreeSet<u64> {
    let mut index = KeyIndex::build(store.outcomes()).unwrap();
    let replaced: Vec<u64> = outcomes.iter().filter_map(|(_, line)| line.replaces).collect();
    let mut standing = BTreeSet::new();
    for (offset, line) in outcomes.into_iter().filter(|(offset, _)| !replaced.contains(offset)) {
        let failure = line.failure.as_ref().map(|it| it.kind);
        let end = End { offset, failure, truncated: line.truncated, compared: line.compared };
        assert_eq!(index.take(line.key), Some(end));
        standing.insert(offset);
    }
    assert!((0..3).all(|key| index.take(Key([key; 16])).is_none()));
    standing
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn kills_and_power_losses_leave_what_was_written(steps in proptest::collection::vec(any_step(), 1..50)) {
        let mut play = Play::new();
        for step in &steps {
            play.take(step);
        }
        play.take(&Step::Write);
        play.take(&Step::Kill);
    }
}

#[test]
fn a_copy_taken_while_the_store_is_open_resumes_like_the_store_itself() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(IDENTITY).unwrap();
    for rows in [1..=2500, 2501..=5000, 5001..=7000] {
        write_rows(&mut store, rows);
        keep_up(&mut store);
    }
    let copy = Scene::new();
    copy_files(scene.dir.path(), copy.dir.path());
    let (mut resumed, opened) = copy.open();
    assert_eq!(opened.notes, Vec::<String>::new());
    assert_eq!(resumed.ledger(), store.ledger());
    assert_eq!(rows(&resumed), (1..=7000).collect::<Vec<_>>());
    assert_eq!(resumed.order_for(IDENTITY).unwrap(), OrderState::Matched);
    let (mut there, mut here) = (resumed.order().unwrap(), store.order().unwrap());
    for row in 1..=7001 {
        assert_eq!(there.get(row).unwrap(), here.get(row).unwrap());
    }
    write_rows(&mut resumed, 7001..=7001);
    resumed.close().unwrap();
    assert_eq!(rows(&copy.open().0).len(), 7001);
}

pub(super) fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
