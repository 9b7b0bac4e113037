//! Parses the body: one step a line, blocks by indentation.

use super::Parser;
use super::actions;
use super::content::content;
use super::cursor::{Cursor, Parsed};
use super::header;
use super::lines::Line;
use super::shows::shows;
use super::timing;
use super::values;
use crate::faults;
use crate::lexicon::{FAULT_WORDS, HEADER_WORDS, SHOWS, STEP_WORDS, VERBS, is_variable};
use crate::vocabulary::nearest;
use crate::{Branch, Comments, Diagnostic, Direction, Level, Name, Span, Step, StepKind, Timing};

/// The maximum nesting of blocks.
const DEEPEST: usize = 8;

/// A parsed line of the body, without its block.
struct Opened {
    step: Step,
    block: Block,
}

/// The block below a line.
enum Block {
    None,
    Steps,
    Branches,
}

impl Parser<'_> {
    /// Reads the steps of a block: the lines with the indentation of the first, up to one with
    /// less.
    pub(super) fn steps(&mut self, indent: usize, depth: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(line) = self.peek().filter(|line| line.indent >= indent) {
            if line.indent > indent {
                self.next_line();
                self.error(
                    Diagnostic::error(
                        Span::new(line.span.start - line.indent, line.span.start),
                        "unexpected indentation",
                    )
                    .label("the line above opens no block")
                    .help("a block stands below `in any order`, `either`, `or`, `repeat` and `each row`"),
                );
                self.skip_block(indent);
                continue;
            }
            self.next_line();
            match self.step(&line, depth) {
                Ok(step) => steps.push(step),
                Err(diagnostic) => {
                    self.error(diagnostic);
                    self.skip_block(indent);
                }
            }
        }
        if let Some(first) = steps.first_mut() {
            first.comments.blank_line_above = false;
        }
        steps
    }

    fn step(&mut self, line: &Line, depth: usize) -> Parsed<Step> {
        if line.tab {
            let span = Span::new(line.span.start - line.indent, line.span.start);
            return Err(Diagnostic::error(span, "a tab in the indentation")
                .label("expected two spaces for each block"));
        }
        let mut cursor = self.cursor(line);
        let Opened { mut step, block } = open(&mut cursor, line)?;
        cursor.finish()?;
        if matches!(block, Block::None) {
            return Ok(step);
        }
        let inner = self.block(line, depth)?;
        match &mut step.kind {
            StepKind::InAnyOrder(steps) | StepKind::EachRow(steps) | StepKind::Repeat { steps, .. } => {
                *steps = inner;
            }
            StepKind::Either(branches) => {
                if let Some(first) = branches.first_mut() {
                    first.steps = inner;
                }
                self.branches(branches, line, depth)?;
            }
            _ => {}
        }
        Ok(step)
    }

    /// The indented lines below `line`, at least one.
    fn block(&mut self, line: &Line, depth: usize) -> Parsed<Vec<Step>> {
        if depth >= DEEPEST {
            return Err(Diagnostic::error(line.span, format!("blocks are nested deeper than {DEEPEST}")));
        }
        match self.peek().filter(|below| below.indent > line.indent) {
            Some(below) => {
                let before = self.diagnostics.list().len();
                let steps = self.steps(below.indent, depth + 1);
                self.overhang(line.indent);
                if steps.is_empty() && self.diagnostics.list().len() == before {
                    return Err(Diagnostic::error(line.span, "the block is empty"));
                }
                Ok(steps)
            }
            None => Err(Diagnostic::error(line.span, "the block is empty")
                .label("expected lines below it, indented by two spaces")),
        }
    }

    /// Reports lines that are indented less than the block before them, but more than the line
    /// above the block.
    fn overhang(&mut self, indent: usize) {
        while let Some(line) = self.peek().filter(|line| line.indent > indent) {
            self.next_line();
            let span = Span::new(line.span.start - line.indent, line.span.start);
            self.error(
                Diagnostic::error(span, "the indentation matches no block")
                    .label("expected the indentation of a line above"),
            );
        }
    }

    /// The `or` branches after the first.
    fn branches(&mut self, branches: &mut Vec<Branch>, first: &Line, depth: usize) -> Parsed<()> {
        while let Some(line) = self.peek().filter(|line| line.indent == first.indent) {
            let mut cursor = self.cursor(&line);
            if !cursor.eat_word("or") {
                break;
            }
            self.next_line();
            let mut branch = branch(&mut cursor, line.span)?;
            cursor.finish()?;
            branch.comments = Comments { blank_line_above: false, ..line.comments.clone() };
            branch.steps = self.block(&line, depth)?;
            branches.push(branch);
        }
        if branches.len() < 2 {
            return Err(Diagnostic::error(first.span, "`either` without `or`")
                .help("for an optional branch, write a second branch with the alternative"));
        }
        Ok(())
    }

    /// Whether a line looks like a step, so that its first word is a host and not misspelt.
    pub(super) fn looks_like_a_step(&self, line: &Line) -> bool {
        let mut cursor = self.cursor(line);
        let _ = values::mark(&mut cursor);
        let word = cursor.peek_word();
        if FAULT_WORDS.contains(&word) || STEP_WORDS.contains(&word) {
            return true;
        }
        cursor.advance(word.len());
        cursor.skip_spaces();
        matches!(cursor.peek(), Some('>' | '<' | ':')) || VERBS.contains(&cursor.peek_word())
    }
}

