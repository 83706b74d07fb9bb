//! Two peers over TCP, on tokio: one serves a log, the other fetches all of it.
//!
//! `cargo run --example two_peers_tokio --features tokio`

use anyhow::Result;
use hypercore::rt::Tokio;
use hypercore::{CoreKey, Hypercore, Role, Storage};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::TokioAsyncReadCompatExt;

#[tokio::main]
async fn main() -> Result<()> {
    let builder = Hypercore::builder(Storage::memory()).runtime(Tokio::current()?);
    let log = builder.open().await?;
    log.append_batch(["hello", "from", "the", "other", "side"])
        .await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(serve(log.clone(), listener));

    read(log.key(), address.to_string()).await?;
    server.abort();
    Ok(())
}

/// A connection is a future: one task for each. tokio's streams need `compat` to be `futures-io`'s.
async fn serve(log: Hypercore, listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(log.replicate(stream.compat(), Role::Responder));
    }
}

/// Knows nothing but the key and where to ask.
#[allow(clippy::print_stdout)] // an example shows what it does
async fn read(key: CoreKey, address: String) -> Result<()> {
    let builder = Hypercore::builder(Storage::memory()).key(key);
    let log = builder.runtime(Tokio::current()?).open().await?;
    let stream = TcpStream::connect(address).await?;
    let connection = tokio::spawn(log.replicate(stream.compat(), Role::Initiator));

    log.update().await?;
    log.download(..log.length().get()).await?;
    for index in 0..log.length().get() {
        let block = log.get(index).await?;
        println!("{index}: {}", String::from_utf8_lossy(&block));
    }

    log.close().await?;
    connection.await??;
    Ok(())
}
