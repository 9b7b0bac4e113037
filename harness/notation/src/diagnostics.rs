//! Diagnostics: the mistakes in a file, each with its position and a suggestion, printed like those
//! of a compiler.

use core::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::values::Span;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is a valid scenario, but may not have the intended meaning.
    Warning,
    /// The file is not a valid scenario.
    Error,
}

/// A mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The severity.
    pub severity: Severity,
    /// The position.
    pub span: Span,
    /// The message: one line, without a full stop.
    pub message: String,
    /// The text under the caret: mostly what was expected there. May be empty.
    pub label: String,
    /// A suggestion.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `span`.
    #[must_use]
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, span, message: message.into(), label: String::new(), help: None }
    }

    /// A warning at `span`.
    #[must_use]
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Sets the text under the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets the suggestion.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests the nearest spelling, if there is one.
    #[must_use]
    pub fn did_you_mean(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(word) => self.help(format!("did you mean `{word}`?")),
            None => self,
        }
    }
}

/// All diagnostics of a file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    source: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// No diagnostics yet for `source`, whose name in messages is `file`.
    #[must_use]
    pub fn new(file: &str, source: &str) -> Self {
        Self { file: file.to_owned(), source: source.to_owned(), list: Vec::new() }
    }

    /// Adds one, keeping the order of the file.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let at = self.list.partition_point(|other| other.span.start <= diagnostic.span.start);
        self.list.insert(at, diagnostic);
    }

    /// Adds all of `others`, keeping the order of the file.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        others.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// The diagnostics, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The name of the file.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether there are no diagnostics.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there is an error, so that the file must not be run.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Line and column of a diagnostic, counted from 1.
    #[must_use]
    pub fn line_and_column(&self, diagnostic: &Diagnostic) -> (usize, usize) {
        diagnostic.span.line_and_column(&self.source)
    }

    /// The text with file, line, column and caret, without colours.
    #[must_use]
    pub fn plain(&self) -> String {
        self.draw(&Renderer::plain())
    }

    /// The text with terminal colours.
    #[must_use]
    pub fn rich(&self) -> String {
        self.draw(&Renderer::styled())
    }

    fn draw(&self, renderer: &Renderer) -> String {
        let mut drawn = String::new();
        // The renderer replaces the other control characters. These have two bytes too.
        let is_left = |character| ('\u{80}'..='\u{9f}').contains(&character);
        let source = self.source.replace(is_left, "\u{bf}");
        for diagnostic in &self.list {
            drawn.push_str(&renderer.render(&[self.group(diagnostic, &source)]));
            drawn.push_str("\n\n");
        }
        drawn
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic, source: &'a str) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let mut annotation = AnnotationKind::Primary.span(self.drawable(diagnostic.span));
        if !diagnostic.label.is_empty() {
            annotation = annotation.label(&diagnostic.label);
        }
        let snippet = Snippet::source(source).path(&self.file).annotation(annotation);
        let mut group = level.primary_title(&diagnostic.message).element(snippet);
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help));
        }
        group
    }

    /// The span within the source, on character boundaries.
    fn drawable(&self, span: Span) -> core::ops::Range<usize> {
        let floor = |mut at: usize| {
            at = at.min(self.source.len());
            while !self.source.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor(span.start);
        start..floor(span.end).max(start)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plain())
    }
}

impl std::error::Error for Diagnostics {}
