//! What tests stand on: a simulated runtime, scripted operators, random pipelines with an oracle.
//!
//! # Simulation
//!
//! [`Simulation`] is a `Runtime` on one thread: scheduling, time and chance come from one seed. [`campaign`] draws a
//! pipeline from each seed (`topology`), runs it on the real engine with operators that follow scripts (`script`), and
//! holds what came out against what must come out (`oracle`): every row once in every sink its path allows, order kept,
//! counts balanced, nothing half done, nothing hanging, and the same trace when the seed is run again.
//!
//! ## How to replay a seed
//!
//! A failure names its seed. Run that one alone:
//!
//! ```text
//! RDE_SIM_SEED=1234 cargo test -p rde-testkit campaign
//! ```
//!
//! The failure then also shows the drawn topology and the last events of the trace: which task was polled, which message
//! the engine moved, which call an operator got. Being equal in every run, the trace can be cut down by hand: change the
//! topology in `Topology::draw`, or add notes with `Watch::trace`. When the fault is mended, put the seed into
//! `SEEDS_THAT_FAILED` in `tests.rs`, so that it is run for ever.
//!
//! # Real time
//!
//! [`RealRuntime`] is a `Runtime` with threads and the clock of the operating system; the same pipelines run on it too,
//! since one thread cannot show a data race.
//! Not here: processes and DuckDB, which the tests of the whole product bring along (`tests/support.rs`).

mod campaign;
mod oracle;
mod real;
pub mod script;
mod sim;
#[cfg(test)]
mod tests;
mod topology;
mod trace;

pub use campaign::{Failure, Ran, SEED_VARIABLE, Summary, campaign, run_seed, run_seed_on_threads, seed_from_env};
pub use oracle::{Counts, Expected, Key};
pub use real::{RealRuntime, fixed_random};
pub use sim::{DAY_MICROS, POLLS_MAX, SimClock, SimSpawn, Simulation, Stuck, TIME_MAX};
pub use topology::{Beside, End, Node, Topology};
pub use trace::{Event, Trace};

/// Makes an empty folder that is removed when the value is dropped.
pub fn test_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("rde-test-").tempdir().expect("the folder for temporary files can be written")
}
