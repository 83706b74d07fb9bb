//! What a log gives, takes and asks for, as its owner has it, and how it stands.

use std::pin::Pin;
use std::time::Duration;

use async_std::task::{self, block_on};
use hypercore::{
    Connection, Ended, Event, Events, GetError, Hypercore, KeyPair, Length, PeerPolicy, Policy,
    PullPolicy, ReplicateError, Replication, Role, Storage,
};

use crate::peers::{asked, block, connect, opened, reader, soon, writer};
use crate::pipe::{End, pipe};

const MOMENT: Duration = Duration::from_millis(100);

async fn until(what: impl Fn() -> bool) {
    let what = async {
        while !what() {
            task::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what).await;
}

async fn times_out(log: &Hypercore, index: u64) -> bool {
    let got = log.get(index).timeout(MOMENT).await;
    matches!(got, Err(GetError::TimedOut { .. }))
}

/// Waits for the next block to come. (Its event may be a moment later than a read that finds it here.)
async fn was_asked_for(events: &mut Events) -> bool {
    loop {
        if let Event::Download { elapsed, .. } = soon(events.next()).await.unwrap() {
            return elapsed.is_some();
        }
    }
}

#[test]
fn pushes_and_forced_reads_work_side_by_side() {
    block_on(async {
        let from = writer().await;
        let to = Hypercore::builder(Storage::memory())
            .key(from.key())
            .allow_push(true)
            .pull(PullPolicy::Forced)
            .open()
            .await
            .unwrap();
        let mut events = to.events();
        let _connection = connect(&from, &to);
        until(|| from.peer_states().iter().any(|peer| peer.allows_push)).await;
        from.append_batch(["a", "b", "c"]).await.unwrap();
        assert!(times_out(&to, 0).await);
        assert_eq!(to.stats().sent.request, 0);
        from.push(0);
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        assert_eq!(to.stats().sent.request, 0);
        assert!(!was_asked_for(&mut events).await);
        from.push(1);
        assert_eq!(soon(to.get(2).force()).await.unwrap(), "c");
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        let others = [
            was_asked_for(&mut events).await,
            was_asked_for(&mut events).await,
        ];
        assert!(others.contains(&true) && others.contains(&false));
        // withdrawn: nothing more is pushed
        to.set_allow_push(false);
        until(|| !from.peer_states()[0].allows_push).await;
        from.append("d").await.unwrap();
        from.push(3);
        assert!(times_out(&to, 3).await);
        to.set_pull(PullPolicy::All);
        assert_eq!(soon(to.get(3)).await.unwrap(), "d");
        assert_eq!((from.stats().pushed, to.stats().pushes_taken), (2, 2));
    });
}

#[test]
fn giving_is_switched_at_run_time_for_all_and_for_one() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b", "c"]).await.unwrap();
        let to = reader(&from).await;
        from.set_uploads(false);
        let _connection = connect(&from, &to);
        until(|| !to.peers().is_empty()).await;
        assert!(times_out(&to, 0).await);
        assert_eq!(to.length().get(), 0);
        // as long as one handle gives, peers are given
        let other = from.clone();
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        other.close().await.unwrap();
        until(|| !to.peer_states()[0].uploads).await;
        from.set_uploads(true);
        until(|| to.peer_states()[0].uploads).await;
        let peer = from.peers()[0];
        let policy = PeerPolicy {
            uploads: false,
            ..PeerPolicy::default()
        };
        from.set_peer_policy(&peer, policy);
        until(|| !to.peer_states()[0].uploads).await;
        assert!(times_out(&to, 1).await);
        from.set_peer_policy(&peer, PeerPolicy::default());
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
        // and taking
        to.set_pull(PullPolicy::Nothing);
        assert!(times_out(&to, 2).await);
        to.set_pull(PullPolicy::All);
        assert_eq!(soon(to.get(2)).await.unwrap(), "c");
    });
}

#[test]
fn a_connection_that_takes_or_gives_nothing_shares_one_way_alone() {
    block_on(async {
        // each of the two has what the other lacks
        let from = writer().await;
        from.append_batch(["a", "b"]).await.unwrap();
        let (first, second) = (reader(&from).await, reader(&from).await);
        for (log, index) in [(&first, 0), (&second, 1)] {
            let (left, right) = connect(&from, log);
            soon(log.get(index)).await.unwrap();
            left.cancel().await;
            soon(right).await.ok();
        }
        let (left, right) = pipe();
        let policy = Policy::new().downloads(false);
        let served = Replication::over(left, Role::Responder)
            .add(&first)
            .policy(policy)
            .start();
        let _served = task::spawn(served);
        let _reader = task::spawn(second.replicate(right, Role::Initiator));
        assert_eq!(soon(second.get(0)).await.unwrap(), "a");
        assert!(times_out(&first, 1).await);
    });
}

