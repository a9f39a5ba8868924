//! The bytes of gzip data: one member after the other, and zeros behind the last, with which tapes and disks fill blocks.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Decompresses members until the input ends.
pub(crate) struct GzipReader<R> {
    /// The member that is being read; none when the input has ended.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipReader<R> {
    /// Begins with the first member.
    pub(crate) fn new(bytes: R) -> GzipReader<R> {
        GzipReader { member: Some(GzDecoder::new(bytes)) }
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            // What follows is found out before the member is given up: a failure here is one of the next call too.
            let more = skip_zeros(member.get_mut())?;
            self.member = self.member.take().filter(|_| more).map(|member| GzDecoder::new(member.into_inner()));
        }
        Ok(0)
    }
}

/// Passes over zeros. Returns whether anything follows.
fn skip_zeros(bytes: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let waiting = bytes.fill_buf()?;
        let (zeros, all) = (waiting.iter().take_while(|byte| **byte == 0).count(), waiting.len());
        bytes.consume(zeros);
        if zeros < all || all == 0 {
            return Ok(all > 0);
        }
    }
}
