//! Encryption of the application's own: computed here or waited for, with any padding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_std::task::{self, block_on};
use bytes::Bytes;
use event_listener::Event as Bell;
use futures_lite::future::{poll_once, yield_now};
use hypercore::encryption::{
    AsyncEncryption, Ciphering, Encryption, EncryptionError, EncryptionKey, Provider,
};
use hypercore::{AppendError, BlockIndex, Fork, GetError, Hypercore, Length, Storage};

use crate::peers::{connect, opened, reader, soon};

/// Adds the index to each byte, behind a number of bytes that say nothing.
#[derive(Debug)]
struct Shift {
    padding: usize,
}

impl Shift {
    fn shifted(&self, index: BlockIndex, plain: &[u8]) -> Bytes {
        let key = index.get().to_le_bytes()[0].wrapping_add(0x33);
        let body = plain.iter().map(|byte| byte.wrapping_add(key));
        std::iter::repeat_n(0xee, self.padding)
            .chain(body)
            .collect()
    }

    fn shifted_back(&self, index: BlockIndex, stored: &[u8]) -> Result<Bytes, EncryptionError> {
        let key = index.get().to_le_bytes()[0].wrapping_add(0x33);
        let len = stored.len();
        let body = stored
            .get(self.padding..)
            .ok_or(EncryptionError::Short { len })?;
        Ok(body.iter().map(|byte| byte.wrapping_sub(key)).collect())
    }
}

impl Encryption for Shift {
    fn padding(&self) -> usize {
        self.padding
    }

    fn encrypt(
        &self,
        index: BlockIndex,
        _fork: Fork,
        plain: &[u8],
    ) -> Result<Bytes, EncryptionError> {
        Ok(self.shifted(index, plain))
    }

    fn decrypt(&self, index: BlockIndex, stored: &[u8]) -> Result<Bytes, EncryptionError> {
        self.shifted_back(index, stored)
    }
}

/// The same, somewhere else: answers when it may, and fails when it is told to.
#[derive(Debug)]
struct Elsewhere {
    shift: Shift,
    asked: AtomicUsize,
    waits: AtomicBool,
    fails: AtomicBool,
    may: Bell,
}

impl Elsewhere {
    fn new(padding: usize) -> Arc<Self> {
        Arc::new(Self {
            shift: Shift { padding },
            asked: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            fails: AtomicBool::new(false),
            may: Bell::new(),
        })
    }

    async fn answer(&self) -> Result<(), EncryptionError> {
        let told = self.may.listen();
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.waits.load(Ordering::SeqCst) {
            told.await;
        } else {
            yield_now().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(EncryptionError::Other("the service is down".into()));
        }
        Ok(())
    }
}

impl AsyncEncryption for Elsewhere {
    fn padding(&self) -> usize {
        self.shift.padding
    }

    fn encrypt<'a>(&'a self, index: BlockIndex, _fork: Fork, plain: &'a [u8]) -> Ciphering<'a> {
        Box::pin(async move {
            self.answer().await?;
            Ok(self.shift.shifted(index, plain))
        })
    }

    fn decrypt<'a>(&'a self, index: BlockIndex, stored: &'a [u8]) -> Ciphering<'a> {
        Box::pin(async move {
            self.answer().await?;
            self.shift.shifted_back(index, stored)
        })
    }
}

fn here(padding: usize) -> Provider {
    let own: Arc<dyn Encryption> = Arc::new(Shift { padding });
    own.into()
}

fn elsewhere(service: &Arc<Elsewhere>) -> Provider {
    let own: Arc<dyn AsyncEncryption> = service.clone();
    own.into()
}

async fn open(provider: Provider) -> Hypercore {
    let builder = Hypercore::builder(Storage::memory());
    builder.encryption(provider).open().await.unwrap()
}

#[test]
fn any_padding_is_counted_and_taken_off_again() {
    block_on(async {
        for padding in [0, 1, 20] {
            for provider in [here(padding), elsewhere(&Elsewhere::new(padding))] {
                let log = open(provider.clone()).await;
                let appended = log.append_batch(["hello", "", "wo"]).await.unwrap();
                assert_eq!(log.padding(), padding as u64);
                assert_eq!(log.byte_length().get(), 7);
                assert_eq!(appended.byte_length.get(), 7 + 3 * padding as u64);
                for (index, plain) in ["hello", "", "wo"].iter().enumerate() {
                    let index = index as u64;
                    assert_eq!(log.get(index).await.unwrap(), *plain);
                    let raw = log.get(index).raw().await.unwrap();
                    assert_eq!(raw.len(), plain.len() + padding);
                    let sealed = log.get(index).encrypted().await.unwrap();
                    assert_eq!(sealed, raw.slice(padding..));
                    assert!(plain.is_empty() || sealed != *plain);
                }
                assert_eq!(log.seek_local(6).unwrap().index.get(), 2);

                // Who has not the provider relays it, who has reads it.
                let blind = reader(&log).await;
                let _near = connect(&log, &blind);
                soon(blind.download(..3)).await.unwrap();
                let seeing = Hypercore::builder(Storage::memory()).key(log.key());
                let seeing = seeing.encryption(provider).open().await.unwrap();
                let _far = connect(&blind, &seeing);
                assert_eq!(soon(seeing.get(0)).await.unwrap(), "hello");
                assert_ne!(blind.get(0).await.unwrap(), "hello");
            }
        }
    });
}

