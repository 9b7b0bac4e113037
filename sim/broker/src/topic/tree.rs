//! Subscriptions by Topic Filter: a tree with one node for each level (§4.7.1).
//!
//! A search descends one node for each level of the topic, with at most three branches (the level
//! itself, `+`, `#`). Its cost grows with the depth of the topic and the number of matches, not
//! with the number of Subscriptions. All nodes share one hash table of (parent, level). Its entries
//! are looked up and never listed, so hash order has no effect. Searches use an explicit stack,
//! because a topic may have 65,535 levels.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Bound;

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;
use mqttspec_codec::TopicFilter;

use super::Granted;
use crate::session::SessionKey;
use crate::shared::SharedSubscription;
use crate::small_map::SmallMap;

/// The index of a node in [`SubscriptionTree::nodes`].
type NodeIndex = u32;
const ROOT: NodeIndex = 0;

/// Identifies a Shared Subscription during its life (§4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKey(u64);

impl GroupKey {
    pub(crate) const MAX: Self = Self(u64::MAX);
}

#[derive(Debug)]
pub(crate) struct SubscriptionTree {
    nodes: Vec<Node>,
    free: Vec<NodeIndex>,
    children: HashTable<NodeIndex>,
    groups: BTreeMap<GroupKey, Group>,
    group_keys: BTreeMap<TopicFilter, GroupKey>,
    groups_made: u64,
    seed: u64,
    /// Whether a search is done in parts: then the places of removed nodes are not reused, since
    /// the search may have yet to look at them.
    is_searched: bool,
    removed: Vec<NodeIndex>,
}

/// A prefix of Topic Filters.
#[derive(Debug)]
struct Node {
    parent: NodeIndex,
    level: Box<[u8]>,
    /// The number of children of every kind. A node without children and subscribers is removed.
    child_count: u32,
    single_level: Option<NodeIndexOfChild>,
    multi_level: Option<NodeIndexOfChild>,
    subscribers: SmallMap<SessionKey, Granted>,
    shared: SmallMap<GroupKey, ()>,
}

/// Never the root, so that an `Option` of it needs no more space.
type NodeIndexOfChild = std::num::NonZeroU32;

#[derive(Debug)]
struct Group {
    node: NodeIndex,
    subscription: SharedSubscription,
}

/// The Subscriptions that match a Topic Name. The caller reuses it to save allocations.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub(crate) subscriptions: Vec<(SessionKey, Granted)>,
    pub(crate) shared: Vec<GroupKey>,
    /// The number of Shared Subscriptions that a search finds. If there are as many, the caller
    /// goes through all of them with [`SubscriptionTree::next_shared`].
    most_shared: usize,
    stack: Vec<(NodeIndex, usize)>,
}

impl Matches {
    /// Prepares a search from its beginning, for this number of Shared Subscriptions.
    pub(crate) fn begin(&mut self, most_shared: usize) {
        self.most_shared = most_shared;
        self.subscriptions.clear();
        self.shared.clear();
        self.stack.clear();
        self.stack.push((ROOT, 0));
    }
}

impl SubscriptionTree {
    /// The seed keys the hash, so that Clients cannot prepare topics that collide.
    pub(crate) fn new(seed: u64) -> Self {
        let root = Node::new(ROOT, Box::default());
        Self {
            nodes: vec![root],
            free: Vec::new(),
            children: HashTable::new(),
            groups: BTreeMap::new(),
            group_keys: BTreeMap::new(),
            groups_made: 0,
            seed,
            is_searched: false,
            removed: Vec::new(),
        }
    }

    /// Adds a Subscription or replaces the one that this Session has to the same filter.
    pub(crate) fn insert(&mut self, filter: &[u8], session: SessionKey, granted: Granted) {
        let node = self.make_path(filter);
        self.node_mut(node).subscribers.insert(session, granted);
    }

    pub(crate) fn remove(&mut self, filter: &[u8], session: SessionKey) {
        if let Some(node) = self.find_path(filter) {
            self.node_mut(node).subscribers.remove(&session);
            self.prune(node);
        }
    }

