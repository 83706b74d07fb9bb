//! Branches of logs on every engine: what they have of the log that they left, what they keep when it is
//! cut, and commits to several logs at once; then any sequence of all that, against vectors.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use hc_merkle::{BlockIndex, Head, Length, hash};
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::limits::MAX_BRANCH_NAME_LEN;
use hc_storage::{
    Batch, BatchError, CoreRead, CoreStore, Durability, Lineage, MemoryStore, StorageError, Store,
    StoreOptions, Topic,
};
use proptest::prelude::*;

use crate::log::{
    Outcome, append, append_to, block, branch, clear, create, head_at, name, reopen, reopen_branch,
    reset, truncate,
};

const OS: Durability = Durability::Os;

/// Runs a case on every engine, on the default one also with an index that is written all the time.
fn on_all(case: fn(&dyn Store) -> Outcome) -> Outcome {
    case(&MemoryStore::new())?;
    let options = StoreOptions::default().create(true).background(false);
    case(&FaultDisk::new().open(options)?)?;
    let tiny = options.segment_len(8 << 10).checkpoint_every(7, 4 << 10);
    case(&FaultDisk::new().open(tiny)?)
}

/// The salts of the blocks, in order; 99 where a block is not stored.
fn salts(core: &dyn CoreRead) -> Result<Vec<u64>, Box<dyn std::error::Error>> {
    let (length, bits) = (core.head()?.length().get(), core.bitfield()?);
    let mut visited = BTreeMap::new();
    core.blocks(
        BlockIndex::new(0)..BlockIndex::new(length),
        &mut |index, bytes| {
            visited.insert(index.get(), bytes);
            ControlFlow::Continue(())
        },
    )?;
    let mut salts = Vec::new();
    for index in 0..length {
        let stored = core.block(BlockIndex::new(index))?;
        assert_eq!(bits.get(index), stored.is_some(), "bit {index}");
        assert_eq!(visited.get(&index), stored.as_ref(), "block {index}");
        let salt = stored.map(|stored| (0..9).find(|salt| block(index, *salt) == stored));
        salts.push(salt.flatten().unwrap_or(99));
    }
    assert_eq!(core.block(BlockIndex::new(length))?, None);
    let roots = core.head()?.roots().to_vec();
    let mut found = Vec::new();
    let indexes: Vec<_> = roots.iter().map(|root| root.index).collect();
    core.nodes(&indexes, &mut found)?;
    assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), roots);
    Ok(salts)
}

fn lineage(length: u64, cut: bool) -> Option<Lineage> {
    let length = Length::new(length);
    Some(Lineage { length, cut })
}

#[test]
fn a_branch_has_its_log_below_and_its_own_above() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        assert_eq!(log.lineage()?, None);
        // block 13 is empty, so that salts are told apart by the others
        append(&*log, 3, 1, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        assert_eq!(draft.head()?.roots(), log.head()?.roots());
        append(&*draft, 2, 2, OS)?;
        append(&*log, 1, 3, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 1, 2, 2]);
        assert_eq!(salts(&*log)?[1..], [1, 1, 3]);
        assert_eq!(draft.lineage()?, lineage(3, false));
        assert_eq!(draft.auth()?.key, log.auth()?.key);
        assert_eq!(log.branches()?, ["draft"]);
        // what the log clears, the branch does not have any more; what the branch clears is its own
        clear(&*log, 1, 2, OS)?;
        clear(&*draft, 0, 4, OS)?;
        assert_eq!(salts(&*draft)?[1..], [99, 1, 99, 2]);
        assert_eq!(salts(&*log)?[2..], [1, 3]);
        Ok(())
    })
}

#[test]
fn an_earlier_length_is_checked_out() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 6, 1, OS)?;
        let draft = branch(&*log, "draft", 2)?;
        assert_eq!(draft.head()?, head_at(&*log, 2)?);
        append(&*draft, 3, 2, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 2, 2, 2]);
        assert_eq!(draft.bitfield()?.count(0..100), 5);
        Ok(())
    })
}

