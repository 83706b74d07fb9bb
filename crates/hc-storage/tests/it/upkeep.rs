//! Collecting and repairing, whatever the engine: what is seen stays as it was.

use bytes::Bytes;
use hc_storage::{Batch, Durability, Store};

use crate::log::{Outcome, append, clear, create, name, reopen, truncate};
use crate::seen::{Seen, look, look_at_all};

fn all_of(store: &dyn Store) -> Result<Vec<Seen>, Box<dyn std::error::Error>> {
    let seen = |number| Ok(look_at_all(&*reopen(store, number)?)?);
    (1..=2).map(seen).collect()
}

/// A case of the suite that every engine passes.
pub(crate) fn upkeep_changes_nothing(store: &dyn Store) -> Outcome {
    let (one, two) = (create(store, 1)?, create(store, 2)?);
    for salt in 0..3 {
        append(&*one, 20, salt, Durability::Os)?;
        append(&*two, 15, salt, Durability::Os)?;
        truncate(&*two, 10, Durability::Os)?;
        let mut batch = Batch::new();
        batch.set_user_data("note", Some(Bytes::from(vec![salt as u8; 300])));
        one.commit(batch, Durability::Os)?.wait()?;
    }
    append(&*create(store, 3)?, 5, 0, Durability::Os)?;
    store.delete_core(&name(3))?;
    let snapshot = one.snapshot()?;
    let shown = look(&*snapshot)?;
    clear(&*one, 4, 50, Durability::Os)?;
    for round in 0..2 {
        let seen = all_of(store)?;
        store.compact(&mut |_| {})?;
        assert!(all_of(store)? == seen, "compact, round {round}");
        assert_eq!(store.usage()?.dead, 0);
        assert!(store.repair(&mut |_| {})?.is_empty());
        assert!(all_of(store)? == seen, "repair, round {round}");
        assert!(store.damage()?.is_empty());
        assert!(look(&*snapshot)? == shown, "a snapshot, round {round}");
        append(&*one, 8, 9, Durability::Os)?;
    }
    assert!(store.open_core(&name(3))?.is_none());
    Ok(())
}
