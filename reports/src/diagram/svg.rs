//! A [`Diagram`] as an SVG file with a light and a dark colour scheme.

use std::fmt::Write as _;

use super::{Diagram, Row, RowKind, label, label_of, long_label};
use crate::seconds;

/// The style of a diagram, here and in `report.html`.
pub(crate) const STYLE: &str = include_str!("diagram.css");

/// The colours of the SVG file; the page has its own.
const COLOURS: &str = "svg{--ink:#1b2430;--soft:#5d6b7c;--line:#c4ccd6;--paper:#fff;--accent:#0b62c4;--good:#1a7f37;\
    --bad:#c3221b;--warn:#9a6200;--tint:#eef2f7}@media(prefers-color-scheme:dark){svg{--ink:#e3e9f0;--soft:#95a3b3;--line:#3d4957;\
    --paper:#12181f;--accent:#6db3ff;--good:#57c97a;--bad:#ff7b72;--warn:#e3b341;--tint:#1d2630}}";

/// The SVG file. `title` is drawn above the diagram and is in its metadata.
#[must_use]
pub fn svg(diagram: &Diagram, title: &str) -> String {
    let title_height = 28;
    let width = diagram.width.max(u32::try_from(title.chars().count()).unwrap_or(0) * 8 + 24);
    let height = diagram.height + title_height;
    let title = escaped(title);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"diagram\" width=\"{width}\" height=\"{height}\" viewBox=\"0 -{title_height} {width} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{COLOURS}\n{STYLE}</style>\n\
         <rect class=\"paper\" x=\"0\" y=\"-{title_height}\" width=\"{width}\" height=\"{height}\"/>\n\
         <text class=\"heading\" x=\"12\" y=\"-8\">{title}</text>"
    );
    for band in &diagram.bands {
        let class = if band.severe { "band severe" } else { "band" };
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
            band.left,
            band.top,
            band.right.saturating_sub(band.left),
            band.bottom.saturating_sub(band.top)
        );
    }
    for lane in &diagram.lanes {
        let _ = writeln!(
            out,
            "<path class=\"lane\" d=\"M{0} 36V{1}\"/><text class=\"host\" x=\"{0}\" y=\"24\">{2}</text>",
            lane.x,
            diagram.height - 12,
            escaped(&lane.name)
        );
    }
    for bar in &diagram.bars {
        let _ = writeln!(
            out,
            "<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"6\" height=\"{}\" rx=\"2\"/>",
            bar.x.saturating_sub(3),
            bar.top,
            bar.bottom.saturating_sub(bar.top)
        );
    }
    for row in &diagram.rows {
        draw(&mut out, row, diagram.width);
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, row: &Row, width: u32) {
    let Row { y, from, to, middle, .. } = *row;
    let bad = if row.bad { " bad" } else { "" };
    let _ = write!(out, "<g class=\"row {}{bad}\">", class(row.kind));
    if row.kind != RowKind::Pause {
        let _ = write!(out, "<text class=\"time\" x=\"82\" y=\"{}\">{}</text>", y + 4, seconds(row.at_ns, 6));
    }
    if row.line != 0 {
        let _ = write!(out, "<text class=\"line\" x=\"{}\" y=\"{}\">{}</text>", width - 10, y + 4, row.line);
    }
    let text = escaped(&label(&row.text));
    match row.kind {
        RowKind::Packet | RowKind::Closed => {
            let _ = write!(
                out,
                "<title>{}</title><path d=\"M{from} {y}H{to}\"/><path class=\"head\" d=\"{}\"/><text x=\"{middle}\" y=\"{}\">{text}</text>",
                escaped(&row.text),
                head(to, y, from < to),
                y - 6
            );
        }
        RowKind::Opened => {
            let _ = write!(out, "<circle cx=\"{from}\" cy=\"{y}\" r=\"4.5\"/>");
        }
        RowKind::Pause => {
            let _ = write!(
                out,
                "<path d=\"M{from} {y}H{to}\"/><text x=\"{middle}\" y=\"{}\">{} later</text>",
                y - 5,
                seconds(row.at_ns, 3)
            );
        }
        RowKind::Failure => {
            let _ = write!(
                out,
                "<title>{}</title><path d=\"M92 {y}H{}\"/><text class=\"left\" x=\"98\" y=\"{}\">✗ {}</text>",
                escaped(&row.text),
                width - 34,
                y - 7,
                escaped(&label_of(&row.text, long_label(width)))
            );
        }
        RowKind::Fault => {
            let _ = write!(
                out,
                "<title>{}</title><path d=\"M{from} {y}H{to}\"/><text class=\"left\" x=\"{}\" y=\"{}\">{}</text>",
                escaped(&row.text),
                from + 6,
                y - 6,
                escaped(&label_of(&row.text, long_label(width)))
            );
        }
        RowKind::Application | RowKind::Note => {
            let _ = write!(out, "<text x=\"{middle}\" y=\"{}\">{text}</text>", y + 4);
        }
    }
    out.push_str("</g>\n");
}

/// The class of a row in [`STYLE`].
pub(crate) const fn class(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Packet => "packet",
        RowKind::Opened => "opened",
        RowKind::Closed => "closed",
        RowKind::Fault => "fault",
        RowKind::Application => "application",
        RowKind::Note => "note",
        RowKind::Pause => "pause",
        RowKind::Failure => "failure",
    }
}

/// The path of an arrow's head at `x`.
fn head(x: u32, y: u32, rightwards: bool) -> String {
    let back = if rightwards { x - 9 } else { x + 9 };
    format!("M{x} {y}L{back} {}V{}Z", y - 4, y + 4)
}

/// Escapes text for XML, and replaces the characters that XML cannot contain.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}');
            }
            other => out.push(other),
        }
    }
    out
}
