//! `create`: a new log that this machine can append to.

use hypercore::{KeyPair, Storage};
use serde_json::json;

use crate::args::Create;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::place::{Place, Which};
use crate::{secret, store};

pub(crate) async fn run(args: &Create, output: Output) -> Result<(), Failure> {
    let dir = &args.store.dir;
    let place = match &args.name {
        Some(name) => Place::named(dir, name)?,
        None => Place::of(dir),
    };
    if let Some(found) = store::find(&place, None).await? {
        let message = format!("there is a log already, {}", found.key());
        return Err(Failure::new(Kind::Other, message).at(dir.display()));
    }
    let mut builder = place.builder(|dir| Storage::disk(dir));
    match (&place.which, &args.seed) {
        (Which::Named(..), None) if !args.compat => {}
        (Which::Default, None) => {
            builder = builder.key_pair(KeyPair::from_seed(&secret::random()?));
        }
        (Which::Default, Some(seed)) => {
            let seed = secret::hex32("the seed", seed)?;
            builder = builder.key_pair(KeyPair::from_seed(&seed));
        }
        _ => {
            let message = "the key of a log with a name follows from the name; leave the rest out";
            return Err(Failure::new(Kind::Usage, message).at(dir.display()));
        }
    }
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
