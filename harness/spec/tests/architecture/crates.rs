//! The dependencies between the crates of the workspace, as drawn and as the manifests have them.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package};

/// The line before the diagram.
const FENCE: &str = "```text dependencies";

/// The crates, in order, and what each depends on.
#[derive(Debug, Default)]
pub(crate) struct Diagram {
    order: Vec<String>,
    arrows: BTreeMap<String, BTreeSet<String>>,
    in_tests: BTreeMap<String, BTreeSet<String>>,
}

impl Diagram {
    /// Reads the diagram of a page: one line per crate, `name -> crates, tests -> crates`, where
    /// each part may be missing.
    pub(crate) fn read(page: &str) -> Result<Self, String> {
        let lines = page.lines().skip_while(|line| *line != FENCE).skip(1).take_while(|line| *line != "```");
        let mut diagram = Self::default();
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (name, parts) = words.split_first().ok_or("an empty line")?;
            diagram.order.push((*name).to_owned());
            let mut list = diagram.arrows.entry((*name).to_owned()).or_default();
            let mut parts = parts.iter().peekable();
            while let Some(word) = parts.next() {
                match *word {
                    "->" => {}
                    "tests" if parts.peek() == Some(&&"->") => {
                        list = diagram.in_tests.entry((*name).to_owned()).or_default();
                    }
                    word => {
                        list.insert(word.to_owned());
                    }
                }
            }
        }
        if diagram.order.is_empty() {
            return Err(format!("no block that begins with {FENCE}"));
        }
        Ok(diagram)
    }

    /// What the manifests say.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let name_of = |package: &str| {
            metadata
                .workspace_packages()
                .into_iter()
                .find(|member| member.name.as_str() == package)
                .map(|member| name(metadata, member))
        };
        let mut diagram = Self::default();
        for package in metadata.workspace_packages() {
            let name = name(metadata, package);
            diagram.order.push(name.clone());
            for dependency in &package.dependencies {
                let Some(other) = name_of(&dependency.name) else { continue };
                let list = match dependency.kind {
                    DependencyKind::Development => &mut diagram.in_tests,
                    _ => &mut diagram.arrows,
                };
                list.entry(name.clone()).or_default().insert(other);
            }
        }
        diagram
    }

    /// What is drawn and not there, or there and not drawn; a line each.
    pub(crate) fn differences(&self, manifests: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let all: BTreeSet<&String> = self.order.iter().chain(&manifests.order).collect();
        for name in all {
            if !self.order.contains(name) {
                differences.push(format!("{name} is not drawn"));
            } else if !manifests.order.contains(name) {
                differences.push(format!("{name} is drawn, but is no crate of the workspace"));
            }
            let none = BTreeSet::new();
            for (drawn, real, arrow) in
                [(&self.arrows, &manifests.arrows, "->"), (&self.in_tests, &manifests.in_tests, "tests ->")]
            {
                let drawn = drawn.get(name).unwrap_or(&none);
                let real = real.get(name).unwrap_or(&none);
                differences.extend(
                    real.difference(drawn)
                        .map(|other| format!("{name} {arrow} {other}: in the manifest, but not drawn")),
                );
                differences.extend(
                    drawn
                        .difference(real)
                        .map(|other| format!("{name} {arrow} {other}: drawn, but not in the manifest")),
                );
            }
        }
        for (index, name) in self.order.iter().enumerate() {
            for other in self.arrows.get(name).into_iter().flatten() {
                if !self.order[..index].contains(other) {
                    differences.push(format!("{name} -> {other}: {other} must be drawn above {name}"));
                }
            }
        }
        differences
    }
}

/// The folder of a crate in the workspace: `harness/judge`.
pub(crate) fn folder(metadata: &Metadata, package: &Package) -> String {
    let folder = package.manifest_path.parent().expect("a manifest is in a folder");
    folder.strip_prefix(&metadata.workspace_root).unwrap_or(folder).to_string()
}

/// The last part of the folder of a crate: `judge`.
fn name(metadata: &Metadata, package: &Package) -> String {
    let folder = folder(metadata, package);
    folder.rsplit('/').next().unwrap_or(&folder).to_owned()
}
