//! Branches and atoms under stress: futures that are dropped, power that goes at any write, and any
//! sequence of operations against vectors.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_std::task::block_on;
use futures_lite::future::poll_once;
use hc_storage::fault::{Fault, FaultDisk, Survival};
use hypercore::{
    Atom, AtomError, Branch, Bytes, DiscoveryKey, Draft, Durability, Hypercore, Length,
    MemoryStore, MergeError, Merged, Storage, Store, StoreOptions, TreeHash,
};
use proptest::prelude::*;

use crate::peers::opened;

type Outcome = Result<(), Box<dyn std::error::Error>>;

async fn log_in(store: &Arc<dyn Store>, seed: u8, level: Durability) -> Hypercore {
    let log = Hypercore::builder(Storage::open(store.clone())).seed(&[seed; 32]);
    log.durability(level).open().await.unwrap()
}

/// What a store has of a log or branch: length, fork and tree, and of a branch up to where it is the log's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    length: Length,
    fork: u64,
    tree: TreeHash,
    inherited: Option<Length>,
    stored: u64,
    user_data: Vec<(String, Bytes)>,
}

/// What a store has, branches after their logs.
type All = BTreeMap<(DiscoveryKey, Option<String>), Seen>;

fn see(core: &dyn hc_storage::CoreRead) -> Result<Seen, hc_storage::StorageError> {
    let head = core.head()?;
    let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    Ok(Seen {
        length: head.length(),
        fork: head.fork().get(),
        tree: head.tree_hash(),
        inherited: core.lineage()?.map(|lineage| lineage.length),
        stored: core.bitfield()?.count(0..head.length().get()),
        user_data: core.user_data_between(all)?,
    })
}

fn see_all(store: &dyn Store) -> Result<All, hc_storage::StorageError> {
    let mut all = All::new();
    for entry in store.cores()? {
        let Some(core) = store.open_core(&entry.discovery_key)? else {
            continue;
        };
        all.insert((entry.discovery_key, None), see(&*core)?);
        for name in core.branches()? {
            if let Some(branch) = core.open_branch(&name)? {
                all.insert((entry.discovery_key, Some(name)), see(&*branch)?);
            }
        }
    }
    Ok(all)
}

/// A draft, once a flush that nobody waits for any more has let go of the last one.
async fn draft_in(atom: &Atom, log: &Hypercore) -> Draft {
    loop {
        match atom.draft(log) {
            Err(AtomError::Taken { .. }) => async_std::task::yield_now().await,
            draft => return draft.unwrap(),
        }
    }
}

#[test]
fn what_is_dropped_at_any_moment_leaves_memory_and_store_alike() {
    block_on(async {
        for level in [Durability::Os, Durability::Disk] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let (one, two) = (
                log_in(&store, 1, level).await,
                log_in(&store, 2, level).await,
            );
            let branch = one.branch("x").await.unwrap();
            for round in 0..24 {
                branch.catch_up(one.length().get()).await.unwrap();
                branch.append("mine").await.unwrap();
                let atom = Atom::new(&one);
                let (a, b) = (draft_in(&atom, &one).await, draft_in(&atom, &two).await);
                b.append("other").await.unwrap();
                a.merge(&branch).await.unwrap();
                let mut merge = Box::pin(async { branch.merge().await });
                let mut flush = Box::pin(atom.flush());
                // polled once: begun, and perhaps on its way on another thread
                if round % 3 != 0 {
                    poll_once(&mut flush).await;
                }
                if round % 4 != 0 {
                    poll_once(&mut merge).await;
                }
            }
            // these take their turn after whatever is still under way, which may get ahead of the first
            loop {
                branch.catch_up(one.length().get()).await.unwrap();
                branch.append("last").await.unwrap();
                if matches!(branch.merge().await.unwrap(), Merged::Done(_)) {
                    break;
                }
            }
            two.append("last").await.unwrap();
            let seen = see_all(&*store).unwrap();
            let of = |log: &Hypercore, name: Option<&str>| {
                let key = (log.discovery_key(), name.map(str::to_owned));
                (seen[&key].length, seen[&key].tree)
            };
            assert_eq!(of(&one, None), (one.length(), one.head().tree_hash()));
            assert_eq!(of(&two, None), (two.length(), two.head().tree_hash()));
            assert_eq!(of(&one, Some("x")), (branch.length(), branch.tree_hash()));
            assert_eq!(branch.inherited().unwrap(), one.length());
            // At `Disk` it is the other thread's matter how much of it had begun.
            if level < Durability::Disk {
                assert!(one.length() > Length::new(1), "some of it took place");
            }
            for log in [&one, &two] {
                assert!(log.verify(|_| {}).unwrap().is_ok());
            }
        }
    });
}

