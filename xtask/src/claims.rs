//! What the documents say is proven: the tests and the examples that they name.
//!
//! Owns how a name in a document is matched with a test, and whether one is in the sources. Knows
//! nothing of running tests.
//!
//! A test is named `crate::module::test`, by the path that `cargo test` prints after the name of its
//! package; modules may be left out, never put in another order. `cargo test` names an example by
//! its file and its item: documents name it by the item alone, `hypercore::doc::Type::method`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::root;

/// The documents that name tests.
const DOCUMENTS: [&str; 2] = ["docs/STATUS.md", "docs/conformance.md"];

/// The module that examples are in, as far as names go.
const EXAMPLES: &str = "doc";

/// How much a case of the reference's suite matters here.
const RANKS: [&str; 3] = ["must", "should", "JS-only"];

/// What stands for the proof of a case that has none yet.
const UNPROVEN: &str = "not yet";

/// A test or an example, by its package and its path within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) package: String,
    pub(crate) path: Vec<String>,
}

impl Name {
    pub(crate) fn new(package: &str, path: &str) -> Self {
        Self {
            package: package.to_owned(),
            path: path.split("::").map(str::to_owned).collect(),
        }
    }

    /// An example, by its item: `hypercore::Hypercore::append`.
    pub(crate) fn example(package: &str, item: &str) -> Self {
        Self::new(package, &format!("{EXAMPLES}::{item}"))
    }

    /// Whether this is what `claimed` names: the same package and the same last segment, with all other
    /// segments that it names, in that order.
    pub(crate) fn answers(&self, claimed: &Self) -> bool {
        self.package == claimed.package
            && self.path.last() == claimed.path.last()
            && is_subsequence(&claimed.path, &self.path)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::{}", self.package, self.path.join("::"))
    }
}

fn is_subsequence(part: &[String], whole: &[String]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|word| rest.any(|other| other == word))
}

/// All names in the documents, with the document that has them.
pub(crate) fn claims() -> anyhow::Result<Vec<(&'static str, Name)>> {
    let mut claims = Vec::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(root().join(document))?;
        let quoted = text
            .lines()
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        claims.extend(quoted.filter_map(claimed).map(|name| (document, name)));
    }
    Ok(claims)
}

/// A quoted word that names a test or an example, and not an item of a library.
fn claimed(word: &str) -> Option<Name> {
    let (package, path) = word.split_once("::")?;
    let name = Name::new(package, path);
    let within = |module: &&str| name.path.iter().any(|segment| segment == module);
    let is_test = match package {
        "hypercore" | "xtask" => ["it", "tests", EXAMPLES].iter().any(within),
        _ => package.starts_with("hc-"),
    };
    is_test.then_some(name)
}

/// What is wrong with the documents as far as the sources tell.
pub(crate) fn check(files: &[PathBuf], faults: &mut Vec<String>) -> anyhow::Result<()> {
    let sources = Sources::read(files)?;
    for (document, name) in claims()? {
        if !sources.have(&name) {
            let near = sources.near(&name);
            faults.push(format!(
                "{document} names {name}, which does not exist{near}"
            ));
        }
    }
    table(faults)
}

/// Each case of the reference's suite has its rank, and each that is only JavaScript's says why.
fn table(faults: &mut Vec<String>) -> anyhow::Result<()> {
    let document = "docs/conformance.md";
    let text = fs::read_to_string(root().join(document))?;
    // By rank: how many there are, and how many of them name a test.
    let mut cases = BTreeMap::from(RANKS.map(|rank| (rank, (0_usize, 0_usize))));
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.split(" | ").collect();
        let [_, rank, proof] = cells.as_slice() else {
            continue;
        };
        let Some((all, proven)) = cases.get_mut(rank) else {
            continue;
        };
        let proof = proof.trim_end_matches('|').trim();
        let named = proof.contains("::");
        let says = match *rank {
            "JS-only" => !proof.is_empty() && proof != UNPROVEN,
            _ => named || proof == UNPROVEN,
        };
        if !says {
            faults.push(format!(
                "{document}: neither a test nor `{UNPROVEN}`: {row}"
            ));
        }
        *all += 1;
        *proven += usize::from(named);
    }
    let counted = RANKS.map(
        |rank| match (rank, cases.get(rank).copied().unwrap_or_default()) {
            ("JS-only", (all, _)) => format!("{all} {rank}"),
            (_, (all, proven)) => format!("{all} {rank} ({proven} proven)"),
        },
    );
    let counted = counted.join(", ");
    if !text.contains(&counted) {
        faults.push(format!("{document}: has {counted}, and does not say so"));
    }
    Ok(())
}

/// Functions and examples of all sources.
struct Sources {
    /// By package and function: the modules of the files that have one of that name.
    functions: BTreeMap<(String, String), BTreeSet<Vec<String>>>,
    examples: BTreeSet<Name>,
}

