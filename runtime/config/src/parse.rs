//! YAML text to a tree of nodes with places.
//!
//! First step of every load. The parser's events are read one by one, so that nothing is built beyond the limits.
//! Invariants: never panics and ends on any bytes; an alias is counted before it is copied; after a syntax error the
//! part that was read is kept, and nodes that were open are marked partial.
//! Not here: what the keys mean.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span as ParserSpan, StrInput, Tag as YamlTag};

use crate::diagnostics::Report;
use crate::scalar::Tag;
use crate::source::{Source, Span, narrow};
use crate::tree::{Data, Entry, Key, Node, Scalar, Style, quote};
use crate::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX, codes, cut};

/// Where a parsed text stands in its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Number of the source.
    pub(crate) source: u32,
    /// Characters of the source before the text; they are on its first line.
    pub(crate) offset: usize,
}

/// What could be read.
pub(crate) struct Parsed {
    pub(crate) root: Option<Node>,
    /// Whether the whole text was read.
    pub(crate) complete: bool,
}

/// Reads one document.
pub(crate) fn parse(text: &str, source: &Source, origin: Origin, report: &mut Report) -> Parsed {
    let mut builder = Builder {
        source,
        origin,
        report,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        bytes: 0,
        documents: 0,
    };
    let complete = builder.read(text);
    if !complete {
        builder.close_open();
    }
    Parsed { root: builder.root, complete }
}

struct Builder<'a> {
    source: &'a Source,
    origin: Origin,
    report: &'a mut Report,
    stack: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    bytes: usize,
    documents: usize,
}

/// A list or map that is still open.
struct Frame {
    span: Span,
    anchor: usize,
    /// It is inside `{ }` or `[ ]`.
    flow: bool,
    kind: FrameKind,
}

enum FrameKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, Span>, key: Option<PendingKey> },
}

enum PendingKey {
    Good(Key),
    /// A fault of the key is reported; its value is read and dropped.
    Bad,
}

/// Size of a tree: nodes, bytes of text, levels.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

/// Reading stops; the reason is reported.
struct Stop;

