//! Each limit at its value and one past it. The rows of the batch tell the guest how much to do.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use rde_core::{Flow, Output};
use serde_json::json;
use wasmtime::ResourceLimiter as _;

use super::guest::{Columns, Guest};
use super::{Bench, batch, call, code, made, run};
use crate::{Host, Limits};

/// A body that does something once for each row.
fn each(what: &str) -> String {
    format!(
        "(local.set $i (i32.const 0))
         (loop {what} (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $i) (local.get $rows))))
         (i32.const 0)"
    )
}

fn guest(what: &str) -> Guest {
    Guest::process(&each(what))
}

#[test]
fn memory_max_is_what_an_instance_may_have() {
    // Four pages of 64 KiB to begin with, one more for each row.
    let grow = || guest("(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))");
    let limits = json!({ "limits": { "memory_max": "640KiB" } });
    assert_eq!(code(call(grow(), limits.clone(), 6)), "ok");
    let error = call(grow(), limits, 7).err().expect("one page too many");
    assert_eq!((error.code(), error.message()), ("RDE0312", "plugin `guest`: batch 1 used more than 640KiB"));
    assert!(error.help_text().is_some_and(|help| help.contains("limits.memory_max")));
}

#[test]
fn memory_above_the_pool_is_served_too() {
    let grow = || guest("(if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then (unreachable)))");
    assert_eq!(code(call(grow(), json!({ "limits": { "memory_max": "100MiB" } }), 6)), "ok");
    assert_eq!(code(call(grow(), json!({ "limits": { "memory_max": "100MiB" } }), 7)), "RDE0312");
}

