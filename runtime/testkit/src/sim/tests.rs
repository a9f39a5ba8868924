//! The simulation keeps time, order and seeds, and says what is stuck.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn order_of(seed: u64) -> (Vec<u32>, Trace) {
    let simulation = Simulation::new(seed);
    let runtime = simulation.runtime();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let result = seen.clone();
    simulation.block_on(async move {
        for number in 0..8 {
            let (seen, clock) = (seen.clone(), runtime.clock.clone());
            let task = async move {
                clock.sleep(Duration::from_micros(10)).await;
                seen.lock().expect("no task panics").push(number);
            };
            runtime.spawn.spawn("counter", Work::Io, Box::pin(task));
        }
    });
    (result.lock().expect("no task panics").clone(), simulation.trace())
}

#[test]
fn equal_seeds_make_equal_decisions_and_others_do_not() {
    let (first, second) = (order_of(7), order_of(7));
    assert_eq!(first.0, second.0);
    assert_eq!(first.1.difference(&second.1), None);
    assert!((0..20).any(|seed| order_of(seed).0 != first.0), "twenty seeds gave one order");
}

#[test]
fn time_jumps_to_the_next_timer_and_never_to_a_dropped_one() {
    let simulation = Simulation::new(1);
    let clock = simulation.runtime().clock;
    simulation.block_on(async move {
        let mut long = clock.sleep(Duration::from_secs(3000));
        assert!(futures::poll!(&mut long).is_pending());
        drop(long);
        clock.sleep(Duration::from_secs(60)).await;
        assert!(clock.now_micros() >= DAY_MICROS + 60_000_000);
    });
    let elapsed = simulation.elapsed();
    assert!(elapsed >= Duration::from_secs(60) && elapsed < Duration::from_secs(61), "{elapsed:?}");
}

#[test]
fn a_hang_names_the_stuck_tasks() {
    let simulation = Simulation::new(1);
    let runtime = simulation.runtime();
    let stuck = simulation.run(async move {
        runtime.spawn.spawn("waits for nothing", Work::Io, Box::pin(futures::future::pending()));
        futures::future::pending::<()>().await;
    });
    let names = vec!["0 `program`".to_owned(), "1 `waits for nothing`".to_owned()];
    assert_eq!(stuck, Err(Stuck::Hang(names)));
}

#[test]
fn a_task_left_behind_is_named() {
    let simulation = Simulation::new(1);
    let runtime = simulation.runtime();
    let left = simulation.run(async move {
        runtime.spawn.spawn("orphan", Work::Io, Box::pin(futures::future::pending()));
    });
    assert_eq!(left, Err(Stuck::Outlived(vec!["1 `orphan`".to_owned()])));
}

#[test]
fn a_timer_that_ticks_beside_a_stuck_task_is_no_progress() {
    let simulation = Simulation::new(1);
    let runtime = simulation.runtime();
    let clock = runtime.clock.clone();
    let ticker = async move {
        loop {
            clock.sleep(Duration::from_secs(1)).await;
        }
    };
    let stuck = simulation.run(async move {
        runtime.spawn.spawn("ticker", Work::Io, Box::pin(ticker));
        futures::future::pending::<()>().await;
    });
    assert!(matches!(stuck, Err(Stuck::Endless(_))), "{stuck:?}");
}

#[test]
fn a_panic_is_reported_with_its_task() {
    let simulation = Simulation::new(1);
    let runtime = simulation.runtime();
    let stuck = simulation.run(async move {
        runtime.spawn.spawn_blocking("breaks", Box::new(|| panic!("on purpose")));
        futures::future::pending::<()>().await;
    });
    assert_eq!(stuck, Err(Stuck::Panicked("1 `breaks`".to_owned(), "on purpose".to_owned())));
}

#[test]
fn a_blocking_job_runs_once() {
    let simulation = Simulation::new(1);
    let runtime = simulation.runtime();
    let ran = Arc::new(AtomicBool::new(false));
    let result = ran.clone();
    simulation.block_on(async move {
        runtime.spawn.spawn_blocking("job", Box::new(move || assert!(!ran.swap(true, Ordering::SeqCst))));
    });
    assert!(result.load(Ordering::SeqCst));
}
