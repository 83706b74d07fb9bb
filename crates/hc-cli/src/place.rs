//! Where a command's log is: in a folder of its own, or by name or key in a store with several.
//!
//! Owns what `STORE/NAME` means. Knows nothing of what is done with the log.

use std::path::{Path, PathBuf};

use hypercore::{Builder, CoreKey, Hypercore, NamePath, Storage};

use crate::failure::{Failure, Kind};

/// A log of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The store's folder.
    pub(crate) store: PathBuf,
    pub(crate) which: Which,
}

/// Which log of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that is meant where none is named.
    Default,
    /// The one with this name, in this namespace.
    Named(NamePath, String),
    /// The one with this key.
    Key(CoreKey),
}

impl Place {
    /// What a path means: a store, or what follows a store's folder. A path that leads nowhere is a
    /// folder to be made.
    pub(crate) fn of(path: &Path) -> Self {
        let above = path.ancestors().find(|dir| is_store(dir));
        let rest = above.and_then(|store| Some((store, path.strip_prefix(store).ok()?.to_str()?)));
        let found = rest.filter(|(_, rest)| !rest.is_empty());
        found.map_or_else(
            || Self {
                store: path.to_path_buf(),
                which: Which::Default,
            },
            |(store, rest)| Self {
                store: store.to_path_buf(),
                which: Which::of(rest),
            },
        )
    }

    /// The log with a name in a store, which need not be there yet.
    pub(crate) fn named(store: &Path, name: &str) -> Result<Self, Failure> {
        let which = Which::of(name);
        if name.is_empty() || matches!(which, Which::Key(_)) {
            let message = format!("{name:?} is no name for a log");
            return Err(Failure::new(Kind::Usage, message));
        }
        Ok(Self {
            store: store.to_path_buf(),
            which,
        })
    }

    /// Begins to open it, in the storage that is made of the store's folder.
    pub(crate) fn builder(&self, storage: impl FnOnce(&Path) -> Storage) -> Builder {
        let builder = Hypercore::builder(storage(&self.store));
        match &self.which {
            Which::Default => builder,
            Which::Named(place, name) => builder.name(*place, name),
            Which::Key(key) => builder.key(*key),
        }
    }
}

impl Which {
    /// A key, or a name that may be in namespaces, as in `app/posts`.
    fn of(words: &str) -> Self {
        if let Ok(key) = words.parse() {
            return Self::Key(key);
        }
        let (places, name) = words.rsplit_once('/').unwrap_or(("", words));
        let places = places.split('/').filter(|place| !place.is_empty());
        let place = places.fold(NamePath::ROOT, |at, name| at.join(name));
        Self::Named(place, name.to_owned())
    }
}

/// Whether a folder has a store in it.
fn is_store(dir: &Path) -> bool {
    dir.join("log").join("00000000.seg").is_file() || dir.join("SECRETS").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_store_names_a_log() -> std::io::Result<()> {
        let dir = tempfile::tempdir()?;
        let store = dir.path().join("store");
        let nothing = Place::of(&store.join("posts"));
        assert_eq!(nothing.which, Which::Default);
        assert_eq!(nothing.store, store.join("posts"));
        std::fs::create_dir_all(store.join("log"))?;
        std::fs::write(store.join("SECRETS"), b"")?;
        assert_eq!(Place::of(&store).which, Which::Default);
        let posts = Place::of(&store.join("posts"));
        assert_eq!(posts.store, store);
        assert_eq!(posts.which, Which::Named(NamePath::ROOT, "posts".into()));
        let inside = NamePath::ROOT.join("app").join("en");
        let deep = Place::of(&store.join("app/en/posts"));
        assert_eq!(deep.which, Which::Named(inside, "posts".into()));
        let log = Place::of(&store.join("log"));
        assert_eq!(log.which, Which::Named(NamePath::ROOT, "log".into()));
        let key = CoreKey([7; 32]);
        let by_key = Place::of(&store.join(key.to_string()));
        assert_eq!(by_key.which, Which::Key(key));
        Ok(())
    }
}
