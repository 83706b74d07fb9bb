//! A log on its own: appending, reading, opening again, closing.

use std::sync::Arc;

use futures_lite::future::{block_on, poll_once};
use hc_storage::MemoryStore;
use hypercore::encryption::EncryptionKey;
use hypercore::{
    AppendError, CoreKey, Durability, Event, GetError, Hypercore, IfMissing, KeyPair, Length,
    Manifest, OpenError, Storage, limits,
};

use crate::peers::opened;

fn memory() -> Hypercore {
    block_on(Hypercore::builder(Storage::memory()).open()).unwrap()
}

#[test]
fn what_is_appended_is_read() {
    block_on(async {
        let log = memory();
        let appended = log.append("hello").await.unwrap();
        assert_eq!((appended.length.get(), appended.byte_length.get()), (1, 5));
        let appended = log.append_batch(["", "world", "!"]).await.unwrap();
        assert_eq!((appended.length.get(), appended.byte_length.get()), (4, 11));
        for (index, block) in ["hello", "", "world", "!"].iter().enumerate() {
            assert_eq!(log.get(index as u64).await.unwrap(), *block);
        }
        assert_eq!(log.contiguous_length(), Length::new(4));
    });
}

#[test]
fn appending_nothing_changes_nothing() {
    block_on(async {
        let log = memory();
        let mut events = log.events();
        let none: [&str; 0] = [];
        assert_eq!(log.append_batch(none).await.unwrap().length.get(), 0);
        assert_eq!(events.try_next(), None);
    });
}

#[test]
fn each_append_is_one_event_and_one_state() {
    block_on(async {
        let log = memory();
        let mut events = log.events();
        let mut watch = log.watch();
        log.append_batch(["a", "b"]).await.unwrap();
        log.append("c").await.unwrap();
        assert_eq!(
            events.try_next(),
            Some(Event::Append {
                length: Length::new(2)
            })
        );
        assert_eq!(
            events.try_next(),
            Some(Event::Append {
                length: Length::new(3)
            })
        );
        assert_eq!(events.try_next(), None);
        assert_eq!(watch.next().await.unwrap().length.get(), 3);
    });
}

#[test]
fn a_block_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
    block_on(async {
        let log = memory();
        let largest = vec![7; limits::MAX_BLOCK_BYTES];
        let error = log
            .append_batch([b"a".to_vec(), vec![7; largest.len() + 1]])
            .await
            .unwrap_err();
        assert!(
            matches!(error, AppendError::BlockTooLarge { position: 1, .. }),
            "{error}"
        );
        assert_eq!(log.length(), Length::ZERO);
        log.append(largest).await.unwrap();
    });
}

#[test]
fn a_log_is_found_again_in_its_store() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone())).open();
        let log = open().await.unwrap();
        log.append_batch(["a", "b"]).await.unwrap();
        let (key, head) = (log.key(), log.head());
        log.close().await.unwrap();
        let log = open().await.unwrap();
        assert_eq!((log.key(), log.head()), (key, head));
        assert!(log.is_writable(), "the secret key was stored");
        assert_eq!(log.append("c").await.unwrap().length.get(), 3);
        assert_eq!(log.get(1).await.unwrap(), "b");
    });
}

#[test]
fn key_and_tree_of_a_seed_are_those_of_the_reference() {
    // `new Hypercore(storage, { keyPair: crypto.keyPair(Buffer.alloc(32, 1)) })`
    block_on(async {
        let pair = KeyPair::from_seed(&[1; 32]);
        let log = Hypercore::builder(Storage::memory())
            .seed(&[1; 32])
            .open()
            .await
            .unwrap();
        assert_eq!(log.key(), Manifest::single(pair.public_key()).key());
        let compat = Hypercore::builder(Storage::memory())
            .seed(&[1; 32])
            .compat()
            .open()
            .await
            .unwrap();
        assert_eq!(compat.key().as_bytes(), pair.public_key().as_bytes());
        for log in [log, compat] {
            log.append("hello").await.unwrap();
            log.authority()
                .verifier()
                .unwrap()
                .verify(&log.head())
                .unwrap();
        }
    });
}

