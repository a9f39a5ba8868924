//! Alignment of barriers, merging of watermarks and ends: messages in, text out.

use arrow::array::{ArrayRef, DictionaryArray};
use arrow::datatypes::Int8Type;
use rde_core::Epoch;

use super::*;
use crate::testing::{batch, schema};

/// Feeds messages (channel, text) and returns what the operator hears, with what happens to the channel.
fn check(ports: &[usize], messages: &[(usize, &str)]) -> Vec<String> {
    check_with(Aligner::new(ports), messages)
}

fn check_with(mut aligner: Aligner, messages: &[(usize, &str)]) -> Vec<String> {
    let mut heard = Vec::new();
    for (channel, text) in messages {
        let mut out = VecDeque::new();
        let gate = aligner.take(*channel, message(text), &mut out).expect("the messages keep the order of an edge");
        heard.extend(out.iter().map(show));
        if gate != Gate::Unchanged {
            heard.push(format!("{gate:?}").to_lowercase());
        }
    }
    heard
}

fn message(text: &str) -> Message {
    let (word, number) = text.split_once(' ').unwrap_or((text, "0"));
    let number: i64 = number.parse().expect("a number");
    match word {
        "schema" => Message::Schema(Arc::new(SchemaVersion { version: 1, schema: schema(), cause: None })),
        "other" => {
            let fields = arrow::datatypes::Schema::empty();
            Message::Schema(Arc::new(SchemaVersion { version: 2, schema: Arc::new(fields), cause: None }))
        }
        "never-null" => {
            let fields = vec![schema().field(0).clone().with_nullable(false)];
            let schema = Arc::new(arrow::datatypes::Schema::new(fields));
            Message::Schema(Arc::new(SchemaVersion { version: 3, schema, cause: None }))
        }
        "rows" => Message::Batch(batch([number]), None),
        "watermark" => Message::Watermark(EventTime(number)),
        "idle" => Message::Idle,
        "barrier" => Message::Barrier(Barrier { epoch: Epoch(number as u64), last: false }),
        "eos" => Message::Eos,
        _ => panic!("unknown message {word}"),
    }
}

fn show(incoming: &Incoming) -> String {
    match incoming {
        Incoming::Schema(port, version) => format!("schema {port} v{}", version.version),
        Incoming::Batch(port, batch, _) => format!("rows {port} {}", crate::testing::numbers(batch)[0]),
        Incoming::Watermark(at) => format!("watermark {}", at.0),
        Incoming::Idle => "idle".to_owned(),
        Incoming::Barrier(barrier) => format!("barrier {}", barrier.epoch),
        Incoming::PortEnded(port) => format!("end {port}"),
        Incoming::Ended => "ended".to_owned(),
    }
}

#[test]
fn a_barrier_waits_for_every_input() {
    let heard = check(&[0, 0], &[(0, "barrier 1"), (1, "barrier 1")]);
    assert_eq!(heard, ["hold", "barrier 1", "release"]);
}

#[test]
fn an_input_that_ended_counts_as_having_delivered_every_later_barrier() {
    let heard = check(&[0, 1], &[(0, "eos"), (1, "barrier 1"), (1, "barrier 2")]);
    assert_eq!(heard, ["end 0", "barrier 1", "release", "barrier 2", "release"]);
}

#[test]
fn an_end_lets_a_waiting_barrier_through() {
    let heard = check(&[0, 1], &[(0, "barrier 1"), (1, "eos"), (0, "eos")]);
    assert_eq!(heard, ["hold", "end 1", "barrier 1", "release", "end 0", "ended"]);
}

#[test]
fn a_port_ends_when_all_its_channels_have() {
    let heard = check(&[0, 0, 1], &[(0, "eos"), (2, "eos"), (1, "eos")]);
    assert_eq!(heard, ["end 1", "end 0", "ended"]);
}

#[test]
fn the_watermark_is_the_lowest_of_all_inputs_and_never_falls() {
    let steps = [(0, "watermark 5"), (1, "watermark 3"), (1, "watermark 4"), (0, "watermark 1"), (1, "watermark 9")];
    assert_eq!(check(&[0, 0], &steps), ["watermark 3", "watermark 4", "watermark 5"]);
}

#[test]
fn an_idle_input_does_not_hold_the_watermark_back() {
    let steps = [(0, "watermark 5"), (1, "idle"), (0, "watermark 6")];
    assert_eq!(check(&[0, 0], &steps), ["watermark 5", "watermark 6"]);
}

#[test]
fn an_input_that_wakes_up_late_does_not_lower_the_watermark() {
    let steps = [(0, "watermark 5"), (1, "idle"), (1, "watermark 2"), (0, "watermark 7"), (1, "watermark 6")];
    assert_eq!(check(&[0, 0], &steps), ["watermark 5", "watermark 6"]);
}

#[test]
fn an_ended_input_does_not_hold_the_watermark_back() {
    let steps = [(0, "watermark 5"), (1, "watermark 1"), (1, "eos")];
    assert_eq!(check(&[0, 1], &steps), ["watermark 1", "end 1", "watermark 5"]);
}

