//! A notation for wire bytes written by hand, and tables of such packets.
//!
//! With this notation no test needs the codec to produce its input: hexadecimal bytes, `'text'`,
//! `61*20` for a repeated byte, `{…}` for a part prefixed with its length as a Variable Byte
//! Integer, `<…>` for a part prefixed with its length as a Two Byte Integer, and `^` before the
//! offending byte.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod packets;

use std::path::PathBuf;

use mqttspec_codec::{Role, Version};

/// Bytes, and the offset marked with `^`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mark: Option<usize>,
}

/// Parses the notation.
pub(crate) fn wire(notation: &str) -> Wire {
    let mut open: Vec<(char, Wire)> = vec![('\0', Wire::default())];
    let mut rest = notation;
    while let Some(next) = rest.chars().next() {
        let (_, top) = open.last_mut().unwrap();
        match next {
            ' ' => rest = &rest[1..],
            '^' => {
                assert!(top.mark.is_none(), "two marks in {notation}");
                top.mark = Some(top.bytes.len());
                rest = &rest[1..];
            }
            '{' | '<' => {
                open.push((next, Wire::default()));
                rest = &rest[1..];
            }
            '}' | '>' => {
                let (kind, inner) = open.pop().unwrap();
                assert_eq!(kind == '{', next == '}', "unbalanced in {notation}");
                let length = if kind == '{' { variable(inner.bytes.len()) } else { two(inner.bytes.len()) };
                let (_, outer) = open.last_mut().unwrap();
                outer.bytes.extend_from_slice(&length);
                if let Some(mark) = inner.mark {
                    outer.mark = Some(outer.bytes.len() + mark);
                }
                outer.bytes.extend_from_slice(&inner.bytes);
                rest = &rest[1..];
            }
            _ => {
                let (unit, after) = if let Some(quoted) = rest.strip_prefix('\'') {
                    let (text, after) = quoted.split_once('\'').unwrap();
                    (text.as_bytes().to_vec(), after)
                } else {
                    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
                    (hex(&rest[..end]), &rest[end..])
                };
                let (times, after) = match after.strip_prefix('*') {
                    Some(after) => {
                        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
                        (after[..end].parse().unwrap(), &after[end..])
                    }
                    None => (1, after),
                };
                top.bytes.extend_from_slice(&unit.repeat(times));
                rest = after;
            }
        }
    }
    assert_eq!(open.len(), 1, "unbalanced in {notation}");
    open.pop().unwrap().1
}

fn hex(digits: &str) -> Vec<u8> {
    assert!(!digits.is_empty() && digits.len().is_multiple_of(2), "{digits:?} are not hexadecimal bytes");
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn two(length: usize) -> Vec<u8> {
    u16::try_from(length).unwrap().to_be_bytes().to_vec()
}

/// Encodes a Variable Byte Integer with the standard's algorithm (§1.5.5).
pub(crate) fn variable(mut length: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let mut byte = (length % 128) as u8;
        length /= 128;
        if length > 0 {
            byte |= 128;
        }
        bytes.push(byte);
        if length == 0 {
            return bytes;
        }
    }
}

/// One line of a table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// File and line, for failure messages.
    pub(crate) place: String,
    pub(crate) version: Version,
    pub(crate) sender: Role,
    pub(crate) wire: Wire,
    /// The columns after the bytes.
    pub(crate) columns: Vec<String>,
}

/// All rows of all files in `tests/tables/<folder>`, ordered by file name.
pub(crate) fn rows(folder: &str) -> Vec<Row> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tables").join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut rows = vec![];
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = format!("{}:{}", file.file_name().unwrap().to_str().unwrap(), index + 1);
            let mut columns = line.split('|').map(|column| column.trim().to_owned());
            let version = match columns.next().unwrap().as_str() {
                "3.1" => Version::V3_1,
                "3.1.1" => Version::V3_1_1,
                "5.0" => Version::V5,
                other => panic!("{place}: unknown version {other}"),
            };
            let sender = match columns.next().unwrap().as_str() {
                "C" => Role::Client,
                "S" => Role::Server,
                other => panic!("{place}: unknown sender {other}"),
            };
            let wire = wire(&columns.next().unwrap());
            rows.push(Row { place, version, sender, wire, columns: columns.collect() });
        }
    }
    rows
}
