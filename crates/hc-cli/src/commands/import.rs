//! `import`: a file that `export` wrote, into a folder.

use std::fs::File;
use std::path::Path;

use hypercore::Storage;
use hypercore::transfer::bundle::{Bundle, import};
use serde_json::json;

use crate::failure::{Failure, Kind};
use crate::output::{self, Output};
use crate::progress::Progress;
use crate::{store, transfer};

pub(crate) fn run(file: &Path, dir: &Path, output: Output) -> Result<(), Failure> {
    store::check_folder(dir)?;
    let at_file = |failure: Failure| failure.at(file.display());
    let opened = File::open(file).map_err(|error| at_file(Failure::new(Kind::Other, error)))?;
    // A file that is no bundle leaves no folder behind.
    let bundle = Bundle::open(opened).map_err(|error| at_file(error.into()))?;
    let mut bar = Progress::blocks(bundle.header().blocks);
    let imported = transfer::with(Storage::disk(dir), dir, |logs| {
        import(bundle, logs, &mut |progress| bar.set(progress.blocks))
            .map_err(|error| at_file(error.into()))
    })?;
    drop(bar);
    let value = json!({
        "key": imported.key.to_string(),
        "length": imported.length.get(),
        "byteLength": imported.byte_length.get(),
        "blocks": imported.blocks,
        "bytes": imported.bytes,
        "present": imported.present,
        "userData": imported.user_data,
    });
    output.result(&value, || {
        let new = output::blocks(imported.blocks);
        let length = output::blocks(imported.length.get());
        let bytes = output::bytes(imported.bytes);
        let present = match imported.present {
            0 => String::new(),
            present => format!(", {} there already", output::blocks(present)),
        };
        format!(
            "key  {}\n{new} taken in, {bytes}{present}; the log has {length}",
            imported.key
        )
    })
}
