//! DataFusion's memory as charges against the operator's budget.
//!
//! Sorts, aggregates and merge joins ask before they grow and spill when they are refused. The operator may use at most
//! half of `memory_max`, so that the batches on their way to it always find room and nothing waits on itself.
//! Invariant: what a plan holds is charged, and given back when its reservation ends.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use rde_core::{Budget, Charge};

/// A reservation that can spill gets this much, or a quarter of the limit, even when the pipeline is full: less than a
/// few batches would make it spill without end.
const FLOOR_MAX: usize = 8 << 20;

/// The pool.
#[derive(Debug)]
pub struct BudgetPool {
    /// Shares the operator's limit fairly among its parts.
    fair: FairSpillPool,
    limit: usize,
    charge: Mutex<Charge>,
}

impl BudgetPool {
    /// Makes a pool of at most `limit` bytes.
    pub fn new(budget: &Budget, limit: usize) -> BudgetPool {
        BudgetPool { fair: FairSpillPool::new(limit), limit, charge: Mutex::new(budget.charge(0)) }
    }

    fn charge(&self) -> std::sync::MutexGuard<'_, Charge> {
        self.charge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for BudgetPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "half of `settings.memory_max` ({} bytes)", self.limit)
    }
}

impl MemoryPool for BudgetPool {
    fn name(&self) -> &str {
        "budget"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.fair.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.fair.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
        self.charge().grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
        self.charge().shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.fair.try_grow(reservation, additional)?;
        let floor = FLOOR_MAX.min(self.limit / 4);
        let small = reservation.size().saturating_add(additional) <= floor;
        let mut charge = self.charge();
        if small || !reservation.consumer().can_spill() {
            charge.grow(additional);
            return Ok(());
        }
        if charge.try_grow(additional) {
            return Ok(());
        }
        drop(charge);
        self.fair.shrink(reservation, additional);
        let name = reservation.consumer().name();
        Err(DataFusionError::ResourcesExhausted(format!(
            "no room in the pipeline for {additional} more bytes of {name}"
        )))
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