#[test]
fn a_branch_keeps_what_its_log_cuts() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 6, 1, OS)?;
        clear(&*log, 4, 5, OS)?;
        let (one, two) = (branch(&*log, "one", 6)?, branch(&*log, "two", 2)?);
        append(&*one, 2, 2, OS)?;
        let before = store.usage()?.live;
        truncate(&*log, 3, OS)?;
        assert_eq!(store.usage()?.live, before, "nothing was given up");
        append(&*log, 5, 3, OS)?;
        assert_eq!(salts(&*one)?[1..], [1, 1, 1, 99, 1, 2, 2]);
        assert_eq!(one.lineage()?, lineage(3, true));
        assert_eq!(salts(&*two)?[1..], [1]);
        assert_eq!(two.lineage()?, lineage(2, false));
        // cut again, and the other branch too
        truncate(&*log, 1, OS)?;
        append(&*log, 9, 4, OS)?;
        assert_eq!(salts(&*one)?[1..], [1, 1, 1, 99, 1, 2, 2]);
        assert_eq!(salts(&*two)?[1..], [1]);
        assert_eq!(two.lineage()?, lineage(1, true));
        // cut to what both have, it may be continued where the log is
        truncate(&*one, 1, OS)?;
        assert_eq!(one.lineage()?, lineage(1, false));
        Ok(())
    })
}

#[test]
fn a_branch_is_reset_to_its_log() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 2, 1, OS)?;
        let draft = branch(&*log, "draft", 2)?;
        append(&*draft, 5, 2, OS)?;
        append(&*log, 3, 3, OS)?;
        let snapshot = draft.snapshot()?;
        reset(&*draft, &*log, 4, OS)?;
        assert_eq!(salts(&*draft)?[1..], [1, 3, 3]);
        assert_eq!(draft.lineage()?, lineage(4, false));
        assert_eq!(salts(&*snapshot)?[1..], [1, 2, 2, 2, 2, 2]);
        assert_eq!(snapshot.lineage()?, lineage(2, false));
        Ok(())
    })
}

#[test]
fn snapshots_of_branches_stay() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 40, 1, OS)?;
        let draft = branch(&*log, "draft", 30)?;
        append(&*draft, 10, 2, OS)?;
        let snapshot = draft.snapshot()?;
        let expected = salts(&*draft)?;
        clear(&*log, 2, 4, OS)?;
        clear(&*draft, 33, 35, OS)?;
        truncate(&*log, 10, OS)?;
        append(&*log, 50, 3, OS)?;
        truncate(&*draft, 5, OS)?;
        append(&*draft, 50, 4, OS)?;
        store.sync(Durability::Disk)?;
        assert_eq!(salts(&*snapshot)?, expected);
        Ok(())
    })
}

#[test]
fn commits_to_several_logs_are_one() -> Outcome {
    on_all(|store| {
        let (one, two) = (create(store, 1)?, create(store, 2)?);
        append(&*one, 2, 1, OS)?;
        let draft = branch(&*one, "draft", 2)?;
        append(&*draft, 2, 2, OS)?;
        let grow = |core: &dyn CoreRead, salt| -> Result<Batch, Box<dyn std::error::Error>> {
            Ok(Batch::from_change(&append_to(&core.head()?, 2, salt)?))
        };
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(4));
        let mut marked = grow(&*two, 5)?;
        marked.set_user_data("mark", Some(Bytes::from_static(b"x")));
        let stale = grow(&*two, 6)?;
        let live = store.usage()?.live;
        let all = vec![
            (one.clone(), grow(&*one, 2)?),
            (draft.clone(), inherit.clone()),
            (two.clone(), marked),
        ];
        store.commit_all(all, OS)?.wait()?;
        assert_eq!(salts(&*one)?[1..], [1, 2, 2]);
        assert_eq!(salts(&*two)?[1..], [5]);
        assert_eq!(two.user_data("mark")?.as_deref(), Some(&b"x"[..]));
        assert_eq!(salts(&*draft)?[1..], [1, 2, 2]);
        assert_eq!(draft.lineage()?, lineage(4, false));
        let added: u64 = (0..2).map(|index| block(index, 5).len() as u64).sum();
        assert_eq!(
            store.usage()?.live,
            live + added,
            "the branch gave up its own"
        );
        // one that does not fit, and none is stored
        let all = vec![(one.clone(), grow(&*one, 3)?), (two.clone(), stale)];
        let refused = store.commit_all(all, OS);
        assert!(matches!(refused, Err(StorageError::Stale { .. })));
        assert_eq!(one.head()?.length(), Length::new(4));
        Ok(())
    })
}

