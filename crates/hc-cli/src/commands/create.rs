//! `create`: a new log that this machine can append to.

use hypercore::{Hypercore, KeyPair, Storage};
use serde_json::json;

use crate::args::Create;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::{secret, store};

pub(crate) async fn run(args: &Create, output: Output) -> Result<(), Failure> {
    let dir = &args.store.dir;
    let pair = match &args.seed {
        Some(seed) => KeyPair::from_seed(&secret::hex32("the seed", seed)?),
        None => KeyPair::from_seed(&secret::random()?),
    };
    if let Some(found) = store::find(dir, None).await? {
        let message = format!("there is a log already, {}", found.key());
        return Err(Failure::new(Kind::Other, message).at(dir.display()));
    }
    let mut builder = Hypercore::builder(Storage::disk(dir)).key_pair(pair);
    if args.compat {
        builder = builder.compat();
    }
    let log = store::open(builder, dir, Some(&args.store.encryption)).await?;
    let value = json!({
        "key": log.key().to_string(),
        "discoveryKey": log.discovery_key().to_string(),
        "id": log.id(),
        "length": log.length().get(),
        "byteLength": log.byte_length().get(),
        "fork": log.fork().get(),
    });
    store::close(&log, dir).await?;
    output.result(&value, || {
        format!(
            "key            {}\nid             {}\ndiscovery key  {}",
            log.key(),
            log.id(),
            log.discovery_key()
        )
    })
}
