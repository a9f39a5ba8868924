//! Who has reached which epoch: decides when a checkpoint is complete. Pure.
//!
//! A member is one operator in one lane. An ended member's last answer counts for every later epoch. Members of a part of
//! the graph that holds an operator over whole inputs are withheld: they count in no checkpoint before all of them ended.
//! Invariant: one epoch is open at a time.

use rde_core::{Barrier, Epoch};

/// The answers of all members.
#[derive(Debug)]
pub(crate) struct Epochs {
    members: Vec<Member>,
    /// The newest epoch that was opened or completed.
    current: Epoch,
    open: Option<Barrier>,
    finished: bool,
}

#[derive(Debug)]
struct Member {
    /// The withheld part of the graph it is in.
    withheld: Option<usize>,
    reached: Option<Epoch>,
    ended: bool,
}

/// A complete epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub epoch: Epoch,
    /// Every input has really ended.
    pub completed: bool,
    /// Nothing follows.
    pub last: bool,
}

impl Epochs {
    /// Starts after `current`; for each member the withheld part it is in.
    pub fn new(withheld: &[Option<usize>], current: Epoch) -> Epochs {
        let member = |withheld: &Option<usize>| Member { withheld: *withheld, reached: None, ended: false };
        Epochs { members: withheld.iter().map(member).collect(), current, open: None, finished: false }
    }

    /// Notes an answer.
    pub fn reached(&mut self, member: usize, epoch: Epoch, ended: bool) {
        let member = &mut self.members[member];
        member.reached = member.reached.max(Some(epoch));
        member.ended |= ended;
    }

    /// Returns whether a barrier may be sent now.
    pub fn can_open(&self) -> bool {
        self.open.is_none() && !self.finished && !self.all_ended()
    }

    /// Opens the next epoch; its barrier is to be sent from the sources.
    pub fn open(&mut self, last: bool) -> Barrier {
        self.current = self.current.next();
        let barrier = Barrier { epoch: self.current, last };
        self.open = Some(barrier);
        barrier
    }

    /// Takes the epoch that is complete now, if one is.
    pub fn take_complete(&mut self) -> Option<Cut> {
        if self.finished {
            return None;
        }
        if self.all_ended() {
            // A member that passed the open barrier and then ended answered for the epoch after it as well.
            let newest = self.members.iter().filter_map(|member| member.reached).max();
            let epoch = newest.unwrap_or_default().max(self.current).max(Epoch(1));
            self.finished = true;
            return Some(Cut { epoch, completed: true, last: true });
        }
        let barrier = self.open?;
        let there = |member: &Member| member.ended || member.reached >= Some(barrier.epoch);
        let counts = |member: &Member| barrier.last || member.withheld.is_none_or(|part| self.part_ended(part));
        if !self.members.iter().all(|member| there(member) || !counts(member)) {
            return None;
        }
        self.open = None;
        self.finished = barrier.last;
        Some(Cut { epoch: barrier.epoch, completed: false, last: barrier.last })
    }

    /// Returns whether what this member answered belongs into a checkpoint now.
    pub fn counts(&self, member: usize) -> bool {
        self.members[member].withheld.is_none_or(|part| self.part_ended(part))
    }

    fn part_ended(&self, part: usize) -> bool {
        self.members.iter().all(|member| member.withheld != Some(part) || member.ended)
    }

    fn all_ended(&self) -> bool {
        self.members.iter().all(|member| member.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(epoch: u64, completed: bool, last: bool) -> Option<Cut> {
        Some(Cut { epoch: Epoch(epoch), completed, last })
    }

    #[test]
    fn an_epoch_is_complete_when_every_member_reached_it() {
        let mut epochs = Epochs::new(&[None, None], Epoch(0));
        assert_eq!(epochs.open(false), Barrier { epoch: Epoch(1), last: false });
        assert!(!epochs.can_open());
        epochs.reached(0, Epoch(1), false);
        assert_eq!(epochs.take_complete(), None);
        epochs.reached(1, Epoch(1), false);
        assert_eq!(epochs.take_complete(), cut(1, false, false));
        assert!(epochs.can_open());
    }

    #[test]
    fn the_end_of_every_member_completes_one_final_epoch() {
        let mut epochs = Epochs::new(&[None, None], Epoch(4));
        epochs.reached(0, Epoch(5), true);
        assert_eq!(epochs.take_complete(), None);
        epochs.reached(1, Epoch(5), true);
        assert_eq!(epochs.take_complete(), cut(5, true, true));
        assert_eq!(epochs.take_complete(), None);
        assert!(!epochs.can_open());
    }

    #[test]
    fn an_ended_member_counts_for_every_later_epoch() {
        let mut epochs = Epochs::new(&[None, None], Epoch(0));
        epochs.reached(0, Epoch(1), true);
        for epoch in 1..4 {
            epochs.open(false);
            epochs.reached(1, Epoch(epoch), false);
            assert_eq!(epochs.take_complete(), cut(epoch, false, false));
        }
    }

    #[test]
    fn an_end_while_an_epoch_is_open_completes_that_epoch() {
        let mut epochs = Epochs::new(&[None], Epoch(0));
        epochs.open(false);
        epochs.reached(0, Epoch(1), true);
        assert_eq!(epochs.take_complete(), cut(1, true, true));
    }

    #[test]
    fn members_that_ran_ahead_to_their_end_complete_the_epoch_after() {
        let mut epochs = Epochs::new(&[None, None], Epoch(0));
        epochs.open(false);
        epochs.reached(0, Epoch(1), false);
        epochs.reached(0, Epoch(2), true);
        epochs.reached(1, Epoch(1), true);
        assert_eq!(epochs.take_complete(), cut(2, true, true));
    }

    #[test]
    fn a_withheld_part_counts_only_once_all_of_it_ended() {
        let mut epochs = Epochs::new(&[None, Some(0), Some(0)], Epoch(0));
        epochs.open(false);
        epochs.reached(0, Epoch(1), false);
        epochs.reached(1, Epoch(1), true);
        assert_eq!(epochs.take_complete(), cut(1, false, false));
        assert!(!epochs.counts(1));
        epochs.reached(2, Epoch(1), true);
        assert!(epochs.counts(1));
    }

    #[test]
    fn a_drain_waits_for_withheld_members_too_and_is_the_last() {
        let mut epochs = Epochs::new(&[None, Some(0)], Epoch(0));
        epochs.open(true);
        epochs.reached(0, Epoch(1), false);
        assert_eq!(epochs.take_complete(), None);
        epochs.reached(1, Epoch(1), false);
        assert_eq!(epochs.take_complete(), cut(1, false, true));
        assert!(!epochs.can_open() && !epochs.counts(1));
    }
}