#[test]
fn what_makes_no_sense_is_refused() -> Outcome {
    on_all(|store| {
        let (log, other) = (create(store, 1)?, create(store, 2)?);
        append(&*log, 3, 1, OS)?;
        append(&*other, 3, 2, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        let head = log.head()?;
        assert!(matches!(
            log.create_branch("draft", &head),
            Err(StorageError::BranchExists { .. })
        ));
        assert!(matches!(
            draft.create_branch("twig", &head),
            Err(StorageError::BranchOfBranch)
        ));
        let foreign = log.create_branch("foreign", &other.head()?);
        assert!(matches!(
            foreign.map(drop),
            Err(StorageError::Batch(BatchError::OtherTree))
        ));
        let long = "n".repeat(MAX_BRANCH_NAME_LEN);
        log.create_branch(&long, &Head::empty())?;
        assert!(log.delete_branch(&long)?);
        let longer = log.create_branch(&(long + "n"), &Head::empty());
        assert!(matches!(
            longer.map(drop),
            Err(StorageError::Batch(BatchError::NameTooLong { len: 257 }))
        ));
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(1));
        let refused = log.commit(inherit, OS);
        assert!(matches!(
            refused,
            Err(StorageError::Batch(BatchError::NotABranch))
        ));
        let mut inherit = Batch::new();
        inherit.inherit(Length::new(4));
        let refused = draft.commit(inherit, OS);
        assert!(matches!(
            refused,
            Err(StorageError::Batch(BatchError::InheritsPastEnd { .. }))
        ));
        Ok(())
    })
}

#[test]
fn what_does_not_go_together_is_refused() -> Outcome {
    on_all(|store| {
        let (log, other) = (create(store, 1)?, create(store, 2)?);
        append(&*log, 3, 1, OS)?;
        append(&*other, 3, 2, OS)?;
        let draft = branch(&*log, "draft", 3)?;
        let cut = Batch::from_change(&crate::log::truncation(&*log, 1)?);
        let mut note = Batch::new();
        note.set_user_data("note", None);
        let both = vec![(log.clone(), cut), (draft.clone(), note.clone())];
        assert!(matches!(
            store.commit_all(both, OS),
            Err(StorageError::Batch(BatchError::CutWithBranch))
        ));
        let mut joins = Batch::new();
        joins.join_group(Topic([1; 32]));
        assert!(matches!(
            draft.commit(joins, OS),
            Err(StorageError::Batch(BatchError::GroupOfBranch))
        ));
        let twice = vec![(log.clone(), note.clone()), (log.clone(), note.clone())];
        assert!(matches!(
            store.commit_all(twice, OS),
            Err(StorageError::Batch(BatchError::Repeated))
        ));
        let stranger = MemoryStore::new();
        let elsewhere = create(&stranger, 1)?;
        let refused = store.commit_all(vec![(elsewhere.clone(), note)], OS);
        assert!(matches!(refused, Err(StorageError::OtherStore)));
        let moved = |to: &dyn CoreStore, shared| {
            draft
                .move_to(to, Length::new(shared), Batch::new(), OS)
                .map(drop)
        };
        assert!(matches!(
            moved(&*elsewhere, 0),
            Err(StorageError::OtherStore)
        ));
        assert!(matches!(
            moved(&*other, 2),
            Err(StorageError::Batch(BatchError::OtherTree))
        ));
        branch(&*other, "draft", 1)?;
        assert!(matches!(
            moved(&*other, 0),
            Err(StorageError::BranchExists { .. })
        ));
        assert_eq!(salts(&*draft)?[1..], [1, 1]);
        Ok(())
    })
}

