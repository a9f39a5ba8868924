//! What a plugin answers is what happens: rows, reject, retry, fatal, and the promises of `describe`.

use std::time::Duration;

use rde_core::{Flow, Output};
use serde_json::json;

use super::guest::{Failing, Guest};
use super::{Bench, batch, call, code, made, run};

/// A guest that forwards and then answers a failure.
fn forwarding(failure: &Failing<'_>) -> Guest {
    let mut guest = Guest::process("");
    let answer = guest.failure(failure);
    guest.on_process = format!("(call $forward (i32.const 0)) (i32.const {answer})");
    guest
}

#[test]
fn failed_rows_leave_the_output_and_are_set_aside_with_the_plugins_code() {
    let faults: [(&[u32], &str, &str); 2] = [(&[3, 1], "bad-id", "no\nid"), (&[0], "bad-name", "")];
    let made = call(forwarding(&Failing::Rows(&faults)), json!({}), 5).expect("the call succeeds");
    assert_eq!(made.ids(), [2, 4]);
    let set_aside = made.set_aside();
    let codes: Vec<(i64, &str)> = set_aside.iter().map(|(id, code)| (*id, code.as_str())).collect();
    assert_eq!(codes, [(3, "bad-id"), (1, "bad-id"), (0, "bad-name")]);
    assert_eq!(made.rejected[0].message, "no\\nid");
    assert!(made.rejected[0].plugin.as_ref().is_some_and(|digest| digest.starts_with("sha256:")));
}

#[test]
fn reject_undoes_the_call_and_sets_every_row_aside() {
    let made = call(forwarding(&Failing::Reject("not mine")), json!({}), 3).expect("the call succeeds");
    assert!(made.batches.is_empty());
    let expected: Vec<(i64, String)> = (0..3).map(|id| (id, "rejected".to_owned())).collect();
    assert_eq!(made.set_aside(), expected);
    assert_eq!(made.rejected[0].message, "not mine");
}

#[test]
fn fatal_fails_the_run_with_the_plugins_text() {
    let error = call(forwarding(&Failing::Fatal("disk\u{1b} gone")), json!({}), 1).err().expect("the run fails");
    assert_eq!(error.code(), "RDE0317");
    assert!(error.message().contains("disk\\u{1b} gone"), "{error}");
}

#[test]
fn retry_asks_for_the_same_call_with_the_next_attempt() {
    // Answers `retry` until the third attempt, which must have the same number of the call.
    let mut guest = Guest::process("");
    let retry = guest.failure(&Failing::Retry("later", 250));
    guest.on_process = format!(
        "(if (i32.eq (local.get $attempt) (i32.const 1)) (then (global.set $kept (i32.wrap_i64 (local.get $seq)))))
         (if (i32.ne (global.get $kept) (i32.wrap_i64 (local.get $seq))) (then (unreachable)))
         (call $forward (i32.const 0))
         (if (result i32) (i32.lt_u (local.get $attempt) (i32.const 3))
           (then (i32.const {retry})) (else (i32.const 0)))"
    );
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let mut out = Output::new();
    for _ in 0..2 {
        let mark = out.mark();
        let flow = runner.run(0, batch(2), &mut out).expect("a retry is no error");
        assert_eq!(flow, Flow::RetryAfter(Duration::from_millis(250)));
        out.rewind(mark);
    }
    assert_eq!(runner.run(0, batch(2), &mut out).expect("the third attempt succeeds"), Flow::Done);
    assert_eq!(made(&mut out).ids(), [0, 1]);
}

#[test]
fn the_tenth_attempt_is_the_last() {
    let mut guest = Guest::process("");
    let retry = guest.failure(&Failing::Retry("later", 1));
    guest.on_process = format!("(i32.const {retry})");
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let mut out = Output::new();
    for _ in 1..10 {
        let flow = runner.run(0, batch(1), &mut out).expect("a retry is no error");
        assert_eq!(flow, Flow::RetryAfter(Duration::from_millis(1)));
    }
    assert_eq!(runner.run(0, batch(1), &mut out).expect("it counts as reject"), Flow::Done);
    let made = made(&mut out);
    assert_eq!(made.set_aside(), [(0, "rejected".to_owned())]);
    assert_eq!((made.rejected[0].attempt, made.rejected[0].message.as_str()), (10, "gave up after 10 attempts: later"));
}

#[test]
fn waits_are_capped_and_their_sum_ends_the_attempts() {
    let mut guest = Guest::process("");
    let retry = guest.failure(&Failing::Retry("later", 1 << 40));
    guest.on_process = format!("(i32.const {retry})");
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let mut out = Output::new();
    // Five waits of a minute are the five minutes of `retry_wait_max`.
    for _ in 0..5 {
        let flow = runner.run(0, batch(1), &mut out).expect("a retry is no error");
        assert_eq!(flow, Flow::RetryAfter(Duration::from_secs(60)));
    }
    assert_eq!(runner.run(0, batch(1), &mut out).expect("it counts as reject"), Flow::Done);
}

