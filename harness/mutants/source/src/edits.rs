//! Changes of a file that keep its meaning as long as no mutant is selected.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use crate::places::Places;

/// A mutant of cargo-mutants.
pub(crate) struct Mutant {
    pub(crate) id: u64,
    genre: String,
    replacement: String,
    span: Range<usize>,
    /// Whether its function returns an iterator of a type without a name.
    is_of_iterator: bool,
}

impl Mutant {
    pub(crate) fn read(value: &Value, source: &str) -> Option<Self> {
        let position = |place: &Value| offset(source, place["line"].as_u64()?, place["column"].as_u64()?);
        let span = &value["span"];
        Some(Self {
            id: value["id"].as_u64()?,
            genre: value["genre"].as_str()?.to_owned(),
            replacement: value["replacement"].as_str()?.to_owned(),
            span: position(&span["start"])?..position(&span["end"])?,
            is_of_iterator: value["function"]["return_type"]
                .as_str()
                .is_some_and(|returns| returns.starts_with("-> impl Iterator")),
        })
    }
}

/// The byte of a line and column, both counted from 1.
fn offset(source: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?;
    let before: usize = source.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let characters = source[before..].char_indices().map(|(at, _)| at);
    let at = characters.chain([source.len() - before]).nth(usize::try_from(column).ok()? - 1)?;
    Some(before + at)
}

/// Text, and the mutant that it is for.
struct Piece {
    text: String,
    of: u64,
}

/// What is written around the text of a range. An empty range is an insertion.
#[derive(Default)]
struct Site {
    /// Conditions around the whole, and what ends them.
    before: Vec<Piece>,
    after: String,
    /// Each is the condition of a mutant and its expression, up to `else`.
    alternatives: Vec<Piece>,
    /// The same for the body of a function that returns an iterator: then all are boxed.
    iterators: Vec<Piece>,
    is_removed: bool,
}

/// The bytes of a mutant in the changed file.
pub(crate) struct Ranges {
    pub(crate) id: u64,
    pub(crate) own: Range<usize>,
    pub(crate) site: Range<usize>,
}

/// The changes of one file. Sites are ordered from the outer to the inner.
pub(crate) struct Edits<'a> {
    source: &'a str,
    places: &'a Places,
    sites: BTreeMap<(usize, std::cmp::Reverse<usize>), Site>,
}

fn selected(id: u64) -> String {
    format!("::mqttspec_core::source_mutant::on({id})")
}

impl<'a> Edits<'a> {
    pub(crate) fn new(source: &'a str, places: &'a Places) -> Self {
        Self { source, places, sites: BTreeMap::new() }
    }

    fn site(&mut self, range: &Range<usize>) -> &mut Site {
        self.sites.entry((range.start, std::cmp::Reverse(range.end))).or_default()
    }

    /// Adds a mutant, or returns why it cannot be selected at run time.
    pub(crate) fn add(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        match mutant.genre.as_str() {
            "FnValue" => self.add_value(mutant),
            "BinaryOperator" | "UnaryOperator" => self.add_operator(mutant),
            "MatchArm" => self.add_arm(mutant),
            "MatchArmGuard" => self.add_guard(mutant),
            "StructField" => self.add_field(mutant),
            _ => Err("of an unknown kind"),
        }
    }

    fn add_value(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        let contains = |body: &Range<usize>| body.start <= mutant.span.start && mutant.span.end <= body.end;
        let functions = self.places.functions.iter().filter(|function| contains(&function.body));
        let function = functions.min_by_key(|function| function.body.len()).ok_or("not in a function")?;
        let start = function.body.start + 1;
        if let Some(constness) = function.constness.clone() {
            self.site(&constness).is_removed = true;
        }
        if mutant.is_of_iterator {
            let body = function.body.clone();
            let text = format!("if {} {{ Box::new({}) }} else ", selected(mutant.id), mutant.replacement);
            self.site(&body).iterators.push(Piece { text, of: mutant.id });
            return Ok(());
        }
        let text = format!(" if {} {{ return {}; }}", selected(mutant.id), mutant.replacement);
        self.site(&(start..start)).before.push(Piece { text, of: mutant.id });
        Ok(())
    }

    fn add_operator(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        let at = |operator: &Range<usize>| operator.start == mutant.span.start;
        let operation = self.places.operations.iter().find(|operation| at(&operation.operator));
        let operation = operation.ok_or("not at an operator")?;
        // Only `&&` can join a `let` and a condition.
        if operation.has_let {
            return Err("does not compile");
        }
        self.without_const(&operation.whole)?;
        let (whole, operator) = (&operation.whole, &operation.operator);
        let (left, right) =
            (&self.source[whole.start..operator.start], &self.source[operator.end..whole.end]);
        let changed = format!("{left} {} {right}", mutant.replacement);
        let condition = selected(mutant.id);
        let text = format!("if {condition} {{ {changed} }} else ");
        let whole = whole.clone();
        self.site(&whole).alternatives.push(Piece { text, of: mutant.id });
        Ok(())
    }