#[test]
fn branches_go_by_themselves_or_with_their_log() -> Outcome {
    on_all(|store| {
        let log = create(store, 1)?;
        append(&*log, 3, 1, OS)?;
        let (a, b) = (branch(&*log, "a", 3)?, branch(&*log, "b", 3)?);
        append(&*a, 3, 2, OS)?;
        append(&*b, 3, 2, OS)?;
        assert_eq!(log.branches()?, ["a", "b"]);
        assert!(log.delete_branch("a")?);
        assert!(!log.delete_branch("a")?);
        assert!(matches!(a.head(), Err(StorageError::NoBranch { .. })));
        assert!(log.open_branch("a")?.is_none());
        let again = branch(&*log, "a", 1)?;
        assert_eq!(salts(&*again)?.len(), 1);
        assert!(store.delete_core(&name(1))?);
        assert!(matches!(b.head(), Err(StorageError::NoBranch { .. })));
        assert_eq!(store.usage()?.live, 0);
        Ok(())
    })
}

#[test]
fn a_moved_branch_has_the_other_log_below() -> Outcome {
    on_all(|store| {
        let (old, new) = (create(store, 1)?, create(store, 2)?);
        append(&*old, 5, 1, OS)?;
        append(&*new, 3, 1, OS)?;
        append(&*new, 4, 2, OS)?;
        let draft = branch(&*old, "draft", 5)?;
        append(&*draft, 2, 3, OS)?;
        let snapshot = draft.snapshot()?;
        draft
            .move_to(&*new, Length::new(3), Batch::new(), OS)?
            .wait()?;
        assert_eq!(draft.lineage()?, lineage(3, false));
        assert_eq!(salts(&*draft)?[1..], [1, 1, 1, 1, 3, 3]);
        assert_eq!(
            (old.branches()?, new.branches()?),
            (vec![], vec!["draft".into()])
        );
        assert_eq!(draft.auth()?.key, new.auth()?.key);
        clear(&*new, 1, 2, OS)?;
        truncate(&*old, 0, OS)?;
        assert_eq!(salts(&*draft)?[1..], [99, 1, 1, 1, 3, 3]);
        assert_eq!(salts(&*snapshot)?[1..], [1, 1, 1, 1, 3, 3]);
        // and on, taking on what the other log has
        let third = create(store, 3)?;
        append(&*third, 9, 4, OS)?;
        let head = draft.head()?;
        let batch = Batch::reset((head.fork(), head.length()), head_at(&*third, 8)?);
        draft.move_to(&*third, Length::ZERO, batch, OS)?.wait()?;
        assert_eq!(salts(&*draft)?[1..], [4; 7]);
        assert!(store.delete_core(&name(2))?);
        assert_eq!(salts(&*draft)?[1..], [4; 7]);
        Ok(())
    })
}

#[derive(Debug, Clone)]
enum Step {
    Append(u8, u8),
    AppendToBranch(u8, u8),
    Truncate(u16),
    TruncateBranch(u16),
    Clear(u16, u8),
    ClearBranch(u16, u8),
    Branch(u16),
    Reset(u16),
    Merge(u8),
    Move,
    Delete,
    Pin,
    Close,
    Kill,
    DeleteIndex,
}

