//! Applies `--set path=value` to the tree.
//!
//! After parsing, before variables and checks, so that a value set is checked like one written. Faults name the pseudo
//! file `--set` and the column in the argument.
//! Invariant: entries of lists are named by `id` or number; nothing is added to a list.

use crate::diagnostics::Report;
use crate::parse::{Origin, null_node, parse, text_node};
use crate::source::{Source, Span};
use crate::tree::{Data, Entry, Key, Node, quote};
use crate::{codes, suggest};

const HELP: &str = "write `--set path=value`, for example `--set settings.parallelism=4` or \
                    `--set transforms.delays.sql.query='SELECT 1'`";

/// One key of a path with its place in the argument.
struct Step {
    text: String,
    span: Span,
}

/// Applies one argument, which is the source of the given number.
pub(crate) fn apply(root: &mut Node, source: &Source, number: u32, report: &mut Report) {
    let Some((steps, value_at)) = path(source, number, report) else { return };
    let value_text: String = source.text.chars().skip(value_at).collect();
    let span = source.span(number, value_at..source.text.chars().count());
    let value = if value_text == "-" {
        // YAML reads a list of one null; who writes it means standard input or output.
        text_node("-", span)
    } else {
        let parsed = parse(&value_text, source, Origin { source: number, offset: value_at }, report);
        if !parsed.complete {
            return;
        }
        parsed.root.unwrap_or_else(|| null_node(span))
    };
    let mut node = root;
    for step in &steps {
        match descend(node, step, report) {
            Some(next) => node = next,
            None => return,
        }
    }
    *node = value;
}

fn descend<'n>(node: &'n mut Node, step: &Step, report: &mut Report) -> Option<&'n mut Node> {
    if node.is_null() {
        node.data = Data::Map(Vec::new());
    }
    match &mut node.data {
        Data::Map(entries) => {
            let at = entries.iter().position(|entry| entry.key.text == step.text).unwrap_or_else(|| {
                let key = Key { text: step.text.clone(), span: step.span };
                entries.push(Entry { key, value: null_node(step.span) });
                entries.len() - 1
            });
            entries.get_mut(at).map(|entry| &mut entry.value)
        }
        Data::List(items) => {
            let by_id = items.iter().position(|item| id_of(item) == Some(step.text.as_str()));
            let at = by_id.or_else(|| step.text.parse::<usize>().ok().filter(|at| *at < items.len()));
            let Some(at) = at else {
                let ids: Vec<&str> = items.iter().filter_map(id_of).collect();
                let help = match ids.as_slice() {
                    [] => format!("the list has {} entries; name one by a number from 0", items.len()),
                    ids => format!("the list has {}", ids.join(", ")),
                };
                let near = suggest::nearest(&step.text, ids.iter().copied()).map(str::to_owned);
                let message = format!("`--set`: the list has no entry `{}`", quote(&step.text));
                let fault = report.add(&codes::BAD_SET, step.span, message).help(help);
                fault.label = near.map(|near| format!("did you mean `{near}`?"));
                return None;
            };
            items.get_mut(at)
        }
        Data::Scalar(_) => {
            let message = format!("`--set`: no key `{}` here, the value above it is a single one", quote(&step.text));
            report.add(&codes::BAD_SET, step.span, message).help("set the whole value, as in `path={ key: value }`");
            None
        }
    }
}

fn id_of(item: &Node) -> Option<&str> {
    item.get("id")?.value.scalar().map(|scalar| scalar.text.as_str())
}

/// Splits `a.b."c.d"=value` into its keys and the first character of the value.
fn path(source: &Source, number: u32, report: &mut Report) -> Option<(Vec<Step>, usize)> {
    let chars: Vec<char> = source.text.chars().collect();
    let mut steps = Vec::new();
    let (mut text, mut start, mut quoted) = (String::new(), 0, false);
    for (at, &c) in chars.iter().enumerate() {
        match c {
            '"' => quoted = !quoted,
            '.' | '=' if !quoted => {
                let span = source.span(number, start..at);
                if text.is_empty() {
                    report.add(&codes::BAD_SET, span, "`--set`: an empty key in the path").help(HELP);
                    return None;
                }
                steps.push(Step { text: std::mem::take(&mut text), span });
                start = at + 1;
                if c == '=' {
                    return Some((steps, at + 1));
                }
            }
            _ => text.push(c),
        }
    }
    let message = format!("`--set {}` has no `=`", quote(&source.text));
    report.add(&codes::BAD_SET, source.span(number, 0..chars.len()), message).help(HELP);
    None
}
