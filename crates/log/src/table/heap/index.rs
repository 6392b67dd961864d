//! Where each key's record lies: 8 bytes a key, and no key in it. A hash finds the few places that can be the key's; whether one is, only
//! the record there tells.

/// Shards grow one at a time, so that never more than a little is there twice.
const SHARDS_BITS: u32 = 8;
/// A slot is 24 bits of the hash above 40 bits of the place; an empty one is 0.
const PLACE_BITS: u32 = 40;
const MARK_BITS: u32 = 64 - PLACE_BITS;
const SLOTS_MIN: usize = 8;

/// Places must lie below this, and above 0.
pub const PLACES_END: u64 = 1 << PLACE_BITS;

/// Every key's place.
pub struct Index {
    shards: Vec<Shard>,
}

#[derive(Clone, Default)]
struct Shard {
    slots: Vec<u64>,
    filled: usize,
}

/// A slot that was found; good until the index changes.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    shard: usize,
    slot: usize,
}

fn mark(hash: u64) -> u64 {
    hash << SHARDS_BITS >> (64 - MARK_BITS)
}

impl Shard {
    /// Where a slot's search begins: marks are spread over all slots, in their order.
    fn home(&self, mark: u64) -> usize {
        (mark as usize * self.slots.len()) >> MARK_BITS
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn fill(&mut self, content: u64) {
        let mut slot = self.home(content >> PLACE_BITS);
        while self.slots[slot] != 0 {
            slot = self.after(slot);
        }
        self.slots[slot] = content;
    }

    fn grow(&mut self) {
        let slots = vec![0; (self.slots.len() + self.slots.len() / 2).max(SLOTS_MIN)];
        for content in std::mem::replace(&mut self.slots, slots) {
            if content != 0 {
                self.fill(content);
            }
        }
    }

    /// Empties a slot and closes the gap, so that no search ends at it too early.
    fn empty(&mut self, mut gap: usize) {
        let mut slot = gap;
        loop {
            slot = self.after(slot);
            let content = self.slots[slot];
            if content == 0 {
                break;
            }
            let home = self.home(content >> PLACE_BITS);
            // Whether its search passes the gap: its home is not between the gap and it.
            let stays = if gap < slot { gap < home && home <= slot } else { gap < home || home <= slot };
            if !stays {
                self.slots[gap] = content;
                gap = slot;
            }
        }
        self.slots[gap] = 0;
        self.filled -= 1;
    }
}

impl Index {
    pub fn new() -> Index {
        Index { shards: vec![Shard::default(); 1 << SHARDS_BITS] }
    }

    /// The slot of this hash whose place is the wanted one.
    pub fn find<E>(&self, hash: u64, mut is: impl FnMut(u64) -> Result<bool, E>) -> Result<Option<Found>, E> {
        let number = (hash >> (64 - SHARDS_BITS)) as usize;
        let (shard, mark) = (&self.shards[number], mark(hash));
        if shard.slots.is_empty() {
            return Ok(None);
        }
        let mut slot = shard.home(mark);
        loop {
            let content = shard.slots[slot];
            if content == 0 {
                return Ok(None);
            }
            let place = content & (PLACES_END - 1);
            if content >> PLACE_BITS == mark && is(place)? {
                return Ok(Some(Found { shard: number, slot }));
            }
            slot = shard.after(slot);
        }
    }

    /// Where a search begins, for nothing but having it at hand.
    pub fn first_slot(&self, hash: u64) -> u64 {
        let shard = &self.shards[(hash >> (64 - SHARDS_BITS)) as usize];
        shard.slots.get(shard.home(mark(hash))).copied().unwrap_or_default()
    }

    /// Adds a place for a hash; the key must not be there.
    pub fn insert(&mut self, hash: u64, place: u64) {
        let shard = &mut self.shards[(hash >> (64 - SHARDS_BITS)) as usize];
        // A quarter stays empty: searches of what is not there would grow long.
        if (shard.filled + 1) * 4 > shard.slots.len() * 3 {
            shard.grow();
        }
        shard.fill(mark(hash) << PLACE_BITS | place);
        shard.filled += 1;
    }

    pub fn replace(&mut self, found: Found, place: u64) {
        let slot = &mut self.shards[found.shard].slots[found.slot];
        *slot = *slot >> PLACE_BITS << PLACE_BITS | place;
    }

    pub fn remove(&mut self, found: Found) {
        self.shards[found.shard].empty(found.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::convert::Infallible;

    fn place_of(index: &Index, hash: u64, wanted: u64) -> Option<Found> {
        index.find(hash, |place| Ok::<_, Infallible>(place == wanted)).unwrap()
    }

    /// Against a map, with few marks and shards, so that searches pass one another everywhere.
    #[test]
    fn it_holds_what_a_map_holds() {
        let mut random = 1_u64;
        let mut next = move || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            random >> 33
        };
        for spread in [1, 40, 0x00ff_ffff] {
            let (mut index, mut map) = (Index::new(), HashMap::new());
            // The last marks of a shard, too, so that searches go round its end.
            let hash_of = |key: u64| (key % 3) << 56 | (0x00ff_ffff - key.wrapping_mul(0x9e37) % spread) << 32 | key;
            for step in 1..30_000 {
                let (key, hash) = {
                    let key = next() % 500;
                    (key, hash_of(key))
                };
                let before = map.get(&key).map(|&place| place_of(&index, hash, place).unwrap());
                match (before, next() % 3) {
                    (Some(found), 0) => {
                        index.remove(found);
                        let gone = map.remove(&key).unwrap();
                        assert!(place_of(&index, hash, gone).is_none());
                    }
                    (Some(found), _) => {
                        index.replace(found, step);
                        map.insert(key, step);
                    }
                    (None, _) => {
                        index.insert(hash, step);
                        map.insert(key, step);
                    }
                }
            }
            for (&key, &place) in &map {
                assert!(place_of(&index, hash_of(key), place).is_some());
            }
            assert_eq!(index.shards.iter().map(|shard| shard.filled).sum::<usize>(), map.len());
        }
    }
}