fn step() -> impl Strategy<Value = Step> {
    let run = || (any::<u16>(), any::<u8>());
    prop_oneof![
        4 => (1u8..40, 0u8..9).prop_map(|(count, salt)| Step::Append(count, salt)),
        4 => (1u8..40, 0u8..9).prop_map(|(count, salt)| Step::AppendToBranch(count, salt)),
        2 => any::<u16>().prop_map(Step::Truncate),
        1 => any::<u16>().prop_map(Step::TruncateBranch),
        1 => run().prop_map(|(start, len)| Step::Clear(start, len)),
        1 => run().prop_map(|(start, len)| Step::ClearBranch(start, len)),
        3 => any::<u16>().prop_map(Step::Branch),
        1 => any::<u16>().prop_map(Step::Reset),
        2 => (0u8..9).prop_map(Step::Merge),
        2 => Just(Step::Move),
        1 => Just(Step::Delete),
        2 => Just(Step::Pin),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
        1 => Just(Step::DeleteIndex),
    ]
}

/// A block by its salt, and whether it is stored.
type Slot = (u64, bool);

/// A branch: where its log ends in it, and what it has itself from there on.
#[derive(Debug, Clone, Default)]
struct Twig {
    log: u8,
    shared: usize,
    cut: bool,
    own: Vec<Slot>,
}

/// Two logs, and a branch of one of them.
#[derive(Debug, Clone, Default)]
struct Model {
    logs: [Vec<Slot>; 2],
    twig: Option<Twig>,
}

impl Model {
    fn log(&self, number: u8) -> &Vec<Slot> {
        &self.logs[usize::from(number) - 1]
    }

    fn log_mut(&mut self, number: u8) -> &mut Vec<Slot> {
        &mut self.logs[usize::from(number) - 1]
    }

    fn branch(&self, twig: &Twig) -> Vec<Slot> {
        let mut all = self.log(twig.log)[..twig.shared].to_vec();
        all.extend(&twig.own);
        all
    }

    fn truncate(&mut self, number: u8, to: usize) {
        if let Some(twig) = self.twig.as_mut().filter(|twig| twig.log == number)
            && to < twig.shared
        {
            let kept = &self.logs[usize::from(number) - 1][to..twig.shared];
            twig.own.splice(..0, kept.iter().copied());
            twig.shared = to;
            twig.cut = true;
        }
        self.log_mut(number).truncate(to);
    }
}

fn options(entries: usize) -> StoreOptions {
    let options = StoreOptions::default().create(true).background(false);
    options
        .segment_len(16 << 10)
        .checkpoint_every(entries, 9 << 10)
}

fn slots(count: u8, salt: u8) -> impl Iterator<Item = Slot> {
    std::iter::repeat_n((u64::from(salt), true), usize::from(count))
}

fn drop_slots(slots: &mut [Slot], start: usize, len: usize) {
    for slot in slots.iter_mut().skip(start).take(len) {
        slot.1 = false;
    }
}

/// How many blocks two logs begin with that are the same in both.
fn common(one: &[Slot], other: &[Slot]) -> usize {
    let pairs = (0..).zip(one.iter().zip(other));
    let same = |(index, (a, b)): &(u64, (&Slot, &Slot))| block(*index, a.0) == block(*index, b.0);
    pairs.take_while(same).count()
}