#[test]
fn a_key_pair_opens_its_log_by_the_key_too() {
    block_on(async {
        let pair = KeyPair::from_seed(&[2; 32]);
        let default = Manifest::single(pair.public_key()).key();
        let compat = CoreKey(*pair.public_key().as_bytes());
        for key in [default, compat] {
            let builder = Hypercore::builder(Storage::memory())
                .key(key)
                .key_pair(pair.clone());
            let log = builder.open().await.unwrap();
            assert_eq!(log.key(), key);
            log.append("a").await.unwrap();
        }
        let builder = Hypercore::builder(Storage::memory())
            .key(CoreKey([9; 32]))
            .key_pair(pair);
        assert!(matches!(
            builder.open().await.unwrap_err(),
            OpenError::NotASigner { .. }
        ));
    });
}

#[test]
fn a_reader_does_not_append() {
    block_on(async {
        let log = Hypercore::builder(Storage::memory())
            .key(CoreKey([9; 32]))
            .open()
            .await
            .unwrap();
        assert!(!log.is_writable());
        assert!(matches!(
            log.append("a").await.unwrap_err(),
            AppendError::NotWritable
        ));
        let none: [&str; 0] = [];
        assert!(matches!(
            log.append_batch(none).await.unwrap_err(),
            AppendError::NotWritable
        ));
    });
}

#[test]
fn what_is_missing_is_not_made_unless_wanted() {
    block_on(async {
        let builder = Hypercore::builder(Storage::memory()).if_missing(IfMissing::Fail);
        assert!(matches!(
            builder.open().await.unwrap_err(),
            OpenError::Missing { key: None }
        ));
        let key = CoreKey([9; 32]);
        let builder = Hypercore::builder(Storage::memory())
            .key(key)
            .if_missing(IfMissing::Fail);
        let error = builder.open().await.unwrap_err();
        assert!(matches!(error, OpenError::Missing { key: Some(found) } if found == key));
    });
}

#[test]
fn an_option_set_twice_is_an_error() {
    block_on(async {
        let builder = Hypercore::builder(Storage::memory()).seed(&[1; 32]);
        let error = builder
            .key_pair(KeyPair::from_seed(&[2; 32]))
            .open()
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            OpenError::Contradiction { option: "key_pair" }
        ));
    });
}

#[test]
fn ranges_are_had_or_not() {
    block_on(async {
        let log = memory();
        log.append_batch(["a", "b", "c"]).await.unwrap();
        assert!(log.has(..) && log.has(0..3) && log.has(2..=2) && log.has(7..7));
        assert!(!log.has(0..4) && !log.has(3..=3));
        assert_eq!(log.first_missing(..), None);
        assert_eq!(log.first_missing(1..5).unwrap().get(), 3);
        assert_eq!((log.count(..), log.count(1..9)), (3, 2));
    });
}

#[test]
fn closing_one_handle_leaves_the_others() {
    block_on(async {
        let log = memory();
        let other = log.clone();
        let mut events = other.events();
        log.append("a").await.unwrap();
        log.close().await.unwrap();
        log.close().await.unwrap();
        assert!(matches!(
            log.append("b").await.unwrap_err(),
            AppendError::Closed
        ));
        assert!(matches!(log.get(0).await.unwrap_err(), GetError::Closed));
        assert!(log.clone().is_closed());
        assert_eq!(other.append("b").await.unwrap().length.get(), 2);
        other.close().await.unwrap();
        assert!(matches!(events.next().await, Some(Event::Append { .. })));
        assert!(matches!(events.next().await, Some(Event::Append { .. })));
        assert_eq!(events.next().await, Some(Event::Close));
        assert_eq!(events.next().await, None);
    });
}

#[test]
fn closing_all_handles_closes_each() {
    block_on(async {
        let log = memory();
        let other = log.clone();
        log.close_all().await.unwrap();
        assert!(other.is_closed());
        assert!(matches!(
            other.append("b").await.unwrap_err(),
            AppendError::Closed
        ));
    });
}

