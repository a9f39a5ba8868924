//! Finds bytes in blocks of 64: one bit a byte, for separators, line feeds and quotes.
//!
//! Under the splitter (`scan.rs`). Three ways that give equal masks: AVX2 where the processor has it (asked at run time),
//! SSE2 (every x86-64 has it), and plain words elsewhere. Invariant: a mask depends on the 64 bytes alone.
//! Not here: what the bits mean.

/// Bytes of one block.
pub(super) const BLOCK: usize = 64;

/// Which instructions to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Any processor.
    Portable,
    /// x86-64.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// x86-64 with AVX2, BMI1 and POPCNT.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Level {
    /// Returns the best one that this processor has.
    pub(super) fn best() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("bmi1")
                && std::is_x86_feature_detected!("popcnt")
            {
                return Level::Avx2;
            }
            Level::Sse2
        }
        #[cfg(not(target_arch = "x86_64"))]
        Level::Portable
    }
}

/// Finds bytes of a block.
pub(super) trait Find {
    /// Returns one mask for each needle: bit `i` is set where byte `i` equals it.
    fn masks<const N: usize>(block: &[u8; BLOCK], needles: [u8; N]) -> [u64; N];
}

/// Eight bytes at a time in a general register.
pub(super) struct Portable;

impl Find for Portable {
    #[inline(always)]
    fn masks<const N: usize>(block: &[u8; BLOCK], needles: [u8; N]) -> [u64; N] {
        const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let mut masks = [0u64; N];
        for (idx, word) in block.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("chunks of eight have eight bytes"));
            for (mask, needle) in masks.iter_mut().zip(needles) {
                let differs = word ^ (u64::from(needle) * 0x0101_0101_0101_0101);
                // The top bit of each byte is set where the byte is zero; exact, without carries between bytes.
                let zero = !(((differs & LOW) + LOW) | differs | LOW);
                // Gathers the eight top bits into one byte.
                let bits = (zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                *mask |= bits << (idx * 8);
            }
        }
        masks
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Sse2};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, __m256i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8, _mm256_cmpeq_epi8,
        _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };

    use super::{BLOCK, Find};

    /// Sixteen bytes at a time.
    pub(in super::super) struct Sse2;

    impl Find for Sse2 {
        #[inline(always)]
        #[expect(unsafe_code, reason = "vector instructions")]
        fn masks<const N: usize>(block: &[u8; BLOCK], needles: [u8; N]) -> [u64; N] {
            let mut masks = [0u64; N];
            for quarter in 0..4 {
                // SAFETY: every x86-64 has SSE2; the load is unaligned and ends at byte 16 * 4 of 64.
                let bytes = unsafe { _mm_loadu_si128(block.as_ptr().add(quarter * 16).cast::<__m128i>()) };
                for (mask, needle) in masks.iter_mut().zip(needles) {
                    // SAFETY: every x86-64 has SSE2.
                    let found =
                        unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(needle.cast_signed()))) };
                    *mask |= u64::from(found.cast_unsigned()) << (quarter * 16);
                }
            }
            masks
        }
    }

    /// Thirty-two bytes at a time; used only inside functions that enable AVX2.
    pub(in super::super) struct Avx2;

    impl Find for Avx2 {
        #[inline(always)]
        #[expect(unsafe_code, reason = "vector instructions")]
        fn masks<const N: usize>(block: &[u8; BLOCK], needles: [u8; N]) -> [u64; N] {
            let mut masks = [0u64; N];
            for half in 0..2 {
                // SAFETY: the caller runs only after `Level::best` found AVX2; the load is unaligned and within the block.
                let bytes = unsafe { _mm256_loadu_si256(block.as_ptr().add(half * 32).cast::<__m256i>()) };
                for (mask, needle) in masks.iter_mut().zip(needles) {
                    // SAFETY: as above.
                    let found = unsafe {
                        _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(needle.cast_signed())))
                    };
                    *mask |= u64::from(found.cast_unsigned()) << (half * 32);
                }
            }
            masks
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_levels_find_the_same_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let mut block = [0u8; BLOCK];
            block.iter_mut().for_each(|byte| *byte = *random.choice(b"a,\"\n\r\0\x80\xff\x7f").expect("not empty"));
            let needles = [b',', b'\n', b'"', 0, 0x80];
            let mut expected = [0u64; 5];
            for (mask, needle) in expected.iter_mut().zip(needles) {
                *mask = (0..BLOCK).filter(|idx| block[*idx] == needle).fold(0, |mask, idx| mask | 1 << idx);
            }
            assert_eq!(Portable::masks(&block, needles), expected);
            #[cfg(target_arch = "x86_64")]
            {
                assert_eq!(Sse2::masks(&block, needles), expected);
                if Level::best() == Level::Avx2 {
                    assert_eq!(Avx2::masks(&block, needles), expected);
                }
            }
        }
    }
}