#[test]
fn only_who_is_allowed_is_replicated_with() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let friend = [7; 32];
        let allowed = KeyPair::from_seed(&friend).public_key();
        let meet = async |identity: [u8; 32]| {
            let to = reader(&from).await;
            let (left, right) = pipe();
            let server = Replication::over(left, Role::Responder)
                .add(&from)
                .allow([allowed])
                .start();
            let server = task::spawn(server);
            let client = Replication::over(right, Role::Initiator)
                .add(&to)
                .identity(identity)
                .start();
            (to, server, task::spawn(client))
        };
        let (to, _server, _client) = meet(friend).await;
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        assert_eq!(from.peers()[0].public_key, allowed);
        let stranger = KeyPair::from_seed(&[8; 32]).public_key();
        let (to, server, client) = meet([8; 32]).await;
        let ended = soon(server).await;
        assert!(
            matches!(ended, Err(ReplicateError::NotAllowed { remote }) if remote == stranger),
            "{ended:?}"
        );
        soon(client).await.ok();
        assert_eq!(to.length().get(), 0);
    });
}

#[test]
fn a_download_says_how_far_it_is_and_who_gives() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..300).map(block)).await.unwrap();
        let relay = reader(&from).await;
        let (left, right) = connect(&from, &relay);
        soon(relay.download(100..200)).await.unwrap();
        left.cancel().await;
        soon(right).await.ok();

        let to = reader(&from).await;
        let download = to.download(50..250).start();
        let list = to.download_blocks([10, 120, 121, 120]).start();
        let before = download.progress();
        assert_eq!((before.wanted, before.verified), (200, 0));
        assert!(before.sources.is_empty());
        let _connection = connect(&relay, &to);
        until(|| download.progress().verified == 100).await;
        let progress = download.progress();
        assert_eq!((progress.wanted, progress.in_flight), (200, 0));
        let [source] = progress.sources[..] else {
            panic!("{progress:?}")
        };
        assert_eq!((source.downloaded, source.in_flight), (100, 0));
        assert_eq!(source.peer, to.peers()[0]);
        let listed = list.progress();
        assert_eq!((listed.wanted, listed.verified), (3, 2));
        let open = to.download(200..).start();
        assert_eq!(open.progress().wanted, 100);
    });
}

#[test]
fn what_one_side_sent_the_other_received() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..100).map(block)).await.unwrap();
        let to = reader(&from).await;
        let note = from.extension("test/stats").unwrap();
        let mut noted = to.extension("test/stats").unwrap();
        let (left, right) = connect(&from, &to);
        soon(to.download(..50)).await.unwrap();
        let wait = to.get(1000).timeout(MOMENT).await;
        assert!(wait.is_err());
        note.broadcast("hello").unwrap();
        soon(noted.next()).await.unwrap();
        let (of_peer, peer) = (to.peer_states()[0].stats, to.peers()[0]);
        assert_eq!(to.peer_state(&peer).unwrap().stats, of_peer);
        assert_eq!(of_peer.blocks_downloaded, 50);
        until(|| from.stats().received == to.stats().sent).await;
        until(|| from.stats().sent == to.stats().received).await;
        let (sent, received) = (from.stats(), to.stats());
        assert_eq!(sent.blocks_uploaded, received.blocks_downloaded);
        assert_eq!(sent.bytes_uploaded, received.bytes_downloaded);
        assert_eq!(sent.sent.extension, 1);
        assert!(sent.sent.data >= 50 && received.sent.request >= 50);
        left.cancel().await;
        let ended = soon(right).await;
        assert!(matches!(ended, Ok(Ended::ByRemote)), "{ended:?}");
        // what happened stays, whoever is gone
        assert_eq!(to.stats(), received);
        assert!(to.peer_state(&peer).is_none());
    });
}

