//! The dependencies between the files of a crate have no cycle.
//!
//! A file depends on another if it names an item that the other defines. Names are followed through
//! `use` declarations and re-exports to the file of the definition; a re-export by itself is no
//! dependency. Method calls are not seen, and `#[cfg(test)]` code does not count. A module and its
//! direct child may depend on each other: the parent shares types, the child implements a part.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// The chain of re-exports that is followed at most.
const MAXIMUM_HOPS: usize = 16;

/// A module, in a file of its own or inline.
#[derive(Debug)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    items: BTreeSet<String>,
    /// The paths of `use` declarations by the name that they bring into scope.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// All paths that the module's code names, but for re-exports.
    references: Vec<Vec<String>>,
}

/// The modules of one target of a crate. The first is the root.
#[derive(Debug, Default)]
pub(crate) struct Modules(Vec<Module>);

impl Modules {
    /// Reads a target from its root file.
    pub(crate) fn read(root: &Path) -> Self {
        let mut modules = Self::default();
        let folder = root.parent().expect("the root file is in a folder").to_owned();
        modules.read_file(root, &folder, None);
        modules
    }

    fn read_file(&mut self, file: &Path, children: &Path, parent: Option<usize>) -> usize {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(file, children, parent, &syntax.items)
    }

    fn add(&mut self, file: &Path, children: &Path, parent: Option<usize>, items: &[Item]) -> usize {
        let index = self.0.len();
        self.0.push(Module {
            file: file.to_owned(),
            parent,
            children: BTreeMap::new(),
            items: BTreeSet::new(),
            imports: BTreeMap::new(),
            globs: Vec::new(),
            references: Vec::new(),
        });
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let folder = children.join(&name);
                    let child = match &module.content {
                        Some((_, items)) => self.add(file, &folder, Some(index), items),
                        None => {
                            let own = children.join(format!("{name}.rs"));
                            let file = if own.exists() { own } else { folder.join("mod.rs") };
                            self.read_file(&file, &folder, Some(index))
                        }
                    };
                    self.0[index].children.insert(name, child);
                }
                item => self.0[index].visit_item(item),
            }
        }
        index
    }

    /// The module that defines what a path names, seen from a module. `None` for other crates'
    /// items and for local names.
    fn resolve(&self, from: usize, path: &[String], hops: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.define(0, rest, hops),
            "self" => self.define(from, rest, hops),
            "super" => {
                let parent = self.0[from].parent?;
                match rest.first().map(String::as_str) {
                    Some("super") => self.resolve(parent, rest, hops),
                    _ => self.define(parent, rest, hops),
                }
            }
            _ => self.lookup(from, path, hops),
        }
    }

    /// Like `lookup`; a name that is not found, such as a macro's product, counts as the module's
    /// own.
    fn define(&self, module: usize, path: &[String], hops: usize) -> Option<usize> {
        if path.is_empty() {
            return Some(module);
        }
        self.lookup(module, path, hops).or(Some(module))
    }

    /// The module that defines the first name of a path in the scope of a module, or what the rest
    /// of the path leads to.
    fn lookup(&self, module: usize, path: &[String], hops: usize) -> Option<usize> {
        let (first, rest) = path.split_first()?;
        let hops = hops.checked_sub(1)?;
        let scope = &self.0[module];
        if let Some(child) = scope.children.get(first) {
            return self.define(*child, rest, hops);
        }
        if scope.items.contains(first) {
            return Some(module);
        }
        if let Some(import) = scope.imports.get(first) {
            if import.first() == Some(first) {
                return None; // The name of another crate.
            }
            let path: Vec<String> = import.iter().chain(rest).cloned().collect();
            return self.resolve(module, &path, hops);
        }
        scope.globs.iter().find_map(|glob| {
            let target = self.resolve(module, glob, hops)?;
            (target != module).then(|| self.lookup(target, path, hops)).flatten()
        })
    }

    /// The dependencies between files, each with a path that shows it. Those between a module and
    /// its direct child are left out.
    pub(crate) fn dependencies(&self) -> BTreeMap<(PathBuf, PathBuf), String> {
        let families: BTreeSet<(&Path, &Path)> = self
            .0
            .iter()
            .filter_map(|module| Some((module.file.as_path(), self.0[module.parent?].file.as_path())))
            .flat_map(|(child, parent)| [(child, parent), (parent, child)])
            .collect();
        let mut found = BTreeMap::new();
        for (index, module) in self.0.iter().enumerate() {
            for path in &module.references {
                let Some(target) = self.resolve(index, path, MAXIMUM_HOPS) else { continue };
                let (from, to) = (&module.file, &self.0[target].file);
                if from != to && !families.contains(&(from.as_path(), to.as_path())) {
                    found.entry((from.clone(), to.clone())).or_insert_with(|| path.join("::"));
                }
            }
        }
        found
    }
}