#[test]
fn an_encryption_that_is_waited_for_keeps_the_order_of_appends() {
    block_on(async {
        let service = Elsewhere::new(4);
        let log = open(elsewhere(&service)).await;
        log.append("a").await.unwrap();
        service.waits.store(true, Ordering::SeqCst);
        let mut waiting = Box::pin(log.append("b").into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        let mut behind = Box::pin(log.append("c").into_future());
        assert!(poll_once(&mut behind).await.is_none());
        assert_eq!(log.length(), Length::new(1));
        assert_eq!(log.get(0).raw().await.unwrap().len(), 5, "reading goes on");
        service.waits.store(false, Ordering::SeqCst);
        service.may.notify(usize::MAX);
        soon(waiting).await.unwrap();
        soon(behind).await.unwrap();
        assert_eq!(soon(log.get(1)).await.unwrap(), "b");
        assert_eq!(soon(log.get(2)).await.unwrap(), "c");
    });
}

#[test]
fn one_that_fails_changes_nothing_and_reads_as_an_error() {
    block_on(async {
        let service = Elsewhere::new(4);
        let log = open(elsewhere(&service)).await;
        log.append("a").await.unwrap();
        service.fails.store(true, Ordering::SeqCst);
        let refused = log.append_batch(["b", "c"]).await;
        assert!(
            matches!(refused, Err(AppendError::Encryption(_))),
            "{refused:?}"
        );
        assert_eq!(log.length(), Length::new(1));
        let refused = log.get(0).await;
        assert!(
            matches!(refused, Err(GetError::Encryption { .. })),
            "{refused:?}"
        );
        service.fails.store(false, Ordering::SeqCst);
        log.append("b").await.unwrap();
        assert_eq!(log.get(1).await.unwrap(), "b");
    });
}

#[test]
fn closing_does_not_wait_for_an_encryption() {
    block_on(async {
        let service = Elsewhere::new(0);
        service.waits.store(true, Ordering::SeqCst);
        let log = open(elsewhere(&service)).await;
        let mut waiting = Box::pin(log.append("a").into_future());
        assert!(poll_once(&mut waiting).await.is_none());
        assert_eq!(service.asked.load(Ordering::SeqCst), 1);
        soon(log.close()).await.unwrap();
        assert!(matches!(soon(waiting).await, Err(AppendError::Closed)));
    });
}

#[test]
fn gets_of_one_block_at_once_are_each_decrypted_once() {
    block_on(async {
        let key = EncryptionKey::from_bytes([2; 32]);
        let log = open(Provider::key(key.clone())).await;
        log.append("hello").await.unwrap();
        let to = Hypercore::builder(Storage::memory()).key(log.key());
        let to = to.encryption_key(key).open().await.unwrap();
        let gets = [to.get(0), to.get(0), to.get(0)].map(|get| task::spawn(get.into_future()));
        let _connection = connect(&log, &to);
        for get in gets {
            assert_eq!(soon(get).await.unwrap(), "hello");
        }
    });
}

#[test]
fn sessions_have_encryptions_of_their_own() {
    block_on(async {
        let log = opened(Storage::memory()).await;
        let session = log.session().encryption(here(3)).open().unwrap();
        session.append("through it").await.unwrap();
        assert_eq!(session.get(0).await.unwrap(), "through it");
        assert_eq!(
            session.session().open().unwrap().get(0).await.unwrap(),
            "through it"
        );
        assert_eq!(log.get(0).await.unwrap().len(), 10 + 3, "as it is stored");

        let mut other = log.session().open().unwrap();
        other.set_encryption(Some(here(3)));
        assert_eq!(other.get(0).await.unwrap(), "through it");
        other.set_encryption(None);
        assert_eq!(other.get(0).await.unwrap().len(), 13);
        let key = EncryptionKey::from_bytes([1; 32]);
        other.set_encryption(Some(Provider::key(key.clone())));
        other.append("by key").await.unwrap();
        let by_key = log.session().encryption_key(key).open().unwrap();
        assert_eq!(by_key.get(1).await.unwrap(), "by key");
        assert_eq!(log.get(1).await.unwrap().len(), 6 + 8);
    });
}
