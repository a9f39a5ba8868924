//! Prefix and metadata of record batches of one layout, kept ready.
//!
//! On the batch path on both sides of each crossing. Between two batches of a schema only the numbers in the metadata differ, and
//! they lie at fixed places: so a head is built once, its numbers are overwritten for each message that goes out, and a message
//! that comes in is compared with it instead of being taken apart. Invariant: what [`BatchHead::read`] answers is what the
//! general reader (`envelope.rs`) would answer for the same bytes. Not here: messages of other makers, which are as valid.

use crate::build::Builder;
use crate::envelope::{self, BatchHeader};
use crate::flat::Vector;

/// The bytes before the body, for one number of nodes and buffers.
#[derive(Debug, Default, Clone)]
pub(crate) struct BatchHead {
    bytes: Vec<u8>,
    nodes: usize,
    buffers: usize,
    places: Places,
}

/// Where the numbers lie, in this order, each at a multiple of 8.
#[derive(Debug, Default, Clone, Copy)]
struct Places {
    body: usize,
    rows: usize,
    nodes: usize,
    buffers: usize,
}

impl BatchHead {
    /// A head for so many nodes and buffers.
    pub(crate) fn new(nodes: usize, buffers: usize) -> Self {
        let mut head = BatchHead::default();
        head.build(nodes, buffers);
        head
    }

    /// Makes it one for so many nodes and buffers.
    #[cfg(feature = "arrow")]
    pub(crate) fn ensure(&mut self, nodes: usize, buffers: usize) {
        if self.bytes.is_empty() || self.nodes != nodes || self.buffers != buffers {
            self.build(nodes, buffers);
        }
    }

    fn build(&mut self, nodes: usize, buffers: usize) {
        // Each number gets a mark of its own, by which its place is found.
        const MARKS: [i64; 4] =
            [0x1122_3344_5566_7701, 0x1122_3344_5566_7702, 0x1122_3344_5566_7703, 0x1122_3344_5566_7704];
        let [rows, body, node, buffer] = MARKS;
        let mut builder = Builder::default();
        envelope::batch_metadata(
            &mut builder,
            rows,
            &vec![(node, node); nodes],
            &vec![(buffer, buffer); buffers],
            body,
        );
        self.bytes.resize(envelope::batch_head_len(nodes, buffers), 0);
        envelope::write_head(&builder, &mut self.bytes);
        let find = |mark: i64| self.bytes.windows(8).position(|window| window == mark.to_le_bytes());
        let end = self.bytes.len();
        let [rows, body] = [rows, body].map(|mark| find(mark).unwrap_or(end));
        // Where there are none, their place is that of what follows.
        let buffers_at = find(buffer).unwrap_or(end);
        self.places = Places { body, rows, nodes: find(node).unwrap_or(buffers_at), buffers: buffers_at };
        self.nodes = nodes;
        self.buffers = buffers;
    }

    /// Length of prefix and metadata.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the head of one batch to the front of `out`. There must be as many nodes and buffers as it was made for.
    pub(crate) fn write(&self, out: &mut [u8], rows: usize, nodes: &[(i64, i64)], buffers: &[(i64, i64)], body: usize) {
        let out = &mut out[..self.bytes.len()];
        out.copy_from_slice(&self.bytes);
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX).to_le_bytes();
        out[self.places.rows..][..8].copy_from_slice(&number(rows));
        out[self.places.body..][..8].copy_from_slice(&number(body));
        put_pairs(&mut out[self.places.nodes..], &nodes[..self.nodes]);
        put_pairs(&mut out[self.places.buffers..], &buffers[..self.buffers]);
    }

    /// Header and body of a message that has exactly this head but for its numbers.
    pub(crate) fn read<'a>(&self, message: &'a [u8]) -> Option<(BatchHeader<'a>, &'a [u8])> {
        let (head, body) = message.split_at_checked(self.bytes.len())?;
        let Places { body: body_at, rows: rows_at, nodes: nodes_at, buffers: buffers_at } = self.places;
        let numbers = [(body_at, 8), (rows_at, 8), (nodes_at, 16 * self.nodes), (buffers_at, 16 * self.buffers)];
        let mut from = 0;
        for (at, len) in numbers {
            if !same(head.get(from..at)?, self.bytes.get(from..at)?) {
                return None;
            }
            from = at + len;
        }
        if self.bytes.is_empty() || !same(&head[from..], &self.bytes[from..]) {
            return None;
        }
        let number = |at: usize| head.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes));
        if usize::try_from(number(body_at)?) != Ok(body.len()) {
            return None;
        }
        let header = BatchHeader {
            rows: number(rows_at)?,
            nodes: Vector::pairs(head, nodes_at, self.nodes)?,
            buffers: Vector::pairs(head, buffers_at, self.buffers)?,
        };
        Some((header, body))
    }
}