    /// A function that has a mutant cannot be `const`.
    fn without_const(&mut self, range: &Range<usize>) -> Result<(), &'static str> {
        let contains = |body: &Range<usize>| body.start <= range.start && range.end <= body.end;
        let functions = self.places.functions.iter().filter(|function| contains(&function.body));
        let function = functions
            .min_by_key(|function| function.body.len())
            .ok_or("cannot be selected: it is in a constant")?;
        if let Some(constness) = function.constness.clone() {
            self.site(&constness).is_removed = true;
        }
        Ok(())
    }

    fn add_arm(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        let arms = self.places.arms.iter();
        let arm = arms.clone().find(|arm| arm.whole.start == mutant.span.start).ok_or("not at an arm")?;
        self.without_const(&arm.whole)?;
        let condition = format!("!{}", selected(mutant.id));
        match arm.guard.clone() {
            None => {
                let text = format!(" if {condition}");
                self.site(&(arm.pattern_end..arm.pattern_end)).before.push(Piece { text, of: mutant.id });
            }
            Some(guard) => self.wrap_guard(&guard, format!("{condition} && ("), mutant.id),
        }
        Ok(())
    }

    fn add_guard(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        let guards = self.places.arms.iter().filter_map(|arm| arm.guard.clone());
        let mut guards = guards.filter(|guard| guard.start == mutant.span.start);
        let guard = guards.next().ok_or("not at a guard")?;
        self.without_const(&guard)?;
        let condition = selected(mutant.id);
        let text = match mutant.replacement.as_str() {
            "true" => format!("{condition} || ("),
            "false" => format!("!{condition} && ("),
            _ => return Err("of an unknown kind"),
        };
        self.wrap_guard(&guard, text, mutant.id);
        Ok(())
    }

    /// Adds a condition around a guard.
    fn wrap_guard(&mut self, guard: &Range<usize>, text: String, id: u64) {
        let site = self.site(guard);
        site.before.insert(0, Piece { text, of: id });
        site.after.push(')');
    }

    fn add_field(&mut self, mutant: &Mutant) -> Result<(), &'static str> {
        let fields = self.places.fields.iter();
        let field = fields.clone().find(|field| field.whole.start == mutant.span.start);
        let field = field.ok_or("not at a field")?;
        self.without_const(&field.whole)?;
        let (name, base) = (&self.source[field.name.clone()], &self.source[field.base.clone()]);
        let label = if field.value == field.whole { format!("{name}: ") } else { String::new() };
        let text = format!("{label}if {} {{ ({base}).{name} }} else {{ ", selected(mutant.id));
        let value = field.value.clone();
        let site = self.site(&value);
        site.before.insert(0, Piece { text, of: mutant.id });
        site.after.push_str(" }");
        Ok(())
    }

    /// The changed text, and where each mutant is in it.
    pub(crate) fn apply(&self) -> (String, Vec<Ranges>) {
        let mut output = Output::default();
        let mut open: Vec<(usize, &Site, usize)> = Vec::new();
        let mut at = 0;
        for ((start, end), site) in &self.sites {
            while let Some((end, ..)) = open.last().filter(|(end, ..)| *end <= *start) {
                output.text.push_str(&self.source[at..*end]);
                at = *end;
                output.close(open.pop());
            }
            output.text.push_str(&self.source[at..*start]);
            at = *start;
            let begin = output.text.len();
            output.open(site);
            if site.is_removed {
                at = end.0;
            }
            open.push((end.0, site, begin));
        }
        while let Some((end, ..)) = open.last() {
            output.text.push_str(&self.source[at..*end]);
            at = *end;
            output.close(open.pop());
        }
        output.text.push_str(&self.source[at..]);
        (output.text, output.ranges)
    }
}

#[derive(Default)]
struct Output {
    text: String,
    ranges: Vec<Ranges>,
}

impl Output {
    fn open(&mut self, site: &Site) {
        if !site.iterators.is_empty() {
            self.text.push_str("{ let chosen: Box<dyn Iterator<Item = _> + '_> = ");
            self.pieces(&site.iterators);
            self.text.push_str("{ Box::new(");
        }
        self.pieces(&site.before);
        if !site.alternatives.is_empty() {
            self.text.push('(');
            self.pieces(&site.alternatives);
            self.text.push_str("{ ");
        }
    }

    fn pieces(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            let start = self.text.len();
            self.text.push_str(&piece.text);
            let own = start..self.text.len();
            self.ranges.push(Ranges { id: piece.of, site: own.clone(), own });
        }
    }

    /// Writes what comes after a site. The site of a mutant is everything that was written for it.
    fn close(&mut self, site: Option<(usize, &Site, usize)>) {
        let Some((_, site, begin)) = site else { return };
        if !site.alternatives.is_empty() {
            self.text.push_str(" })");
        }
        self.text.push_str(&site.after);
        if !site.iterators.is_empty() {
            self.text.push_str(") }; chosen }");
        }
        let end = self.text.len();
        for piece in site.before.iter().chain(&site.alternatives).chain(&site.iterators) {
            for range in self.ranges.iter_mut().filter(|range| range.id == piece.of) {
                range.site = begin..end;
            }
        }
    }
}