#[test]
fn a_retry_of_open_repeats_open_on_the_same_instance() {
    let mut guest = Guest::process("(call $forward (i32.const 0)) (i32.const 0)");
    let retry = guest.failure(&Failing::Retry("starting", 5));
    guest.on_open = format!(
        "(global.set $kept (i32.add (global.get $kept) (i32.const 1)))
         (if (result i32) (i32.lt_u (global.get $kept) (i32.const 3)) (then (i32.const {retry})) (else (i32.const 0)))"
    );
    let bench = Bench::new(&guest.component());
    // The second `open` comes with the first batch, the third with its repetition.
    let mut runner = bench.open(json!({})).expect("a retry of `open` is no error");
    let mut out = Output::new();
    assert_eq!(runner.run(0, batch(1), &mut out).expect("waits"), Flow::RetryAfter(Duration::from_millis(5)));
    assert_eq!(runner.run(0, batch(1), &mut out).expect("runs"), Flow::Done);
    assert_eq!(made(&mut out).ids(), [0]);
}

#[test]
fn promises_of_one_row_for_one_row_are_kept_or_the_run_fails() {
    let keep_first = "(i32.store8 (i32.const 512) (i32.const 1)) (call $keep (i32.const 0) (i32.const 512) (i32.const 1)) (i32.const 0)";
    let one_to_one = || Guest::process(keep_first).describing(r#","cardinality":"one-to-one""#);
    assert_eq!(code(call(one_to_one(), json!({}), 1)), "ok");
    assert_eq!(code(call(one_to_one(), json!({}), 2)), "RDE0311");
    let filter = call(Guest::process(keep_first).describing(r#","cardinality":"filter""#), json!({}), 3);
    let filter = filter.expect("a filter may drop rows");
    assert_eq!((filter.ids(), filter.filtered), (vec![0], 2));
    let twice = "(call $forward (i32.const 0)) (call $forward (i32.const 0)) (i32.const 0)";
    assert_eq!(code(call(Guest::process(twice).describing(r#","cardinality":"filter""#), json!({}), 1)), "RDE0311");
    assert_eq!(call(Guest::process(twice), json!({}), 1).expect("anything goes").ids(), [0, 0]);
}

#[test]
fn failed_rows_count_for_the_promise() {
    let faults: [(&[u32], &str, &str); 1] = [(&[0], "bad", "")];
    let guest = forwarding(&Failing::Rows(&faults)).describing(r#","cardinality":"one-to-one""#);
    assert_eq!(call(guest, json!({}), 3).expect("the rest is forwarded").ids(), [1, 2]);
}

#[test]
fn bind_may_refuse_the_columns_and_open_may_fail() {
    let mut guest = Guest::new();
    let answer = guest.failure(&Failing::Reject("needs a column `x`"));
    guest.on_bind = Some(format!("(i32.const {answer})"));
    let error = Bench::new(&guest.component()).open(json!({})).err().expect("it refuses");
    assert_eq!(error[0].code(), "RDE0318");
    assert!(error[0].message().contains("needs a column `x`"), "{error:?}");

    let mut guest = Guest::new();
    let answer = guest.failure(&Failing::Rows(&[(&[0], "a", "b")]));
    guest.on_open = format!("(i32.const {answer})");
    let error = Bench::new(&guest.component()).open(json!({})).err().expect("rows mean nothing there");
    assert_eq!(error[0].code(), "RDE0317");
}

#[test]
fn the_end_of_an_input_is_the_last_chance_to_emit() {
    let mut guest = Guest::new();
    guest.on_end = "(call $forward (i32.const 0)) (i32.const 0)".to_owned();
    let bench = Bench::new(&guest.component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    let error = runner.end(0, &mut Output::new()).expect_err("there is no current batch");
    assert_eq!(error.code(), "RDE0311");
    let mut runner = Bench::new(&Guest::new().component()).open(json!({})).expect("the guest opens");
    assert_eq!(runner.end(0, &mut Output::new()).expect("it ends"), Flow::Done);
}

#[test]
fn a_new_instance_between_two_calls_changes_nothing() {
    let bench = Bench::new(&Guest::process("(call $forward (i32.const 0)) (i32.const 0)").component());
    let mut runner = bench.open(json!({})).expect("the guest opens");
    for _ in 0..3 {
        assert_eq!(run(&mut runner, batch(2)).expect("it forwards").ids(), [0, 1]);
        runner.renew();
    }
    assert_eq!(runner.stats().map(|stats| stats.calls.load(std::sync::atomic::Ordering::Relaxed)), Some(3));
}

#[test]
fn the_clock_is_the_hosts_and_stands_still_during_a_call() {
    let guest = Guest::process(
        "(if (i64.ne (call $now) (local.get $time)) (then (unreachable)))
         (if (i64.ne (call $now) (i64.const 1700000000000)) (then (unreachable))) (i32.const 0)",
    );
    assert_eq!(code(call(guest, json!({}), 1)), "ok");
}
