//! Ten thousand logs in one store: few descriptors, little memory, and none of it for logs that nobody
//! has open.

use std::fs;
use std::process::Command;

use hc_merkle::{CoreKey, DiscoveryKey, Length};
use hc_storage::{Auth, CoreRecord, Durability, Store, StoreOptions};

use crate::log::{Outcome, append};

const LOGS: u32 = 10_000;

/// Bytes that a log may take that is open and idle.
const OPEN: u64 = 6 << 10;

fn key(number: u32) -> DiscoveryKey {
    let mut bytes = [0x5a; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    DiscoveryKey(bytes)
}

/// Bytes of memory that this process has.
fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("VmRSS")?.parse::<u64>()? << 10)
}

fn descriptors() -> Result<usize, std::io::Error> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Not a test of its own: it counts what its process takes.
#[test]
fn in_a_process_of_its_own() -> Outcome {
    let Some(path) = std::env::var_os("HC_SCALE_STORE") else {
        return Ok(());
    };
    let options = StoreOptions::default().create(true);
    let store = options.open(&path)?;
    for number in 0..LOGS {
        let core = store.create_core(CoreRecord {
            discovery_key: key(number),
            auth: Auth::reader(CoreKey([1; 32])),
            alias: None,
        })?;
        append(&*core, 2, 0, Durability::Buffered)?;
    }
    store.close()?;
    drop(store);
    let before = descriptors()?;
    let store = options.open(&path)?;
    assert_eq!(store.cores()?.len(), LOGS as usize);
    let files = descriptors()? - before;
    assert!(files <= 12, "{files} descriptors");
    // one after the other: what was looked at and let go takes nothing
    let look = |number| -> Outcome {
        let core = store.open_core(&key(number))?.ok_or("gone")?;
        assert_eq!(core.head()?.length(), Length::new(2));
        Ok(())
    };
    (0..LOGS).step_by(10).try_for_each(look)?;
    let idle = resident()?;
    (0..LOGS).try_for_each(look)?;
    let looked = resident()?.saturating_sub(idle);
    let held: Vec<_> = (0..LOGS)
        .map(|number| store.open_core(&key(number)))
        .collect::<Result<_, _>>()?;
    let open = resident()?.saturating_sub(idle) / u64::from(LOGS);
    println!(
        "{files} descriptors, {looked} B after all were looked at, {open} B for each that is open"
    );
    assert!(looked < u64::from(LOGS) << 10, "{looked} B");
    assert!(open < OPEN, "{open} B for each log");
    drop(held);
    Ok(store.close()?)
}

#[test]
#[cfg(target_os = "linux")]
fn ten_thousand_logs_take_a_few_kib_each() -> Outcome {
    let directory = tempfile::tempdir()?;
    let done = Command::new(std::env::current_exe()?)
        .args(["--exact", "scale::in_a_process_of_its_own", "--nocapture"])
        .env("HC_SCALE_STORE", directory.path().join("store"))
        .output()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    println!("{said}");
    Ok(())
}
