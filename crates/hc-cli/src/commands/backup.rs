//! `backup`: the secret keys of a folder's logs, sealed.

use hypercore::transfer::backup::{Sealing, write_file};
use hypercore::transfer::secret_keys;
use hypercore::{DamageKind, Storage};
use serde_json::json;

use crate::args::Backup;
use crate::failure::{Failure, Kind};
use crate::output::Output;
use crate::{secret, store, transfer};

pub(crate) fn run(args: &Backup, output: Output) -> Result<(), Failure> {
    let (dir, file) = (&args.dir, &args.file);
    store::check_folder(dir)?;
    let at = |failure: Failure| failure.at(dir.display());
    let (keys, damage) = transfer::with(Storage::read_only(dir), dir, |logs| {
        let keys = secret_keys(logs).map_err(|error| at(error.into()))?;
        let damage = logs.damage().map_err(|error| at(error.into()))?;
        Ok((keys, damage))
    })?;
    let lost = damage
        .iter()
        .find(|damage| damage.kind == DamageKind::Secret);
    if let (Some(damage), true) = (lost, keys.is_empty()) {
        return Err(Failure::new(Kind::Integrity, damage));
    }
    if keys.is_empty() {
        let message = "no log here has its secret key";
        return Err(Failure::new(Kind::NotAvailable, message).at(dir.display()));
    }
    if file.exists() {
        let message = "there is a file already; remove it, or name another";
        return Err(Failure::new(Kind::Other, message).at(file.display()));
    }
    let passphrase = secret::passphrase(&args.passphrase, true)?;
    let sealed = keys.seal(passphrase.as_bytes(), &Sealing::default())?;
    let written = write_file(file, &sealed);
    written.map_err(|error| Failure::new(Kind::Other, error).at(file.display()))?;
    let names: Vec<String> = keys.logs().map(|key| key.to_string()).collect();
    let of_keys = damage.iter().filter(|damage| store::is_of_key(damage));
    let places: Vec<String> = of_keys.map(ToString::to_string).collect();
    let value = json!({ "keys": names, "fileBytes": sealed.len(), "damage": places });
    output.result(&value, || {
        format!(
            "{} secret {} sealed in {}: without the passphrase nobody can open it, you neither",
            names.len(),
            if names.len() == 1 { "key" } else { "keys" },
            file.display(),
        )
    })?;
    match lost {
        Some(lost) => {
            let message = format!("a key is not in the backup: {lost}");
            Err(Failure::new(Kind::Integrity, message))
        }
        None => Ok(()),
    }
}