#[test]
fn idle_is_said_once_when_every_input_is() {
    let steps = [(0, "schema"), (0, "idle"), (1, "idle"), (0, "idle"), (0, "rows 1"), (0, "idle")];
    assert_eq!(check(&[0, 0], &steps), ["schema 0 v1", "idle", "rows 0 1", "idle"]);
}

#[test]
fn merging_inputs_with_one_schema_announce_it_once() {
    let steps = [(0, "schema"), (1, "schema"), (0, "rows 1"), (1, "rows 2")];
    assert_eq!(check(&[0, 0], &steps), ["schema 0 v1", "rows 0 1", "rows 0 2"]);
}

#[test]
fn rows_of_an_input_with_another_schema_come_behind_that_schema() {
    let steps = [(0, "schema"), (1, "other"), (0, "rows 1"), (1, "rows 2"), (1, "rows 3")];
    let expected = ["schema 0 v1", "schema 0 v2", "schema 0 v1", "rows 0 1", "schema 0 v2", "rows 0 2", "rows 0 3"];
    assert_eq!(check(&[0, 0], &steps), expected);
}

/// Guarantees: the operator hears one schema, which holds the rows of both edges, whichever comes first.
#[test]
fn merging_inputs_that_differ_in_nullability_are_heard_under_the_bound_schema() {
    let bound = || Aligner::new(&[0, 0]).bound_to(vec![Some(schema())]);
    let steps = [(0, "never-null"), (1, "schema"), (0, "rows 1"), (1, "rows 2"), (0, "rows 3")];
    assert_eq!(check_with(bound(), &steps), ["schema 0 v3", "rows 0 1", "rows 0 2", "rows 0 3"]);
    let steps = [(0, "schema"), (1, "never-null"), (1, "rows 1"), (0, "rows 2")];
    assert_eq!(check_with(bound(), &steps), ["schema 0 v1", "rows 0 1", "rows 0 2"]);
    let steps = [(0, "never-null"), (1, "other"), (0, "rows 1")];
    assert_eq!(check_with(bound(), &steps), ["schema 0 v3", "schema 0 v2", "schema 0 v3", "rows 0 1"]);
}

#[test]
fn rows_before_their_schema_are_refused() {
    let refused = Aligner::new(&[0]).take(0, message("rows 1"), &mut VecDeque::new());
    assert_eq!(refused.expect_err("no schema yet").code(), "RDE0707");
}

fn sizes(count: usize, rows: usize, coalesce_bytes: usize) -> Vec<usize> {
    joined((0..count).map(|_| batch(0..rows as i64)).collect(), coalesce_bytes)
}

/// Returns the rows of the batches that come of some that wait.
fn joined(batches: Vec<RecordBatch>, coalesce_bytes: usize) -> Vec<usize> {
    let inbox = Arc::new(Inbox::default());
    let counters = crate::counters::EdgeCounters::new("a.out".into(), "b.in".into());
    let sender = inbox.channel(usize::MAX, Arc::new(counters));
    let send = |message| assert!(matches!(sender.try_send(message, 1), Ok(None)));
    let schema = batches[0].schema();
    send(Message::Schema(Arc::new(SchemaVersion { version: 1, schema, cause: None })));
    batches.into_iter().for_each(|batch| send(Message::Batch(batch, None)));
    let mut inputs = Inputs::new(inbox, Aligner::new(&[0]), coalesce_bytes);
    let mut sizes = Vec::new();
    while let Some(incoming) = inputs.try_next().expect("the edge is open") {
        if let Incoming::Batch(_, batch, _) = incoming {
            sizes.push(batch.num_rows());
        }
    }
    sizes
}

#[test]
fn small_batches_that_wait_are_joined_up_to_the_rows() {
    assert_eq!(sizes(5, 300, usize::MAX), [1200, 300]);
    assert_eq!(sizes(2, COALESCE_ROWS, usize::MAX), [COALESCE_ROWS, COALESCE_ROWS]);
    assert_eq!(sizes(2, COALESCE_ROWS - 1, usize::MAX), [2 * COALESCE_ROWS - 2]);
    assert_eq!(sizes(3, 10, 0), [10, 10, 10]);
}

#[test]
fn dictionaries_with_more_values_than_a_key_numbers_stay_apart() {
    let words = |from: usize| {
        let words: Vec<String> = (from..from + 100).map(|n| n.to_string()).collect();
        let column: DictionaryArray<Int8Type> = words.iter().map(String::as_str).collect();
        RecordBatch::try_from_iter([("w", Arc::new(column) as ArrayRef)]).expect("one column")
    };
    let same = words(0);
    assert_eq!(joined(vec![same.clone(), same.clone(), same], usize::MAX), [300]);
    assert_eq!(joined(vec![words(0), words(100), words(0)], usize::MAX), [100, 100, 100]);
}

#[test]
fn joining_stops_at_the_bytes_of_a_batch() {
    assert_eq!(sizes(4, 10, 81), [20, 20]);
    assert_eq!(sizes(4, 10, 80), [10, 10, 10, 10]);
}
