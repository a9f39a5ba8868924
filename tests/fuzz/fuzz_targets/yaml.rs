//! Wraps `rde_config::fuzz_yaml` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rde_config::fuzz_yaml(bytes));
