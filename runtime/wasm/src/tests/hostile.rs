//! Guests that attack the host: each ends in a typed error, and the host goes on.

use std::sync::atomic::Ordering;

use rde_core::{Error, Output};
use serde_json::{Value, json};

use super::guest::{Columns, Guest};
use super::{Bench, batch, run};
use crate::PluginRunner;

const SPIN: &str = "(loop (br 0)) (unreachable)";

/// Opens and runs a guest; answers the code, the detail and the text of the error.
fn attack(guest: Guest) -> (&'static str, Value, String) {
    let bench = Bench::new(&guest.component());
    let error = match bench.open(json!({})) {
        Err(errors) => errors[0].clone(),
        Ok(mut runner) => harm(&mut runner),
    };
    survived(&bench, &error)
}

/// As [`attack`], with a host that ticks: from the beginning, or once the guest is open.
fn spin(guest: Guest, while_opening: bool) -> (&'static str, Value, String) {
    let bench = Bench::new(&guest.component());
    let error = if while_opening {
        bench.ticking(|| bench.open(json!({}))).err().expect("it does not open")[0].clone()
    } else {
        let mut runner = bench.open(json!({})).expect("it opens");
        bench.ticking(|| harm(&mut runner))
    };
    survived(&bench, &error)
}

fn harm(runner: &mut PluginRunner) -> Error {
    match run(runner, batch(3)) {
        Err(error) => error,
        Ok(_) => runner.end(0, &mut Output::new()).expect_err("the guest does not get away with it"),
    }
}

/// The host that was attacked holds nothing and runs the next plugin.
fn survived(bench: &Bench, error: &Error) -> (&'static str, Value, String) {
    assert_eq!(bench.budget.used(), 0, "nothing stays charged");
    let good = Guest::process("(call $forward (i32.const 0)) (i32.const 0)").component();
    let good = Bench { host: bench.host.clone(), ..Bench::new(&good) };
    let mut runner = good.open(json!({})).expect("a good guest opens");
    assert_eq!(run(&mut runner, batch(1)).expect("a good guest runs").ids(), [0]);
    let detail = error.detail_text().map(|detail| serde_json::from_str(detail).expect("the detail is JSON"));
    (error.code(), detail.unwrap_or(Value::Null), error.message().to_owned())
}

pub(super) fn with(set: impl FnOnce(&mut Guest)) -> Guest {
    let mut guest = Guest::new();
    set(&mut guest);
    guest
}

#[test]
fn a_loop_before_the_first_batch_is_interrupted() {
    let guests = [
        ("start", with(|guest| guest.fields = format!("(func $spin {SPIN}) (start $spin)"))),
        ("describe", with(|guest| guest.on_describe = Some(SPIN.to_owned()))),
        ("bind", with(|guest| guest.on_bind = Some(SPIN.to_owned()))),
        ("bind", with(|guest| guest.on_realloc = "(loop (br 0))".to_owned())),
        ("open", with(|guest| guest.on_open = SPIN.to_owned())),
    ];
    for (export, guest) in guests {
        let (code, detail, message) = spin(guest, true);
        assert_eq!((code, detail["class"].as_str()), ("RDE0313", Some("time")), "{export}: {message}");
        assert_eq!(detail["export"], export, "{message}");
    }
}

#[test]
fn a_loop_in_a_working_export_is_interrupted() {
    let bomb = "(loop (memory.fill (i32.const 65536) (i32.const 1) (i32.const 65536)) (br 0)) (unreachable)";
    let guests = [
        ("process", with(|guest| guest.on_process = SPIN.to_owned())),
        ("process", with(|guest| guest.on_process = bomb.to_owned())),
        ("end-of-input", with(|guest| guest.on_end = SPIN.to_owned())),
    ];
    for (export, guest) in guests {
        let (code, detail, message) = spin(guest, false);
        assert_eq!((code, detail["class"].as_str()), ("RDE0313", Some("time")), "{export}: {message}");
        assert_eq!(detail["export"], export, "{message}");
    }
}

#[test]
fn a_loop_in_close_is_interrupted_and_harms_nothing() {
    let bench = Bench::new(&with(|guest| guest.on_close = SPIN.to_owned()).component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    bench.ticking(|| runner.close().expect("a failure of close is only logged"));
}

#[test]
fn a_loop_that_calls_the_host_for_ever_is_stopped_by_the_count() {
    let (code, _, message) = attack(Guest::process("(loop (drop (call $enabled (i32.const 0))) (br 0)) (unreachable)"));
    assert_eq!(code, "RDE0315");
    assert!(message.contains("host calls"), "{message}");
}

#[test]
fn memory_bombs_are_refused_at_the_limit() {
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)";
    let (code, detail, message) = attack(Guest::process(grow));
    assert_eq!((code, detail["class"].as_str()), ("RDE0312", Some("memory")));
    assert_eq!(message, "plugin `guest`: batch 1 used more than 64MiB");
    let at_once = "(drop (memory.grow (i32.const 60000))) (unreachable)";
    assert_eq!(attack(Guest::process(at_once)).0, "RDE0312");
    let at_start = with(|guest| guest.pages = 1025);
    assert_eq!(attack(at_start).0, "RDE0312");
}

#[test]
fn tables_and_stacks_are_bounded() {
    let table = with(|guest| guest.fields = "(table 100001 funcref)".to_owned());
    assert_eq!(attack(table).0, "RDE0315");
    let deep = with(|guest| {
        guest.fields =
            "(func $deep (param i64) (result i64) (i64.add (call $deep (local.get 0)) (i64.const 1)))".to_owned();
        guest.on_process = "(drop (call $deep (i64.const 1))) (i32.const 0)".to_owned();
    });
    let (code, detail, _) = attack(deep);
    assert_eq!((code, detail["class"].as_str()), ("RDE0314", Some("stack")));
}

