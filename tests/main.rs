//! Tests of the whole product: the binary, its files, its plugins, compared with engines that share no code with it.
//!
//! One binary, since each test binary links everything. `cargo xtask test` prepares what they need: a Python with DuckDB
//! (`RDE_PYTHON`) and the plugins in `out/plugins`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests run in real time, in real processes, and say what they saw"
)]

mod architecture;
mod bad_input;
mod broken;
mod cli;
mod configs;
mod duckdb;
mod flights;
mod fuzz_seeded;
mod golden;
mod kill;
mod plugin_cli;
mod support;
