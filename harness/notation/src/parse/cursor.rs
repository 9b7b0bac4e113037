//! A cursor within one line, or one cell of a table.

use crate::vocabulary::nearest;
use crate::{Diagnostic, Span};

/// A parsed part of a line, or the error.
pub(crate) type Parsed<T> = Result<T, Diagnostic>;

/// Reads a part of the source from left to right. Every position is on a character boundary.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    source: &'a str,
    at: usize,
    end: usize,
    /// The end of the last part that was read, before any spaces.
    read_to: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(source: &'a str, span: Span) -> Self {
        Self { source, at: span.start, end: span.end, read_to: span.start }
    }

    /// The unread rest.
    pub(crate) fn rest(&self) -> &'a str {
        &self.source[self.at..self.end]
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The span from `start` to the end of the last part that was read.
    pub(crate) fn span_from(&self, start: usize) -> Span {
        Span::new(start, self.read_to.max(start))
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Whether only spaces are left; skips them.
    pub(crate) fn is_done(&mut self) -> bool {
        self.skip_spaces();
        self.at >= self.end
    }

    pub(crate) fn advance(&mut self, bytes: usize) -> &'a str {
        let read = &self.rest()[..bytes];
        self.at += bytes;
        self.read_to = self.at;
        read
    }

    /// Reads `token` if it is next, without skipping spaces.
    pub(crate) fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    /// The next characters for which `belongs` is true, without reading them.
    pub(crate) fn run(&self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        &rest[..rest.find(|character| !belongs(character)).unwrap_or(rest.len())]
    }

    /// The next word (letters, digits, `_` and `-`), after spaces, without reading it.
    pub(crate) fn peek_word(&mut self) -> &'a str {
        self.skip_spaces();
        self.run(is_word)
    }

    /// Reads the next word, after spaces, if it is `word`.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.next_is(word);
        if found {
            self.advance(word.len());
        }
        found
    }

    /// Whether the next word, after spaces, is `word`.
    pub(crate) fn next_is(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let ends = |next: char| next.is_whitespace() || ",:]}{".contains(next);
        self.rest().strip_prefix(word).is_some_and(|after| after.chars().next().is_none_or(ends))
    }

    /// Everything up to the next space, after spaces, without reading it.
    pub(crate) fn peek_chunk(&mut self) -> &'a str {
        self.skip_spaces();
        self.run(|character| !character.is_whitespace())
    }

    /// The span of the next chunk, or of the end of the line.
    pub(crate) fn next_span(&mut self) -> Span {
        let length = self.peek_chunk().len();
        if length == 0 { Span::new(self.read_to, self.read_to) } else { Span::new(self.at, self.at + length) }
    }

    /// The error that something else was expected at the next chunk.
    pub(crate) fn expected(&mut self, what: &str) -> Diagnostic {
        let chunk = self.peek_chunk();
        let span = self.next_span();
        let found =
            if chunk.is_empty() { "the line ends here".to_owned() } else { format!("unexpected `{chunk}`") };
        Diagnostic::error(span, found).label(format!("expected {what}"))
    }

    /// The error that one of `words` was expected at the next chunk, with the nearest or all of
    /// them.
    pub(crate) fn expected_one_of<'w>(
        &mut self,
        what: &str,
        words: impl IntoIterator<Item = &'w str>,
    ) -> Diagnostic {
        let words: Vec<&str> = words.into_iter().collect();
        let near = nearest(self.peek_word(), words.iter().copied());
        let help = match near {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("one of: {}", words.join(", ")),
        };
        self.expected(what).help(help)
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(&mut self) -> Parsed<()> {
        if self.is_done() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    /// The part of the source at a span.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        &self.source[span.start..span.end]
    }
}

/// Whether a word of the notation may have the character.
pub(crate) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}