#[test]
fn what_a_peer_has_without_a_gap_is_known_told_and_remembered() {
    block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let open = async || opened(Storage::disk(dir.path())).await;
        let from = open().await;
        let known = |length: u64| Event::RemoteContiguous {
            length: Length::new(length),
        };
        assert_eq!(from.remote_contiguous_length().get(), 0);
        from.append_batch(["a", "b"]).await.unwrap();
        let to = reader(&from).await;
        let mut events = from.events();
        let _connection = connect(&from, &to);
        // a part is not without a gap
        soon(to.get(1)).await.unwrap();
        assert_eq!(from.remote_contiguous_length().get(), 0);
        soon(to.get(0)).await.unwrap();
        soon(async { while events.next().await.unwrap() != known(2) {} }).await;
        assert_eq!(from.remote_contiguous_length().get(), 2);
        from.append("c").await.unwrap();
        assert_eq!(from.remote_contiguous_length().get(), 2);
        soon(to.get(2)).await.unwrap();
        soon(async { while events.next().await.unwrap() != known(3) {} }).await;
        from.close().await.unwrap();
        let from = open().await;
        assert_eq!(from.remote_contiguous_length().get(), 3);
        // it goes down with the log, and is told again when it rises
        from.truncate(1).await.unwrap();
        assert_eq!(from.remote_contiguous_length().get(), 1);
        from.append_batch(["x", "y"]).await.unwrap();
        assert_eq!(from.remote_contiguous_length().get(), 1);
        let mut events = from.events();
        let again = reader(&from).await;
        let _connection = connect(&from, &again);
        soon(again.update()).await.unwrap();
        soon(again.download(..3)).await.unwrap();
        soon(async { while events.next().await.unwrap() != known(3) {} }).await;
        from.close().await.unwrap();
        assert_eq!(open().await.remote_contiguous_length().get(), 3);
    });
}

#[test]
fn bits_are_told_when_they_are_asked_for_and_once() {
    block_on(async {
        let from = writer().await;
        from.append_batch((0..300).map(|n| n.to_string()))
            .await
            .unwrap();
        let source = reader(&from).await;
        let (left, right) = connect(&from, &source);
        soon(source.get(20)).await.unwrap();
        left.cancel().await;
        soon(right).await.ok();
        let to = reader(&from).await;
        let _connection = connect(&source, &to);
        until(|| to.length().get() == 300).await;
        assert_eq!((to.stats().sent.want, to.stats().received.bitfield), (0, 0));
        // what the source does not have is asked for in vain, and nothing is asked twice
        for _ in 0..3 {
            assert!(times_out(&to, 5).await);
        }
        assert_eq!((to.stats().sent.want, to.stats().received.bitfield), (1, 1));
        assert_eq!(soon(to.get(20)).await.unwrap(), "20");
        assert_eq!((to.stats().sent.want, to.stats().received.bitfield), (1, 1));
    });
}

#[test]
fn the_contiguous_length_grows_over_holes_as_they_are_filled() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b", "c", "d"]).await.unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        for (index, contiguous) in [(1, 0), (3, 0), (0, 2), (2, 4)] {
            soon(to.get(index)).await.unwrap();
            assert_eq!(to.contiguous_length().get(), contiguous, "after {index}");
        }
    });
}

#[test]
fn a_channel_that_nobody_is_interested_in_goes_and_comes_again() {
    block_on(async {
        let from = Hypercore::builder(Storage::memory())
            .linger(Duration::ZERO)
            .open()
            .await
            .unwrap();
        let to = Hypercore::builder(Storage::memory())
            .key(from.key())
            .linger(Duration::ZERO)
            .open()
            .await
            .unwrap();
        from.append("a").await.unwrap();
        let (_left, right) = connect(&from, &to);
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        from.set_active(false);
        until(|| to.peer_states().iter().all(|peer| !peer.downloads)).await;
        assert_eq!(to.peers().len(), 1, "one side is interested");
        to.set_active(false);
        until(|| from.peers().is_empty() && to.peers().is_empty()).await;
        assert!(
            futures_lite::future::poll_once(right).await.is_none(),
            "the connection stays"
        );
        from.append("b").await.unwrap();
        assert!(times_out(&to, 1).await);
        to.set_active(true);
        until(|| !from.peers().is_empty() && !to.peers().is_empty()).await;
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
    });
}

#[test]
fn user_data_stays_where_it_is() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        from.set_user_data("note", "for this side alone")
            .await
            .unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        soon(to.get(0)).await.unwrap();
        assert_eq!(to.user_data("note").unwrap(), None);
        assert_eq!(
            from.user_data("note").unwrap().unwrap(),
            "for this side alone"
        );
    });
}

