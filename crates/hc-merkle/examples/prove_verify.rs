//! Proves blocks of a log in a file, checks the file with nothing but the key of the log, changes one
//! byte and is refused.
//!
//! ```sh
//! cargo run -p hc-merkle --example prove_verify            # all of it, in a temporary file
//! cargo run -p hc-merkle --example prove_verify -- FILE    # checks a file and says what it proves
//! ```

use std::error::Error;
use std::{env, fs};

use hc_merkle::{BlockIndex, CoreKey, Draft, Head, KeyPair, Manifest, Verifier, proof_file};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    if let Some(path) = env::args().nth(1) {
        return report(&fs::read(path)?, None);
    }
    let path = env::temp_dir().join(format!("prove_verify-{}.hcproof", std::process::id()));
    let outcome = prove(&path).and_then(|key| {
        let file = fs::read(&path)?;
        report(&file, Some(&key))?;
        refuse_tampering(file, &key)
    });
    fs::remove_file(&path)?;
    outcome
}

/// Writes a log in memory and a file that proves two of its blocks; returns the key of the log.
fn prove(path: &std::path::Path) -> Result<CoreKey> {
    // a real seed is random and stays secret
    let writer = KeyPair::from_seed(&[42; 32]);
    let verifier = Verifier::from_manifest(Manifest::single(writer.public_key()))?;
    let mut draft = Draft::new(&Head::empty());
    draft.append((0..1000).map(|number| format!("measurement {number}").into()))?;
    let log = draft.seal(|head| verifier.sign(&writer, &head.signed_tree()))?;

    let file = proof_file::prove(
        &verifier,
        log.head().ok_or("an append moves the head")?,
        [BlockIndex::new(7), BlockIndex::new(8)],
        |index| find(log.nodes(), |node| node.index == index),
        |index| find(log.blocks(), |block| block.0 == index).map(|block| block.1),
    )?;
    fs::write(path, &file)?;
    say(&format!(
        "wrote {} bytes that prove 2 of {} blocks",
        file.len(),
        log.blocks().len()
    ));
    Ok(verifier.key())
}

/// Checks a file and says what it proves.
fn report(file: &[u8], expected: Option<&CoreKey>) -> Result<()> {
    let proven = proof_file::verify(file, expected)?;
    say(&format!("log {}", proven.key.to_z32()));
    say(&format!(
        "fork {}, {} blocks, {} bytes",
        proven.fork, proven.length, proven.byte_length
    ));
    for block in &proven.blocks {
        let text = String::from_utf8_lossy(block.value);
        say(&format!(
            "block {} at byte {}: {text}",
            block.index, block.offset
        ));
    }
    Ok(())
}

/// Changes one byte of a block, and expects to be refused.
fn refuse_tampering(mut file: Vec<u8>, key: &CoreKey) -> Result<()> {
    let wanted = b"measurement 8";
    let at = file
        .windows(wanted.len())
        .position(|window| window == wanted);
    let byte = at
        .and_then(|at| file.get_mut(at + wanted.len() - 1))
        .ok_or("the block is in the file")?;
    *byte = b'9';
    match proof_file::verify(&file, Some(key)) {
        Ok(_) => Err("a file that was changed has passed".into()),
        Err(refused) => {
            say(&format!("with one byte changed: {refused}"));
            Ok(())
        }
    }
}

fn find<T: Clone>(items: &[T], wanted: impl Fn(&T) -> bool) -> Option<T> {
    items.iter().find(|item| wanted(item)).cloned()
}

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn say(line: &str) {
    println!("{line}");
}