fn options() -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    let options = options.durability(Durability::Disk);
    options.segment_len(6 << 10).checkpoint_every(30, 4 << 10)
}

/// A mix of everything that branches and atoms can do. Calls `acknowledged` after each step that was.
async fn script(store: &Arc<dyn Store>, acknowledged: &mut dyn FnMut() -> Outcome) -> Outcome {
    let open = |seed: u8| {
        let log = Hypercore::builder(Storage::open(store.clone())).seed(&[seed; 32]);
        log.durability(Durability::Disk).open()
    };
    let one = open(1).await?;
    one.append_batch(["a", "b", "c", "d"]).await?;
    acknowledged()?;
    let two = open(2).await?;
    two.append_batch(["a", "b"]).await?;
    acknowledged()?;
    let x = one.branch("x").await?;
    acknowledged()?;
    x.append_batch(["e", "f", "g"]).await?;
    acknowledged()?;
    x.merge().length(5).await?;
    acknowledged()?;
    let y = one.branch("y").at(3).await?;
    acknowledged()?;
    y.append("z").await?;
    acknowledged()?;
    one.truncate(2).await?;
    acknowledged()?;
    let atom = Atom::new(&one);
    let (a, b) = (atom.draft(&one)?, atom.draft(&two)?);
    a.append_batch(["h", "i"]).await?;
    a.set_user_data("k", "v").await?;
    b.truncate(1).await?;
    b.append("j").await?;
    atom.flush().await?;
    acknowledged()?;
    x.catch_up(4).await?;
    acknowledged()?;
    x.append("l").await?;
    acknowledged()?;
    a.merge(&x).await?;
    b.append("m").await?;
    atom.flush().await?;
    acknowledged()?;
    assert!(y.move_to(&two).await.is_err(), "it has other blocks");
    y.truncate(1).await?;
    acknowledged()?;
    y.move_to(&two).await?;
    acknowledged()?;
    one.delete_branch("x").await?;
    acknowledged()?;
    Ok(())
}

#[test]
fn the_power_goes_at_every_write() {
    let run = |disk: &FaultDisk, seen: &mut Vec<All>| {
        let Ok(store) = disk.open(options()) else {
            return 0;
        };
        let store: Arc<dyn Store> = Arc::new(store);
        let mut steps = 0;
        let _ = block_on(script(&store, &mut || {
            steps += 1;
            seen.push(see_all(&*store)?);
            Ok(())
        }));
        let _ = store.close();
        steps
    };
    let disk = FaultDisk::new();
    let mut states = vec![All::new()];
    let steps = run(&disk, &mut states);
    assert_eq!(steps, 15, "the whole script");
    for call in 0..disk.calls() {
        let disk = FaultDisk::new();
        disk.arm(call, Fault::Freeze);
        let steps = run(&disk, &mut Vec::new());
        let image = disk.image(Survival::Power(call));
        let store = image.open(options()).unwrap();
        let found = see_all(&store).unwrap();
        let last = states.len() - 1;
        // opening a log and its first append are one step of the script, and two of the store
        let between = found.values().any(|seen| seen.length == Length::ZERO)
            || found.keys().all(|(_, name)| name.is_none()) && steps < 2;
        let allowed = &states[steps.min(last)..=(steps + 1).min(last)];
        assert!(
            between && steps < 2 || allowed.contains(&found),
            "call {call}, after {steps} steps: {found:?}"
        );
        // and it goes on from there
        let store: Arc<dyn Store> = Arc::new(store);
        block_on(async {
            let log = log_in(&store, 1, Durability::Disk).await;
            for name in log.branches().unwrap() {
                let branch = log.branch(&name).await.unwrap();
                branch.catch_up(log.length().get()).await.unwrap();
                branch.append("on").await.unwrap();
                assert!(matches!(branch.merge().await.unwrap(), Merged::Done(_)));
            }
            assert!(log.verify(|_| {}).unwrap().is_ok());
        });
    }
}

