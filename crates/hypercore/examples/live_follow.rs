//! A reader that follows a log while it is being written.
//!
//! `cargo run --example live_follow`

use std::time::Duration;

use anyhow::Result;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use hypercore::{Hypercore, Role, Storage};

#[async_std::main]
#[allow(clippy::print_stdout)] // an example shows what it does
async fn main() -> Result<()> {
    let writer = Hypercore::builder(Storage::memory()).open().await?;
    let reader = Hypercore::builder(Storage::memory())
        .key(writer.key())
        .open()
        .await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    task::spawn(reader.replicate(stream, Role::Initiator));
    let (stream, _) = listener.accept().await?;
    task::spawn(writer.replicate(stream, Role::Responder));

    // Whatever is appended is fetched as soon as it is announced, until this is dropped.
    let _following = reader.download(..).start();
    let source = writer.clone();
    task::spawn(async move {
        for tick in 0..5 {
            task::sleep(Duration::from_millis(200)).await;
            source.append(format!("tick {tick}")).await?;
        }
        Ok::<(), hypercore::AppendError>(())
    });

    // Blocks may be asked for before they exist.
    for index in 0..5 {
        let block = reader.get(index).await?;
        println!("{}", String::from_utf8_lossy(&block));
    }
    Ok(())
}