impl Module {
    fn import(&mut self, tree: &UseTree, prefix: &mut Vec<String>, is_reexport: bool) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(&path.tree, prefix, is_reexport);
                prefix.pop();
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(tree, prefix, is_reexport));
            }
            UseTree::Glob(_) => {
                self.globs.push(prefix.clone());
                if !is_reexport {
                    self.references.push(prefix.clone());
                }
            }
            UseTree::Name(name) => self.import_name(&name.ident.to_string(), None, prefix, is_reexport),
            UseTree::Rename(name) => {
                let renamed = name.rename.to_string();
                self.import_name(&name.ident.to_string(), Some(renamed), prefix, is_reexport);
            }
        }
    }

    fn import_name(&mut self, name: &str, renamed: Option<String>, prefix: &[String], is_reexport: bool) {
        let mut path = prefix.to_vec();
        if name != "self" {
            path.push(name.to_owned());
        }
        let Some(last) = path.last().cloned() else { return };
        if !is_reexport {
            self.references.push(path.clone());
        }
        self.imports.insert(renamed.unwrap_or(last), path);
    }

    /// Paths in the arguments of a macro, which are not parsed: names joined by `::`.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.references.extend((path.len() > 1).then(|| std::mem::take(&mut path)));
                        path.clear();
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                token => {
                    self.references.extend((path.len() > 1).then(|| std::mem::take(&mut path)));
                    path.clear();
                    colons = 0;
                    if let TokenTree::Group(group) = token {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.references.extend((path.len() > 1).then_some(path));
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        match item {
            Item::Use(declaration) => {
                let is_reexport = !matches!(declaration.vis, syn::Visibility::Inherited);
                self.import(&declaration.tree, &mut Vec::new(), is_reexport);
            }
            item => {
                self.items.extend(name(item));
                visit::visit_item(self, item);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.references.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

/// The name that an item defines.
fn name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The largest sets of files of which each depends on each, directly or through others; files in
/// order of name.
pub(crate) fn cycles<'a>(dependencies: impl Iterator<Item = &'a (PathBuf, PathBuf)>) -> Vec<Vec<&'a Path>> {
    let mut next: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for (from, to) in dependencies {
        next.entry(from).or_default().insert(to);
    }
    let reachable: BTreeMap<&Path, BTreeSet<&Path>> = next
        .keys()
        .map(|start| {
            let (mut reached, mut open) = (BTreeSet::new(), vec![*start]);
            while let Some(file) = open.pop() {
                let unseen = next.get(file).into_iter().flatten().filter(|file| reached.insert(**file));
                open.extend(unseen);
            }
            (*start, reached)
        })
        .collect();
    let mut cycles: BTreeSet<Vec<&Path>> = BTreeSet::new();
    for (file, reached) in &reachable {
        if reached.contains(file) {
            let returns = |other: &&&Path| reachable.get(**other).is_some_and(|back| back.contains(file));
            cycles.insert(reached.iter().filter(returns).copied().collect());
        }
    }
    cycles.into_iter().collect()
}

/// A shortest cycle among files, as a list of steps. The first file comes last again.
pub(crate) fn shortest<'a>(
    files: &[&'a Path],
    dependencies: &'a BTreeMap<(PathBuf, PathBuf), String>,
) -> Vec<(&'a Path, &'a Path, &'a str)> {
    let steps: Vec<(&Path, &Path, &str)> = dependencies
        .iter()
        .map(|((from, to), path)| (from.as_path(), to.as_path(), path.as_str()))
        .filter(|(from, to, _)| files.contains(from) && files.contains(to))
        .collect();
    let cycle_from = |start: &'a Path| {
        let mut came_from: BTreeMap<&Path, (&Path, &Path, &str)> = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([start]);
        while let Some(file) = open.pop_front() {
            for step in steps.iter().filter(|(from, ..)| *from == file) {
                if !came_from.contains_key(step.1) {
                    came_from.insert(step.1, *step);
                    open.push_back(step.1);
                }
            }
        }
        let mut cycle = Vec::new();
        let mut file = start;
        while let Some(step) = came_from.get(file) {
            cycle.insert(0, *step);
            file = step.0;
            if file == start {
                break;
            }
        }
        cycle
    };
    files.iter().map(|file| cycle_from(file)).min_by_key(Vec::len).unwrap_or_default()
}
