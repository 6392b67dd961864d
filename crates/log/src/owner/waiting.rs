//! Inputs that an owner has read and not applied: how many, in what order they are applied, and how long they gather.

use crate::{Batch, Record};
use foldhash::fast::FixedState;
use std::collections::{HashSet, VecDeque};
use std::hash::BuildHasher;

/// Inputs applied in one step, and inputs that wait.
pub(super) const STEP_RECORDS_MAX: usize = 65_536;
/// What is late anyway waits for company: a quarter of what it is late by, and so many milliseconds at most. The more of a key comes
/// into one step, the fewer records are written.
const GATHER_SHARE: i64 = 4;
const GATHER_MS_MAX: i64 = 10_000;
/// The clock that it waits by moves with the ticks: what should wait for less than one would wait for a whole one, and so does not wait.
const GATHER_MS_MIN: i64 = 200;

/// What waits, by input.
#[derive(Default)]
pub(super) struct Waiting {
    inputs: Vec<Input>,
    /// The input that was applied last.
    turn: usize,
}

/// Of one topic.
#[derive(Default)]
struct Input {
    batches: VecDeque<Batch>,
    /// Records of the first batch that the position has passed.
    skipped: usize,
    /// Offsets behind the position that are applied.
    ahead: HashSet<i64, FixedState>,
    /// Records in all that are not applied.
    count: usize,
    /// Since when they gather, by this process's clock.
    since: Option<i64>,
}

impl Input {
    fn records(&self) -> impl Iterator<Item = &Record> {
        let behind = self.batches.iter().flat_map(|batch| &batch.records).skip(self.skipped);
        behind.filter(|record| self.ahead.is_empty() || !self.ahead.contains(&record.offset))
    }
}

/// What of a step is applied, see [`Waiting::pass`].
pub(super) struct Applied {
    count: usize,
    /// The first one that is not; where all are, what follows the last one of them.
    next: i64,
    /// What is applied behind that.
    ahead: Vec<i64>,
}

/// Of a step, in its order, the first ones are applied: so many.
pub(super) fn applied(step: &[&Record], count: usize) -> Applied {
    let (done, left) = step.split_at(count.min(step.len()));
    let behind_all = || done.iter().map(|record| record.offset + 1).max();
    let next = left.iter().map(|record| record.offset).min().or_else(behind_all).unwrap_or(i64::MIN);
    Applied { count: done.len(), next, ahead: done.iter().map(|record| record.offset).filter(|offset| *offset > next).collect() }
}

impl Waiting {
    /// Nothing, of so many inputs.
    pub(super) fn new(inputs: usize) -> Waiting {
        Waiting { inputs: (0..inputs).map(|_| Input::default()).collect(), turn: 0 }
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.inputs.iter().map(|input| input.count).sum::<usize>() < STEP_RECORDS_MAX
    }

    /// An input was read on.
    pub(super) fn push(&mut self, input: usize, batch: Batch) {
        self.inputs[input].count += batch.records.len();
        self.inputs[input].batches.push_back(batch);
    }

    /// What is applied next, all of a key one behind another: a state is decoded, changed and encoded while it is at hand. Within a key
    /// the order is the log's; between keys it means nothing, and is the same in every process.
    pub(super) fn step(&self, input: usize) -> Vec<&Record> {
        let hasher = FixedState::default();
        let next = self.inputs[input].records().take(STEP_RECORDS_MAX);
        let mut step: Vec<(u64, &Record)> = next.map(|record| (hasher.hash_one(&record.key[..]), record)).collect();
        // Two keys of one hash do not mix.
        step.sort_unstable_by(|(hash, record), (other_hash, other)| {
            hash.cmp(other_hash).then_with(|| record.key.cmp(&other.key)).then_with(|| record.offset.cmp(&other.offset))
        });
        step.into_iter().map(|(_, record)| record).collect()
    }

    /// So much of a step is applied. Answers the offset of the next one that is not: that far goes the position. What is applied behind
    /// it is not applied again by this owner; by the next one it is, as a repeated input.
    pub(super) fn pass(&mut self, input: usize, applied: Applied) -> i64 {
        self.turn = input;
        let input = &mut self.inputs[input];
        (input.count, input.since) = (input.count - applied.count, None);
        input.ahead.extend(applied.ahead);
        let mut next = applied.next;
        while let Some(batch) = input.batches.front() {
            let is_done = |record: &&Record| record.offset < applied.next || input.ahead.contains(&record.offset);
            input.skipped += batch.records[input.skipped..].iter().take_while(is_done).count();
            if let Some(record) = batch.records.get(input.skipped) {
                next = record.offset;
                break;
            }
            (input.skipped, next) = (0, batch.next_offset);
            input.batches.pop_front();
        }
        input.ahead.retain(|offset| *offset > next);
        next
    }

