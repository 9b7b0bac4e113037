//! Finds the commands and the files that Markdown pages contain.

use std::collections::BTreeMap;
use std::path::Path;

/// The first words of commands, after assignments of environment variables.
const PROGRAMS: [&str; 8] = ["cargo", "mqttspec", "bash", "cd", "jq", "npm", "pip", "apt-get"];

/// Every page of the project, by its path.
pub(crate) fn pages(root: &Path) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "corpus"].contains(&&*name) {
                    folders.push(path);
                }
            } else if name.ends_with(".md") {
                let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                pages.insert(relative, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(pages.len() > 10, "only {} pages below {}", pages.len(), root.display());
    pages
}

/// A part of a page, with the number of its first line.
enum Part {
    /// A code block without a language.
    Code(usize, Vec<String>),
    /// Lines of text up to the next blank line.
    Text(usize, String),
}

fn parts(page: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut fence: Option<bool> = None;
    let mut after_blank = true;
    for (number, line) in (1..).zip(page.lines()) {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(matches!(language, "" | "sh" | "console")) };
            after_blank = true;
            continue;
        }
        let indented = line.strip_prefix("    ");
        let is_code = match (fence, indented) {
            (Some(is_shell), _) => is_shell,
            (None, Some(_)) => after_blank || matches!(parts.last(), Some(Part::Code(..))),
            (None, None) => false,
        };
        if is_code {
            let code = if fence.is_some() { line } else { indented.unwrap_or(line) };
            match parts.last_mut() {
                Some(Part::Code(_, lines)) if !after_blank => lines.push(code.to_owned()),
                _ => parts.push(Part::Code(number, vec![code.to_owned()])),
            }
        } else if fence.is_none() && !line.trim().is_empty() {
            match parts.last_mut() {
                Some(Part::Text(_, text)) if !after_blank => {
                    text.push(' ');
                    text.push_str(line);
                }
                _ => parts.push(Part::Text(number, line.to_owned())),
            }
        }
        after_blank = line.trim().is_empty();
    }
    parts
}

/// The commands of a page, with the numbers of their lines (in text, of the paragraph).
pub(crate) fn commands(page: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    for part in parts(page) {
        match part {
            Part::Code(first, lines) => {
                for (number, line) in (first..).zip(lines) {
                    let command = line.split("  #").next().unwrap_or_default().trim().to_owned();
                    commands.push((number, command));
                }
            }
            Part::Text(number, text) => {
                let spans = text.split('`').skip(1).step_by(2);
                commands.extend(spans.map(|span| (number, span.trim().to_owned())));
            }
        }
    }
    commands.retain(|(_, command)| is_command(command) || is_loop(command));
    commands
}

/// A loop of the shell.
fn is_loop(text: &str) -> bool {
    text.starts_with("for ") && text.contains("; do ")
}

fn is_command(text: &str) -> bool {
    let is_assignment = |word: &&str| {
        let name = word.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_uppercase() || "_".contains(letter))
    };
    let mut words = text.split_whitespace().skip_while(is_assignment);
    let Some(first) = words.next() else { return false };
    let has_arguments = words.next().is_some();
    let is_program = PROGRAMS.contains(&first) || first.ends_with("/mqttspec") || first.ends_with(".sh");
    is_program && has_arguments
}

/// The files that a page shows: a paragraph ends with the path in backticks and a colon, and a code
/// block with the content follows.
pub(crate) fn files(page: &str) -> BTreeMap<String, String> {
    let parts = parts(page);
    let mut files = BTreeMap::new();
    for (position, part) in parts.iter().enumerate() {
        let Part::Text(_, text) = part else { continue };
        let Some(name) = text.strip_suffix("`:").and_then(|text| text.rsplit('`').next()) else { continue };
        if !name.ends_with(".mqtt") {
            continue;
        }
        // Blank lines divide the block.
        let blocks = parts[position + 1..].iter().map_while(|part| match part {
            Part::Code(_, lines) => Some(lines.join("\n")),
            Part::Text(..) => None,
        });
        files.insert(name.to_owned(), blocks.collect::<Vec<_>>().join("\n\n") + "\n");
    }
    files
}
