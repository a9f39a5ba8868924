//! Splits text into fields: one flat list of the places where fields end.
//!
//! First step of decoding a chunk. A bitmask of separators and quotes for 64 bytes at a time; the parity of the quotes says
//! which separators are text. That is right only while every quote opens or closes a whole field, which is checked for
//! every block: at the first quote that does neither, a byte-by-byte machine goes on from there to the end of the chunk.
//! Invariant: the list is the same however the bytes are cut into calls, and the same as the machine alone would give.
//! Not here: rows (`records.rs`), values.

#[cfg(target_arch = "x86_64")]
use super::simd::{Avx2, Sse2};
use super::simd::{BLOCK, Find, Level, Portable};

/// Bytes split in one go before the list is looked at; bounds its growth on a row of nothing but separators.
const STRIDE: usize = 256 << 10;
/// Entries the fast path may write past the last one.
const SLACK: usize = 64;

/// Where the fields of a chunk end. The chunk begins where a record begins.
#[derive(Debug)]
pub(super) struct Scanner {
    delimiter: u8,
    level: Level,
    /// Field `i` is `ends[i] + 1 .. ends[i + 1]`; `ends[0]` is the byte before the first field, wrapped below zero.
    ends: Vec<u32>,
    /// Places where text follows a closing quote.
    strays: Vec<u32>,
    /// Fields of the first record that are counted but no longer listed, since it has too many.
    excess: u64,
    state: State,
    /// How far the state goes; a multiple of the block.
    scanned: usize,
    /// The state and lengths at `scanned`, while entries of a part of a block stand behind them.
    mark: Option<Mark>,
}

/// What is known between two blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    quotes: Quotes,
    machine: Option<Machine>,
    line_feeds: usize,
    any_quote: bool,
}

/// The fast path's memory: each is 0, or (for `inside`) all ones and (for the others) 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Quotes {
    inside: u64,
    /// The last byte was a separator, a closing quote, or nothing.
    boundary: u64,
    closed: u64,
    closed_return: u64,
}

/// The slow path's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    FieldStart,
    Unquoted,
    Quoted,
    Closed,
    /// A carriage return after a closing quote: only the end of the line may follow.
    ClosedReturn,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    state: State,
    ends: usize,
    strays: usize,
}

const CLEAN: Quotes = Quotes { inside: 0, boundary: 1, closed: 0, closed_return: 0 };

impl Scanner {
    pub(super) fn new(delimiter: u8, level: Level) -> Scanner {
        let mut scanner = Scanner {
            delimiter,
            level,
            ends: Vec::new(),
            strays: Vec::new(),
            excess: 0,
            state: State { quotes: CLEAN, machine: None, line_feeds: 0, any_quote: false },
            scanned: 0,
            mark: None,
        };
        scanner.restart();
        scanner
    }

    /// Forgets everything; a record begins at the first byte of what is scanned next.
    pub(super) fn restart(&mut self) {
        self.ends.clear();
        self.ends.push(u32::MAX);
        self.strays.clear();
        self.excess = 0;
        self.state = State { quotes: CLEAN, machine: None, line_feeds: 0, any_quote: false };
        self.scanned = 0;
        self.mark = None;
    }

    /// Returns the ends of fields, with the byte before the first field in front.
    pub(super) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Returns the places where text follows a closing quote, in order.
    pub(super) fn strays(&self) -> &[u32] {
        &self.strays
    }

    /// Returns how many records have ended.
    pub(super) fn line_feeds(&self) -> usize {
        self.state.line_feeds
    }

    /// Returns how many fields of the first record are not listed.
    pub(super) fn excess(&self) -> u64 {
        self.excess
    }

    /// Returns whether a quote was seen.
    pub(super) fn any_quote(&self) -> bool {
        self.state.any_quote
    }

    /// Returns whether what was scanned ends inside quotes.
    pub(super) fn inside_quotes(&self) -> bool {
        match self.state.machine {
            Some(machine) => machine == Machine::Quoted,
            None => self.state.quotes.inside != 0,
        }
    }

    /// Scans on to the end of `text`, which is the chunk so far. At most `fields` + 1 fields of a first record without end are listed.
    pub(super) fn scan(&mut self, text: &[u8], fields: usize) {
        self.rewind();
        let whole = text.len() - text.len() % BLOCK;
        while self.scanned < whole {
            let to = whole.min(self.scanned + STRIDE);
            self.advance(text, to);
            if self.state.line_feeds == 0 && self.ends.len() > fields + 2 {
                self.excess += (self.ends.len() - fields - 2) as u64;
                self.ends.truncate(fields + 2);
            }
        }
        if whole < text.len() {
            self.mark = Some(Mark { state: self.state, ends: self.ends.len(), strays: self.strays.len() });
            self.part(text, whole);
        }
    }