fn play(steps: &[Step], entries: usize) -> Outcome {
    let mut disk = FaultDisk::new();
    let mut store = disk.open(options(entries))?;
    create(&store, 1)?;
    create(&store, 2)?;
    let mut model = Model::default();
    let mut pinned = Vec::new();
    for (number, step) in (0u64..).zip(steps) {
        let reopens = matches!(step, Step::Close | Step::Kill | Step::DeleteIndex);
        if reopens {
            pinned.clear();
            if !matches!(step, Step::Kill) {
                store.close()?;
            } else {
                disk = disk.image(Survival::Process(number));
            }
            if matches!(step, Step::DeleteIndex) {
                disk.delete_index();
            }
            store = disk.open(options(entries))?;
        } else if matches!(step, Step::Pin) {
            pinned.extend(pin(&store, &model)?);
        } else {
            if matches!(step, Step::Delete) {
                // a snapshot of what is deleted is nobody's
                pinned.clear();
            }
            // now the one log, now the other
            let which = if number % 3 == 2 { 2 } else { 1 };
            carry_out(step, which, &store, &mut model)?;
        }
        compare(&store, &model)?;
        for (snapshot, expected) in &pinned {
            assert_slots(&**snapshot, expected)?;
        }
    }
    Ok(())
}

type Held = (std::sync::Arc<dyn CoreRead>, Vec<Slot>);

fn pin(store: &dyn Store, model: &Model) -> Result<Vec<Held>, Box<dyn std::error::Error>> {
    let mut pinned = vec![(reopen(store, 1)?.snapshot()?, model.log(1).clone())];
    if let Some(twig) = &model.twig {
        let branch = reopen_branch(store, twig.log, "twig")?;
        pinned.push((branch.snapshot()?, model.branch(twig)));
    }
    Ok(pinned)
}

fn carry_out(step: &Step, which: u8, store: &dyn Store, model: &mut Model) -> Outcome {
    let within = |at: &u16, length: usize| usize::from(*at) % (length + 1);
    let log = reopen(store, which)?;
    let length = model.log(which).len();
    match step {
        Step::Append(count, salt) => {
            append(&*log, (*count).into(), (*salt).into(), OS)?;
            model.log_mut(which).extend(slots(*count, *salt));
        }
        Step::Truncate(to) => {
            let to = within(to, length);
            truncate(&*log, to as u64, OS)?;
            model.truncate(which, to);
        }
        Step::Clear(start, len) => {
            let start = within(start, length);
            clear(&*log, start as u64, start as u64 + u64::from(*len), OS)?;
            drop_slots(model.log_mut(which), start, (*len).into());
        }
        Step::Branch(at) if model.twig.is_none() => {
            let shared = within(at, length);
            branch(&*log, "twig", shared as u64)?;
            let log = which;
            model.twig = Some(Twig {
                log,
                shared,
                ..Twig::default()
            });
        }
        _ => {
            if let Some(twig) = model.twig.take() {
                model.twig = carry_out_on_branch(step, twig, store, model)?;
            }
        }
    }
    Ok(())
}

fn carry_out_on_branch(
    step: &Step,
    mut twig: Twig,
    store: &dyn Store,
    model: &mut Model,
) -> Result<Option<Twig>, Box<dyn std::error::Error>> {
    let within = |at: &u16, length: usize| usize::from(*at) % (length + 1);
    let log = reopen(store, twig.log)?;
    let branch = reopen_branch(store, twig.log, "twig")?;
    let length = twig.shared + twig.own.len();
    match step {
        Step::AppendToBranch(count, salt) => {
            append(&*branch, (*count).into(), (*salt).into(), OS)?;
            twig.own.extend(slots(*count, *salt));
        }
        Step::TruncateBranch(to) => {
            let to = within(to, length);
            truncate(&*branch, to as u64, OS)?;
            twig.own.truncate(to.saturating_sub(twig.shared));
            if to <= twig.shared {
                (twig.shared, twig.cut) = (to, false);
            }
        }
        Step::ClearBranch(start, len) => {
            let start = within(start, length);
            clear(&*branch, start as u64, start as u64 + u64::from(*len), OS)?;
            let (from, end) = (start.max(twig.shared), start + usize::from(*len));
            let len = end.saturating_sub(from);
            drop_slots(&mut twig.own, from - twig.shared, len);
        }
        Step::Reset(at) => {
            let shared = within(at, model.log(twig.log).len());
            reset(&*branch, &*log, shared as u64, OS)?;
            let log = twig.log;
            twig = Twig {
                log,
                shared,
                ..Twig::default()
            };
        }
        Step::Merge(salt) if !twig.cut && model.log(twig.log).len() == twig.shared => {
            append(&*branch, 3, (*salt).into(), OS)?;
            twig.own.extend(slots(3, *salt));
            if twig.own.iter().all(|slot| slot.1) {
                merge(store, &twig)?;
                twig.shared += twig.own.len();
                model.log_mut(twig.log).append(&mut twig.own);
            }
        }
        Step::Move => {
            let target = 3 - twig.log;
            let all = model.branch(&twig);
            let shared = common(&all, model.log(target));
            let to = reopen(store, target)?;
            branch
                .move_to(&*to, Length::new(shared as u64), Batch::new(), OS)?
                .wait()?;
            twig = moved(&twig, target, shared, model);
        }
        Step::Delete => {
            assert!(log.delete_branch("twig")?);
            return Ok(None);
        }
        _ => {}
    }
    Ok(Some(twig))
}