impl Builder<'_> {
    fn read(&mut self, text: &str) -> bool {
        let mut parser = Parser::new(StrInput::new(text));
        while let Some(event) = parser.next_event() {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    self.syntax_error(&error);
                    return false;
                }
            };
            let span = self.place(span);
            if self.event(event, span).is_err() {
                return false;
            }
        }
        true
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                self.charge(Weight { nodes: 1, bytes: text.len(), depth: 0 }, span)?;
                let tag = self.scalar_tag(tag.as_deref(), span);
                let scalar = Scalar {
                    text: text.into_owned(),
                    style: style_of(style),
                    tag,
                    origin: span,
                    written: None,
                    secret: false,
                };
                self.node(Node::new(span, Data::Scalar(scalar)), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(span, anchor, FrameKind::List(Vec::new()), tag.as_deref(), "seq")
            }
            Event::MappingStart(anchor, tag) => {
                let kind = FrameKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None };
                self.open(span, anchor, kind, tag.as_deref(), "map")
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(frame) => self.close(frame, span.start, false),
                None => Ok(()),
            },
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Stop> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        self.root.iter_mut().for_each(mark_partial);
        self.report
            .add(&codes::SEVERAL_DOCUMENTS, span, "a second document begins here")
            .help("put each pipeline into a file of its own");
        Err(Stop)
    }

    fn open(
        &mut self,
        span: Span,
        anchor: usize,
        kind: FrameKind,
        tag: Option<&YamlTag>,
        expected: &str,
    ) -> Result<(), Stop> {
        let depth = self.stack.len() + 1;
        self.charge(Weight { nodes: 1, bytes: 0, depth }, span)?;
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == expected)) {
            self.unknown_tag(tag, span);
        }
        // A block begins where its first key or item does and has no width. After an anchor or a tag it has; such a list or
        // map is taken for a block, and only a hint is lost.
        let flow = span.end > span.start && anchor == 0 && tag.is_none();
        self.stack.push(Frame { span, anchor, flow, kind });
        Ok(())
    }

    fn close(&mut self, frame: Frame, end: u32, partial: bool) -> Result<(), Stop> {
        let mut span = frame.span;
        span.end = end.max(span.end);
        let data = match frame.kind {
            FrameKind::List(items) => Data::List(items),
            FrameKind::Map { entries, .. } => Data::Map(entries),
        };
        let mut node = Node::new(span, data);
        node.partial = partial;
        node.flow = frame.flow;
        self.node(node, frame.anchor)
    }

    /// Puts a finished node where it belongs: as a key, a value, an item or the root.
    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.charge(weight(&node), node.span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame { kind: FrameKind::List(items), .. }) => items.push(node),
            Some(Frame { kind: FrameKind::Map { entries, key, .. }, .. }) => match key.take() {
                Some(PendingKey::Good(key)) => entries.push(Entry { key, value: node }),
                Some(PendingKey::Bad) => {}
                None => self.key(&node),
            },
        }
        Ok(())
    }

    fn key(&mut self, node: &Node) {
        let Some(scalar) = node.scalar() else {
            self.report
                .add(&codes::UNSUPPORTED_YAML, node.span, format!("a key must be text, not {}", node.describe()))
                .help("to replace a variable, write `\"${NAME}\"` in quotes");
            return self.pend(PendingKey::Bad);
        };
        if scalar.style == Style::Plain && scalar.text == "<<" {
            self.report
                .add(&codes::UNSUPPORTED_YAML, node.span, "merge keys (`<<`) are not supported")
                .help("repeat the keys, or use an alias for a whole value, as in `limits: *limits`");
            return self.pend(PendingKey::Bad);
        }
        let key = Key { text: scalar.text.clone(), span: node.span };
        let first = match self.stack.last() {
            Some(Frame { kind: FrameKind::Map { seen, .. }, .. }) => seen.get(&key.text).copied(),
            _ => None,
        };
        if let Some(first) = first {
            let message =
                format!("key `{}` is written twice; the first one is in line {}", quote(&key.text), first.line);
            let help = match self.cut_field().filter(|(_, rest)| rest.contains(&key.text.as_str())) {
                Some((field, _)) => cut::remedy(field),
                None => format!("remove one of them: lines {} and {}", first.line, key.span.line),
            };
            self.report.add(&codes::DUPLICATE_KEY, key.span, message).help(help);
            return self.pend(PendingKey::Bad);
        }
        self.pend(PendingKey::Good(key));
    }

    /// Returns the field of the map being read whose text may have ended too early, and the keys behind it.
    fn cut_field(&self) -> Option<(&Entry, Vec<&str>)> {
        let Frame { kind: FrameKind::Map { entries, .. }, flow: true, .. } = self.stack.last()? else { return None };
        let field = cut::last_field(entries)?;
        let rest = entries.iter().rev().map(|entry| entry.key.text.as_str()).take_while(|key| *key != field.key.text);
        Some((field, rest.collect()))
    }

    fn pend(&mut self, pending: PendingKey) {
        if let Some(Frame { kind: FrameKind::Map { seen, key, .. }, .. }) = self.stack.last_mut() {
            if let PendingKey::Good(good) = &pending {
                seen.insert(good.text.clone(), good.span);
            }
            *key = Some(pending);
        }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(target) = self.anchors.get(&anchor) else {
            self.report
                .add(&codes::UNSUPPORTED_YAML, span, "an alias stands inside its own anchor")
                .help("write the value out; it would be without end");
            return Err(Stop);
        };
        let mut weight = weight(target);
        weight.depth += self.stack.len();
        self.charge(weight, span)?;
        let mut node = self.anchors[&anchor].clone();
        node.span = span;
        self.node(node, 0)
    }

    fn charge(&mut self, weight: Weight, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(weight.nodes);
        self.bytes = self.bytes.saturating_add(weight.bytes);
        let over = if weight.depth > DEPTH_MAX {
            format!("the file is nested deeper than {DEPTH_MAX} levels")
        } else if self.nodes > NODES_MAX {
            format!("the file holds more than {NODES_MAX} values, aliases counted as what they stand for")
        } else if self.bytes > TEXT_BYTES_MAX {
            format!("the file holds more than {TEXT_BYTES_MAX} bytes of text, aliases counted as what they stand for")
        } else {
            return Ok(());
        };
        self.report.add(&codes::TOO_LARGE, span, over).help("split it into several pipelines, or use fewer aliases");
        Err(Stop)
    }

    fn scalar_tag(&mut self, tag: Option<&YamlTag>, span: Span) -> Option<Tag> {
        let tag = tag?;
        if tag.handle.is_empty() && tag.suffix == "!" {
            return Some(Tag::Text);
        }
        let known = match tag.suffix.as_str() {
            "str" => Some(Tag::Text),
            "int" => Some(Tag::Int),
            "float" => Some(Tag::Float),
            "bool" => Some(Tag::Bool),
            "null" => Some(Tag::Null),
            _ => None,
        };
        let known = known.filter(|_| tag.is_yaml_core_schema());
        if known.is_none() {
            self.unknown_tag(tag, span);
        }
        known
    }

    fn unknown_tag(&mut self, tag: &YamlTag, span: Span) {
        let message = format!("unknown tag `{}`", quote(&tag.to_string()));
        self.report.add(&codes::UNSUPPORTED_YAML, span, message).help("remove the tag");
    }

    /// Closes what is open; the last value of each may be cut off as well, though the parser has ended it.
    fn close_open(&mut self) {
        while let Some(mut frame) = self.stack.pop() {
            if let FrameKind::Map { key: Some(PendingKey::Good(key)), .. } = &mut frame.kind {
                let mut missing = null_node(key.span);
                missing.broken = true;
                let key = Key { text: std::mem::take(&mut key.text), span: key.span };
                if let FrameKind::Map { entries, .. } = &mut frame.kind {
                    entries.push(Entry { key, value: missing });
                }
            }
            match &mut frame.kind {
                FrameKind::List(items) => items.last_mut().into_iter().for_each(mark_partial),
                FrameKind::Map { entries, .. } => {
                    entries.last_mut().into_iter().for_each(|entry| mark_partial(&mut entry.value));
                }
            }
            let end = frame.span.end;
            if self.close(frame, end, true).is_err() {
                return;
            }
        }
    }

    fn syntax_error(&mut self, error: &ScanError) {
        // The parser puts the end of the text into a line of its own.
        let count = self.source.text.chars().count();
        let at = (self.origin.offset + error.marker().index()).min(count);
        let span = self.source.span(self.origin.source, at..at);
        if error.info().contains("recursion limit") {
            let message = format!("the file is nested deeper than {DEPTH_MAX} levels");
            self.report.add(&codes::TOO_LARGE, span, message).help("split it into several pipelines");
            return;
        }
        if self.tabs(span) {
            return;
        }
        let line = self.source.line(span.line).map_or("", |(line, _)| line);
        let message = sentence(error.info());
        let help = if line.contains("${") {
            "put quotes around `${…}` inside `{ }` and `[ ]`, as in `\"${NAME}\"`".to_owned()
        } else {
            let cut = self.cut_field().map(|(field, _)| format!("; {}", cut::remedy(field)));
            remedy(error.info()).to_owned() + &cut.unwrap_or_default()
        };
        self.report.add(&codes::SYNTAX, span, message).help(help);
    }

    /// Reports every line that a tab indents, if the line of the error or one beside it has one.
    fn tabs(&mut self, near: Span) -> bool {
        let tab_of = |number: u32| {
            let (line, first) = self.source.line(number)?;
            let at = line.chars().take_while(|c| *c == ' ').count();
            let is_tab = line.chars().nth(at) == Some('\t') && !line.trim().is_empty();
            is_tab.then_some((at, first + at))
        };
        let Some(first) = (near.line.saturating_sub(1)..=near.line + 1).find(|line| tab_of(*line).is_some()) else {
            return false;
        };
        let lines = first..=self.source.line_count();
        let found: Vec<usize> = lines
            .filter_map(|line| tab_of(line).filter(|(at, _)| line == first || *at == 0))
            .map(|(_, character)| character)
            .collect();
        for character in found {
            let span = self.source.span(self.origin.source, character..character + 1);
            self.report.add(&codes::TAB, span, "a tab indents this line").help("indent with spaces");
        }
        true
    }

    fn place(&self, span: ParserSpan) -> Span {
        let start = self.origin.offset + span.start.index();
        let end = self.origin.offset + span.end.index();
        let shift = if span.start.line() == 1 { self.origin.offset } else { 0 };
        Span {
            source: self.origin.source,
            start: narrow(start),
            end: narrow(end.max(start)),
            line: narrow(span.start.line().max(1)),
            column: narrow(span.start.col() + shift + 1),
        }
    }
}

