//! Wraps `rde_files::csv::decode::fuzz_csv` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rde_files::csv::decode::fuzz_csv(bytes));