/// Compares bytes by words, since in a guest each turn of a loop has its price.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a.iter().zip(b).all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b));
    a.len() == b.len() && words && a_rest == b_rest
}

fn put_pairs(out: &mut [u8], pairs: &[(i64, i64)]) {
    for (out, (a, b)) in out.chunks_exact_mut(16).zip(pairs) {
        out[..8].copy_from_slice(&a.to_le_bytes());
        out[8..].copy_from_slice(&b.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Kind;

    type Pairs = Vec<(i64, i64)>;

    fn message(rows: usize, nodes: &Pairs, buffers: &Pairs, body: usize) -> Vec<u8> {
        let mut builder = Builder::default();
        let wide = |number: usize| i64::try_from(number).expect("small");
        envelope::batch_metadata(&mut builder, wide(rows), nodes, buffers, wide(body));
        let mut out = vec![0; envelope::batch_head_len(nodes.len(), buffers.len()) + body];
        envelope::write_head(&builder, &mut out);
        out
    }

    fn pairs(count: usize, salt: i64) -> Pairs {
        (0..count).map(|at| (salt + i64::try_from(at).expect("small"), salt * 3)).collect()
    }

    fn all(vector: &Vector<'_>) -> Pairs {
        (0..vector.len()).map(|at| vector.pair(at).expect("inside")).collect()
    }

    #[test]
    fn writes_and_reads_what_the_general_way_does() {
        for (nodes, buffers) in [(0, 0), (1, 0), (1, 2), (3, 7), (100, 301)] {
            let head = BatchHead::new(nodes, buffers);
            for salt in [0, 5, 1 << 40] {
                let (nodes, buffers) = (pairs(nodes, salt), pairs(buffers, salt + 1));
                let expected = message(77, &nodes, &buffers, 128);
                let mut written = vec![0; expected.len()];
                head.write(&mut written, 77, &nodes, &buffers, 128);
                assert_eq!(written, expected);
                let (header, body) = head.read(&expected).expect("it has this head");
                assert_eq!(
                    (header.rows, all(&header.nodes), all(&header.buffers), body.len()),
                    (77, nodes, buffers, 128)
                );
            }
        }
    }

    /// Whatever one byte becomes: either the head does not know the message, or it reads what the general reader reads.
    #[test]
    fn a_changed_byte_is_never_read_otherwise_than_by_the_general_reader() {
        let head = BatchHead::new(2, 5);
        let good = message(9, &pairs(2, 9), &pairs(5, 64), 64);
        for at in 0..head.len() {
            for change in [1_u8, 0x80, 0xFF] {
                let mut bad = good.clone();
                bad[at] ^= change;
                let Some((header, body)) = head.read(&bad) else { continue };
                let general = envelope::open(&bad, Kind::RecordBatch).expect("what the head knows is a message");
                let expected = BatchHeader::read(general.header).expect("with a header");
                assert_eq!(body, general.body);
                assert_eq!(header.rows, expected.rows);
                assert_eq!(all(&header.nodes), all(&expected.nodes));
                assert_eq!(all(&header.buffers), all(&expected.buffers));
            }
        }
    }

    #[test]
    fn other_layouts_and_short_messages_are_not_known() {
        let head = BatchHead::new(1, 2);
        let good = message(9, &pairs(1, 9), &pairs(2, 64), 64);
        assert!(head.read(&good).is_some());
        assert!(head.read(&good[..good.len() - 1]).is_none(), "the body is shorter than it says");
        assert!((0..head.len()).all(|len| head.read(&good[..len]).is_none()));
        assert!(BatchHead::new(1, 3).read(&good).is_none());
        assert!(BatchHead::default().read(&good).is_none());
        assert!(BatchHead::default().read(&[]).is_none());
    }
}
