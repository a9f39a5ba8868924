//! A program that embeds RDE: a pipeline of native operators of its own, built and run with nothing but the crate `rde`.
//!
//! The source counts, the transform keeps even numbers, the sink keeps what was committed. Invariant: this crate has one
//! dependency; what an embedding program needs must be reachable through it.
#![cfg(test)]

mod operators;

use std::sync::{Arc, Mutex};

use rde::core::{Error, Settings};
use rde::runtime::Threads;
use rde::{OperatorOptions, PipelineBuilder, PipelineEngine, RunControl, RunReport, Status};

use operators::{Counting, Evens, Keeping, Target};

/// Builds and runs numbers below `end`, evens, kept.
fn run(end: i64, settings: Settings, target: &Target) -> Result<RunReport, Vec<Error>> {
    let threads = Threads::seeded(1).expect("the operating system gives a few threads");
    let mut builder = PipelineBuilder::new("embedded", Arc::new(settings));
    builder
        .add_source("numbers", "counting", Box::new(Counting { end }), OperatorOptions::default())
        .add_transform("evens", "evens", Box::new(Evens), OperatorOptions::default())
        .add_sink("kept", "keeping", Box::new(Keeping { target: target.clone() }), OperatorOptions::default())
        .connect("numbers", "evens")
        .connect("evens", "kept");
    let probe = rde::pipeline::probe(std::env::temp_dir(), threads.runtime());
    let report = threads.block_on(async {
        let (pipeline, faults) = builder.build(&probe).await;
        if faults.is_empty() {
            Ok(PipelineEngine::new(threads.runtime()).run(pipeline, RunControl::new()).await)
        } else {
            Err(faults)
        }
    });
    threads.stop();
    report
}

#[test]
fn a_pipeline_of_native_operators_runs_through_the_public_library_alone() {
    let target = Target::default();
    let report = run(100_000, Settings::default(), &target).expect("the pipeline is right");
    assert_eq!(report.status, Status::Completed, "{:?}", report.error);
    assert!(report.balanced);
    let evens: Vec<i64> = (0..100_000).step_by(2).collect();
    assert_eq!(*target.0.lock().expect("nobody panics"), evens);
    let counts: Vec<(u64, u64, u64)> =
        report.operators.iter().map(|one| (one.rows_read, one.rows_filtered, one.rows_committed)).collect();
    assert_eq!(counts, [(100_000, 0, 0), (0, 50_000, 0), (0, 0, 50_000)]);
}

#[test]
fn faults_of_an_embedded_pipeline_come_before_it_runs() {
    let threads = Threads::seeded(1).expect("the operating system gives a few threads");
    let mut builder = PipelineBuilder::new("embedded", rde::pipeline::default_settings());
    builder.add_source("numbers", "counting", Box::new(Counting { end: 1 }), OperatorOptions::default());
    builder.connect("numbers", "nowhere");
    let probe = rde::pipeline::probe(std::env::temp_dir(), threads.runtime());
    let (_, faults) = threads.block_on(builder.build(&probe));
    assert!(faults.iter().any(|fault| fault.message().contains("`nowhere`")), "{faults:?}");
}

#[test]
fn rows_that_an_embedded_sink_refuses_fail_the_run_and_nothing_is_shown() {
    let target = Target(Arc::new(Mutex::new(Vec::new())));
    let report = run(operators::REFUSED + 1, Settings::default(), &target).expect("the pipeline is right");
    assert_eq!(report.status, Status::Failed);
    assert_eq!(report.error.as_ref().map(Error::code), Some("MINE01"));
    assert!(target.0.lock().expect("nobody panics").is_empty());
}
