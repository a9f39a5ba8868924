//! Bounds, order and closing of edges.

use futures::FutureExt;
use futures::executor::block_on;
use futures::future::join;
use rde_core::EventTime;

use super::*;
use crate::testing::{batch, numbers};

fn channel(bound: usize) -> (Arc<Inbox>, Sender, Arc<EdgeCounters>) {
    let inbox = Arc::new(Inbox::default());
    let counters = Arc::new(EdgeCounters::new("a.out".into(), "b.in".into()));
    let sender = inbox.channel(bound, counters.clone());
    (inbox, sender, counters)
}

fn rows(number: i64) -> Message {
    Message::Batch(batch([number]), None)
}

fn number(received: Result<(usize, Message), Halt>) -> i64 {
    match received {
        Ok((_, Message::Batch(batch, _))) => numbers(&batch)[0],
        other => panic!("expected rows, got {other:?}"),
    }
}

fn sent(result: Result<Option<Message>, Halt>) -> bool {
    result.expect("the edge is open").is_none()
}

#[test]
fn an_edge_is_full_at_its_bound_and_not_before() {
    let (_inbox, sender, counters) = channel(100);
    assert!(sent(sender.try_send(rows(1), 60)));
    assert!(!sent(sender.try_send(rows(2), 41)), "one byte too much");
    assert!(sent(sender.try_send(rows(2), 40)), "the bound itself");
    assert!(!sent(sender.try_send(rows(3), 1)));
    assert_eq!((counters.bytes_peak.get(), counters.rows_sent.get()), (100, 2));
}

#[test]
fn an_empty_edge_takes_one_message_of_any_size() {
    let (inbox, sender, counters) = channel(10);
    assert!(sent(sender.try_send(rows(1), 5000)));
    assert!(!sent(sender.try_send(rows(2), 1)));
    assert_eq!(number(block_on(inbox.recv())), 1);
    assert!(sent(sender.try_send(rows(2), 5000)));
    assert_eq!(counters.rows_received.get(), 1);
}

#[test]
fn a_waiting_sender_goes_on_when_a_message_is_taken() {
    let (inbox, sender, _) = channel(10);
    assert!(sent(sender.try_send(rows(1), 10)));
    assert!(sender.room(10).now_or_never().is_none());
    let (room, received) = block_on(join(sender.room(10), inbox.recv()));
    assert!(room.is_ok());
    assert_eq!(number(received), 1);
}

#[test]
fn messages_come_out_in_the_order_they_went_in() {
    let (inbox, sender, _) = channel(1000);
    for n in 0..5 {
        assert!(sent(sender.try_send(rows(n), 8)));
    }
    assert!(sent(sender.try_send(Message::Watermark(EventTime(1)), CONTROL_BYTES)));
    for n in 0..5 {
        assert_eq!(number(block_on(inbox.recv())), n);
    }
    assert!(matches!(block_on(inbox.recv()), Ok((0, Message::Watermark(_)))));
}

#[test]
fn no_channel_starves_another() {
    let (inbox, first, counters) = channel(1000);
    let second = inbox.channel(1000, counters);
    for n in 0..3 {
        assert!(sent(first.try_send(rows(n), 8)));
        assert!(sent(second.try_send(rows(10 + n), 8)));
    }
    let order: Vec<i64> = (0..6).map(|_| number(block_on(inbox.recv()))).collect();
    assert_eq!(order, [0, 10, 1, 11, 2, 12]);
}

#[test]
fn nothing_is_taken_from_a_held_channel() {
    let (inbox, first, counters) = channel(1000);
    let second = inbox.channel(1000, counters);
    inbox.hold(0);
    assert!(sent(first.try_send(rows(1), 8)));
    assert!(matches!(inbox.try_recv(), Ok(None)));
    assert!(inbox.try_recv_batch(0).is_none());
    assert!(sent(second.try_send(rows(2), 8)));
    assert_eq!(number(block_on(inbox.recv())), 2);
    inbox.release();
    assert_eq!(number(block_on(inbox.recv())), 1);
}

#[test]
fn only_a_batch_in_front_is_taken_for_joining() {
    let (inbox, sender, _) = channel(1000);
    assert!(sent(sender.try_send(rows(1), 8)));
    assert!(sent(sender.try_send(Message::Eos, CONTROL_BYTES)));
    assert!(inbox.try_recv_batch(0).is_some());
    assert!(inbox.try_recv_batch(0).is_none());
}

#[test]
fn a_closed_edge_stops_both_ends() {
    let (inbox, sender, _) = channel(10);
    assert!(sent(sender.try_send(rows(1), 10)));
    let waits = sender.room(10);
    inbox.close();
    assert!(matches!(block_on(waits), Err(Halt::Stopped)));
    assert!(matches!(sender.try_send(rows(2), 1), Err(Halt::Stopped)));
    assert!(matches!(block_on(inbox.recv()), Err(Halt::Stopped)));
}