#[test]
fn a_store_with_branches_is_compacted() {
    block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions::default().create(true).segment_len(4 << 10);
        let store: Arc<dyn Store> = Arc::new(options.open(directory.path()).unwrap());
        let log = log_in(&store, 1, Durability::Os).await;
        let mut branches: Vec<Branch> = Vec::new();
        for number in 0..150 {
            if number % 50 == 0 {
                branches.push(log.branch(&format!("s{number}")).await.unwrap());
            }
            log.append(format!("data {number}")).await.unwrap();
            let branch = branches.last().unwrap();
            branch
                .append(format!("branch data {number}"))
                .await
                .unwrap();
        }
        store.compact(&mut |_| {}).unwrap();
        assert_eq!(log.length(), Length::new(150));
        assert_eq!(log.get(149).await.unwrap(), "data 149");
        for (branch, length) in branches.iter().zip([50, 100, 150]) {
            assert_eq!(branch.length(), Length::new(length));
            let last = branch.get(length - 1).await.unwrap();
            assert_eq!(last, format!("branch data {}", length - 1));
            assert!(branch.has(..).unwrap());
        }
        log.close_all().await.unwrap();
        store.close().unwrap();
        drop((log, branches));
        let store: Arc<dyn Store> = Arc::new(options.open(directory.path()).unwrap());
        let log = log_in(&store, 1, Durability::Os).await;
        let branch = log.branch("s100").await.unwrap();
        assert_eq!(branch.get(149).await.unwrap(), "branch data 149");
        assert_eq!(branch.get(99).await.unwrap(), "data 99");
    });
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, u8),
    Truncate(u8),
    Branch(u8, u8),
    Cut(u8),
    Merge(u8),
    CatchUp(u8),
    Draft(u8, u8),
    CutDraft(u8),
    MergeDraft,
    Flush,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let blocks = || (1u8..6, 0u8..3);
    prop_oneof![
        3 => blocks().prop_map(|(count, salt)| Step::Append(count, salt)),
        1 => any::<u8>().prop_map(Step::Truncate),
        4 => blocks().prop_map(|(count, salt)| Step::Branch(count, salt)),
        1 => any::<u8>().prop_map(Step::Cut),
        3 => any::<u8>().prop_map(Step::Merge),
        1 => any::<u8>().prop_map(Step::CatchUp),
        2 => blocks().prop_map(|(count, salt)| Step::Draft(count, salt)),
        1 => any::<u8>().prop_map(Step::CutDraft),
        2 => Just(Step::MergeDraft),
        2 => Just(Step::Flush),
        1 => Just(Step::Drop),
    ]
}

/// The salts of a log, a branch and a draft; how much of the latter two is the log's.
#[derive(Debug, Default)]
struct Model {
    log: Vec<u8>,
    branch: Vec<u8>,
    shared: usize,
    cut: bool,
    draft: Vec<u8>,
    drafted: usize,
    /// The log as it was when the draft began; `None` where it has changed since.
    base: Option<Vec<u8>>,
}

impl Model {
    fn truncate(&mut self, to: usize) {
        self.log.truncate(to);
        self.base = None;
        if to < self.shared {
            (self.shared, self.cut) = (to, true);
        }
    }

    /// The log is so, and the draft begins there.
    fn begin_draft(&mut self, log: Vec<u8>) {
        self.draft.clone_from(&log);
        (self.drafted, self.base) = (log.len(), Some(log.clone()));
        self.log = log;
    }

    fn cut(&mut self, to: usize) {
        self.branch.truncate(to);
        if to <= self.shared {
            (self.shared, self.cut) = (to, false);
        }
    }

    /// Whether what there is takes the branch up to a length, or `None` where that is an error.
    fn takes(&self, target: &[u8], to: usize) -> Option<Merged> {
        if self.cut || target.len() < self.shared {
            return None;
        }
        let length = Length::new(target.len() as u64);
        if target.len() > to {
            return Some(Merged::Ahead { length });
        }
        if target != &self.branch[..target.len()] {
            return Some(Merged::Diverged);
        }
        // where the log then stands is looked at elsewhere
        None
    }
}

fn blocks(count: u8, salt: u8) -> Vec<Vec<u8>> {
    vec![vec![salt]; count.into()]
}

fn check(found: Result<Merged, MergeError>, cut: bool, expected: Option<Merged>) -> bool {
    match (found, expected) {
        (Err(MergeError::Truncated { .. }), None) => {
            assert!(cut);
            false
        }
        (Ok(Merged::Done(_)), None) => {
            assert!(!cut);
            true
        }
        (found, expected) => {
            assert_eq!(found.ok(), expected);
            false
        }
    }
}

async fn contents(length: u64, get: impl AsyncFn(u64) -> Bytes) -> Vec<u8> {
    let mut all = Vec::new();
    for index in 0..length {
        all.push(get(index).await[0]);
    }
    all
}

/// A log with a branch and a draft, and what they ought to be.
struct Played {
    log: Hypercore,
    branch: Branch,
    atom: Atom,
    draft: Draft,
    model: Model,
}

