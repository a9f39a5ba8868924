//! Counters of a plugin, read by the report and `/metrics` without locks on the data path.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Buckets of call times: four to a doubling of microseconds, up to about an hour.
const BUCKETS: usize = 128;

/// What a plugin did in one operator, all lanes together.
#[derive(Debug)]
pub struct PluginStats {
    /// `sha256:…` of the artifact.
    pub digest: String,
    /// Calls of `process`.
    pub calls: AtomicU64,
    /// Traps.
    pub traps: AtomicU64,
    /// Reloads.
    pub reloads: AtomicU64,
    /// Most bytes of linear memory of one instance.
    pub memory_peak: AtomicU64,
    /// Bytes sent in and taken out.
    pub bytes_in: AtomicU64,
    /// Bytes taken out.
    pub bytes_out: AtomicU64,
    times: [AtomicU64; BUCKETS],
}

/// A place in which an operator leaves its plugin's counters for the engine to report.
pub type PluginStatsSlot = Arc<OnceLock<Arc<PluginStats>>>;

impl PluginStats {
    /// Makes counters at zero.
    pub fn new(digest: String) -> PluginStats {
        PluginStats {
            digest,
            calls: AtomicU64::new(0),
            traps: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            times: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }

    /// Counts one call that took `nanos`.
    pub fn called(&self, nanos: u64) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.times[bucket(nanos / 1000)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns an upper bound of the microseconds within which the fraction `quantile` of the calls ended; at most 19 % high.
    pub fn quantile_micros(&self, quantile: f64) -> u64 {
        let counts: Vec<u64> = self.times.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let mut left = (total as f64 * quantile).ceil() as u64;
        for (index, count) in counts.iter().enumerate() {
            if *count >= left {
                return if total == 0 { 0 } else { upper(index) };
            }
            left -= count;
        }
        0
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return micros as usize;
    }
    let log = 63 - micros.leading_zeros() as usize;
    let quarter = (micros >> (log - 2)) as usize & 3;
    (log * 4 - 4 + quarter).min(BUCKETS - 1)
}

fn upper(index: usize) -> u64 {
    if index < 4 {
        return index as u64;
    }
    let log = index / 4 + 1;
    ((4 + (index as u64 % 4) + 1) << (log - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_within_its_bucket() {
        for micros in (0..5000).chain([1 << 20, (1 << 30) + 12345]) {
            let index = bucket(micros);
            assert!(micros <= upper(index), "{micros} {index} {}", upper(index));
            assert!(index == 0 || micros > upper(index - 1), "{micros} {index}");
        }
    }
}