#[test]
fn traps_of_the_guest_say_where_and_what_it_logged_last() {
    let mut guest = Guest::process("");
    let text = guest.data(b"panicked at \x1b[31m\nhere");
    let len = 22;
    guest.fields = "(func $inner (unreachable))".to_owned();
    guest.on_process = format!(
        "(call $log (i32.const 4) (i32.const {text}) (i32.const {len}) (i32.const 0) (i32.const 0)) (call $inner) (i32.const 0)"
    );
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let error = run(&mut runner, batch(1)).err().expect("the guest traps");
    assert_eq!(error.code(), "RDE0310");
    assert_eq!(error.message(), "plugin `guest`: batch 1 trapped: wasm trap: wasm `unreachable` instruction executed");
    assert_eq!(error.operator(), Some("plugin"));
    assert!(error.causes()[0].contains("panicked at \\u{1b}[31m\\nhere"), "{:?}", error.causes());
    let detail: Value = serde_json::from_str(error.detail_text().expect("a trap has a detail")).expect("it is JSON");
    assert_eq!((detail["class"].as_str(), detail["batch"].as_u64()), (Some("trap"), Some(1)));
    assert!(detail["backtrace"][0].as_str().is_some_and(|frame| frame.contains("inner")), "{detail}");
    assert_eq!(detail["log"], "panicked at \\u{1b}[31m\\nhere\n");
    let others = ["(i32.div_u (i32.const 1) (i32.const 0))", "(i32.load (i32.const -4))"];
    for body in others {
        assert_eq!(attack(Guest::process(body)).0, "RDE0310", "{body}");
    }
}

#[test]
fn bad_pointers_break_the_component_abi() {
    let past = with(|guest| guest.on_process = "(i32.const 0xfffffff8)".to_owned());
    assert_eq!(attack(past).0, "RDE0311");
    let realloc = with(|guest| {
        guest.on_realloc =
            "(if (i32.gt_u (local.get $size) (i32.const 400)) (then (return (i32.const 0xffffff00))))".to_owned()
    });
    assert_eq!(attack(realloc).0, "RDE0311");
    let odd = with(|guest| guest.on_describe = Some("(i32.const 3)".to_owned()));
    assert_eq!(attack(odd).0, "RDE0311");
    let discriminant = with(|guest| {
        guest.on_process = "(i32.store8 (i32.const 512) (i32.const 9)) (i32.const 512)".to_owned();
    });
    assert_eq!(attack(discriminant).0, "RDE0311");
}

#[test]
fn an_output_schema_that_lies_is_refused_at_bind() {
    let lies = [
        Columns::FullBytes(Vec::new()),
        Columns::FullBytes(vec![0xff; 64]),
        Columns::SameAs(1),
        Columns::Derived { input: 9, reuse: None, added: None },
        Columns::Derived { input: 0, reuse: Some(vec![2]), added: None },
        Columns::Derived { input: 0, reuse: Some(vec![0, 0]), added: None },
    ];
    for columns in lies {
        let errors = Bench::new(&Guest::new().output(columns).component()).open(json!({})).err().expect("a lie");
        assert_eq!(errors[0].code(), "RDE0311", "{errors:?}");
        assert!(errors[0].message().starts_with("plugin `guest`: `bind` "), "{errors:?}");
    }
    let chosen = with(|guest| guest.columns = vec![Some(vec![1, 0])]);
    assert_eq!(attack(chosen).0, "RDE0311");
    let inputs = with(|guest| guest.columns = vec![None, None]);
    assert_eq!(attack(inputs).0, "RDE0311");
    for name in ["", "errors", "A", "a\n", &"a".repeat(65)] {
        let named = with(|guest| guest.outputs = vec![(name.to_owned(), 1, Columns::SameAs(0))]);
        assert_eq!(attack(named).0, "RDE0311", "{name}");
    }
}

#[test]
fn descriptions_of_any_size_and_shape_are_taken() {
    let large = with(|guest| {
        guest.pages = 40;
        guest.on_describe = Some(
            "(i32.store (i32.const 512) (i32.const 0)) (i32.store (i32.const 516) (i32.const 1048577)) (i32.const 512)"
                .to_owned(),
        );
    });
    let (code, _, message) = attack(large);
    assert_eq!(code, "RDE0311");
    assert!(message.contains("more than 1MiB"), "{message}");
    let zeros = with(|guest| {
        guest.pages = 40;
        guest.on_describe = Some("(i32.store (i32.const 512) (i32.const 4096)) (i32.store (i32.const 516) (i32.const 1048576)) (i32.const 512)".to_owned());
    });
    assert_eq!(attack(zeros).0, "RDE0309");
}

#[test]
fn a_guest_that_trapped_is_replaced_and_a_thousand_traps_leak_nothing() {
    let bench = Bench::new(&Guest::process("(unreachable)").component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let held = bench.budget.used();
    for number in 0..1000 {
        let error = run(&mut runner, batch(1)).err().expect("every call traps");
        assert_eq!(error.code(), "RDE0310", "{number}");
    }
    assert_eq!(runner.stats().map(|stats| stats.traps.load(Ordering::Relaxed)), Some(1000));
    assert!(bench.budget.used() <= held);
    drop(runner);
    assert_eq!(bench.budget.used(), 0);
}
