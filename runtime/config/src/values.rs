//! Checks single values: words, numbers, sizes, periods, texts.
//!
//! Called by the checker for every scalar whose type fits. Invariant: a secret is never quoted in a message.

use std::str::FromStr;

use rde_core::{ByteSize, Period};
use serde_json::Value;

use crate::check::{At, Checker, named};
use crate::codes;
use crate::tree::{Node, Scalar, quote};
use crate::types::type_text;
use crate::view::View;

impl Checker<'_> {
    /// Checks a scalar whose type fits.
    pub(crate) fn value(&mut self, node: &Node, scalar: &Scalar, view: &View<'_>, at: &At) {
        let value = scalar.value();
        if let Some(values) = view.values() {
            if !values.contains(&&value) {
                self.not_listed(node, &values, at);
            }
            return;
        }
        let fault = match &value {
            Value::String(text) => text_fault(text, view),
            Value::Number(number) => number_fault(number, view),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let Some((what, help)) = fault else { return };
        let shown = if scalar.secret || view.flag("writeOnly") {
            "it".to_owned()
        } else {
            format!("`{}`", quote(&scalar.text))
        };
        self.fault(&codes::WRONG_VALUE, node.span, &format!("{}: {shown} {what}", named(&at.name))).help = help;
    }

    fn not_listed(&mut self, node: &Node, values: &[&Value], at: &At) {
        let words: Vec<&str> = values.iter().filter_map(|value| value.as_str()).collect();
        let listed = type_text(&Value::Null, &serde_json::json!({ "enum": values }));
        let what = format!("{} must be {listed}, found {}", named(&at.name), node.describe());
        let text = node.text().unwrap_or_default();
        self.fault(&codes::WRONG_VALUE, node.span, &what).suggest(text, words);
    }
}

/// Returns whether a text matches a pattern of an operator's schema; linear in the text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let schema = serde_json::json!({ "type": "string", "pattern": pattern });
    let options = jsonschema::PatternOptions::regex();
    let validator = jsonschema::options().with_pattern_options(options).build(&schema);
    validator.map_or(true, |validator| validator.is_valid(&Value::String(text.to_owned())))
}

type Fault = Option<(String, Option<String>)>;

fn text_fault(text: &str, view: &View<'_>) -> Fault {
    match view.text("x-rde-type") {
        Some("size") => return unit_fault::<ByteSize>(text),
        Some("period") => return unit_fault::<Period>(text),
        _ => {}
    }
    let count = text.chars().count();
    let (least, most) = (view.count("minLength"), view.count("maxLength"));
    if let Some(least) = least.filter(|least| count < *least) {
        let what = if text.is_empty() { "is empty".to_owned() } else { format!("is shorter than {least} characters") };
        return Some((what, None));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        let unit = if most == 1 { "one character".to_owned() } else { format!("{most} characters") };
        return Some((format!("is longer than {unit}"), None));
    }
    let pattern = view.text("pattern").filter(|pattern| !matches(pattern, text))?;
    Some(("has another form than this field takes".to_owned(), Some(format!("it must match `{pattern}`"))))
}

/// The message of core's parser is one sentence: what is wrong; what to write.
fn unit_fault<T: FromStr<Err = String>>(text: &str) -> Fault {
    let error = text.parse::<T>().err()?;
    let (what, help) = error.split_once("; ").unwrap_or((error.as_str(), ""));
    let what = what.rsplit_once("` ").map_or(what, |(_, what)| what);
    Some((what.to_owned(), Some(help.to_owned()).filter(|help| !help.is_empty())))
}

fn number_fault(number: &serde_json::Number, view: &View<'_>) -> Fault {
    let value = number.as_f64()?;
    let (format_least, format_most) = view.text("format").map_or((None, None), format_range);
    let least = view.number("minimum").or(format_least);
    let most = view.number("maximum").or(format_most);
    let above = view.number("exclusiveMinimum");
    let below = view.number("exclusiveMaximum");
    let outside = least.is_some_and(|least| value < least)
        || most.is_some_and(|most| value > most)
        || above.is_some_and(|above| value <= above)
        || below.is_some_and(|below| value >= below);
    if outside {
        let what = match (least, most) {
            (Some(least), Some(most)) => format!("is not between {least} and {most}"),
            (Some(least), None) => format!("is below {least}"),
            (None, Some(most)) => format!("is above {most}"),
            (None, None) => "is out of range".to_owned(),
        };
        return Some((what, None));
    }
    let step = view.number("multipleOf").filter(|step| *step > 0.0 && (value / step).fract() != 0.0)?;
    Some((format!("is not a multiple of {step}"), None))
}

/// The range of Rust's number types; `as f64` rounds the largest up by one, which serde refuses later.
fn format_range(format: &str) -> (Option<f64>, Option<f64>) {
    match format {
        "uint8" => (Some(0.0), Some(f64::from(u8::MAX))),
        "uint16" => (Some(0.0), Some(f64::from(u16::MAX))),
        "uint32" => (Some(0.0), Some(f64::from(u32::MAX))),
        "uint64" | "uint" => (Some(0.0), Some(u64::MAX as f64)),
        "int8" => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
        "int16" => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
        "int32" => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
        "int64" | "int" => (Some(i64::MIN as f64), Some(i64::MAX as f64)),
        _ => (None, None),
    }
}
