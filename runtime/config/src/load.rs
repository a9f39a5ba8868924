//! The order of the steps: text, tree, `--set`, variables, grammar.
//!
//! Invariant: a step works on what the one before could read; when the file could not be read to its end, its readable
//! part is still checked, but there is no specification to go on with.

use std::sync::Arc;

use rde_core::{Error, Fields, OperatorSpec};

use crate::diagnostics::{Diagnostic, Report};
use crate::parse::{Origin, parse};
use crate::places::Places;
use crate::secrets::Redactor;
use crate::source::{Source, Sources, Span};
use crate::spec::PipelineSpec;
use crate::tree::Node;
use crate::variables::{Resolver, replace};
use crate::{FILE_BYTES_MAX, codes, grammar, set};

/// What is loaded.
#[derive(Clone, Copy, Debug)]
pub struct ConfigFile<'a> {
    /// Name of the file, as it is shown.
    pub name: &'a str,
    /// Its content.
    pub bytes: &'a [u8],
    /// `--set` arguments, `path=value`.
    pub sets: &'a [String],
}

/// A loaded configuration, good or not.
#[derive(Debug)]
pub struct Loaded<'r> {
    /// The specification; nothing when the file could not be read as a pipeline.
    pub spec: Option<PipelineSpec<'r>>,
    /// The faults, as they were found.
    pub faults: Vec<Diagnostic>,
    /// Where everything stands.
    pub places: Places,
    /// Knows every secret.
    pub redactor: Redactor,
}

/// Loads a configuration and reports every fault of text, grammar and fields.
pub fn load<'r>(file: &ConfigFile<'_>, registry: &[&'r dyn OperatorSpec], resolver: &dyn Resolver) -> Loaded<'r> {
    let (text, decoded) = decode(file.bytes);
    let mut all = vec![Source::new(file.name, text)];
    all.extend(file.sets.iter().map(|set| Source::new("--set", set.clone())));
    let sources = Arc::new(Sources(all));
    let mut report = Report::new(&sources);
    let mut complete = match decoded {
        Ok(()) => text_faults(&sources.0[0], &mut report),
        Err(fault) => {
            fault.report(&sources.0[0], &mut report);
            false
        }
    };
    let mut tree = None;
    if complete {
        let parsed = parse(&sources.0[0].text, &sources.0[0], Origin { source: 0, offset: 0 }, &mut report);
        complete = parsed.complete;
        tree = Some(parsed.root.unwrap_or_else(|| crate::parse::null_node(Span::file_start())));
        tree = tree.filter(|tree| complete || !tree.is_null());
    }
    finish_load(file, registry, resolver, sources, report, tree, complete)
}

fn finish_load<'r>(
    file: &ConfigFile<'_>,
    registry: &[&'r dyn OperatorSpec],
    resolver: &dyn Resolver,
    sources: Arc<Sources>,
    mut report: Report,
    mut tree: Option<Node>,
    complete: bool,
) -> Loaded<'r> {
    let (mut secrets, mut around) = (Vec::new(), Vec::new());
    if let Some(tree) = &mut tree {
        for (source, number) in sources.0.iter().skip(1).zip(1..) {
            if complete && file.sets.len() >= number as usize {
                set::apply(tree, source, number, &mut report);
            }
        }
        secrets = replace(tree, resolver, &sources, &mut report);
    }
    let read = tree.as_ref().and_then(|tree| grammar::read(tree, registry, &mut report));
    let (mut spec, mut operators, mut edges, mut masks) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut remainders = Vec::new();
    if let Some(read) = read {
        remainders = read.remainders;
        masks = read.secrets.iter().map(|secret| secret.span).collect();
        for secret in read.secrets {
            if secret.around { around.push(secret.text) } else { secrets.push(secret.text) }
        }
        spec = Some(read.spec).filter(|_| complete);
        operators = read.operators;
        edges = read.edges;
    }
    let places = Places {
        sources,
        tree: tree.map(Arc::new),
        operators: operators.into(),
        edges: edges.into(),
        masks: masks.into(),
        complete,
    };
    let mut faults = report.faults;
    for (spec, fields) in remainders {
        faults.extend(remaining_faults(spec, &fields).iter().map(|error| places.locate(error)));
    }
    Loaded { spec, faults, places, redactor: Redactor::new(&secrets, &around) }
}