#[test]
fn growth_that_fails_by_itself_is_not_charged() {
    // 1,000 and 20 pages are past the memory's own maximum, 4 are not.
    let mut grow = Guest::process(
        "(drop (memory.grow (i32.const 1000))) (drop (memory.grow (i32.const 20)))
         (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable))) (i32.const 0)",
    );
    (grow.pages, grow.pages_max) = (3, Some(10));
    let bench = Bench::new(&grow.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    assert_eq!(code(run(&mut runner, batch(1))), "ok");
    let peak = runner.stats().map(|stats| stats.memory_peak.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(peak, Some(7 << 16));

    let budget = rde_core::Budget::new(1 << 30);
    let mut state = host_state(Limits::default(), budget.clone());
    assert!(state.memory.memory_growing(0, 1 << 20, None).expect("it answers"));
    assert!(state.memory.memory_growing(1 << 20, 3 << 20, None).expect("it answers"));
    for _ in 0..2 {
        state.memory.memory_grow_failed(wasmtime::Error::msg("the system has no more")).expect("it answers");
        assert_eq!(budget.used(), 1 << 20);
    }
}

#[test]
fn large_tables_are_charged_and_count_as_memory() {
    let budget = rde_core::Budget::new(1 << 30);
    let limits = Limits { memory_max: 1 << 16, elements_max: 20_000, ..Limits::default() };
    let mut memory = host_state(limits, budget.clone()).memory;
    assert!(memory.table_growing(0, 8192, None).expect("it answers"));
    assert_eq!(budget.used(), 0, "64 KiB are free");
    assert!(memory.table_growing(0, 8192, None).expect("it answers"));
    assert_eq!(budget.used(), 1 << 16);
    assert!(!memory.table_growing(0, 1, None).expect("it answers"), "one element more than `memory_max`");
    assert!(!memory.table_growing(0, 20_001, None).expect("it answers"), "above `elements_max`");
    assert!(!memory.table_growing(0, 10, Some(5)).expect("it answers"), "above its own");
    drop(memory);
    assert_eq!(budget.used(), 0);
}

/// Scenario: a guest without a loop calls the host again and again.
/// Guarantees: its time ends at a host call, at the same tick at which a loop would end it.
#[test]
fn the_time_of_a_call_ends_at_host_calls_too() {
    let calls = "(call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))".repeat(7);
    let log = Guest::process(&format!("{calls} (i32.const 0)"));
    let bench = Bench::new(&log.component());
    let subscriber = tracing::Dispatch::new(TickOnEvent(bench.host.clone()));
    tracing::dispatcher::with_default(&subscriber, || {
        let mut runner = bench.open(json!({ "limits": { "time_max": "50ms" } })).expect("the guest opens");
        let error = run(&mut runner, batch(1)).err().expect("six ticks are more than 50 ms");
        assert_eq!(error.code(), "RDE0313", "{error}");
    });
}

fn host_state(limits: Limits, budget: rde_core::Budget) -> crate::state::HostState {
    let limits = Arc::new(limits);
    let clock = Arc::new(super::TestClock::default());
    let log = crate::log::CallLog::new(clock, limits.clone(), "".into(), "".into(), "".into());
    crate::state::HostState::new(limits, budget, log, Arc::default())
}

#[test]
fn a_guest_may_take_what_the_pipeline_has_left_and_no_more() {
    let grow = guest("(if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))");
    let mut bench = Bench::new(&grow.component());
    bench.budget = rde_core::Budget::new(640 << 10);
    let mut runner = bench.open(json!({})).expect("the guest opens");
    assert_eq!(code(run(&mut runner, batch(6))), "ok");
    let error = run(&mut runner, batch(1)).err().expect("the pipeline has no more");
    assert_eq!(error.code(), "RDE0312");
    assert!(error.message().contains("pipeline's `memory_max`"), "{error}");
    drop(runner);
    assert_eq!((bench.budget.used(), bench.budget.peak()), (0, 640 << 10));
}

/// Ticks the host once for each log line.
struct TickOnEvent(Arc<Host>);

impl tracing::Subscriber for TickOnEvent {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        if event.metadata().target() == "rde::plugin" {
            self.0.tick();
        }
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn time_max_is_counted_in_ticks() {
    let log = guest("(call $log (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))");
    let bench = Bench::new(&log.component());
    let subscriber = tracing::Dispatch::new(TickOnEvent(bench.host.clone()));
    tracing::dispatcher::with_default(&subscriber, || {
        let mut runner = bench.open(json!({ "limits": { "time_max": "50ms" } })).expect("the guest opens");
        // Five ticks are 50 ms at most, since the first may come at once.
        assert_eq!(code(run(&mut runner, batch(5))), "ok");
        let error = run(&mut runner, batch(6)).err().expect("six ticks are more than 50 ms");
        assert_eq!((error.code(), error.message()), ("RDE0313", "plugin `guest`: batch 2 took longer than 50ms"));
        assert_eq!(code(run(&mut runner, batch(5))), "ok");
    });
}

#[test]
fn output_max_counts_what_the_guest_sends_and_what_the_host_copies() {
    let mut pick = Guest::process("").output(Columns::Derived { input: 0, reuse: Some(vec![0]), added: None });
    let reuse = pick.data(&0u32.to_le_bytes());
    // Row 0 once for each row: eight bytes copied and four of the list.
    pick.on_process = format!(
        "(call $expand (i32.const 0) (i32.const 7) (i32.const 65536) (local.get $rows) (i32.const {reuse}) (i32.const 1)
           (i32.const 0) (i32.const 0)) (i32.const 0)"
    );
    let bench = Bench::new(&pick.component());
    let mut runner = bench.open(json!({ "limits": { "output_max": "1200B" } })).expect("the guest opens");
    let made = run(&mut runner, batch(100)).expect("1,200 bytes are within");
    assert_eq!(made.ids(), vec![0; 100]);
    let error = run(&mut runner, batch(101)).err().expect("1,212 bytes are not");
    assert_eq!(
        (error.code(), error.message()),
        ("RDE0316", "plugin `guest`: batch 2 emitted more than 1200B (`output_max`)")
    );
}

#[test]
fn amplification_is_stopped_before_anything_is_copied() {
    let fields = vec![Field::new("id", DataType::Int64, true), Field::new("name", DataType::Utf8, true)];
    let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(8 << 20)]));
    let large = RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![ids, names]).expect("the columns fit");
    let pick = |count: u32| {
        Guest::process(&format!("(call $pick (i32.const 0) (i32.const 65536) (i32.const {count})) (i32.const 0)"))
    };
    let bench = Bench::new(&pick(16_384).component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    // One row: it is set aside, and the run goes on with a new guest.
    let made = run(&mut runner, large.clone()).expect("the row is set aside");
    assert_eq!(made.set_aside(), [(1, "RDE0326".to_owned())]);
    assert!(bench.budget.peak() < 16 << 20, "{}", bench.budget.peak());
    let bench = Bench::new(&pick(8).component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    assert_eq!(run(&mut runner, large).expect("64 MiB and 128 MiB are within 16 times the input").ids().len(), 8);
}

#[test]
fn transfer_max_bounds_one_host_call() {
    let max = Limits::default().transfer_max;
    let keep = |len: usize| {
        let mut guest =
            Guest::process(&format!("(call $keep (i32.const 0) (i32.const 0) (i32.const {len})) (i32.const 0)"));
        guest.pages = 1100;
        let error = call(guest, json!({ "limits": { "memory_max": "128MiB" } }), 1).err().expect("too long anyway");
        error.code()
    };
    assert_eq!(keep(max), "RDE0311");
    assert_eq!(keep(max + 1), "RDE0315");
}

#[test]
fn emits_max_and_host_calls_max_count_within_a_call() {
    let forward = || guest("(call $forward (i32.const 0))");
    assert_eq!(code(call(forward(), json!({}), 256)), "ok");
    assert_eq!(code(call(forward(), json!({}), 257)), "RDE0315");
    let ask = || guest("(drop (call $enabled (i32.const 0)))");
    let bench = Bench::new(&ask().component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    assert_eq!(code(run(&mut runner, batch(100_000))), "ok");
    assert_eq!(code(run(&mut runner, batch(100_001))), "RDE0315");
    assert_eq!(code(run(&mut runner, batch(100_000))), "ok");
}

#[test]
fn a_batch_over_input_max_is_cut_and_a_row_over_it_set_aside() {
    let mut forward = Guest::process("(call $forward (i32.const 0)) (i32.const 0)");
    forward.columns = vec![None];
    let bench = Bench::new(&forward.component());
    // Half of `memory_max` may cross: 512 KiB.
    let fields = json!({ "limits": { "memory_max": "1MiB" } });
    let mut runner = bench.open(fields.clone()).expect("the guest opens");
    let made = run(&mut runner, batch(60_000)).expect("the parts fit");
    assert_eq!(made.ids(), (0..60_000).collect::<Vec<i64>>());
    assert!(made.batches.len() > 1);
    let text = |bytes: usize| {
        let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a".to_owned(), "x".repeat(bytes)]));
        RecordBatch::try_new(super::columns(), vec![ids, names]).expect("the columns fit")
    };
    let made = run(&mut runner, text(600 << 10)).expect("the large row is set aside");
    assert_eq!((made.ids(), made.set_aside()), (vec![1], vec![(2, "RDE0326".to_owned())]));

    let mut whole = Guest::process("(call $forward (i32.const 0)) (i32.const 0)");
    whole.columns = vec![None];
    let bench = Bench::new(&whole.describing(r#","cuts":"whole""#).component());
    let mut runner = bench.open(fields).expect("the guest opens");
    let made = run(&mut runner, text(600 << 10)).expect("the batch is set aside");
    assert_eq!(made.set_aside(), [(1, "RDE0326".to_owned()), (2, "RDE0326".to_owned())]);
}

#[test]
fn a_dictionary_that_is_over_input_max_once_cast_is_cut_too() {
    let mut forward = Guest::process("(call $forward (i32.const 0)) (i32.const 0)");
    forward.columns = vec![None];
    let bench = Bench::new(&forward.component());
    let ids: ArrayRef = Arc::new(arrow::array::Int64Array::from_iter_values(0..64));
    let values: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(100_000)]));
    let keys = arrow::array::Int32Array::from(vec![0; 64]);
    let names: ArrayRef = Arc::new(arrow::array::DictionaryArray::new(keys, values));
    let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).expect("two columns");
    // 6.4 MB of text, of which 512 KiB may cross at once.
    let fields = json!({ "limits": { "memory_max": "1MiB" } });
    let inputs = [("in".to_owned(), batch.schema())];
    let mut runner = bench.open_with(fields, &inputs).expect("the guest opens");
    let made = run(&mut runner, batch).expect("the parts fit");
    assert_eq!((made.ids(), made.batches.len()), ((0..64).collect(), 16));
}

