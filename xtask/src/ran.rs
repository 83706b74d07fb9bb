//! Running every test, keeping book of which passed, and comparing that with what the documents name.
//!
//! Owns the reading of what `cargo test` prints. Knows nothing of which tests there are to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use cargo_metadata::{Message, MetadataCommand};

use crate::claims::{self, Name};
use crate::run::{root, target};

/// Runs a `cargo test` of the whole workspace, shows what it prints, writes the tests that passed to
/// `target/tests-passed.txt`, and fails where one fails or one that a document names was not among
/// them. `list` is the same command, building only and reporting as JSON.
pub(crate) fn all(mut command: Command, list: Command) -> anyhow::Result<()> {
    let packages = packages(list)?;
    let (reader, writer) = std::io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    println!("\n$ cargo test");
    let mut child = command.spawn().context("cannot start cargo")?;
    // The ends for writing that it holds would keep the pipe open.
    drop(command);
    let mut book = Book::new(packages);
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    let mut out = std::io::stdout();
    while reader.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        book.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo test` ended with {status}");
    }
    let passed: Vec<_> = book.passed.iter().map(Name::to_string).collect();
    fs::write(target().join("tests-passed.txt"), passed.join("\n") + "\n")?;
    compare(&book.passed)
}

/// Fails where a document names what did not pass.
fn compare(passed: &BTreeSet<Name>) -> anyhow::Result<()> {
    let claims = claims::claims()?;
    let missing: BTreeSet<_> = claims
        .iter()
        .filter(|(_, claim)| !passed.iter().any(|test| test.answers(claim)))
        .map(|(document, claim)| format!("{document} names {claim}, which did not run"))
        .collect();
    if missing.is_empty() {
        let named: BTreeSet<_> = claims.iter().map(|(_, claim)| claim).collect();
        println!(
            "\n{} tests and examples passed, among them all {} that the documents name",
            passed.len(),
            named.len()
        );
        return Ok(());
    }
    let missing: Vec<_> = missing.into_iter().collect();
    bail!("tests:\n  {}", missing.join("\n  "))
}

/// The package of each test program, by the name of its file; builds them.
fn packages(mut list: Command) -> anyhow::Result<BTreeMap<String, String>> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .current_dir(root())
        .exec()?;
    let mut child = list
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let stdout = child.stdout.take().context("no output of cargo")?;
    let mut packages = BTreeMap::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        let Message::CompilerArtifact(artifact) = message? else {
            continue;
        };
        let program = artifact
            .executable
            .as_ref()
            .and_then(|path| path.file_name());
        let package = metadata
            .packages
            .iter()
            .find(|one| one.id == artifact.package_id);
        if let (Some(program), Some(package)) = (program, package) {
            packages.insert(program.to_owned(), package.name.to_string());
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the tests do not build: {status}");
    }
    Ok(packages)
}

/// What passed so far.
struct Book {
    packages: BTreeMap<String, String>,
    /// Package of the program that is running, and the module that stands for the program.
    running: Option<(String, Option<String>)>,
    passed: BTreeSet<Name>,
}

impl Book {
    fn new(packages: BTreeMap<String, String>) -> Self {
        Self {
            packages,
            running: None,
            passed: BTreeSet::new(),
        }
    }

    fn read(&mut self, line: &str) {
        let line = line.trim_start();
        if let Some(what) = line.strip_prefix("Running ") {
            self.running = self.program(what);
        } else if let Some(library) = line.strip_prefix("Doc-tests ") {
            self.running = Some((library.replace('_', "-"), None));
        } else if let Some(name) = passed(line) {
            self.add(name);
        }
    }

    /// `unittests src/lib.rs (target/debug/deps/hc_merkle-0123)`, `tests/it/main.rs (…/it-0123)`.
    fn program(&self, what: &str) -> Option<(String, Option<String>)> {
        let (source, path) = what.split_once(" (")?;
        let program = path.trim_end_matches(')').rsplit('/').next()?;
        let package = self.packages.get(program)?.clone();
        let module = source
            .starts_with("tests/")
            .then(|| program.rsplit_once('-').map(|(name, _)| name.to_owned()))
            .flatten();
        Some((package, module))
    }

    fn add(&mut self, name: &str) {
        let Some((package, module)) = &self.running else {
            return;
        };
        let name = match (name.split_once(" - "), module) {
            // `crates/hc-x/src/log.rs - log::Log::append (line 12)`
            (Some((_, item)), _) => {
                let item = item.split_once(" (").map_or(item, |(item, _)| item);
                Name::example(package, item)
            }
            (None, Some(module)) => Name::new(package, &format!("{module}::{name}")),
            (None, None) => Name::new(package, name),
        };
        self.passed.insert(name);
    }
}

/// The test that a line says has passed.
fn passed(line: &str) -> Option<&str> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... ok")?;
    Some(name.strip_suffix(" - should panic").unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_prints_is_understood() {
        let packages = [("it-0a", "hc-x"), ("hc_x-0b", "hc-x")];
        let packages = packages.map(|(file, package)| (file.to_owned(), package.to_owned()));
        let mut book = Book::new(packages.into());
        let output = "\
     Running unittests src/lib.rs (target/debug/deps/hc_x-0b)
test log::tests::one ... ok
test log::tests::two ... FAILED
     Running tests/it/main.rs (target/debug/deps/it-0a)
test log::three ... ok
     Running unittests src/main.rs (target/debug/deps/unknown-0c)
test four ... ok
   Doc-tests hc_x
test crates/hc-x/src/log.rs - log::Log::append (line 12) ... ok
test crates/hc-x/src/log.rs - log::Log::serve (line 20) - compile ... ok";
        output.lines().for_each(|line| book.read(line));
        let passed: Vec<_> = book.passed.iter().map(Name::to_string).collect();
        assert_eq!(
            passed,
            [
                "hc-x::doc::log::Log::append",
                "hc-x::doc::log::Log::serve",
                "hc-x::it::log::three",
                "hc-x::log::tests::one",
            ]
        );
    }
}
