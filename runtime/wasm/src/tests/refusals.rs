//! What is no plugin is refused by a code of its own, before anything of it runs.

use serde_json::json;

use super::guest::Guest;
use super::{Bench, runtime};
use crate::inspect;

fn refused(bytes: &[u8]) -> (&'static str, String) {
    let errors = Bench::new(bytes).open(json!({})).err().expect("the plugin is refused");
    assert_eq!(errors.len(), 1, "{errors:?}");
    let place = errors[0].place().map(|place| place.pointer.as_str());
    assert_eq!(place, Some("/plugin"));
    assert!(errors[0].help_text().is_some(), "{errors:?}");
    (errors[0].code(), errors[0].message().to_owned())
}

pub(super) fn text(component: &str) -> Vec<u8> {
    wat::parse_str(component).expect("the text is a component")
}

pub(super) fn exporting(names: &[&str]) -> Vec<u8> {
    let exports: String = names.iter().map(|name| format!(r#"(export "rde:plugin/{name}" (instance $i))"#)).collect();
    text(&format!("(component (component $c) (instance $i (instantiate $c)) {exports})"))
}

#[test]
fn what_is_no_component_is_refused_by_what_it_is() {
    assert_eq!(refused(b"").0, "RDE0301");
    assert_eq!(refused(b"#!/bin/sh").0, "RDE0301");
    assert_eq!(refused(&text("(module)")).0, "RDE0302");
    let mut cut = Guest::new().component();
    cut.truncate(cut.len() / 2);
    assert_eq!(refused(&cut).0, "RDE0308");
}

#[test]
fn a_missing_file_a_folder_and_a_large_file_are_refused() {
    let bench = Bench::new(b"");
    let missing = bench.open(json!({ "plugin": "none.wasm" })).err().expect("there is no such file");
    assert_eq!(missing[0].code(), "RDE0300");
    let folder = bench.open(json!({ "plugin": "." })).err().expect("it is a folder");
    assert_eq!(folder[0].code(), "RDE0300");
    let file = std::fs::File::create(bench.folder.path().join("large.wasm")).expect("the folder can be written");
    file.set_len((64 << 20) + 1).expect("a file may have holes");
    let large = bench.open(json!({ "plugin": "large.wasm" })).err().expect("it is too large");
    assert_eq!(large[0].code(), "RDE0300");
    file.set_len(64 << 20).expect("a file may have holes");
    let zeros = bench.open(json!({ "plugin": "large.wasm" })).err().expect("it is nothing but zeros");
    assert_eq!(zeros[0].code(), "RDE0301");
}

#[test]
fn other_worlds_and_versions_are_named() {
    let (code, message) = refused(&exporting(&["lifecycle@0.1.0", "writer@0.1.0", "checkpointed@0.1.0"]));
    assert_eq!(code, "RDE0304");
    assert!(message.contains("`sink`"), "{message}");
    let (code, message) = refused(&exporting(&["lifecycle@0.2.0", "processor@0.2.0"]));
    assert_eq!(code, "RDE0305");
    assert!(message.contains("0.2.0"), "{message}");
    let (code, message) = refused(&exporting(&["lifecycle@0.1.0"]));
    assert_eq!(code, "RDE0304");
    assert!(message.contains("`processor`"), "{message}");
    assert_eq!(refused(&text("(component)")).0, "RDE0304");
}

#[test]
fn exports_of_another_type_are_refused() {
    let (code, message) = refused(&exporting(&["lifecycle@0.1.0", "processor@0.1.0"]));
    assert_eq!(code, "RDE0304");
    assert!(message.contains("`lifecycle.describe`"), "{message}");
    assert_eq!(refused(&exporting(&["lifecycle@0.1.7", "processor@0.1.0"])).0, "RDE0304");
}

#[test]
fn imports_that_the_host_does_not_give_are_listed() {
    let exports = r#"(component $c) (instance $i (instantiate $c))
        (export "rde:plugin/lifecycle@0.1.0" (instance $i)) (export "rde:plugin/processor@0.1.0" (instance $i))"#;
    let import = |imports: &str| refused(&text(&format!("(component {imports} {exports})")));
    let (code, message) =
        import(r#"(import "wasi:cli/environment@0.2.0" (instance)) (import "wasi:io/streams@0.2.0" (instance))"#);
    assert_eq!(code, "RDE0307");
    assert!(message.contains("`wasi:cli/environment@0.2.0`, `wasi:io/streams@0.2.0`"), "{message}");
    let (code, message) = import(r#"(import "rde:plugin/metrics@0.1.0" (instance (export "add" (func))))"#);
    assert_eq!((code, message.contains("`metrics`")), ("RDE0306", true), "{message}");
    let (code, message) = import(
        r#"(import "rde:plugin/emit@0.1.0" (instance (export "declare" (func)) (export "forward" (func (param "output" u32)))))"#,
    );
    assert_eq!((code, message.contains("`emit.declare`")), ("RDE0306", true), "{message}");
    let (code, message) = import(r#"(import "evil:net/socket" (instance))"#);
    assert_eq!((code, message.contains("`evil:net/socket`")), ("RDE0306", true), "{message}");
}

#[test]
fn features_that_are_off_do_not_compile() {
    let modules = [
        "(memory i64 1)",
        "(memory 1 1 shared)",
        "(memory 1) (memory 1)",
        "(func (param v128) (result v128) (f32x4.relaxed_madd (local.get 0) (local.get 0) (local.get 0)))",
        "(tag)",
        "(type (struct))",
    ];
    for fields in modules {
        let (code, message) = refused(&text(&format!("(component (core module {fields}))")));
        assert_eq!(code, "RDE0308", "{fields}: {message}");
    }
}

#[test]
fn an_inspection_shows_plugins_and_what_is_refused() {
    let bench = Bench::new(&Guest::new().describing(r#","wants":["http"]"#).component());
    let path = bench.folder.path().join("guest.wasm");
    let seen = inspect(&bench.host, &path, &runtime()).expect("the guest can be inspected");
    assert_eq!((seen.name.as_deref(), seen.world.as_deref()), (Some("guest"), Some("transform")));
    assert_eq!(seen.wants, ["http"]);
    assert!(seen.imports.iter().any(|import| import == "rde:plugin/emit@0.1.0"), "{:?}", seen.imports);
    assert!(seen.digest.starts_with("sha256:") && seen.refused.is_none());

    let sink = exporting(&["lifecycle@0.1.0", "writer@0.1.0", "checkpointed@0.1.0"]);
    std::fs::write(&path, sink).expect("the folder can be written");
    let seen = inspect(&bench.host, &path, &runtime()).expect("a component can be inspected");
    assert_eq!(seen.world.as_deref(), Some("sink"));
    assert_eq!(seen.refused.map(|error| error.code()), Some("RDE0304"));
}

#[test]
fn a_pinned_digest_holds() {
    let bench = Bench::new(&Guest::new().component());
    let path = bench.folder.path().join("guest.wasm");
    let digest = inspect(&bench.host, &path, &runtime()).expect("the guest can be inspected").digest;
    assert!(bench.open(json!({ "digest": digest })).is_ok());
    let other = format!("sha256:{}", "0".repeat(64));
    let errors = bench.open(json!({ "digest": other })).err().expect("the digest differs");
    assert_eq!(errors[0].code(), "RDE0303");
    assert_eq!(errors[0].place().map(|place| place.pointer.as_str()), Some("/digest"));
    let errors = bench.open(json!({ "digest": "sha256:12" })).err().expect("that is no digest");
    assert_eq!(errors[0].code(), "RDE0323");
}

#[test]
fn every_answer_of_a_fuzzer_is_taken() {
    let whole = Guest::new().component();
    crate::fuzz_artifact(&whole);
    crate::fuzz_artifact(Guest::new().describe.as_bytes());
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(..=bytes.len()));
        crate::fuzz_artifact(&bytes);
    }
}
