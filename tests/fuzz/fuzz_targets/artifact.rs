//! Wraps `rde_wasm::fuzz_artifact` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rde_wasm::fuzz_artifact(bytes));