/// Reads a line; blocks are still empty.
fn open(cursor: &mut Cursor<'_>, line: &Line) -> Parsed<Opened> {
    let versions = values::mark(cursor).unwrap_or_default();
    let timing_span = cursor.next_span();
    let mut timing = timing::timing(cursor)?;
    let (kind, block) = if timing::is_property(cursor) {
        (StepKind::Property(timing::property(cursor)?), Block::None)
    } else {
        let word = cursor.peek_word();
        let kind_span = cursor.next_span();
        match word {
            _ if FAULT_WORDS.contains(&word) => {
                cursor.advance(word.len());
                let fault = faults::read(cursor, word)?;
                let after = timing::timing(cursor)?;
                if let (Some(_), Some(_)) = (timing, after) {
                    return Err(Diagnostic::error(timing_span, "the line has two times"));
                }
                timing = timing.or(after);
                (StepKind::Fault(fault), Block::None)
            }
            "in" | "either" | "or" | "repeat" | "each" => block(cursor, kind_span)?,
            "load" => {
                cursor.advance(word.len());
                (StepKind::Load(timing::load(cursor)?), Block::None)
            }
            "sometimes" => {
                cursor.advance(word.len());
                (StepKind::Sometimes(values::name(cursor, "a name: one word")?), Block::None)
            }
            "wait" => {
                cursor.advance(word.len());
                (timing::wait(cursor)?, Block::None)
            }
            "ask" => {
                cursor.advance(word.len());
                (actions::ask(cursor)?, Block::None)
            }
            "told" => {
                cursor.advance(word.len());
                (actions::told(cursor)?, Block::None)
            }
            _ => (host_line(cursor)?, Block::None),
        }
    };
    if let Some(timing) = timing {
        check_timing(timing, &kind, timing_span)?;
    }
    let shows = if may_show(&kind) { shows(cursor)? } else { None };
    if cursor.next_is(SHOWS) {
        return Err(cursor.expected("the end of the line: only a line that expects something shows a clause"));
    }
    let step = Step {
        span: line.span,
        versions,
        timing: timing.unwrap_or_default(),
        kind,
        shows,
        comments: line.comments.clone(),
    };
    Ok(Opened { step, block })
}

/// Whether clauses can stand at the end of the line. Those of `either` belong to its branch.
fn may_show(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Line { .. }
            | StepKind::Verb { .. }
            | StepKind::Told { .. }
            | StepKind::Property(_)
            | StepKind::InAnyOrder(_)
            | StepKind::Repeat { .. }
            | StepKind::EachRow(_)
    )
}

/// Checks that a step may have this timing.
fn check_timing(timing: Timing, kind: &StepKind, span: Span) -> Parsed<()> {
    let timed = matches!(
        kind,
        StepKind::Line { .. }
            | StepKind::Verb { .. }
            | StepKind::Ask { .. }
            | StepKind::Told { .. }
            | StepKind::Fault(_)
            | StepKind::Load(_)
    );
    if !timed {
        return Err(Diagnostic::error(
            span,
            "only lines of the transcript, verbs, `ask`, `told`, faults and `load` can be timed",
        )
        .help("a step of its own, `wait 5s` or `wait until 90s`, waits before anything"));
    }
    let done = matches!(kind, StepKind::Fault(_) | StepKind::Load(_) | StepKind::Ask { .. });
    if done && matches!(timing, Timing::Within(_)) {
        return Err(Diagnostic::error(span, "`within` is for expectations")
            .label("expected `after`, `between` or `at`"));
    }
    Ok(())
}