#[test]
fn parts_of_a_cut_batch_are_published_one_after_the_other() {
    let mut forward = Guest::process("(call $forward (i32.const 0)) (i32.const 0)");
    forward.columns = vec![None];
    let bench = Bench::new(&forward.component());
    let mut runner = bench.open(json!({ "limits": { "memory_max": "1MiB" } })).expect("the guest opens");
    let mut out = Output::new();
    assert_eq!(runner.run(0, batch(60_000), &mut out).expect("the first part fits"), Flow::More);
    let first = made(&mut out).ids().len();
    assert!(first < 60_000);
    while runner.more(&mut out).expect("the others fit") == Flow::More {
        assert!(!out.is_empty());
    }
    assert_eq!(made(&mut out).ids().len(), 60_000 - first);
}

#[test]
fn log_lines_are_cut_and_their_tail_is_bounded() {
    let line = "(call $log (i32.const 4) (i32.const 65536) (i32.const 5000) (i32.const 0) (i32.const 0))";
    let log = Guest::process(&format!(
        "(memory.fill (i32.const 65536) (i32.const 97) (i32.const 5000)) {line} {line} (unreachable)"
    ));
    let error = call(log, json!({}), 3).err().expect("the guest traps");
    let detail = error.detail_text().expect("a trap has a detail");
    let detail: serde_json::Value = serde_json::from_str(detail).expect("it is JSON");
    let tail = detail["log"].as_str().expect("the log is text");
    assert!(tail.len() <= 4096 && tail.len() >= 4000, "{}", tail.len());
}