    /// Adds a member to a Shared Subscription or replaces its options. `filter` is complete, with
    /// `$share`.
    pub(crate) fn insert_shared(
        &mut self,
        filter: &TopicFilter,
        session: SessionKey,
        granted: Granted,
    ) -> GroupKey {
        let key = if let Some(key) = self.group_keys.get(filter) {
            *key
        } else {
            let key = GroupKey(self.groups_made);
            self.groups_made += 1;
            let node = self.make_path(filter.without_share().as_bytes());
            self.node_mut(node).shared.insert(key, ());
            self.group_keys.insert(filter.clone(), key);
            self.groups.insert(key, Group { node, subscription: SharedSubscription::new(filter.clone()) });
            key
        };
        if let Some(group) = self.groups.get_mut(&key) {
            group.subscription.join(session, granted);
        }
        key
    }

    pub(crate) fn remove_shared(&mut self, filter: &TopicFilter, session: SessionKey) {
        let Some(key) = self.group_keys.get(filter).copied() else { return };
        let Some(group) = self.groups.get_mut(&key) else { return };
        group.subscription.leave(session);
        if group.subscription.is_empty() {
            let node = group.node;
            self.groups.remove(&key);
            self.group_keys.remove(filter);
            self.node_mut(node).shared.remove(&key);
            self.prune(node);
        }
    }

    pub(crate) fn shared(&mut self, key: GroupKey) -> Option<&mut SharedSubscription> {
        self.groups.get_mut(&key).map(|group| &mut group.subscription)
    }

    pub(crate) fn group(&self, filter: &TopicFilter) -> Option<GroupKey> {
        self.group_keys.get(filter).copied()
    }

    /// The key of the next Shared Subscription that is made.
    pub(crate) fn next_group(&self) -> GroupKey {
        GroupKey(self.groups_made)
    }