impl Sources {
    fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut sources = Self {
            functions: BTreeMap::new(),
            examples: BTreeSet::new(),
        };
        let rust = |path: &&PathBuf| path.extension().is_some_and(|ext| ext == "rs");
        for path in files.iter().filter(rust) {
            let Some((package, modules)) = place(path) else {
                continue;
            };
            let text = fs::read_to_string(root().join(path))?;
            for line in text.lines() {
                if let Some(name) = function(line) {
                    let key = (package.clone(), name.to_owned());
                    sources
                        .functions
                        .entry(key)
                        .or_default()
                        .insert(modules.clone());
                }
            }
            let items = examples(&text).into_iter();
            sources
                .examples
                .extend(items.map(|item| Name::example(&package, &item)));
        }
        Ok(sources)
    }

    fn have(&self, name: &Name) -> bool {
        if name.path.first().is_some_and(|first| first == EXAMPLES) {
            return self.examples.iter().any(|example| example.answers(name));
        }
        let Some((last, modules)) = name.path.split_last() else {
            return false;
        };
        let files = self.functions.get(&(name.package.clone(), last.clone()));
        // A macro may put tests into modules of its own, and a name may leave modules out.
        files.is_some_and(|files| {
            files
                .iter()
                .any(|file| is_subsequence(modules, file) || is_subsequence(file, modules))
        })
    }

    /// Where something of that name is, for who named it wrongly.
    fn near(&self, name: &Name) -> String {
        let Some(last) = name.path.last() else {
            return String::new();
        };
        let same = self
            .functions
            .iter()
            .filter(|((_, found), _)| found == last);
        let places: Vec<_> = same
            .flat_map(|((package, _), files)| files.iter().map(move |file| (package, file)))
            .map(|(package, file)| format!("{package}::{}::{last}", file.join("::")))
            .collect();
        match places.as_slice() {
            [] => String::new(),
            places => format!(" ({} does)", places.join(", ")),
        }
    }
}

/// Package and modules of a source file.
fn place(path: &Path) -> Option<(String, Vec<String>)> {
    let mut segments = path
        .iter()
        .map(|segment| segment.to_string_lossy().into_owned());
    let mut package = segments.next()?;
    if package == "crates" {
        package = segments.next()?;
    }
    let within = segments.next()?;
    if within != "src" && within != "tests" {
        return None;
    }
    let mut modules: Vec<_> = segments.collect();
    let file = modules.pop()?;
    let stem = file.strip_suffix(".rs")?;
    if !["mod", "lib", "main"].contains(&stem) {
        modules.push(stem.to_owned());
    }
    Some((package, modules))
}

/// The function that a line begins.
fn function(line: &str) -> Option<&str> {
    let mut line = line.trim_start();
    // In a macro call the names of the tests stand alone, one a line or side by side.
    for word in ["pub(super) ", "pub(crate) ", "pub ", "const ", "async "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    let (name, _) = line.strip_prefix("fn ")?.split_once(['(', '<'])?;
    Some(name)
}

/// The public items of a file whose documentation has an example: `Type`, `Type::method`, `function`.
fn examples(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut owner = None;
    let mut shown = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("///") {
            shown |= trimmed.contains("```");
            continue;
        }
        if trimmed.starts_with("#[") {
            continue;
        }
        if line.starts_with("impl") {
            owner = implemented(line);
        } else if line.starts_with('}') {
            owner = None;
        }
        if let Some(name) = item(trimmed).filter(|_| shown) {
            items.push(match &owner {
                Some(owner) => format!("{owner}::{name}"),
                None => name.to_owned(),
            });
        }
        shown = false;
    }
    items
}

/// The type that an `impl` is for.
fn implemented(line: &str) -> Option<String> {
    let line = line.strip_prefix("impl")?;
    let line = match line.strip_prefix('<') {
        // Good enough for rustfmt's output: bounds with generics of their own are in `where`.
        Some(generic) => generic.split_once("> ")?.1,
        None => line.trim_start(),
    };
    let subject = line
        .rsplit_once(" for ")
        .map_or(line, |(_, subject)| subject);
    let end = subject.find(['<', ' ', '{']).unwrap_or(subject.len());
    subject.get(..end).map(str::to_owned)
}

/// The item that a line begins.
fn item(line: &str) -> Option<&str> {
    if let Some(name) = function(line) {
        return Some(name);
    }
    let line = line.strip_prefix("pub ")?;
    let (_, name) = ["struct ", "enum ", "trait "]
        .into_iter()
        .find_map(|kind| line.split_once(kind))?;
    let end = name
        .find(['<', ' ', '(', '{', ';', ':'])
        .unwrap_or(name.len());
    name.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_leave_modules_out_but_not_change_them() {
        let ran = Name::new("hypercore", "it::interop::full::v11::from_the_reference");
        let claim = |path| Name::new("hypercore", path);
        assert!(ran.answers(&claim("it::interop::full::v11::from_the_reference")));
        assert!(ran.answers(&claim("it::full::from_the_reference")));
        assert!(!ran.answers(&claim("it::live::from_the_reference")));
        assert!(!ran.answers(&claim("full::it::from_the_reference")));
        assert!(!ran.answers(&claim("it::full::v11")));
        assert!(!ran.answers(&Name::new("hc-cli", "it::full::from_the_reference")));
    }

    #[test]
    fn files_are_modules() {
        let of =
            |path| place(Path::new(path)).map(|(package, modules)| (package, modules.join("::")));
        let is = |package: &str, modules: &str| Some((package.to_owned(), modules.to_owned()));
        assert_eq!(of("crates/hc-x/src/lib.rs"), is("hc-x", ""));
        assert_eq!(of("crates/hc-x/src/a/mod.rs"), is("hc-x", "a"));
        assert_eq!(of("crates/hc-x/tests/it/b/c.rs"), is("hc-x", "it::b::c"));
        assert_eq!(of("xtask/src/ran.rs"), is("xtask", "ran"));
        assert_eq!(of("crates/hc-x/benches/log.rs"), None);
    }

    #[test]
    fn examples_belong_to_their_items() {
        let text = "/// ```\nimpl<T> Trait for Log<T> {\n    /// Says.\n    ///\n    /// ```\n    /// x\n    /// ```\n    \
                    #[must_use]\n    pub fn one(&self) {}\n    /// None.\n    pub fn two(&self) {}\n}\n\n/// ```\n/// ```\npub struct Kept;\n";
        assert_eq!(examples(text), ["Log::one", "Kept"]);
    }
}
