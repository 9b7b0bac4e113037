//! The scenario files below a folder.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Name and path of each file, in order of the names.
pub(crate) fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    add_files(folder, "", &mut files)?;
    files.sort_unstable();
    Ok(files)
}

fn add_files(folder: &Path, prefix: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_files(&entry.path(), &format!("{name}/"), files)?;
        } else if name.ends_with(".mqtt") {
            files.push((name, entry.path()));
        }
    }
    Ok(())
}
