//! Every job a person or CI runs: `cargo xtask JOB`.
//!
//! One lock is held around cargo, so that two jobs started at once do not fight for two cores.
//! Not here: anything the product does; this crate starts the product and the tools around it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line tool")]

mod bench;
mod check;
mod new_operator;
mod process;
mod python;
mod quickstart;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask JOB

  quickstart            build what is needed and run the main job on real flights
  test [ARGS]           run every test; ARGS go to `cargo test`
  check                 format, lints, tidy, dependencies
  docs                  write configs/REFERENCE.md and configs/schema.json anew
  plugins               build the example plugins into out/plugins
  bench [--long]        compare speed with DuckDB, Polars and DataFusion, and measure the plugin hop
  new-operator NAME source|transform|sink
                        begin a native operator
  tidy                  headers, sizes, TODOs, directions of dependencies
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("quickstart") => quickstart::run(),
        Some("test") => test::run(rest),
        Some("check") => check::run(),
        Some("docs") => check::write_docs(),
        Some("plugins") => test::build_plugins(),
        Some("bench") => bench::run(rest),
        Some("new-operator") => new_operator::run(rest),
        Some("tidy") => tidy::run(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