/// A branch after it moved.
fn moved(twig: &Twig, target: u8, shared: usize, model: &Model) -> Twig {
    Twig {
        log: target,
        shared,
        cut: false,
        own: model.branch(twig).split_off(shared),
    }
}

/// The branch's own blocks go into its log, and are the log's from then on.
fn merge(store: &dyn Store, twig: &Twig) -> Outcome {
    let (log, branch) = (
        reopen(store, twig.log)?,
        reopen_branch(store, twig.log, "twig")?,
    );
    let mut draft = hc_merkle::Draft::new(&log.head()?);
    let start = log.head()?.length().get();
    let blocks = (start..).zip(&twig.own);
    draft.append(blocks.map(|(index, slot)| block(index, slot.0)))?;
    let mut inherit = Batch::new();
    inherit.inherit(draft.length());
    let change = draft.seal_unsigned();
    let all = vec![(log, Batch::from_change(&change)), (branch, inherit)];
    Ok(store.commit_all(all, OS)?.wait()?)
}

fn compare(store: &dyn Store, model: &Model) -> Outcome {
    for number in 1..3 {
        let log = reopen(store, number)?;
        assert_slots(&*log, model.log(number))?;
        let twig = model.twig.as_ref().filter(|twig| twig.log == number);
        assert_eq!(log.branches()?.len(), usize::from(twig.is_some()));
        if let Some(twig) = twig {
            let branch = reopen_branch(store, number, "twig")?;
            assert_eq!(branch.lineage()?, lineage(twig.shared as u64, twig.cut));
            assert_slots(&*branch, &model.branch(twig))?;
        }
    }
    Ok(())
}

fn assert_slots(core: &dyn CoreRead, expected: &[Slot]) -> Outcome {
    assert_eq!(core.head()?.length().get(), expected.len() as u64);
    let bits = core.bitfield()?;
    for (index, (salt, stored)) in (0..).zip(expected) {
        let expected = block(index, *salt);
        let leaf = BlockIndex::new(index).leaf().ok_or("leaf")?;
        let node = core.node(leaf)?.ok_or("no leaf")?;
        assert_eq!(node, hash::leaf_node(leaf, &expected), "leaf {index}");
        assert_eq!(bits.get(index), *stored, "bit {index}");
        let found = core.block(BlockIndex::new(index))?;
        assert_eq!(found, stored.then_some(expected), "block {index}");
    }
    let end = expected.len() as u64;
    assert!(!bits.any_set(end..u64::MAX));
    let past = BlockIndex::new(end).leaf().ok_or("leaf")?;
    assert_eq!(core.node(past)?, None, "past the end");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_vectors(steps in proptest::collection::vec(step(), 1..30), entries in 1usize..400) {
        let played = play(&steps, entries);
        prop_assert!(played.is_ok(), "{:?}", played);
    }
}
