//! Verdicts for people and CI: terminal, JSON and Markdown.
#![forbid(unsafe_code)]
