//! Handles of one log, used from many threads at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_lite::future::{block_on, poll_once};
use hypercore::{ExternalSigner, Hypercore, KeyPair, PublicKey, Signing, Storage, Wait};

#[test]
fn appends_truncations_clears_and_reads_at_once_lose_nothing() {
    let log = block_on(Hypercore::builder(Storage::memory()).open()).unwrap();
    let first = log.append_batch((0..50_u32).map(|at| at.to_string()));
    block_on(first.into_future()).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (log, done) = (log.session().open().unwrap(), done.clone());
            thread::spawn(move || {
                let mut reads = 0_u64;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = log.snapshot().unwrap();
                    let last = snapshot.length().get() - 1;
                    let block = block_on(snapshot.get(last).wait(Wait::No).into_future());
                    assert!(
                        block.is_ok(),
                        "a snapshot has all that was there: {block:?}"
                    );
                    // Nothing below is ever cut or cleared.
                    let kept = block_on(log.get(reads % 40).wait(Wait::No).into_future());
                    assert_eq!(kept.unwrap(), (reads % 40).to_string());
                    reads += 1;
                }
                reads
            })
        })
        .collect();
    let appenders: Vec<_> = (0..3_u8)
        .map(|name| {
            let log = log.session().open().unwrap();
            thread::spawn(move || {
                for count in 0..60_u8 {
                    block_on(log.append(&[name, count]).into_future()).unwrap();
                }
            })
        })
        .collect();
    let truncating = {
        let log = log.session().open().unwrap();
        thread::spawn(move || {
            for _ in 0..20 {
                let length = log.length().get();
                // Somebody may have cut it, nobody has made it shorter than it is cut to here.
                block_on(log.truncate(length.min(50)).into_future()).unwrap();
                block_on(log.clear(45..46).into_future()).unwrap();
                block_on(log.append("again").into_future()).unwrap();
            }
        })
    };
    for appender in appenders {
        appender.join().unwrap();
    }
    truncating.join().unwrap();
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert_eq!(log.fork().get(), 20);
    assert!(log.verify(|_| {}).unwrap().is_ok());
}

/// Signs when it is told to.
#[derive(Debug)]
struct Slow(KeyPair, Arc<AtomicBool>);

impl ExternalSigner for Slow {
    fn public_key(&self) -> PublicKey {
        self.0.public_key()
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Signing<'a> {
        Box::pin(async move {
            while !self.1.load(Ordering::SeqCst) {
                futures_lite::future::yield_now().await;
            }
            Ok(self.0.sign(message))
        })
    }
}

#[test]
fn readers_do_not_wait_for_a_writer() {
    block_on(async {
        let keys = KeyPair::from_seed(&[1; 32]);
        let log = Hypercore::builder(Storage::memory()).key_pair(keys.clone());
        let log = log.open().await.unwrap();
        log.append_batch(["abc", "d"]).await.unwrap();
        let go = Arc::new(AtomicBool::new(false));
        let slow = Slow(keys, go.clone());
        let mut append = Box::pin(log.append("later").signer(slow).into_future());
        assert!(poll_once(&mut append).await.is_none());
        // The writer has its turn, and everything that reads ends at its first poll.
        let mut reads = Box::pin(async {
            assert_eq!(log.get(0).await.unwrap(), "abc");
            assert_eq!(log.seek(3).await.unwrap().index.get(), 1);
            log.tree_hash(1).await.unwrap();
            let snapshot = log.snapshot().unwrap();
            assert_eq!(snapshot.get(1).await.unwrap(), "d");
            let mut stream = snapshot.read_stream(..);
            assert_eq!(stream.next().await.unwrap().unwrap(), "abc");
            assert!(log.has(..) && log.user_data("k").unwrap().is_none());
        });
        assert!(poll_once(&mut reads).await.is_some());
        let mut other = Box::pin(log.append("after").into_future());
        assert!(poll_once(&mut other).await.is_none(), "writers do");
        go.store(true, Ordering::SeqCst);
        assert_eq!(append.await.unwrap().length.get(), 3);
        assert_eq!(other.await.unwrap().length.get(), 4);
    });
}
