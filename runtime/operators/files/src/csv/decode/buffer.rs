//! The text of one chunk: a buffer that the source reads into, with room behind the text.
//!
//! Between the source and the splitter. Invariant: at least [`PAD`] bytes stand behind the text, so that eight or sixteen
//! bytes can be loaded from any place of it; a record that is not complete is moved to the front and read on.
//! Not here: what the bytes mean.

/// Text that is decoded at once, unless a record is larger: 1 MiB costs 12 % of the speed, 4 MiB more.
pub(super) const CHUNK: usize = 256 << 10;
/// Bytes behind the text.
pub(super) const PAD: usize = 64;

#[derive(Debug)]
pub(super) struct Buffer {
    /// All of it is initialised; the text is the first `filled` bytes.
    bytes: Vec<u8>,
    filled: usize,
    chunk: usize,
}

impl Buffer {
    pub(super) fn new(chunk: usize) -> Buffer {
        Buffer { bytes: vec![0; chunk + PAD], filled: 0, chunk }
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Returns the text with what stands behind it.
    pub(super) fn padded(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns free space to read into, never more than a chunk; grows by doubling when the text is one record that does not end.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let free_to = self.bytes.len() - PAD;
        if self.filled == free_to {
            self.bytes.resize(free_to * 2 + PAD, 0);
        }
        let to = (self.bytes.len() - PAD).min(self.filled + self.chunk);
        &mut self.bytes[self.filled..to]
    }

    /// Takes `count` bytes of the space as text.
    pub(super) fn fill(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - PAD - self.filled, "no more was read than there was space for");
        self.filled += count;
    }

    /// Lets go of the first `count` bytes of the text.
    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.filled);
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
        if self.bytes.len() > 4 * self.chunk + PAD && self.filled <= self.chunk / 2 {
            self.bytes.truncate(self.chunk + PAD);
            self.bytes.shrink_to_fit();
        }
    }

    /// Writes a line feed behind the text, which has no more bytes to come.
    pub(super) fn close_line(&mut self) {
        self.bytes[self.filled] = b'\n';
    }
}
