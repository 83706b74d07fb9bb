//! Any sequence of operations on two logs and a branch of one of them, against vectors.

use std::collections::BTreeSet;

use hc_merkle::{BlockIndex, Length, hash};
use hc_storage::fault::{FaultDisk, Survival};
use hc_storage::{Batch, CoreRead, Store, StoreOptions};
use proptest::prelude::*;

use crate::branches::{OS, lineage};
use crate::log::{
    Outcome, append, block, branch, clear, create, reopen, reopen_branch, reset, truncate,
};

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
    Compact,
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
        2 => Just(Step::Compact),
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
    /// Blocks below `shared` that it has a copy of itself, from before it moved to where they are shared.
    held: BTreeSet<usize>,
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
        for index in &twig.held {
            all[*index].1 = true;
        }
        all.extend(&twig.own);
        all
    }

    fn truncate(&mut self, number: u8, to: usize) {
        if let Some(twig) = self.twig.as_mut().filter(|twig| twig.log == number)
            && to < twig.shared
        {
            let mut kept = self.logs[usize::from(number) - 1][to..twig.shared].to_vec();
            for index in twig.held.split_off(&to) {
                kept[index - to].1 = true;
            }
            twig.own.splice(..0, kept);
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
        } else if matches!(step, Step::Compact) {
            store.compact(&mut |_| {})?;
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
            twig.held.split_off(&to);
            if to <= twig.shared {
                (twig.shared, twig.cut) = (to, false);
            }
        }
        Step::ClearBranch(start, len) => {
            let start = within(start, length);
            clear(&*branch, start as u64, start as u64 + u64::from(*len), OS)?;
            let (from, end) = (start.max(twig.shared), start + usize::from(*len));
            let len = end.saturating_sub(from);
            twig.held.retain(|index| !(start..end).contains(index));
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
                twig.held.clear();
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
    let mut held = twig.held.clone();
    let own = (twig.shared..).zip(&twig.own);
    held.extend(own.filter(|(_, slot)| slot.1).map(|(index, _)| index));
    held.split_off(&shared);
    Twig {
        log: target,
        shared,
        cut: false,
        own: model.branch(twig).split_off(shared),
        held,
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

/// What was a branch's own before it moved to a log that has the same blocks stays its own.
#[test]
fn what_a_branch_had_itself_it_has_when_the_log_that_it_moved_to_clears_it() -> Outcome {
    let steps = [
        Step::Append(2, 0),
        Step::Branch(0),
        Step::Append(3, 5),
        Step::AppendToBranch(3, 5),
        Step::Move,
        Step::Clear(0, 3),
        Step::DeleteIndex,
    ];
    play(&steps, 100)
}

/// What a branch took along from the log that it left stays where that log was written.
#[test]
fn what_a_branch_took_along_is_there_when_the_log_that_it_left_is_collected() -> Outcome {
    let steps = [
        Step::Branch(0),
        Step::AppendToBranch(10, 0),
        Step::AppendToBranch(4, 0),
        Step::AppendToBranch(1, 0),
        Step::Merge(0),
        Step::Compact,
        Step::AppendToBranch(1, 0),
        Step::Move,
        Step::Append(1, 0),
        Step::Truncate(3876),
        Step::Compact,
        Step::DeleteIndex,
    ];
    play(&steps, 1)
}