/// `in any order`, `either …`, `repeat …`, `each row`
fn block(cursor: &mut Cursor<'_>, span: Span) -> Parsed<(StepKind, Block)> {
    if cursor.eat_word("in") {
        return if cursor.eat_word("any") && cursor.eat_word("order") {
            Ok((StepKind::InAnyOrder(Vec::new()), Block::Steps))
        } else {
            Err(cursor.expected("`in any order` (a block) or `in order` (a property)"))
        };
    }
    if cursor.eat_word("either") {
        return Ok((StepKind::Either(vec![branch(cursor, span)?]), Block::Branches));
    }
    if cursor.eat_word("or") {
        return Err(Diagnostic::error(span, "`or` without `either`").help("indent it like its `either`"));
    }
    if cursor.eat_word("each") {
        return if cursor.eat_word("row") {
            Ok((StepKind::EachRow(Vec::new()), Block::Steps))
        } else {
            Err(cursor.expected("`each row`"))
        };
    }
    cursor.eat_word("repeat");
    let times = values::small_number(cursor, "how many times", 1, 10_000_000)?;
    let variable = if cursor.eat_word("as") { Some(variable(cursor)?) } else { None };
    Ok((StepKind::Repeat { times, variable, steps: Vec::new() }, Block::Steps))
}

fn variable(cursor: &mut Cursor<'_>) -> Parsed<Name> {
    let start = cursor.next_span().start;
    let name = values::name(cursor, "the name of the counter: `as i`")?;
    if name.chars().all(is_variable) {
        Ok(name)
    } else {
        Err(Diagnostic::error(cursor.span_from(start), "this is not a name of a variable")
            .label("expected no `-` in it"))
    }
}

/// The branch after `either` or `or`.
fn branch(cursor: &mut Cursor<'_>, span: Span) -> Parsed<Branch> {
    let level = if cursor.eat_word("should") {
        Level::Should
    } else if cursor.eat_word("may") {
        Level::May
    } else {
        cursor.eat_word("must");
        Level::Must
    };
    cursor.skip_spaces();
    let name = if cursor.peek() == Some('"') {
        let start = cursor.at();
        let text = values::text(cursor, "the name of the branch")?;
        let name = text.as_literal().map(str::to_owned).filter(|name| !name.is_empty());
        Some(name.ok_or_else(|| {
            Diagnostic::error(cursor.span_from(start), "the name of a branch is a text without variables")
        })?)
    } else {
        None
    };
    let shows = shows(cursor)?;
    if !cursor.is_done() {
        return Err(cursor.expected("`should`, `may`, the name of the branch in quotes, `shows` or nothing"));
    }
    Ok(Branch { span, level, name, shows, steps: Vec::new(), comments: Comments::default() })
}

/// A line that starts with a host: a line of the transcript or a verb.
fn host_line(cursor: &mut Cursor<'_>) -> Parsed<StepKind> {
    let start = cursor.next_span();
    if header::word(cursor).is_some() {
        return Err(Diagnostic::error(start, format!("`{}` belongs to the header", cursor.peek_chunk()))
            .label("expected a step")
            .help("the header is before the first step of the body"));
    }
    let word = cursor.peek_word();
    if word.is_empty() {
        return Err(cursor.expected("a host (`watcher > CONNECT`), a fault or another step"));
    }
    let mut after = cursor.clone();
    after.advance(word.len());
    after.skip_spaces();
    let is_line = matches!(after.peek(), Some('>' | '<'));
    let after = after.peek_word();
    // The search for the nearest spelling is last, because most lines are correct.
    let is_host = is_line || VERBS.contains(&after) || nearest(after, VERBS.iter().copied()).is_some();
    if !is_host {
        let known = [FAULT_WORDS, STEP_WORDS, HEADER_WORDS].concat();
        return Err(cursor
            .expected("a host and `>`, `<` or a verb, a fault or another step")
            .did_you_mean(nearest(word, known)));
    }
    let host = values::host(cursor)?;
    cursor.skip_spaces();
    let direction = if cursor.eat(">") {
        Direction::ToServer
    } else if cursor.eat("<") {
        Direction::ToClient
    } else {
        return Ok(StepKind::Verb { host, action: actions::verb(cursor)? });
    };
    Ok(StepKind::Line { host, direction, content: content(cursor)? })
}
