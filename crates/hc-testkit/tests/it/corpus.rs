//! Every input under `fuzz/corpus/<target>` goes through the body of its target.

use std::fs;
use std::path::{Path, PathBuf};

use hc_testkit::fuzz::TARGETS;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

#[test]
fn corpora_replay() {
    for (name, body) in TARGETS {
        let folder = fuzz().join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            body(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no committed input");
    }
}

#[test]
fn every_target_has_a_file_and_every_file_a_target() {
    let mut files: Vec<_> = fs::read_dir(fuzz().join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    files.sort();
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, names);
}

/// Mutations of the committed inputs, always the same ones: a short fuzz run in every test run.
#[test]
fn mutated_corpora_neither_panic_nor_break_what_is_asserted() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (name, body) in TARGETS {
        for entry in fs::read_dir(fuzz().join("corpus").join(name)).unwrap() {
            let input = fs::read(entry.unwrap().path()).unwrap();
            for _ in 0..20 {
                let mut mutated = input.clone();
                for _ in 0..=random() % 3 {
                    let at = usize::try_from(random()).unwrap() % (mutated.len() + 1);
                    match random() % 3 {
                        0 => mutated.truncate(at),
                        1 => mutated.insert(at, random().to_le_bytes()[0]),
                        _ => {
                            if let Some(byte) = mutated.get_mut(at) {
                                *byte ^= 1 << (random() % 8);
                            }
                        }
                    }
                }
                body(&mutated);
            }
        }
    }
}