    /// The input whose turn it is, among those that need not wait for more. `now` is the log's time, and `since` tells by it how long an
    /// input has been under way, so that no clock that is wrong makes anybody wait; `clock` is this process's, for the waiting itself.
    pub(super) fn next(&mut self, now: i64, clock: i64, since: impl Fn(usize, &Record) -> i64) -> Option<usize> {
        let (full, inputs) = (!self.has_room(), self.inputs.len());
        (1..=inputs).map(|step| (self.turn + step) % inputs).find(|&at| {
            let input = &mut self.inputs[at];
            let Some(first) = input.records().next() else { return !input.batches.is_empty() };
            let late = now.saturating_sub(since(at, first));
            let patience = (late / GATHER_SHARE).min(GATHER_MS_MAX);
            // Before the first tick there is no clock to wait by: what may wait waits for that.
            full || patience < GATHER_MS_MIN || clock > 0 && clock - *input.since.get_or_insert(clock) >= patience
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Headers;
    use bytes::Bytes;

    /// Records of these offsets, each appended at the millisecond of its offset.
    fn batch(offsets: std::ops::Range<i64>, next_offset: i64) -> Batch {
        let record = |offset| Record { partition: 0, offset, timestamp: offset, key: Bytes::new(), value: None, headers: Headers::new() };
        Batch { topic: "t".into(), partition: 0, records: offsets.map(record).collect(), next_offset }
    }

    fn next(waiting: &mut Waiting, now: i64, clock: i64) -> Option<usize> {
        waiting.next(now, clock, |_, record| record.timestamp)
    }

    /// The first ones of a step are applied.
    fn pass(waiting: &mut Waiting, input: usize, count: usize) -> i64 {
        let applied = applied(&waiting.step(input), count);
        waiting.pass(input, applied)
    }

    /// What is left, in the log's order.
    fn offsets(waiting: &Waiting) -> Vec<i64> {
        waiting.inputs[0].records().map(|record| record.offset).collect()
    }

    #[test]
    fn what_is_on_time_does_not_wait() {
        let mut waiting = Waiting::new(2);
        assert_eq!(next(&mut waiting, 100, 0), None);
        waiting.push(1, batch(100..102, 102));
        assert_eq!(next(&mut waiting, 100, 0), Some(1));
    }

    #[test]
    fn what_is_late_gathers_for_a_quarter_of_it_and_never_longer_than_the_most() {
        let mut waiting = Waiting::new(1);
        waiting.push(0, batch(0..1, 1));
        assert_eq!(next(&mut waiting, 4000, 5000), None);
        assert_eq!(next(&mut waiting, 4000, 5999), None);
        waiting.push(0, batch(1..3, 3));
        assert_eq!(next(&mut waiting, 4000, 6000), Some(0));
        assert_eq!(pass(&mut waiting, 0, 3), 3);
        waiting.push(0, batch(3..4, 4));
        assert_eq!(next(&mut waiting, 3 + 1_000_000, 9000), None, "it gathers anew");
        assert_eq!(next(&mut waiting, 3 + 1_000_000, 9000 + GATHER_MS_MAX), Some(0));
    }

    #[test]
    fn without_a_clock_what_is_late_waits_for_the_first_tick_to_wait_by() {
        let mut waiting = Waiting::new(1);
        waiting.push(0, batch(0..1, 1));
        assert_eq!(next(&mut waiting, 4000, 0), None);
        assert_eq!(next(&mut waiting, 4000, 1_700_000_000_000), None);
        assert_eq!(next(&mut waiting, 4000, 1_700_000_001_000), Some(0));
    }

    #[test]
    fn what_is_a_little_late_does_not_wait_for_a_whole_tick() {
        let mut waiting = Waiting::new(1);
        waiting.push(0, batch(0..1, 1));
        let little = GATHER_MS_MIN * GATHER_SHARE;
        assert_eq!(next(&mut waiting, little, 5000), None);
        assert_eq!(next(&mut waiting, little - 1, 5000), Some(0));
    }

    #[test]
    fn a_full_house_waits_no_longer() {
        let mut waiting = Waiting::new(1);
        let most = STEP_RECORDS_MAX as i64;
        waiting.push(0, batch(0..most - 1, most - 1));
        assert!(waiting.has_room());
        assert_eq!(next(&mut waiting, 1_000_000, 0), None);
        waiting.push(0, batch(most - 1..most, most));
        assert!(!waiting.has_room());
        assert_eq!(next(&mut waiting, 1_000_000, 0), Some(0));
    }

    #[test]
    fn inputs_take_turns() {
        let mut waiting = Waiting::new(3);
        (0..3).for_each(|input| waiting.push(input, batch(0..4, 4)));
        let mut turns = Vec::new();
        for _ in 0..6 {
            let input = next(&mut waiting, 0, 0).unwrap();
            pass(&mut waiting, input, 2);
            turns.push(input);
        }
        assert_eq!(turns, [1, 2, 0, 1, 2, 0]);
        assert_eq!(next(&mut waiting, 0, 0), None);
    }

    #[test]
    fn the_position_is_the_next_record_or_what_lies_behind_the_last() {
        let mut waiting = Waiting::new(1);
        waiting.push(0, batch(10..13, 15));
        waiting.push(0, batch(15..17, 20));
        assert_eq!(pass(&mut waiting, 0, 2), 12);
        assert_eq!(offsets(&waiting), [12, 15, 16]);
        assert_eq!(pass(&mut waiting, 0, 1), 15);
        assert_eq!(pass(&mut waiting, 0, 0), 15);
        assert_eq!(pass(&mut waiting, 0, 2), 20);
        // An end without a record moves the position, too.
        waiting.push(0, batch(20..20, 25));
        assert_eq!(next(&mut waiting, 0, 0), Some(0));
        assert_eq!(pass(&mut waiting, 0, 0), 25);
    }

    /// Records of these keys, with offsets from 0.
    fn keyed(keys: &str) -> Batch {
        let mut batch = batch(0..keys.len() as i64, keys.len() as i64);
        for (record, key) in batch.records.iter_mut().zip(keys.bytes()) {
            record.key = Bytes::copy_from_slice(&[key]);
        }
        batch
    }

    #[test]
    fn a_key_comes_in_one_piece_and_in_its_order() {
        let mut waiting = Waiting::new(1);
        waiting.push(0, keyed("abcabcabbc"));
        let step: Vec<(u8, i64)> = waiting.step(0).iter().map(|record| (record.key[0], record.offset)).collect();
        let pieces: Vec<&[(u8, i64)]> = step.chunk_by(|(key, _), (next, _)| key == next).collect();
        assert_eq!(pieces.len(), 3);
        for piece in pieces {
            assert!(piece.is_sorted_by_key(|(_, offset)| *offset), "{piece:?}");
        }
    }

    #[test]
    fn what_is_applied_behind_the_position_is_not_applied_again() {
        let keys = "abcabcabbc";
        for count in 0..=keys.len() {
            let mut waiting = Waiting::new(1);
            waiting.push(0, keyed(keys));
            let mut done: Vec<i64> = waiting.step(0)[..count].iter().map(|record| record.offset).collect();
            let next = pass(&mut waiting, 0, count);
            assert!((0..next).all(|offset| done.contains(&offset)) && !done.contains(&next), "{next} after {done:?}");
            let rest = offsets(&waiting);
            assert_eq!(rest.len(), keys.len() - count);
            done.extend(rest);
            done.sort_unstable();
            assert!(done.into_iter().eq(0..keys.len() as i64));
            if count < keys.len() {
                assert_eq!(pass(&mut waiting, 0, keys.len() - count), keys.len() as i64);
            }
            assert!(waiting.inputs[0].ahead.is_empty() && waiting.inputs[0].batches.is_empty());
        }
    }

    #[test]
    fn no_step_is_larger_than_the_most() {
        let mut waiting = Waiting::new(1);
        let most = STEP_RECORDS_MAX as i64;
        waiting.push(0, batch(0..most + 5, most + 5));
        assert_eq!(waiting.step(0).len(), STEP_RECORDS_MAX);
        assert_eq!(pass(&mut waiting, 0, STEP_RECORDS_MAX), most);
        assert_eq!(offsets(&waiting), [most, most + 1, most + 2, most + 3, most + 4]);
    }
}
