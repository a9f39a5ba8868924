//! Draws faults as text: message, place, the line with a caret, help.
//!
//! Invariant: secrets that are written out in the file are masked in the lines shown; control characters of users and
//! plugins never reach the terminal; lines are cut around the place.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::diagnostics::{Diagnostic, Severity};
use crate::places::Places;
use crate::secrets::is_secret_name;
use crate::source::Span;

/// Characters shown of a long line before and after the place.
const BEFORE_MAX: usize = 80;
const AFTER_MAX: usize = 120;
/// Wide enough that the drawing is never cut again.
const WIDTH: usize = 4096;

/// How faults are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour.
    Plain,
    /// With colour.
    Color,
}

/// The line of a fault, ready to be shown.
struct Shown {
    text: String,
    /// Bytes of `text` to underline.
    underline: std::ops::Range<usize>,
}

impl Places {
    /// Draws faults one after the other, each ended by an empty line.
    pub fn render(&self, faults: &[Diagnostic], style: Style) -> String {
        let renderer = match style {
            Style::Plain => Renderer::plain(),
            Style::Color => Renderer::styled(),
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH);
        let mut text = String::new();
        for fault in faults {
            text.push_str(&self.draw(fault, &renderer));
            text.push_str("\n\n");
        }
        text
    }

    fn draw(&self, fault: &Diagnostic, renderer: &Renderer) -> String {
        let level = match fault.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let file = escape(&fault.file);
        let shown = self.shown(fault.span);
        let mut elements: Vec<Element<'_>> = Vec::new();
        match &shown {
            Some(shown) => {
                let mut annotation = AnnotationKind::Primary.span(shown.underline.clone());
                if let Some(label) = &fault.label {
                    annotation = annotation.label(escape(label));
                }
                let snippet = Snippet::source(shown.text.as_str()).line_start(fault.line as usize).path(file.clone());
                elements.push(snippet.annotation(annotation).into());
            }
            None => {
                let (line, column) = (fault.line as usize, fault.column as usize);
                elements.push(Origin::path(file.clone()).line(line).char_column(column).into());
            }
        }
        if let Some(help) = fault.help.as_ref().or(fault.label.as_ref().filter(|_| shown.is_none())) {
            elements.push(Level::HELP.message(escape(help)).into());
        }
        let title = level.primary_title(escape(&fault.message)).id(fault.code);
        let text = renderer.render(&[Group::with_title(title).elements(elements)]);
        match shown {
            Some(shown) => shown.with_column(&text, &file, fault),
            None => text,
        }
    }

    /// Returns the line of a place with its secrets masked; nothing for an empty line.
    fn shown(&self, span: Span) -> Option<Shown> {
        let (line, first) = self.sources.get(span)?.line(span.line)?;
        if line.trim().is_empty() {
            return None;
        }
        let chars: Vec<char> = line.chars().collect();
        let hidden = self.hidden(&chars, first, span.source);
        let start = (span.start as usize).saturating_sub(first).min(chars.len());
        let end = (span.end as usize).saturating_sub(first).clamp(start, chars.len());
        let from = start.saturating_sub(BEFORE_MAX);
        let from = if from < 8 { 0 } else { from };
        let to = chars.len().min(start + AFTER_MAX);
        Some(cut(&chars, &hidden, from..to, start..end.min(to)))
    }

    fn hidden(&self, chars: &[char], first: usize, source: u32) -> Vec<bool> {
        let mut hidden = vec![false; chars.len()];
        for mask in self.masks.iter().filter(|mask| mask.source == source) {
            let start = (mask.start as usize).saturating_sub(first).min(chars.len());
            let end = (mask.end as usize).saturating_sub(first).min(chars.len());
            hidden[start..end.max(start)].fill(true);
        }
        if !self.complete || source > 0 {
            let line: String = chars.iter().collect();
            if let Some(value) = value_of_secret(&line) {
                hidden[value..].fill(true);
            }
        }
        hidden
    }
}

impl Shown {
    /// Puts the column of the file in place of that of a line which is cut or masked.
    fn with_column(&self, text: &str, file: &str, fault: &Diagnostic) -> String {
        let column = self.text[..self.underline.start].chars().count() + 1;
        let drawn = format!("{file}:{}:{column}", fault.line);
        match text.split_once("--> ") {
            Some((before, after)) => {
                format!("{before}--> {}", after.replacen(&drawn, &format!("{file}:{}:{}", fault.line, fault.column), 1))
            }
            None => text.to_owned(),
        }
    }
}

fn cut(chars: &[char], hidden: &[bool], range: std::ops::Range<usize>, marked: std::ops::Range<usize>) -> Shown {
    let mut text = String::new();
    if range.start > 0 {
        text.push_str("...");
    }
    let (mut from, mut to) = (None, None);
    for at in range.clone() {
        if at == marked.start {
            from = Some(text.len());
        }
        if at == marked.end {
            to = Some(text.len());
        }
        match (hidden[at], at > range.start && hidden[at - 1]) {
            (true, false) => text.push_str("***"),
            (true, true) => {}
            (false, _) if chars[at].is_control() && chars[at] != '\t' => text.push('?'),
            (false, _) => text.push(chars[at]),
        }
    }
    let from = from.unwrap_or(text.len());
    let to = to.unwrap_or(text.len()).max(from);
    if range.end < chars.len() {
        text.push_str("...");
    }
    Shown { text, underline: from..to }
}

/// Returns the first character of the value in a line such as `password: x` or `a.password=x`; used when the file, or an
/// argument, could not be read.
fn value_of_secret(line: &str) -> Option<usize> {
    let (before, _) = line.split_once([':', '='])?;
    let name = before.rsplit(|c: char| !(c.is_alphanumeric() || "_.-".contains(c))).next()?;
    is_secret_name(name).then(|| before.chars().count() + 1)
}

/// Escapes control characters, keeping the text on one line.
fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}
