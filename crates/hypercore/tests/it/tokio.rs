//! The same on tokio: its timers, its pool, its sockets.

use std::time::Duration;

use hypercore::rt::Tokio;
use hypercore::{Durability, Ended, GetError, Hypercore, ReplicateError, Role, Storage};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_over_tcp() {
    let runtime = Tokio::current().unwrap();
    let builder = Hypercore::builder(Storage::memory()).runtime(runtime.clone());
    // At `Disk`, so that commits go through the pool.
    let from = builder.durability(Durability::Disk).open().await.unwrap();
    from.append_batch((0..500_u32).map(|n| n.to_string()))
        .await
        .unwrap();
    let builder = Hypercore::builder(Storage::memory())
        .key(from.key())
        .runtime(runtime);
    let to = builder.durability(Durability::Disk).open().await.unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let client = tokio::spawn(to.replicate(stream.compat(), Role::Initiator));
    let (stream, _) = listener.accept().await.unwrap();
    let server = tokio::spawn(from.replicate(stream.compat(), Role::Responder));

    to.download(..500)
        .timeout(Duration::from_secs(120))
        .await
        .unwrap();
    for index in 0..500 {
        assert_eq!(to.get(index).local().await.unwrap(), index.to_string());
    }
    let error = to
        .get(500)
        .timeout(Duration::from_millis(20))
        .await
        .unwrap_err();
    assert!(matches!(error, GetError::TimedOut { .. }), "{error}");

    to.close().await.unwrap();
    assert_eq!(client.await.unwrap().unwrap(), Ended::ByUs);
    let ended = server.await.unwrap();
    assert!(
        matches!(ended, Ok(Ended::ByRemote) | Err(ReplicateError::Io(_))),
        "{ended:?}"
    );
}