/// Asks the definition of a broken operator about its good fields; what it says about others follows from their faults.
fn remaining_faults(spec: &dyn OperatorSpec, fields: &Fields) -> Vec<Error> {
    let Err(faults) = spec.parse(fields) else { return Vec::new() };
    let of_good_field = |error: &Error| {
        let pointer = error.place().and_then(|place| place.pointer.strip_prefix('/'));
        pointer.and_then(|pointer| pointer.split('/').next()).is_some_and(|field| fields.value.get(field).is_some())
    };
    let errors = faults.into_vec().into_iter().filter(of_good_field);
    errors.map(|error| error.in_operator(&fields.id)).collect()
}

/// Why bytes are not a text; the place counts characters of what could be decoded.
enum NotText {
    TooLarge(usize),
    Utf16,
    Byte { character: usize, byte: u8 },
}

fn decode(bytes: &[u8]) -> (String, Result<(), NotText>) {
    if bytes.len() > FILE_BYTES_MAX {
        return (String::new(), Err(NotText::TooLarge(bytes.len())));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return (String::new(), Err(NotText::Utf16));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), Ok(())),
        Err(error) => {
            let (good, bad) = bytes.split_at(error.valid_up_to());
            let character = String::from_utf8_lossy(good).chars().count();
            let byte = bad.first().copied().unwrap_or_default();
            (String::from_utf8_lossy(bytes).into_owned(), Err(NotText::Byte { character, byte }))
        }
    }
}

impl NotText {
    fn report(&self, source: &Source, report: &mut Report) {
        match self {
            NotText::TooLarge(bytes) => report
                .add(
                    &codes::TOO_LARGE,
                    Span::file_start(),
                    format!("the file has {bytes} bytes, more than {FILE_BYTES_MAX}"),
                )
                .help("split it into several pipelines; is it a configuration at all?"),
            NotText::Utf16 => report
                .add(&codes::NOT_TEXT, Span::file_start(), "the file is UTF-16, not UTF-8")
                .help("save it as UTF-8"),
            NotText::Byte { character, byte } => report
                .add(
                    &codes::NOT_TEXT,
                    source.span(0, *character..character + 1),
                    format!("the byte 0x{byte:02x} is not UTF-8"),
                )
                .help("save the file as UTF-8"),
        };
    }
}

/// Reports control characters, which YAML does not allow and the parser reads as the end of the text.
fn text_faults(source: &Source, report: &mut Report) -> bool {
    let bad = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    let mut clean = true;
    for (character, c) in source.text.chars().enumerate().filter(|(_, c)| bad(*c)).take(crate::FAULTS_MAX) {
        clean = false;
        let message = format!("the control character U+{:04X} is not allowed", u32::from(c));
        report
            .add(&codes::NOT_TEXT, source.span(0, character..character + 1), message)
            .help("remove it, or write it as an escape in double quotes");
    }
    clean
}

/// Loads any bytes; for fuzzing.
#[doc(hidden)]
pub fn fuzz_yaml(bytes: &[u8]) {
    struct Nothing;
    impl Resolver for Nothing {
        fn variable(&self, name: &str) -> Result<Option<String>, String> {
            Ok(name.starts_with('A').then(|| "a: ${A}".to_owned()))
        }
        fn secret_file(&self, path: &str) -> Result<String, String> {
            if path.is_empty() { Err("no name".to_owned()) } else { Ok(format!("secret {path}\n")) }
        }
    }
    // What follows the first NUL byte is a `--set` argument.
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let sets: Vec<String> = parts.map(|set| String::from_utf8_lossy(set).into_owned()).collect();
    let loaded = load(&ConfigFile { name: "fuzz.yaml", bytes: file, sets: &sets }, &[], &Nothing);
    let faults = crate::finish(loaded.faults, &loaded.redactor);
    assert!(faults.len() <= crate::FAULTS_MAX + 1, "the list of faults is cut");
    assert!(loaded.spec.is_some() || !faults.is_empty(), "without a specification there is a fault");
    let text = loaded.places.render(&faults, crate::Style::Plain);
    assert!(!text.contains('\u{1b}'), "control characters never reach the terminal");
}
