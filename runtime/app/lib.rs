//! RDE, a dataflow runtime: the library behind the `rde` binary.
//!
//! A Rust program that embeds it builds a pipeline with [`PipelineBuilder`] from operators of its own (see the traits in
//! [`core`]) or of the [`registry`], and runs it with [`PipelineEngine`]; the YAML path uses the same builder.
//!
//! ```no_run
//! # fn source() -> Box<dyn rde::core::Plan> { unimplemented!() }
//! # fn sink() -> Box<dyn rde::core::Plan> { unimplemented!() }
//! use rde::{OperatorOptions, PipelineBuilder, PipelineEngine, RunControl, runtime::Threads};
//!
//! let threads = Threads::start()?;
//! let mut builder = PipelineBuilder::new("example", rde::pipeline::default_settings());
//! builder.add_source("numbers", "numbers", source(), OperatorOptions::default());
//! builder.add_sink("shown", "shown", sink(), OperatorOptions::default());
//! builder.connect("numbers", "shown");
//! let probe = rde::pipeline::probe(".".into(), threads.runtime());
//! let report = threads.block_on(async {
//!     let (pipeline, faults) = builder.build(&probe).await;
//!     assert!(faults.is_empty(), "{faults:?}");
//!     PipelineEngine::new(threads.runtime()).run(pipeline, RunControl::new()).await
//! });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Not here: deciding anything; this crate wires the others.

pub mod cli;
mod codes;
mod logging;
mod metrics;
pub mod pipeline;
pub mod registry;
mod report;
pub mod runtime;

/// The Arrow that batches are made of, so that an embedding program cannot have another version of it.
pub use arrow;
pub use rde_core as core;
pub use rde_engine::{
    OperatorOptions, Pipeline, PipelineBuilder, PipelineEngine, RunControl, RunReport, Status, TraceEvent, TraceHook,
};