#[test]
fn text_max_cuts_what_a_plugin_says() {
    let fatal = |len: usize| {
        let mut guest = Guest::process("");
        let answer = guest.failure(&super::guest::Failing::Fatal(&"x".repeat(len)));
        guest.on_process = format!("(i32.const {answer})");
        let error = call(guest, json!({}), 1).err().expect("the run fails");
        error.message().matches('x').count()
    };
    assert_eq!([fatal(8 << 10), fatal((8 << 10) + 1), fatal(100_000)], [8 << 10; 3]);
}

#[test]
fn fields_added_max_bounds_new_columns() {
    let bind = |count: usize| {
        let fields: Vec<Field> = (0..count).map(|at| Field::new(format!("c{at}"), DataType::Null, true)).collect();
        let added = Columns::Derived { input: 0, reuse: None, added: Some(Schema::new(fields)) };
        let mut guest = Guest::new().output(added);
        guest.pages = 40;
        Bench::new(&guest.component()).open(json!({})).err().map(|errors| errors[0].code())
    };
    assert_eq!(bind(4096), None);
    assert_eq!(bind(4097), Some("RDE0311"));
}

#[test]
fn instances_and_memories_within_a_component_are_counted() {
    let engines = crate::engines::Engines::new().expect("the engines can be made");
    let start = |count: usize, module: &str| {
        let instances = "(core instance (instantiate $m))".repeat(count);
        let text = format!("(component (core module $m {module}) {instances})");
        let bytes = wat::parse_str(text).expect("the text is a component");
        let component = wasmtime::component::Component::new(&engines.on_demand, bytes).expect("it compiles");
        let state = host_state(Limits::default(), rde_core::Budget::new(1 << 30));
        let mut store = wasmtime::Store::new(&engines.on_demand, state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(1);
        let linker = wasmtime::component::Linker::new(&engines.on_demand);
        let started = linker.instantiate(&mut store, &component);
        started
            .map(|_| ())
            .map_err(|error| crate::trap::Trap::of(&error, crate::state::Phase::Start, store.data_mut()).class.name())
    };
    assert_eq!(start(64, ""), Ok(()));
    assert_eq!(start(65, ""), Err("quota"));
    assert_eq!(start(4, "(memory 1)"), Ok(()));
    assert_eq!(start(5, "(memory 1)"), Err("quota"));
}

#[test]
fn guests_past_the_pool_are_mapped_on_demand() {
    let bench = Bench::new(&Guest::process("(call $forward (i32.const 0)) (i32.const 0)").component());
    let mut runners = Vec::new();
    for _ in 0..1001 {
        runners.push(bench.open(json!({})).expect("there is a place for every guest"));
    }
    let last = runners.last_mut().expect("there are some");
    assert_eq!(run(last, batch(2)).expect("it runs").ids(), [0, 1]);
    drop(runners);
    assert_eq!(bench.budget.used(), 0);
}
