//! `key`: a key in all its forms, or a new one with the seed that it is made of.

use hypercore::{CoreKey, KeyPair, Manifest};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::secret;

pub(crate) fn run(key: Option<&str>, output: Output) -> Result<(), Failure> {
    let (key, seed) = match key {
        Some(text) => (parse(text)?, None),
        None => {
            let seed = secret::random()?;
            let pair = KeyPair::from_seed(&seed);
            (
                Manifest::single(pair.public_key()).key(),
                Some((hex::encode(seed), hex::encode(pair.public_key().as_bytes()))),
            )
        }
    };
    let (id, discovery_key) = (key.to_z32(), key.discovery_key());
    let mut value = json!({
        "key": key.to_string(),
        "id": id,
        "discoveryKey": discovery_key.to_string(),
    });
    if let Some((seed, public_key)) = &seed {
        value["seed"] = seed.as_str().into();
        value["publicKey"] = public_key.as_str().into();
    }
    output.result(&value, || {
        let text =
            format!("key            {key}\nid             {id}\ndiscovery key  {discovery_key}");
        match seed {
            Some((seed, public_key)) => format!(
                "{text}\nseed           {seed}  (secret: `hypercore create DIR --seed` takes it)\n\
                 public key     {public_key}  (`hypercore serve --allow` takes it)"
            ),
            None => text,
        }
    })
}

/// Reads a key as hex or z-base-32.
pub(crate) fn parse(text: &str) -> Result<CoreKey, Failure> {
    text.parse().map_err(|_| {
        let message = "a key is 64 hex digits, or 52 characters of z-base-32";
        Failure::new(Kind::Usage, message).at(format!("`{text}`"))
    })
}