    /// The Shared Subscription after this one, in the order of their filters.
    pub(crate) fn next_shared(&self, after: Option<&TopicFilter>) -> Option<(TopicFilter, GroupKey)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (filter, key) = self.group_keys.range::<TopicFilter, _>((after, Bound::Unbounded)).next()?;
        Some((filter.clone(), *key))
    }

    pub(crate) fn shared_by_filter(&self, filter: &TopicFilter) -> Option<&SharedSubscription> {
        let group = self.groups.get(&self.group(filter)?)?;
        Some(&group.subscription)
    }

    /// Finds the Subscriptions that match the Topic Name, but not more Shared Subscriptions
    /// than were asked for, and subtracts the number of nodes that it looked at from `left`. A Session is
    /// listed once for each of its Subscriptions that match.
    ///
    /// It stops if nothing is left, and can then go on. Returns whether all are found.
    pub(crate) fn search(&self, topic: &[u8], matches: &mut Matches, left: &mut usize) -> bool {
        // [MQTT-4.7.2-1]
        let dollar = topic.first() == Some(&b'$');
        let mut nodes = *left;
        while nodes > 0
            && let Some((index, at)) = matches.stack.pop()
        {
            nodes -= 1;
            let node = self.node(index);
            let wildcards = !(dollar && index == ROOT);
            // `sport/#` matches `sport` too, so this is before the check for remaining levels.
            if let Some(child) = node.multi_level.filter(|_| wildcards) {
                self.node(child.get()).collect_into(matches);
            }
            if at > topic.len() {
                node.collect_into(matches);
                continue;
            }
            let (level, next) = next_level(topic, at);
            if let Some(child) = node.single_level.filter(|_| wildcards) {
                matches.stack.push((child.get(), next));
            }
            if let Some(child) = self.child(index, level) {
                matches.stack.push((child, next));
            }
        }
        *left = nodes;
        matches.stack.is_empty()
    }

    /// Begins or ends a search in parts, between which the tree may change.
    pub(crate) fn set_searched(&mut self, is_searched: bool) {
        self.is_searched = is_searched;
        if !is_searched {
            self.free.append(&mut self.removed);
        }
    }

    fn node(&self, index: NodeIndex) -> &Node {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: NodeIndex) -> &mut Node {
        &mut self.nodes[index as usize]
    }

    fn child(&self, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
        let is_it = |index: &NodeIndex| {
            let node = self.node(*index);
            node.parent == parent && *node.level == *level
        };
        self.children.find(hash(self.seed, parent, level), is_it).copied()
    }

    fn child_by_filter(&self, parent: NodeIndex, level: &[u8]) -> Option<NodeIndex> {
        match level {
            b"+" => self.node(parent).single_level.map(NodeIndexOfChild::get),
            b"#" => self.node(parent).multi_level.map(NodeIndexOfChild::get),
            _ => self.child(parent, level),
        }
    }

    fn find_path(&self, filter: &[u8]) -> Option<NodeIndex> {
        let mut levels = filter.split(|&byte| byte == b'/');
        levels.try_fold(ROOT, |node, level| self.child_by_filter(node, level))
    }

    fn make_path(&mut self, filter: &[u8]) -> NodeIndex {
        let mut node = ROOT;
        for level in filter.split(|&byte| byte == b'/') {
            node = match self.child_by_filter(node, level) {
                Some(child) => child,
                None => self.make_child(node, level),
            };
        }
        node
    }

    fn make_child(&mut self, parent: NodeIndex, level: &[u8]) -> NodeIndex {
        let child = Node::new(parent, level.into());
        let index = if let Some(index) = self.free.pop() {
            *self.node_mut(index) = child;
            index
        } else {
            let index = NodeIndex::try_from(self.nodes.len()).expect("memory cannot hold 2^32 nodes");
            self.nodes.push(child);
            index
        };
        let pointer = NodeIndexOfChild::new(index);
        let node = self.node_mut(parent);
        node.child_count += 1;
        match level {
            b"+" => node.single_level = pointer,
            b"#" => node.multi_level = pointer,
            _ => {
                let (nodes, seed) = (&self.nodes, self.seed);
                let rehash = |index: &NodeIndex| {
                    let node = &nodes[*index as usize];
                    hash(seed, node.parent, &node.level)
                };
                self.children.insert_unique(hash(seed, parent, level), index, rehash);
            }
        }
        index
    }

    /// Removes the node, and its ancestors, while they are unused.
    fn prune(&mut self, mut index: NodeIndex) {
        while index != ROOT && self.node(index).is_unused() {
            let parent = self.node(index).parent;
            let level = std::mem::take(&mut self.node_mut(index).level);
            match &*level {
                b"+" => self.node_mut(parent).single_level = None,
                b"#" => self.node_mut(parent).multi_level = None,
                _ => {
                    let found =
                        self.children.find_entry(hash(self.seed, parent, &level), |other| *other == index);
                    if let Ok(entry) = found {
                        entry.remove();
                    }
                }
            }
            self.node_mut(parent).child_count -= 1;
            if self.is_searched { &mut self.removed } else { &mut self.free }.push(index);
            index = parent;
        }
    }
}

impl Node {
    fn new(parent: NodeIndex, level: Box<[u8]>) -> Self {
        Self {
            parent,
            level,
            child_count: 0,
            single_level: None,
            multi_level: None,
            subscribers: SmallMap::new(),
            shared: SmallMap::new(),
        }
    }

    fn is_unused(&self) -> bool {
        self.child_count == 0 && self.subscribers.is_empty() && self.shared.is_empty()
    }

    fn collect_into(&self, matches: &mut Matches) {
        let subscribers = self.subscribers.iter().map(|(session, granted)| (*session, *granted));
        matches.subscriptions.extend(subscribers);
        let rest = matches.most_shared.saturating_sub(matches.shared.len());
        matches.shared.extend(self.shared.keys().take(rest));
    }
}

/// The level that starts at `at`, and the start of the next one, which is beyond the end of the
/// topic after the last level.
fn next_level(topic: &[u8], at: usize) -> (&[u8], usize) {
    let rest = &topic[at..];
    let length = rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len());
    (&rest[..length], at + length + 1)
}

fn hash(seed: u64, parent: NodeIndex, level: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(seed, SharedSeed::global_fixed());
    hasher.write_u32(parent);
    hasher.write(level);
    hasher.finish()
}
