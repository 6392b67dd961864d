//! How often something may be done within an hour. Pure: the time is handed in.

use events::Millis;
use events::time::HOUR_MS;
use std::collections::VecDeque;

/// What one of them did within the last hour.
#[derive(Clone, Debug, Default)]
pub struct Hourly(VecDeque<Millis>);

impl Hourly {
    /// Counts once more, where fewer than `most` were done within the hour before.
    ///
    /// # Errors
    /// It would be too many: so many milliseconds until it is not.
    pub fn take(&mut self, now: Millis, most: u32) -> Result<(), i64> {
        while self.0.front().is_some_and(|oldest| oldest.0 <= now.0 - HOUR_MS) {
            self.0.pop_front();
        }
        if self.0.len() < most as usize {
            self.0.push_back(now);
            return Ok(());
        }
        Err(self.0.front().map_or(HOUR_MS, |oldest| oldest.0 + HOUR_MS - now.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_allowed_within_any_hour_and_then_again() {
        let mut hourly = Hourly::default();
        for at in [0, 10] {
            assert_eq!(hourly.take(Millis(at), 2), Ok(()));
        }
        assert_eq!(hourly.take(Millis(20), 2), Err(HOUR_MS - 20));
        assert_eq!(hourly.take(Millis(HOUR_MS - 1), 2), Err(1));
        assert_eq!(hourly.take(Millis(HOUR_MS), 2), Ok(()));
        assert_eq!(hourly.take(Millis(HOUR_MS + 1), 2), Err(9));
        assert_eq!(Hourly::default().take(Millis(0), 0), Err(HOUR_MS));
    }
}