    /// Ends the last record at byte `end`, which has no line feed.
    pub(super) fn end_record(&mut self, end: usize) {
        self.ends.push(index(end));
        self.state.line_feeds += 1;
    }

    /// Lets go of the bytes before `scanned`, whose fields are of no interest, and returns how many there were.
    pub(super) fn drop_scanned(&mut self) -> usize {
        self.rewind();
        let dropped = self.scanned;
        self.ends.truncate(1);
        self.strays.clear();
        self.scanned = 0;
        dropped
    }

    /// Returns where the first record ends, if it has ended.
    pub(super) fn first_record_end(&self, text: &[u8]) -> Option<usize> {
        self.ends[1..].iter().map(|end| *end as usize).find(|end| text[*end] == b'\n')
    }

    fn rewind(&mut self) {
        if let Some(mark) = self.mark.take() {
            self.state = mark.state;
            self.ends.truncate(mark.ends);
            self.strays.truncate(mark.strays);
        }
    }

    /// Scans whole blocks up to `to`.
    fn advance(&mut self, text: &[u8], to: usize) {
        if self.state.machine.is_none() {
            self.scanned += self.blocks::<false>(&text[self.scanned..to], self.scanned, !0);
            if self.scanned < to {
                self.state.machine = Some(self.state.quotes.into());
            }
        }
        if self.scanned < to {
            self.bytes(&text[self.scanned..to], self.scanned);
            self.scanned = to;
        }
    }

    /// Scans the part of a block at the end of `text`.
    fn part(&mut self, text: &[u8], from: usize) {
        let rest = &text[from..];
        if self.state.machine.is_none() {
            let mut block = [0u8; BLOCK];
            block[..rest.len()].copy_from_slice(rest);
            if self.blocks::<true>(&block, from, (1 << rest.len()) - 1) > 0 {
                return;
            }
            self.state.machine = Some(self.state.quotes.into());
        }
        self.bytes(rest, from);
    }

    /// Scans blocks by mask and returns how many bytes it took: fewer than there are when it met a stray quote.
    fn blocks<const PART: bool>(&mut self, text: &[u8], at: usize, valid: u64) -> usize {
        let mut job = Job { delimiter: self.delimiter, at, valid, state: self.state, ends: &mut self.ends };
        let taken = match self.level {
            Level::Portable => job.run::<Portable, PART>(text),
            #[cfg(target_arch = "x86_64")]
            Level::Sse2 => job.run::<Sse2, PART>(text),
            #[cfg(target_arch = "x86_64")]
            #[expect(unsafe_code, reason = "calls a function that enables instructions")]
            // SAFETY: this level is made only where the processor has AVX2, BMI1 and POPCNT.
            Level::Avx2 => unsafe { run_avx2::<PART>(&mut job, text) },
        };
        self.state = job.state;
        taken
    }

    /// Scans byte by byte.
    fn bytes(&mut self, text: &[u8], at: usize) {
        let mut machine = self.state.machine.unwrap_or(Machine::FieldStart);
        for (idx, byte) in text.iter().enumerate() {
            let separates = *byte == b'\n' || *byte == self.delimiter;
            self.state.any_quote |= *byte == b'"';
            machine = match (machine, *byte) {
                (Machine::Quoted, b'"') => Machine::Closed,
                (Machine::Quoted, _) => Machine::Quoted,
                (Machine::FieldStart | Machine::Closed, b'"') => Machine::Quoted,
                (before, _) if separates => {
                    // After a closing quote and a carriage return the delimiter is text no less than a letter would be.
                    if before == Machine::ClosedReturn && *byte != b'\n' {
                        self.strays.push(index(at + idx));
                    }
                    self.ends.push(index(at + idx));
                    self.state.line_feeds += usize::from(*byte == b'\n');
                    Machine::FieldStart
                }
                (Machine::Closed, b'\r') => Machine::ClosedReturn,
                (Machine::Closed | Machine::ClosedReturn, _) => {
                    self.strays.push(index(at + idx));
                    Machine::Unquoted
                }
                (Machine::FieldStart | Machine::Unquoted, _) => Machine::Unquoted,
            };
        }
        self.state.machine = Some(machine);
    }
}

