//! Which logs have which names, and which were active in which groups. Knows nothing of what a name or a
//! topic means.

use std::collections::BTreeMap;
use std::sync::Arc;

use hc_merkle::{CoreKey, DiscoveryKey};

use super::state::{Core, Membership};
use super::{Engine, Registry};
use crate::error::{IndexError, StorageError};
use crate::index::{self, IndexExt, bad_entry};
use crate::lock::{lock, read};
use crate::record::cursor::Cursor;
use crate::record::entry::{CoreId, Entry};
use crate::record::varint;
use crate::record::{ActiveCore, Alias, CoreEntry, Moment, NamedCore, NamespaceId, Topic};

/// The log that a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedId {
    pub(crate) id: CoreId,
    pub(crate) entry: CoreEntry,
}

impl NamedId {
    pub(crate) fn of(core: &Core) -> Self {
        Self {
            id: core.id,
            entry: CoreEntry {
                discovery_key: core.identity.discovery_key,
                key: core.identity.key,
            },
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        varint::put(&mut value, self.id.0);
        value.extend_from_slice(self.entry.discovery_key.as_bytes());
        value.extend_from_slice(self.entry.key.as_bytes());
        value
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        Some(Self {
            id: CoreId(cursor.uint()?),
            entry: CoreEntry {
                discovery_key: DiscoveryKey(cursor.array()?),
                key: CoreKey(cursor.array()?),
            },
        })
    }
}

/// The key of a name in the index.
pub(crate) fn name_key(alias: &Alias) -> Vec<u8> {
    let mut named = alias.namespace.0.to_vec();
    named.extend_from_slice(alias.name.as_bytes());
    index::named_key(CoreId::STORE, index::NAME, &named)
}

/// The key of a log in its group.
pub(crate) fn group_key(topic: &Topic, core: CoreId) -> Vec<u8> {
    let mut named = topic.0.to_vec();
    named.extend_from_slice(&core.0.to_be_bytes());
    index::named_key(CoreId::STORE, index::GROUP, &named)
}

/// A log of a group as the index has it; `None` while it has not been active.
pub(crate) fn group_value(core: &Core, membership: &Membership) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    varint::put(&mut value, membership.active?.0);
    value.extend_from_slice(&NamedId::of(core).encode());
    Some(value)
}

fn decode_active(value: &[u8]) -> Option<ActiveCore> {
    let mut cursor = Cursor::new(value);
    let at = Moment(cursor.uint()?);
    cursor.uint()?;
    Some(ActiveCore {
        discovery_key: DiscoveryKey(cursor.array()?),
        key: CoreKey(cursor.array()?),
        at,
    })
}

impl Engine {
    /// The log with a name.
    pub(crate) fn find_alias(
        &self,
        registry: &Registry,
        alias: &Alias,
    ) -> Result<Option<NamedId>, IndexError> {
        if let Some(named) = registry.aliases.get(alias) {
            return Ok(*named);
        }
        let Some(value) = self.index.value(&name_key(alias))? else {
            return Ok(None);
        };
        let named = NamedId::decode(&value);
        named.map(Some).ok_or_else(|| bad_entry(&*self.index))
    }

    /// Refuses a name that another log has.
    pub(crate) fn check_name(&self, alias: &Alias) -> Result<(), StorageError> {
        alias.check()?;
        let found = self.find_alias(&lock(&self.registry), alias);
        match found.map_err(|error| self.distrust(error))? {
            Some(named) => Err(StorageError::NameTaken {
                name: alias.name.clone(),
                key: named.entry.discovery_key,
            }),
            None => Ok(()),
        }
    }

    /// All logs with a name, or those of one place.
    pub(crate) fn named(
        &self,
        namespace: Option<NamespaceId>,
    ) -> Result<Vec<NamedCore>, IndexError> {
        let registry = lock(&self.registry);
        let mut all: BTreeMap<Alias, NamedId> = BTreeMap::new();
        let mut keys = index::keys_of(CoreId::STORE, index::NAME);
        if let Some(NamespaceId(place)) = namespace {
            let (first, mut last) = keys.into_inner();
            last.splice(first.len()..first.len() + place.len(), place);
            keys = [first.as_slice(), &place].concat()..=last;
        }
        self.index.values(keys, &mut |key, value| {
            let (place, name) = key.get(9..)?.split_first_chunk::<32>()?;
            let alias = Alias {
                namespace: NamespaceId(*place),
                name: String::from_utf8(name.to_vec()).ok()?,
            };
            all.insert(alias, NamedId::decode(&value)?);
            Some(())
        })?;
        for (alias, named) in &registry.aliases {
            let wanted = namespace.is_none_or(|wanted| wanted == alias.namespace);
            match named.filter(|_| wanted) {
                Some(named) => all.insert(alias.clone(), named),
                None => all.remove(alias),
            };
        }
        let named = all.into_iter().map(|(alias, named)| NamedCore {
            alias,
            discovery_key: named.entry.discovery_key,
            key: named.entry.key,
        });
        Ok(named.collect())
    }

    /// The logs that were active in a group, the last first.
    pub(crate) fn active_in(&self, topic: &Topic) -> Result<Vec<ActiveCore>, IndexError> {
        let registry = lock(&self.registry);
        let mut found: BTreeMap<DiscoveryKey, ActiveCore> = BTreeMap::new();
        let keys = group_key(topic, CoreId(0))..=group_key(topic, CoreId(u64::MAX));
        self.index.values(keys, &mut |_, value| {
            let active = decode_active(&value)?;
            found.insert(active.discovery_key, active);
            Some(())
        })?;
        for core in registry.dirty.values() {
            let state = read(&core.state);
            let name = core.identity.discovery_key;
            let member = state.facts.membership.as_ref();
            let member = member.filter(|member| member.topic == *topic && !state.deleted);
            match member.and_then(|member| member.active) {
                Some(at) => found.insert(
                    name,
                    ActiveCore {
                        discovery_key: name,
                        key: core.identity.key,
                        at,
                    },
                ),
                None => found.remove(&name),
            };
        }
        let mut found: Vec<_> = found.into_values().collect();
        found.sort_by_key(|core| std::cmp::Reverse(core.at));
        Ok(found)
    }

    /// What an entry means for the names. Before it is carried out, under the lock of the registry.
    pub(crate) fn note_aliases(registry: &mut Registry, core: &Arc<Core>, entry: &Entry) {
        if let Some(alias) = &entry.alias {
            let named = Some(NamedId::of(core));
            registry.aliases.insert(alias.clone(), named);
        }
        if let (true, Some(alias)) = (entry.delete, &read(&core.state).facts.alias) {
            registry.aliases.insert(Alias::clone(alias), None);
        }
    }
}
