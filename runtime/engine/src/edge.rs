//! Carries messages in order from one lane to the next, bounded in bytes.
//!
//! Each receiving lane has one [`Inbox`] with a channel per sending lane. [`try_send`](Sender::try_send) gives a message back
//! while the channel has no room, [`recv`](Inbox::recv) waits while no channel has a message. Batches travel by reference.
//! Invariant: messages of a channel come out in the order they went in; a channel holds more than its bound only if it
//! holds a single message.
//! Not here: what a barrier or watermark means (`inputs.rs`), who gets a batch of several lanes (`outputs.rs`).

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use rde_core::Message;

use crate::counters::EdgeCounters;
use crate::shared::{Halt, lock};

/// What a message without rows counts as, so that a flood of them is bounded too.
pub(crate) const CONTROL_BYTES: usize = 64;

/// The receiving end of all channels into one lane.
#[derive(Debug, Default)]
pub(crate) struct Inbox(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    channels: Vec<Channel>,
    /// The channel looked at first, so that none starves.
    next: usize,
    closed: bool,
    receiver: Option<Waker>,
}

#[derive(Debug)]
struct Channel {
    queue: VecDeque<(Message, usize)>,
    bytes: usize,
    bound: usize,
    /// Nothing is taken from it, since its barrier waits for those of the others.
    held: bool,
    sender: Option<Waker>,
    counters: Arc<EdgeCounters>,
}

impl Channel {
    fn fits(&self, bytes: usize) -> bool {
        self.queue.is_empty() || self.bytes.saturating_add(bytes) <= self.bound
    }

    fn pop(&mut self) -> Option<(Message, Option<Waker>)> {
        let (message, bytes) = self.queue.pop_front()?;
        self.bytes -= bytes;
        self.counters.received(rows(&message), bytes);
        Some((message, self.sender.take()))
    }
}

/// The sending end of one channel.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    inbox: Arc<Inbox>,
    channel: usize,
}

impl Inbox {
    /// Adds a channel of an edge, bounded in bytes.
    pub fn channel(self: &Arc<Inbox>, bound: usize, counters: Arc<EdgeCounters>) -> Sender {
        let mut state = lock(&self.0);
        let queue = VecDeque::new();
        state.channels.push(Channel { queue, bytes: 0, bound, held: false, sender: None, counters });
        Sender { inbox: self.clone(), channel: state.channels.len() - 1 }
    }

    /// Returns the next message and its channel, without waiting.
    pub fn try_recv(&self) -> Result<Option<(usize, Message)>, Halt> {
        match self.poll_recv(None) {
            Poll::Ready(result) => result.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    /// Returns the next message and its channel.
    pub async fn recv(&self) -> Result<(usize, Message), Halt> {
        poll_fn(|cx| self.poll_recv(Some(cx))).await
    }

    /// Returns the next message of a channel if it is a batch that waits already.
    pub fn try_recv_batch(&self, channel: usize) -> Option<Message> {
        let mut state = lock(&self.0);
        let channel = &mut state.channels[channel];
        if channel.held || !matches!(channel.queue.front(), Some((Message::Batch(..), _))) {
            return None;
        }
        let (message, sender) = channel.pop()?;
        drop(state);
        sender.into_iter().for_each(Waker::wake);
        Some(message)
    }

    /// Takes nothing from a channel until [`Inbox::release`].
    pub fn hold(&self, channel: usize) {
        lock(&self.0).channels[channel].held = true;
    }

    /// Takes from every channel again.
    pub fn release(&self) {
        lock(&self.0).channels.iter_mut().for_each(|channel| channel.held = false);
    }

    /// Gives up: senders and receiver get [`Halt::Stopped`], waiting messages are dropped.
    pub fn close(&self) {
        let mut state = lock(&self.0);
        state.closed = true;
        let mut wakers: Vec<Waker> = state.receiver.take().into_iter().collect();
        let mut dropped = Vec::new();
        for channel in &mut state.channels {
            wakers.extend(channel.sender.take());
            dropped.push(std::mem::take(&mut channel.queue));
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop(dropped);
    }

    fn poll_recv(&self, cx: Option<&mut Context<'_>>) -> Poll<Result<(usize, Message), Halt>> {
        let mut state = lock(&self.0);
        if state.closed {
            return Poll::Ready(Err(Halt::Stopped));
        }
        let count = state.channels.len();
        let first = state.next;
        for index in (first..count).chain(0..first) {
            let channel = &mut state.channels[index];
            if channel.held {
                continue;
            }
            if let Some((message, sender)) = channel.pop() {
                state.next = if index + 1 == count { 0 } else { index + 1 };
                drop(state);
                sender.into_iter().for_each(Waker::wake);
                return Poll::Ready(Ok((index, message)));
            }
        }
        state.receiver = cx.map(|cx| cx.waker().clone());
        Poll::Pending
    }
}

impl Sender {
    /// Puts a message that counts as `bytes` on the channel at once, or gives it back when there is no room.
    pub fn try_send(&self, message: Message, bytes: usize) -> Result<Option<Message>, Halt> {
        let mut state = lock(&self.inbox.0);
        if state.closed {
            return Err(Halt::Stopped);
        }
        let channel = &mut state.channels[self.channel];
        if !channel.fits(bytes) {
            return Ok(Some(message));
        }
        channel.counters.sent(rows(&message), bytes);
        channel.bytes += bytes;
        channel.queue.push_back((message, bytes));
        let receiver = state.receiver.take();
        drop(state);
        receiver.into_iter().for_each(Waker::wake);
        Ok(None)
    }

    /// Waits until a message of `bytes` has room. The channel has one sender, so the room stays.
    pub async fn room(&self, bytes: usize) -> Result<(), Halt> {
        poll_fn(|cx| {
            let mut state = lock(&self.inbox.0);
            if state.closed {
                return Poll::Ready(Err(Halt::Stopped));
            }
            let channel = &mut state.channels[self.channel];
            if channel.fits(bytes) {
                return Poll::Ready(Ok(()));
            }
            channel.sender = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Returns whether nothing waits on the channel.
    pub fn is_empty(&self) -> bool {
        lock(&self.inbox.0).channels[self.channel].queue.is_empty()
    }
}

fn rows(message: &Message) -> usize {
    match message {
        Message::Batch(batch, _) => batch.num_rows(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