fn within(at: u8, length: usize) -> usize {
    usize::from(at) % (length + 1)
}

impl Played {
    async fn begin() -> Self {
        let log = opened(Storage::memory()).await;
        let atom = Atom::new(&log);
        Self {
            branch: log.branch("x").await.unwrap(),
            draft: atom.draft(&log).unwrap(),
            model: Model {
                base: Some(Vec::new()),
                ..Model::default()
            },
            log,
            atom,
        }
    }

    async fn step(&mut self, step: &Step) {
        let (model, branch) = (&mut self.model, &self.branch);
        match step {
            Step::Append(count, salt) => {
                let blocks = blocks(*count, *salt);
                self.log.append_batch(blocks).await.unwrap();
                model.log.extend(vec![*salt; (*count).into()]);
                model.base = None;
            }
            Step::Truncate(to) => {
                let to = within(*to, model.log.len());
                self.log.truncate(to as u64).await.unwrap();
                model.truncate(to);
            }
            Step::Branch(count, salt) => {
                branch.append_batch(blocks(*count, *salt)).await.unwrap();
                model.branch.extend(vec![*salt; (*count).into()]);
            }
            Step::Cut(to) => {
                let to = within(*to, model.branch.len());
                branch.truncate(to as u64).await.unwrap();
                model.cut(to);
            }
            Step::Merge(to) => {
                let to = within(*to, model.branch.len());
                let cut = model.cut || model.log.len() < model.shared;
                let expected = model.takes(&model.log, to);
                if check(branch.merge().length(to as u64).await, cut, expected) {
                    if model.log.len() < to {
                        model.base = None;
                    }
                    model.log = model.branch[..to.max(model.log.len())].to_vec();
                }
            }
            Step::CatchUp(to) => {
                let to = within(*to, model.log.len());
                branch.catch_up(to as u64).await.unwrap();
                model.branch = model.log[..to].to_vec();
                model.cut = false;
            }
            _ => self.step_in_atom(step).await,
        }
    }

    async fn step_in_atom(&mut self, step: &Step) {
        let (model, draft) = (&mut self.model, &self.draft);
        match step {
            Step::Draft(count, salt) => {
                draft.append_batch(blocks(*count, *salt)).await.unwrap();
                model.draft.extend(vec![*salt; (*count).into()]);
            }
            Step::CutDraft(to) => {
                let to = within(*to, model.draft.len());
                draft.truncate(to as u64).await.unwrap();
                model.draft.truncate(to);
                model.drafted = model.drafted.min(to);
            }
            Step::MergeDraft => {
                let Some(base) = &model.base else { return };
                let short = model.drafted < base.len() || model.draft.len() < model.shared;
                let cut = model.cut || short;
                let expected = model.takes(&model.draft, model.branch.len());
                let expected = expected.filter(|_| !cut);
                if check(draft.merge(&self.branch).await, cut, expected) {
                    model.draft = model.branch.clone();
                }
            }
            Step::Flush => match (self.atom.flush().await, model.base.is_some()) {
                (Ok(()), true) => {
                    if model.drafted < model.log.len() {
                        model.truncate(model.drafted);
                    }
                    model.begin_draft(model.draft.clone());
                }
                (Err(AtomError::Moved { .. }), false) => {}
                (flushed, known) => panic!("{flushed:?}, {known}"),
            },
            _ => {
                // what was not flushed goes with the atom
                self.atom = Atom::new(&self.log);
                self.draft = self.atom.draft(&self.log).unwrap();
                model.begin_draft(model.log.clone());
            }
        }
    }

    async fn compare(&mut self) {
        let (log, branch, draft) = (&self.log, &self.branch, &self.draft);
        let get = async |index| log.get(index).local().await.unwrap();
        assert_eq!(contents(log.length().get(), get).await, self.model.log);
        let get = async |index| branch.get(index).local().await.unwrap();
        let found = contents(branch.length().get(), get).await;
        assert_eq!(found, self.model.branch);
        let get = async |index| draft.get(index).local().await.unwrap();
        assert_eq!(contents(draft.length().get(), get).await, self.model.draft);
        // how much that is shows in the next steps, and in a model of its own below
        let inherited = branch.inherited().unwrap().get();
        self.model.shared = usize::try_from(inherited).unwrap();
    }
}

async fn play(steps: &[Step]) {
    let mut played = Played::begin().await;
    for step in steps {
        played.step(step).await;
        played.compare().await;
    }
    assert!(played.log.verify(|_| {}).unwrap().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn as_vectors(steps in proptest::collection::vec(step(), 1..30)) {
        block_on(play(&steps));
    }
}
