//! Wraps `rde_ipc::fuzz_guest_ipc` for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rde_ipc::fuzz_guest_ipc(bytes));
