//! A log without what nobody needs: the same sums, the same ends, at any instant.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::types::{CallNumber, Ledger, Origin, RunEndLine, TrailEntry};

const TODAY: [u8; 16] = [1; 16];

/// What comes next in a history of a few rows and keys.
#[derive(Clone, Copy, Debug)]
enum Event {
    Attempt { row: u64, key: u8, lost: bool },
    Outcome { row: u64, key: u8, has_trail: bool },
    EndRun,
}

fn any_event() -> impl Strategy<Value = Event> {
    let place = || (1..6_u64, 1..4_u8);
    prop_oneof![
        3 => (place(), any::<bool>()).prop_map(|((row, key), lost)| Event::Attempt { row, key, lost }),
        5 => (place(), any::<bool>()).prop_map(|((row, key), has_trail)| Event::Outcome { row, key, has_trail }),
        1 => Just(Event::EndRun),
    ]
}

fn trail() -> Vec<TrailEntry> {
    let entry = TrailEntry {
        provider: "gateway".to_owned(),
        model: "small".to_owned(),
        kind: None,
        status: None,
        latency_ms: 1,
        cost_usd: None,
    };
    vec![entry.clone(), entry]
}

/// Plays a history: a row's later outcome takes the place of its earlier one. The ends that stand, by row.
fn play(store: &mut Store, events: &[Event]) -> BTreeMap<u64, End> {
    let mut standing: BTreeMap<u64, End> = BTreeMap::new();
    for (event, call) in events.iter().zip(1..) {
        if store.ledger().open_run().is_none() {
            let run = RunLine {
                run: store.ledger().next_run(),
                at: AT,
                offset: store.log_len(),
                kind: RunKind::Job,
                about: None,
            };
            store.append(&LogLine::Run(run)).unwrap();
        }
        match event {
            Event::Attempt { row, key, lost } => {
                let worst_cost = lost.then(|| Money::from_pico(call));
                let line = AttemptLine { possibly_billed: *lost, worst_cost, ..attempt(call, *row, *key) };
                store.append(&LogLine::Attempt(Box::new(line))).unwrap();
            }
            Event::Outcome { row, key, has_trail } => {
                let trail = if *has_trail { trail() } else { Vec::new() };
                let replaces = standing.get(row).map(|end| end.offset);
                let line = OutcomeLine { call, replaces, trail, ..outcome(*row, *key) };
                let failure = line.failure.as_ref().map(|failure| failure.kind);
                let end = End { offset: store.log_len(), failure, truncated: line.truncated, compared: false };
                store.append(&LogLine::Outcome(Box::new(line))).unwrap();
                standing.insert(*row, end);
            }
            Event::EndRun => {
                let run = store.ledger().next_run() - 1;
                store.append(&LogLine::RunEnd(RunEndLine { run, at: AT + 1 })).unwrap();
            }
        }
    }
    store.write().unwrap();
    standing
}

/// The sums without their places in the log.
fn sums(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.runs.iter_mut().for_each(|run| run.offset = 0);
    ledger
}

fn needed(ends: &BTreeMap<u64, End>) -> Needed {
    Needed { rows: ends.iter().map(|(row, end)| (*row, *end)).collect(), besides: Vec::new() }
}

/// The call and the row of each end, as the log has them.
fn lines(dir: &StateDir, ends: &BTreeMap<u64, End>) -> Vec<(u64, CallNumber, String)> {
    let mut log = LogReader::open(dir).unwrap();
    let read = |(row, end): (&u64, &End)| {
        let line = log.outcome_at(end.offset).unwrap();
        assert_eq!(line.failure.as_ref().map(|failure| failure.kind), end.failure);
        (*row, line.call, line.reply.unwrap().get().to_owned())
    };
    ends.iter().map(read).collect()
}