impl From<Quotes> for Machine {
    fn from(quotes: Quotes) -> Machine {
        match quotes {
            Quotes { inside: 1.., .. } => Machine::Quoted,
            Quotes { closed: 1.., .. } => Machine::Closed,
            Quotes { closed_return: 1.., .. } => Machine::ClosedReturn,
            Quotes { boundary: 1.., .. } => Machine::FieldStart,
            _ => Machine::Unquoted,
        }
    }
}

/// One run over whole blocks.
struct Job<'a> {
    delimiter: u8,
    /// Place of the first byte in the chunk.
    at: usize,
    /// Which bytes of the only block exist, where it is a part.
    valid: u64,
    state: State,
    ends: &'a mut Vec<u32>,
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
#[expect(unsafe_code, reason = "enables instructions")]
// SAFETY: the caller has asked the processor for these instructions.
unsafe fn run_avx2<const PART: bool>(job: &mut Job<'_>, text: &[u8]) -> usize {
    job.run::<Avx2, PART>(text)
}

impl Job<'_> {
    #[inline(always)]
    fn run<F: Find, const PART: bool>(&mut self, text: &[u8]) -> usize {
        // One entry a byte at most, and what the fast path may write past the last one.
        self.ends.reserve(text.len() + SLACK);
        let mut taken = 0;
        let mut at = self.at;
        for block in text.as_chunks::<BLOCK>().0 {
            let needles = [self.delimiter, b'\n', b'"'];
            let [mut delimiters, mut feeds, mut quotes] = F::masks(block, needles);
            if PART {
                (delimiters, feeds, quotes) = (delimiters & self.valid, feeds & self.valid, quotes & self.valid);
            }
            let mut separators = delimiters | feeds;
            let was = &self.state.quotes;
            if quotes | was.inside | was.closed | was.closed_return == 0 {
                self.state.quotes.boundary = separators >> 63;
            } else {
                self.state.any_quote = true;
                let [returns] = F::masks(block, [b'\r']);
                let Some((next, inside)) = pair::<PART>(*was, separators, feeds, quotes, returns, self.valid) else {
                    return taken;
                };
                self.state.quotes = next;
                separators &= !inside;
                feeds &= !inside;
            }
            self.state.line_feeds += feeds.count_ones() as usize;
            push_bits(self.ends, index(at), separators);
            at += BLOCK;
            taken += BLOCK;
        }
        taken
    }
}

/// Pairs the quotes of a block: returns the memory after it and the bytes inside quotes, or nothing where a quote is stray.
#[inline(always)]
fn pair<const PART: bool>(
    was: Quotes,
    separators: u64,
    feeds: u64,
    quotes: u64,
    returns: u64,
    valid: u64,
) -> Option<(Quotes, u64)> {
    let inside = prefix_xor(quotes) ^ was.inside;
    let (opening, closing) = (quotes & inside, quotes & !inside);
    let boundary = (separators & !inside) | closing;
    let after_closing = (closing << 1) | was.closed;
    let after_return = ((after_closing & returns) << 1) | was.closed_return;
    let mut strays = (opening & !((boundary << 1) | was.boundary))
        | (after_closing & !(separators | quotes | returns))
        | (after_return & !feeds);
    if PART {
        strays &= valid;
    }
    let next = Quotes {
        inside: 0u64.wrapping_sub(inside >> 63),
        boundary: boundary >> 63,
        closed: closing >> 63,
        closed_return: (after_closing & returns) >> 63,
    };
    (strays == 0).then_some((next, inside))
}

/// Bit `i` of the result is the parity of the bits up to and with `i`.
#[inline(always)]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Appends `at` + the place of each set bit.
#[inline(always)]
#[expect(
    unsafe_code,
    reason = "writes in groups of eight without looking at the count: a fifth of the splitter's time"
)]
fn push_bits(ends: &mut Vec<u32>, at: u32, mut bits: u64) {
    let count = bits.count_ones() as usize;
    let len = ends.len();
    debug_assert!(ends.capacity() - len >= SLACK, "the run reserved room for every byte and the slack");
    // SAFETY: at most 64 entries are written behind `len`, for which `Job::run` reserved room: a block never has more bits
    // than bytes, and the groups of eight end at 64. `set_len` covers only entries written for a set bit.
    unsafe {
        let free = ends.as_mut_ptr().add(len);
        let mut written = 0;
        while written < count {
            for slot in 0..8 {
                free.add(written + slot).write(at + bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            written += 8;
        }
        ends.set_len(len + count);
    }
}

/// A place in a chunk. Chunks end before 2^32: `row_bytes_max` is at most 1 GiB.
fn index(place: usize) -> u32 {
    place as u32
}