#[test]
fn what_is_not_here_is_fetched_unless_nobody_waits_for_it() {
    block_on(async {
        let from = writer().await;
        from.append("a").await.unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        until(|| to.length().get() == 1).await;
        let local = to.get(0).local().await;
        assert!(matches!(local, Err(GetError::NotLocal { .. })), "{local:?}");
        assert_eq!(soon(to.get(0)).await.unwrap(), "a");
        assert_eq!(to.get(0).local().await.unwrap(), "a");
    });
}

/// Runs a connection until something is so, and no longer.
async fn run_until(connection: &mut Pin<Box<Connection<End>>>, what: impl Fn() -> bool) {
    let run = async { drop(connection.await) };
    futures_lite::future::or(until(what), run).await;
}

#[test]
fn a_read_that_is_given_up_takes_its_request_back() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b"]).await.unwrap();
        let to = reader(&from).await;
        let (left, right) = pipe();
        let mut server = Box::pin(from.replicate(left, Role::Responder));
        let _client = task::spawn(to.replicate(right, Role::Initiator));
        run_until(&mut server, || to.length().get() == 2).await;
        // the other side is not run while two sessions ask for a block, and one for another
        let (first, second) = (asked(to.get(0)).await, asked(to.get(1)).await);
        let other = to.clone();
        let kept = asked(other.get(0)).await;
        until(|| to.stats().sent.request >= 3).await;
        // given up by who asked first, wanted by the other: it goes on
        drop(first);
        task::sleep(Duration::from_millis(10)).await;
        assert_eq!(to.stats().sent.cancel, 0);
        drop(second);
        until(|| to.stats().sent.cancel == 1).await;
        run_until(&mut server, || to.has(0..1)).await;
        assert_eq!(soon(kept).await.unwrap(), "a");
        let _server = task::spawn(server);
        assert_eq!(soon(to.get(1)).await.unwrap(), "b");
    });
}

#[test]
fn the_window_is_that_of_the_builder_until_it_is_set() {
    block_on(async {
        let from = writer().await;
        let to = Hypercore::builder(Storage::memory())
            .key(from.key())
            .inflight_range(5..=10)
            .eager_upgrade(false)
            .open()
            .await
            .unwrap();
        from.append_batch((0..300).map(|n| n.to_string()))
            .await
            .unwrap();
        let _connection = connect(&from, &to);
        until(|| !to.peers().is_empty()).await;
        assert_eq!(to.peer_states()[0].window, 10);
        to.set_inflight_range(2..=3);
        assert_eq!(to.peer_states()[0].window, 3);
        // a longer log is not fetched before it is asked for
        until(|| to.peer_states()[0].length.get() == 300).await;
        assert_eq!(to.length().get(), 0);
        assert!(soon(to.update()).await.unwrap());
        soon(to.download(..300)).await.unwrap();
        to.set_eager_upgrade(true);
        to.set_latest_block(true);
        from.append("newest").await.unwrap();
        until(|| to.has(300..301)).await;
    });
}

#[test]
fn what_a_peer_has_without_a_gap_is_right_after_a_later_fork() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b", "c", "d"]).await.unwrap();
        let to = reader(&from).await;
        let (left, right) = connect(&from, &to);
        soon(to.download(..4)).await.unwrap();
        until(|| from.remote_contiguous_length().get() == 4).await;
        left.cancel().await;
        soon(right).await.ok();
        // cut and appended to while nobody is there
        from.truncate(2).await.unwrap();
        from.append("x").await.unwrap();
        assert_eq!(from.remote_contiguous_length().get(), 2);
        let _connection = connect(&from, &to);
        until(|| to.fork() == from.fork() && to.length() == from.length()).await;
        assert_eq!(
            from.remote_contiguous_length().get(),
            2,
            "block 2 is not there yet"
        );
        soon(to.get(2)).await.unwrap();
        until(|| from.remote_contiguous_length().get() == 3).await;
    });
}

#[test]
fn who_keeps_a_log_whole_has_what_an_update_tells_of() {
    block_on(async {
        let from = writer().await;
        from.append_batch(["a", "b"]).await.unwrap();
        let to = reader(&from).await;
        let _connection = connect(&from, &to);
        let whole = to.clone();
        let _keeping = task::spawn(async move { whole.download(..).await });
        until(|| to.contiguous_length().get() == 2).await;
        from.append_batch(["c", "d"]).await.unwrap();
        soon(to.update()).await.unwrap();
        until(|| to.contiguous_length().get() == 4).await;
        assert!(to.has(0..4));
    });
}