fn in_order(store: &mut Store) -> BTreeMap<u64, End> {
    let mut order = store.order().unwrap();
    (1..10).filter_map(|row| Some((row, order.get(row).unwrap()?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn sums_ends_and_costs_so_far_are_as_before(
        events in prop::collection::vec(any_event(), 1..40),
        more in prop::collection::vec(any_event(), 0..10),
        gone in prop::collection::btree_set(1..6_u64, 0..4),
    ) {
        let scene = Scene::new();
        let (mut store, _) = scene.open();
        store.order_for(TODAY).unwrap();
        let mut ends = play(&mut store, &events);
        let mut all = ends.clone();
        ends.retain(|row, _| !gone.contains(row));
        store.save_totals(&serde_json::json!({ "state": "stopped" })).unwrap();
        store.close().unwrap();
        for _ in 0..2 {
            let (store, before) = scene.open();
            let (ledger, mut wanted) = (sums(store.ledger()), lines(&scene.dir, &ends));
            let weighed = StateReader::open(scene.dir.path(), &scene.dir.path().with_file_name("job.toml")).unwrap().unwrap();
            let weighed = weighed.pruned(&needed(&ends)).unwrap();
            let pruned = store.prune(TODAY, &needed(&ends), true, AT).unwrap();
            prop_assert_eq!((pruned.outcomes, pruned.attempts, pruned.kept), (weighed.outcomes, weighed.attempts, weighed.kept));
            if pruned.outcomes == 0 {
                // What is left to forget is less than the line that would tell of it.
                wanted = lines(&scene.dir, &all);
            }
            prop_assert_eq!(fs::metadata(scene.log()).unwrap().len(), pruned.bytes_after);

            let standing = read_standing(&scene.dir).unwrap().unwrap();
            prop_assert_eq!(sums(&standing.ledger), ledger.clone());
            let (mut store, after) = scene.open();
            prop_assert_eq!(after.notes, Vec::<String>::new());
            prop_assert_eq!(sums(store.ledger()), ledger);
            // Of runs whose every line is gone, too.
            let log = fs::read(scene.log()).unwrap();
            for run in &store.ledger().runs {
                let is_run_line = log[usize::try_from(run.offset).unwrap()..].starts_with(b"{\"run\":");
                prop_assert!(is_run_line);
            }
            prop_assert_eq!((after.next_call, after.spent), (before.next_call, before.spent));
            prop_assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Matched);
            ends = in_order(&mut store);
            prop_assert_eq!(lines(&scene.dir, &ends), wanted);
            // A pruned log is gone on with, and pruned again.
            ends.extend(play(&mut store, &more));
            all.clone_from(&ends);
            store.close().unwrap();
        }
    }
}

/// A job of three rows, each of which ended twice, and the state before and after it is pruned.
struct Twice {
    scene: Scene,
    before: BTreeMap<String, Vec<u8>>,
    ends: BTreeMap<u64, End>,
}

/// The plain files of a state directory.
fn files(dir: &StateDir) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
    let plain = entries.filter(|entry| entry.file_type().unwrap().is_file());
    plain.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn twice() -> Twice {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    let outcome = |row| Event::Outcome { row, key: 1, has_trail: false };
    let ends = play(&mut store, &[outcome(1), outcome(2), outcome(3), outcome(1), outcome(2), outcome(3)].repeat(5));
    store.save_totals(&serde_json::json!({ "state": "stopped" })).unwrap();
    store.close().unwrap();
    let before = files(&scene.dir);
    Twice { scene, before, ends }
}

impl Twice {
    fn prune(&self) -> Pruned {
        let (mut store, _) = self.scene.open();
        assert_eq!(store.order_for(TODAY).unwrap(), OrderState::Matched);
        store.prune(TODAY, &needed(&self.ends), true, AT).unwrap()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.scene.dir.path().join(name), bytes).unwrap();
    }

    /// The sums and the rows' ends are there, whichever log it is, and nothing lies about.
    fn assert_sound(&self, what: &str, outcomes: u64) {
        let told = read_standing(&self.scene.dir).unwrap().unwrap();
        let (mut store, opened) = self.scene.open();
        assert_eq!(store.outcomes().count() as u64, outcomes, "{what}");
        for ledger in [&told.ledger, store.ledger(), &read_totals(&self.scene.dir).unwrap().unwrap().ledger] {
            let sum = ledger.runs[0].totals.sum();
            assert_eq!((ledger.runs.len(), sum.attempts, sum.succeeded), (1, 30, 30), "{what}");
        }
        assert!(read_totals(&self.scene.dir).unwrap().unwrap().log_len <= store.log_len(), "{what}");
        assert_eq!(opened.next_call, 31, "{what}");
        if store.order_for(TODAY).unwrap() == OrderState::Matched {
            assert_eq!(in_order(&mut store).len(), 3, "{what}");
        }
        let mut index = KeyIndex::build(store.outcomes()).unwrap();
        let mut log = LogReader::open(&self.scene.dir).unwrap();
        let calls = (0..3).map(|_| log.outcome_at(index.take(Key([1; 16])).unwrap().offset).unwrap().call);
        assert_eq!(calls.collect::<Vec<_>>(), [28, 29, 30], "{what}");
        store.close().unwrap();
        for name in ["results.log.new", "sled.pruned"] {
            assert!(!self.scene.dir.path().join(name).exists(), "{what}: {name}");
        }
    }
}

#[test]
fn whatever_a_kill_leaves_is_the_old_log_or_the_new_one() {
    let log = "results.log";
    let pruned = twice();
    assert_eq!(pruned.prune().outcomes, 27);
    let after = files(&pruned.scene.dir);
    let state = |name: &str| pruned.scene.dir.path().join(name);
    for half in [7, after[log].len() / 2, after[log].len()] {
        let job = twice();
        job.put("results.log.new", &after[log][..half]);
        job.assert_sound("the new log was being written", 30);
        assert_eq!(job.prune().outcomes, 27);
        job.assert_sound("pruned after that", 3);
    }
    for has_sled in [true, false] {
        let job = twice();
        job.put("results.log.new", &after[log]);
        fs::remove_file(job.scene.dir.path().join("order")).unwrap();
        if !has_sled {
            fs::rename(job.scene.dir.path().join("sled"), job.scene.dir.path().join("sled.pruned")).unwrap();
        }
        job.assert_sound("the projections were going", 30);
    }
    fs::remove_file(state("order")).unwrap();
    fs::rename(state("sled"), state("sled.pruned")).unwrap();
    pruned.put("totals.json", &pruned.before["totals.json"]);
    pruned.assert_sound("the new log had just come", 3);
    // What was written after the start counts once.
    let (mut store, _) = pruned.scene.open();
    store.append(&LogLine::Outcome(Box::new(OutcomeLine { call: 31, ..outcome(4, 4) }))).unwrap();
    store.write().unwrap();
    let told = read_standing(&pruned.scene.dir).unwrap().unwrap();
    assert_eq!(told.ledger.runs[0].totals.sum().attempts, 31);
}

#[test]
fn a_log_without_anything_to_forget_is_not_written_again() {
    let job = twice();
    assert_eq!(job.prune().kept, 3);
    let before = files(&job.scene.dir);
    let again = job.scene.open().0;
    let ends: BTreeMap<u64, End> =
        again.outcomes().map(|ended| ended.unwrap()).map(|ended| (ended.row, ended.end)).collect();
    drop(again);
    let (mut store, _) = job.scene.open();
    store.order_for(TODAY).unwrap();
    let pruned = store.prune(TODAY, &needed(&ends), true, AT + 9).unwrap();
    assert_eq!((pruned.outcomes, pruned.kept, pruned.bytes_before), (0, 3, pruned.bytes_after));
    assert_eq!(files(&job.scene.dir)["results.log"], before["results.log"]);
}

#[test]
fn an_outcome_that_is_needed_and_cannot_be_read_stops_it() {
    let job = twice();
    let mut log = job.before["results.log"].clone();
    let at = usize::try_from(job.ends[&2].offset).unwrap();
    log[at..at + 5].fill(b'x');
    job.put("results.log", &log);
    let (mut store, _) = job.scene.open();
    store.order_for(TODAY).unwrap();
    let error = store.prune(TODAY, &needed(&job.ends), true, AT).unwrap_err();
    assert!(matches!(error, StoreError::BrokenLine { .. }), "{error}");
    assert_eq!(files(&job.scene.dir)["results.log"], log);
    assert!(!job.scene.dir.path().join("results.log.new").exists());
}

#[test]
fn sums_that_differ_from_the_checkpoints_stop_it() {
    let job = twice();
    let mut log = job.before["results.log"].clone();
    let at = memchr::memmem::find(&log, b"\"input_tokens\":1,").unwrap();
    log[at + 15] = b'2';
    job.put("results.log", &log);
    let (mut store, _) = job.scene.open();
    store.order_for(TODAY).unwrap();
    let error = store.prune(TODAY, &needed(&job.ends), true, AT).unwrap_err();
    assert!(matches!(error, StoreError::Sums { .. }), "{error}");
    assert_eq!(files(&job.scene.dir)["results.log"], log);
}

#[test]
fn sums_of_before_rows_within_a_provider_were_counted_do_not_stop_it() {
    let scene = Scene::new();
    let (mut store, _) = scene.open();
    store.order_for(TODAY).unwrap();
    write_rows(&mut store, 1..=30);
    let mut ends = BTreeMap::new();
    for row in 1..=3 {
        let came_from = Some(Origin { provider: "gateway".to_owned(), model: "big".to_owned() });
        let line = OutcomeLine { came_from, call: 30 + row, ..outcome(row, 2) };
        let offset = store.append(&LogLine::Outcome(Box::new(line))).unwrap();
        let end = End { offset, failure: None, truncated: row == 3, compared: false };
        ends.insert(row, end);
    }
    let sum = |store: &Store| store.ledger().runs[0].totals.sum().fallbacks_within;
    assert_eq!(sum(&store), 3);
    for (_, tally) in &mut store.meta.ledger.runs[0].totals.tallies {
        tally.fallbacks_within = 0;
    }
    store.close().unwrap();

    let (mut store, _) = scene.open();
    assert_eq!(sum(&store), 0);
    store.order_for(TODAY).unwrap();
    assert_eq!(store.prune(TODAY, &needed(&ends), true, AT).unwrap().outcomes, 30);
    assert_eq!(sum(&scene.open().0), 3);
}

#[test]
fn one_who_reads_meanwhile_goes_on_with_the_log_that_he_opened() {
    let job = twice();
    let job_file = job.scene.dir.path().with_file_name("job.toml");
    let reader = StateReader::open(job.scene.dir.path(), &job_file).unwrap().unwrap();
    job.prune();
    assert!(reader.order_for(TODAY).unwrap().is_none(), "the order is of another log");
    assert_eq!(reader.outcomes().unwrap().count(), 30);
    let end = job.ends[&3];
    assert_eq!(reader.log().unwrap().outcome_at(end.offset).unwrap().call, 30);
    let later = StateReader::open(job.scene.dir.path(), &job_file).unwrap().unwrap();
    assert!(later.order_for(TODAY).unwrap().is_some());
    assert_eq!(later.outcomes().unwrap().count(), 3);
}