#[test]
fn an_append_that_is_dropped_at_any_moment_leaves_memory_and_store_alike() {
    block_on(async {
        for level in [Durability::Buffered, Durability::Os, Durability::Disk] {
            let store = Arc::new(MemoryStore::new());
            let log = opened(Storage::open(store.clone())).await;
            for round in 0..20 {
                let mut append = Box::pin(async { log.append("x").durability(level).await });
                if round % 2 == 0 {
                    // Polled once: begun, and perhaps on its way on another thread.
                    poll_once(&mut append).await;
                }
                drop(append);
            }
            // Takes its turn after whatever is still under way.
            let length = log.append("last").await.unwrap().length;
            let again = opened(Storage::open(store)).await;
            assert_eq!(again.head(), log.head());
            assert_eq!(again.get(length.get() - 1).await.unwrap(), "last");
            assert!(length.get() > 10 || level == Durability::Disk);
        }
    });
}

#[test]
fn appends_from_many_threads_are_all_there() {
    let log = memory();
    let threads: Vec<_> = (0..4_u8)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                block_on(async {
                    for block in 0..50_u8 {
                        log.append(&[thread, block]).await.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    block_on(async {
        let mut next = [0; 4];
        for index in 0..200 {
            let block = log.get(index).await.unwrap();
            let thread = usize::from(block[0]);
            assert_eq!(
                block[1], next[thread],
                "each thread's blocks are in its order"
            );
            next[thread] += 1;
        }
        assert_eq!(next, [50; 4]);
    });
}

#[test]
fn an_encrypted_log_is_plain_to_those_with_the_key_only() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let key = || EncryptionKey::from_bytes([3; 32]);
        let open = || Hypercore::builder(Storage::open(store.clone()));
        let log = open().encryption_key(key()).open().await.unwrap();
        log.append_batch(["hello", ""]).await.unwrap();
        assert_eq!(log.get(0).await.unwrap(), "hello");
        assert_eq!(log.get(1).await.unwrap(), "");
        assert_eq!(log.get(1).raw().await.unwrap().len(), 8);
        assert_eq!(log.byte_length().get(), 5);
        let info = log.info();
        assert_eq!(
            (info.byte_length.get(), info.padding, info.encrypted),
            (5, 8, true)
        );
        log.close().await.unwrap();

        let blind = open().open().await.unwrap();
        assert_ne!(blind.get(0).await.unwrap(), "hello");
        assert_eq!(blind.byte_length().get(), 21);
        assert!(blind.info().encrypted);
        let error = blind.append("plain").await.unwrap_err();
        assert!(
            matches!(error, AppendError::EncryptionKeyMissing),
            "{error}"
        );
        blind.close().await.unwrap();

        let log = open().encryption_key(key()).open().await.unwrap();
        assert_eq!(log.get(0).await.unwrap(), "hello");
        assert_eq!(log.append("more").await.unwrap().byte_length.get(), 33);
    });
}

#[test]
fn a_log_of_plain_text_is_not_encrypted_half_way() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone()));
        open().open().await.unwrap().append("plain").await.unwrap();
        let again = open().encryption_key(EncryptionKey::from_bytes([3; 32]));
        assert!(matches!(
            again.open().await.unwrap_err(),
            OpenError::NotEncrypted { .. }
        ));
    });
}

#[test]
fn a_block_past_any_log_is_not_waited_for() {
    block_on(async {
        let log = opened(Storage::memory()).await;
        let most = hc_merkle::limits::MAX_LENGTH.get();
        let last = log.get(most - 1).local().await;
        assert!(matches!(last, Err(GetError::NotLocal { .. })), "{last:?}");
        for index in [most, u64::MAX] {
            let past = log.get(index).await;
            assert!(matches!(past, Err(GetError::PastAnyLog { .. })), "{past:?}");
        }
    });
}

#[test]
fn what_a_store_takes_is_told_when_it_is_asked_for() {
    block_on(async {
        let log = opened(Storage::memory()).await;
        log.append_batch(["hello", "you"]).await.unwrap();
        // Facts alone: the store is not asked.
        let info = log.info();
        assert_eq!((info.length.get(), info.byte_length.get()), (2, 8));
        assert_eq!(log.usage().unwrap().live, 8);
        log.clear(0..1).await.unwrap();
        assert_eq!(log.usage().unwrap().live, 3);
    });
}
