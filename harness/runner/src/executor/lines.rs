//! An index of the lines of a scenario file. Every executed step looks up its line, and steps may
//! be repeated thousands of times.

use mqttspec_notation::Span;

/// The lines of a text.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    /// The byte offset of each line but the first.
    begins: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self { begins: text.match_indices('\n').map(|(at, _)| at + 1).collect() }
    }

    /// The line in which a span begins, counted from 1.
    pub(crate) fn of_span(&self, span: Span) -> u32 {
        let before = self.begins.partition_point(|begin| *begin <= span.start);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_on_the_line_of_its_first_byte() {
        let text = "title    T\n\nreader connects\nreader < nothing";
        let lines = Lines::of(text);
        for start in 0..=text.len() {
            let span = Span { start, end: text.len() };
            assert_eq!(lines.of_span(span) as usize, span.line_and_column(text).0, "at {start}");
        }
    }
}
