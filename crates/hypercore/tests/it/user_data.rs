//! Small pieces of data beside a log.

use std::sync::Arc;

use async_std::task::block_on;
use hc_storage::MemoryStore;
use hypercore::{Bytes, Hypercore, OpenError, Storage, UserDataError};

use crate::peers::{connect, reader, soon, writer};

#[test]
fn what_is_set_is_there_until_it_is_removed() {
    block_on(async {
        let log = writer().await;
        assert_eq!(log.user_data("k").unwrap(), None);
        log.set_user_data("k", "value").await.unwrap();
        assert_eq!(log.user_data("k").unwrap().unwrap(), "value");
        log.set_user_data("k", "").await.unwrap();
        assert_eq!(
            log.user_data("k").unwrap().unwrap(),
            "",
            "empty is not missing"
        );
        log.remove_user_data("k").await.unwrap();
        log.remove_user_data("k").await.unwrap();
        assert_eq!(log.user_data("k").unwrap(), None);
    });
}

#[test]
fn it_is_kept_and_the_builder_adds_to_it_each_time() {
    block_on(async {
        let store = Arc::new(MemoryStore::new());
        let open = || Hypercore::builder(Storage::open(store.clone()));
        let log = open()
            .user_data("a", "1")
            .user_data("b", "2")
            .open()
            .await
            .unwrap();
        assert_eq!(log.user_data("a").unwrap().unwrap(), "1");
        log.append("block").await.unwrap();
        log.truncate(0).await.unwrap();
        log.close().await.unwrap();
        let log = open().user_data("b", "3").open().await.unwrap();
        let all = log.user_data_range(..).unwrap();
        let expected = [("a", "1"), ("b", "3")];
        let expected = expected.map(|(key, value)| (key.to_owned(), Bytes::from(value)));
        assert_eq!(all, expected);
    });
}

#[test]
fn keys_are_listed_in_order_within_bounds() {
    block_on(async {
        let log = writer().await;
        for key in ["b", "a", "c", "bb"] {
            log.set_user_data(key, key).await.unwrap();
        }
        log.remove_user_data("c").await.unwrap();
        let keys = |found: Vec<(String, Bytes)>| -> Vec<String> {
            found.into_iter().map(|(key, _)| key).collect()
        };
        assert_eq!(keys(log.user_data_range(..).unwrap()), ["a", "b", "bb"]);
        assert_eq!(keys(log.user_data_range("b"..).unwrap()), ["b", "bb"]);
        assert_eq!(keys(log.user_data_range("a".."bb").unwrap()), ["a", "b"]);
        assert_eq!(keys(log.user_data_range("z".."a").unwrap()), [""; 0]);
    });
}

#[test]
fn large_values_are_fine_and_too_large_ones_are_refused() {
    block_on(async {
        let log = writer().await;
        let large = vec![7; 20_000];
        log.set_user_data("large", large.clone()).await.unwrap();
        assert_eq!(log.user_data("large").unwrap().unwrap(), large);
        let largest = vec![1; hc_storage::limits::MAX_USER_VALUE_LEN];
        log.set_user_data("large", largest.clone()).await.unwrap();
        let error = log
            .set_user_data("large", vec![1; largest.len() + 1])
            .await
            .unwrap_err();
        assert!(matches!(error, UserDataError::Storage(_)), "{error}");
        assert_eq!(log.user_data("large").unwrap().unwrap(), largest);
    });
}

#[test]
fn it_is_not_replicated_and_ends_with_the_handle() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        from.set_user_data("k", "v").await.unwrap();
        let to = reader(&from).await;
        let running = connect(&from, &to);
        soon(to.get(0)).await.unwrap();
        assert_eq!(to.user_data("k").unwrap(), None);
        to.close().await.unwrap();
        assert!(matches!(
            to.user_data("k").unwrap_err(),
            UserDataError::Closed
        ));
        let error = to.set_user_data("k", "v").await.unwrap_err();
        assert!(matches!(error, UserDataError::Closed), "{error}");
        drop(running);
    });
}

#[test]
fn keys_of_the_library_are_refused_everywhere() {
    block_on(async {
        let log = writer().await;
        log.append("a").await.unwrap();
        let branch = log.branch("b").await.unwrap();
        let draft = log.snapshot().unwrap();
        for key in ["\0", "\0mark/0", hc_storage::CONFLICT_KEY] {
            let refused = [
                log.set_user_data(key, "v").await,
                log.remove_user_data(key).await,
                branch.set_user_data(key, "v").await,
                branch.remove_user_data(key).await,
            ];
            for refused in refused {
                let error = refused.unwrap_err();
                assert!(matches!(error, UserDataError::Reserved), "{error}");
            }
            assert_eq!(log.user_data(key).unwrap(), None);
            assert_eq!(branch.user_data(key).unwrap(), None);
            assert_eq!(draft.user_data(key).unwrap(), None);
            let builder = Hypercore::builder(Storage::memory()).user_data(key, "v");
            let opened = builder.open().await;
            let error = opened.unwrap_err();
            assert!(
                matches!(error, OpenError::ReservedUserData { .. }),
                "{error}"
            );
        }
        log.set_user_data("hypercore/conflicts", "v").await.unwrap();
    });
}
