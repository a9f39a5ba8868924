//! What the repository offers is current: every pipeline in `configs/` binds, every generated file is what the product prints.

use std::collections::BTreeSet;

use crate::support::{root, run};

#[test]
fn every_pipeline_in_configs_binds() {
    let entries = std::fs::read_dir(root().join("configs")).expect("there are pipelines");
    let mut files: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "yaml"))
        .map(|entry| format!("configs/{}", entry.file_name().to_string_lossy()))
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let ran = run(root(), &["validate", &file]);
        assert_eq!(ran.code, Some(0), "{file}:\n{}", ran.stderr);
        assert!(!ran.stdout.contains("not checked"), "{file} is not checked in full:\n{}", ran.stdout);
    }
}

#[test]
fn generated_files_are_what_the_product_prints() {
    for (file, args) in [("configs/schema.json", &["schema"][..]), ("configs/REFERENCE.md", &["docs", "--markdown"])] {
        let printed = run(root(), args).stdout;
        let kept = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(printed == kept, "{file} is not current: run `cargo xtask docs`");
    }
}

#[test]
fn every_code_is_explained_by_its_number_and_by_its_name() {
    let codes = rde::registry::codes();
    assert!(codes.len() > 40);
    for code in codes {
        let ran = run(root(), &["explain", code.id]);
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains(code.title), "{}", ran.stdout);
    }
    assert_eq!(run(root(), &["explain", "RDE9999"]).code, Some(2));
}

#[test]
fn every_operator_is_checked_in_full_and_has_a_golden_pipeline() {
    let mut shown = BTreeSet::new();
    for case in std::fs::read_dir(root().join("tests/pipelines")).expect("there are cases").filter_map(Result::ok) {
        let text = std::fs::read_to_string(case.path().join("pipeline.yaml")).unwrap_or_default();
        let mut section = "";
        for line in text.lines() {
            match line.split_once(':') {
                Some((key, _)) if !line.starts_with([' ', '-']) => section = key.trim_end_matches('s'),
                Some((key, _)) => drop(shown.insert(format!("{section} {}", key.trim()))),
                None => {}
            }
        }
    }
    for spec in rde::registry::OPERATORS {
        let name = format!("{} {}", spec.kind().as_str(), spec.name());
        assert_eq!(rde_config::unsupported_keywords(&spec.reference().schema), Vec::<String>::new(), "{name}");
        // What is printed is shown by the transcripts of the command line.
        assert!(shown.contains(&name) || name == "sink stdout", "no pipeline in tests/pipelines has a {name}");
    }
}
