//! Finds places where a large file may be cut into splits.
//!
//! Before decoding, once for a file: a cut must be where a record begins, and only what stands before it tells whether a line
//! end is inside quotes. Without quotes this runs at the speed of searching for one byte. Invariant: the cuts are record starts of
//! the decoder's own rules, whatever the quotes are. Not here: how many splits there should be.

use memchr::memchr;

/// Finds the first record start at or behind each of some places.
#[derive(Debug)]
pub struct CutFinder {
    delimiter: u8,
    /// Places not yet reached, the nearest last.
    targets: Vec<u64>,
    cuts: Vec<u64>,
    state: State,
    at: u64,
    /// Bytes of a byte order mark that were met so far.
    bom: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    Closed,
}

impl CutFinder {
    /// Makes a finder for cuts at about `targets`.
    pub fn new(delimiter: u8, mut targets: Vec<u64>) -> CutFinder {
        targets.sort_unstable_by(|left, right| right.cmp(left));
        CutFinder { delimiter, targets, cuts: Vec::new(), state: State::FieldStart, at: 0, bom: 0 }
    }

    /// Looks at the next bytes of the file. After the last target there is nothing more to find.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut rest = self.skip_bom(bytes);
        while !rest.is_empty() && !self.targets.is_empty() {
            let taken = match self.state {
                State::FieldStart | State::Unquoted => self.unquoted(rest),
                State::Quoted => match memchr(b'"', rest) {
                    Some(at) => {
                        self.state = State::Closed;
                        at + 1
                    }
                    None => rest.len(),
                },
                State::Closed => {
                    if rest[0] == b'"' {
                        self.state = State::Quoted;
                    } else {
                        self.state = self.after(rest[0]);
                        self.found_feeds(&rest[..1]);
                    }
                    1
                }
            };
            self.at += taken as u64;
            rest = &rest[taken..];
        }
        self.at += rest.len() as u64;
    }

    /// Returns whether there is nothing left to find.
    pub fn is_done(&self) -> bool {
        self.targets.is_empty()
    }

    /// Returns the cuts: increasing, each once, none at the end of the file.
    pub fn finish(mut self) -> Vec<u64> {
        let len = self.at;
        self.cuts.dedup();
        self.cuts.retain(|cut| *cut > 0 && *cut < len);
        self.cuts
    }

    /// Takes text up to the next quote, outside of quotes.
    fn unquoted(&mut self, text: &[u8]) -> usize {
        let quote = memchr(b'"', text);
        let before = &text[..quote.unwrap_or(text.len())];
        self.found_feeds(before);
        if let Some(last) = before.last() {
            self.state = self.after(*last);
        }
        if quote.is_some() {
            // Inside a field that does not begin with it, a quote is text.
            self.state = if self.state == State::FieldStart { State::Quoted } else { State::Unquoted };
        }
        before.len() + usize::from(quote.is_some())
    }

    /// Notes the record starts behind line feeds in `text`, which begins at `at` outside of quotes.
    fn found_feeds(&mut self, text: &[u8]) {
        while let Some(target) = self.targets.last() {
            // A record that begins at the target has its line feed just before it.
            let from = usize::try_from(target.saturating_sub(self.at + 1)).unwrap_or(usize::MAX);
            if from >= text.len() {
                return;
            }
            let Some(feed) = memchr(b'\n', &text[from..]) else {
                return;
            };
            self.cuts.push(self.at + (from + feed) as u64 + 1);
            self.targets.pop();
        }
    }

    fn after(&self, byte: u8) -> State {
        if byte == b'\n' || byte == self.delimiter { State::FieldStart } else { State::Unquoted }
    }

    /// Passes over a byte order mark, after which a quote opens a field all the same.
    fn skip_bom<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        const BOM: [u8; 3] = *b"\xef\xbb\xbf";
        while self.at == self.bom
            && let Some(expected) = usize::try_from(self.bom).ok().and_then(|at| BOM.get(at))
            && let Some((byte, rest)) = bytes.split_first()
            && byte == expected
        {
            self.at += 1;
            self.bom += 1;
            bytes = rest;
            self.state = if self.bom == BOM.len() as u64 { State::FieldStart } else { State::Unquoted };
        }
        bytes
    }
}