/// Returns an empty plain scalar.
pub(crate) fn null_node(span: Span) -> Node {
    text_node("", span)
}

/// A plain scalar.
pub(crate) fn text_node(text: &str, span: Span) -> Node {
    let scalar =
        Scalar { text: text.to_owned(), style: Style::Plain, tag: None, origin: span, written: None, secret: false };
    Node::new(span, Data::Scalar(scalar))
}

fn mark_partial(node: &mut Node) {
    node.partial = true;
    match &mut node.data {
        Data::Scalar(_) => {}
        Data::List(items) => items.last_mut().into_iter().for_each(mark_partial),
        Data::Map(entries) => entries.last_mut().into_iter().for_each(|entry| mark_partial(&mut entry.value)),
    }
}

fn weight(node: &Node) -> Weight {
    let children = |total: Weight, child: Weight| Weight {
        nodes: total.nodes + child.nodes,
        bytes: total.bytes + child.bytes,
        depth: total.depth.max(child.depth + 1),
    };
    match &node.data {
        Data::Scalar(scalar) => Weight { nodes: 1, bytes: scalar.text.len(), depth: 0 },
        Data::List(items) => items.iter().map(weight).fold(Weight { nodes: 1, bytes: 0, depth: 1 }, children),
        Data::Map(entries) => entries
            .iter()
            .map(|entry| {
                let value = weight(&entry.value);
                Weight { nodes: value.nodes + 1, bytes: value.bytes + entry.key.text.len(), depth: value.depth }
            })
            .fold(Weight { nodes: 1, bytes: 0, depth: 1 }, children),
    }
}

fn style_of(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::Single,
        ScalarStyle::DoubleQuoted => Style::Double,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

/// The parser's words, made into ours.
fn sentence(info: &str) -> String {
    let info = info.replace("did not find expected", "expected").replace('\'', "`");
    format!("not valid YAML: {info}")
}

fn remedy(info: &str) -> &'static str {
    if info.contains("mapping values are not allowed") {
        "a text that holds `: ` needs quotes; else look at the indentation of this line"
    } else if info.contains("unknown anchor") {
        "an alias `*name` needs an anchor `&name` before it; quote a text that begins with `*`"
    } else if info.contains("quoted scalar") {
        "look for a quote that is not closed, or a `\\` in double quotes; single quotes take `\\` as it is"
    } else if info.contains("flow") {
        "look for a missing `,`, `}` or `]`, or a text that needs quotes"
    } else if info.contains("block collection") || info.contains("block mapping") || info.contains("simple key") {
        "line up this line with its neighbours, and write `key: value` with a space after the colon"
    } else if info.contains("byte order mark") || info.contains("unprintable") {
        "remove the character; most editors can show it"
    } else {
        "look at quotes, colons and indentation here and in the line above"
    }
}
