//! Two peers over TCP, on async-std: one serves a log, the other fetches all of it.
//!
//! `cargo run --example two_peers_async_std`

use anyhow::Result;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use hypercore::{CoreKey, Hypercore, Role, Storage};

#[async_std::main]
async fn main() -> Result<()> {
    let log = Hypercore::builder(Storage::memory()).open().await?;
    log.append_batch(["hello", "from", "the", "other", "side"])
        .await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = task::spawn(serve(log.clone(), listener));

    read(log.key(), address.to_string()).await?;
    server.cancel().await;
    Ok(())
}

/// A connection is a future: one task for each.
async fn serve(log: Hypercore, listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        task::spawn(log.replicate(stream, Role::Responder));
    }
}

/// Knows nothing but the key and where to ask.
#[allow(clippy::print_stdout)] // an example shows what it does
async fn read(key: CoreKey, address: String) -> Result<()> {
    let log = Hypercore::builder(Storage::memory())
        .key(key)
        .open()
        .await?;
    let stream = TcpStream::connect(address).await?;
    let connection = task::spawn(log.replicate(stream, Role::Initiator));

    log.update().await?;
    log.download(..log.length().get()).await?;
    for index in 0..log.length().get() {
        let block = log.get(index).await?;
        println!("{index}: {}", String::from_utf8_lossy(&block));
    }

    log.close().await?;
    connection.await?;
    Ok(())
}
