//! Back-pressure: how many bytes may be under way at once, in all and for one source. Whoever is over it comes again later.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes under way at once, of all sources.
const TOTAL_BYTES_MAX: usize = 64 << 20;
/// Bytes under way at once of one source.
const SOURCE_BYTES_MAX: usize = 24 << 20;
/// What a request counts at least: it costs more than its body.
const REQUEST_BYTES_MIN: usize = 16 << 10;

const _: () = assert!(SOURCE_BYTES_MAX >= super::BODY_BYTES_MAX, "the largest request must be possible");

/// What is under way.
#[derive(Default)]
pub struct Budget {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_source: HashMap<String, usize>,
}

/// A share that goes back when it is dropped.
pub struct Share {
    budget: Arc<Budget>,
    source: String,
    bytes: usize,
}

impl Budget {
    /// Takes a share; `None` where the source, or all together, would be over it.
    pub fn take(self: &Arc<Budget>, source: &str, bytes: usize) -> Option<Share> {
        let bytes = bytes.max(REQUEST_BYTES_MIN);
        let mut taken = self.taken.lock();
        let own = taken.by_source.get(source).copied().unwrap_or_default();
        if own + bytes > SOURCE_BYTES_MAX || taken.total + bytes > TOTAL_BYTES_MAX {
            return None;
        }
        taken.total += bytes;
        *taken.by_source.entry(source.to_owned()).or_default() += bytes;
        Some(Share { budget: Arc::clone(self), source: source.to_owned(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock();
        taken.total -= self.bytes;
        if let Some(own) = taken.by_source.get_mut(&self.source) {
            *own -= self.bytes;
            if *own == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_cannot_take_everything_and_what_is_done_goes_back() {
        let budget = Arc::new(Budget::default());
        let mut shares: Vec<Share> = (0..3).map(|_| budget.take("a", 8 << 20).unwrap()).collect();
        assert!(budget.take("a", 1).is_none());
        let other = budget.take("b", 8 << 20).unwrap();
        shares.pop();
        assert!(budget.take("a", 8 << 20).is_some());
        drop((shares, other));
        assert_eq!(budget.taken.lock().total, 0);
        assert!(budget.taken.lock().by_source.is_empty());
    }

    #[test]
    fn all_sources_together_have_a_bound() {
        let budget = Arc::new(Budget::default());
        let shares: Vec<Share> = (0..8).filter_map(|at| budget.take(&format!("s{at}"), 8 << 20)).collect();
        assert_eq!(shares.len(), 8);
        assert!(budget.take("late", 1).is_none());
    }
}
