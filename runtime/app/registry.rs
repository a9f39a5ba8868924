//! Every kind of operator there is: one slice that a person can read, sorted by kind and name.

use rde_core::{Code, OperatorSpec};

/// All native operators and the plugin host.
pub const OPERATORS: &[&dyn OperatorSpec] = &[
    // Sources.
    &rde_files::CsvSource,
    &rde_files::ParquetSource,
    // Transforms.
    &rde_sql::Sql,
    &rde_wasm::Wasm,
    // Sinks.
    &rde_files::CsvSink,
    &rde_files::JsonSink,
    &rde_files::ParquetSink,
    &rde_files::StdoutSink,
];

/// Returns every error code, sorted.
pub fn codes() -> Vec<&'static Code> {
    let tables = [
        rde_config::codes::ALL,
        crate::codes::ALL,
        rde_engine::codes::ALL,
        rde_wasm::codes::ALL,
        rde_sql::codes::ALL,
        rde_files::codes::ALL,
        rde_files::csv::codes::ALL,
        &[&rde_core::LATER_STAGE],
    ];
    let mut codes: Vec<&'static Code> = tables.concat();
    codes.sort_by_key(|code| code.id);
    codes.dedup_by_key(|code| code.id);
    codes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_registry_is_sorted_and_has_no_kind_twice() {
        let keys: Vec<_> = OPERATORS.iter().map(|spec| (spec.kind(), spec.name())).collect();
        let sorted: Vec<_> = keys.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        assert_eq!(keys, sorted);
    }

    #[test]
    fn every_operator_has_a_summary_and_an_example() {
        for spec in OPERATORS {
            let reference = spec.reference();
            assert!(!reference.summary.is_empty() && reference.example.contains(spec.name()), "{}", spec.name());
        }
    }

    #[test]
    fn no_code_has_two_meanings_and_each_is_explained() {
        let mut texts = std::collections::BTreeMap::new();
        for code in codes() {
            assert!(code.id.len() == 7 && code.id.starts_with("RDE"), "{}", code.id);
            assert!(code.text.len() > 40, "{} needs a long text", code.id);
            assert!(texts.insert(code.id, code.title).is_none(), "{} is declared twice", code.id);
        }
    }
}
