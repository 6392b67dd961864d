//! The Merkle tree over a log's lines (RFC 6962), as far as appending and its head need it: the roots of its whole subtrees.

use tlog_tiles::{Hash, node_hash, record_hash};

/// A tree of so many leaves: its head takes memory that grows with the logarithm of their number.
#[derive(Clone, Default)]
pub struct Tree {
    leaves: u64,
    /// Roots of the whole subtrees, largest first: one for each bit of `leaves` that is set.
    roots: Vec<Hash>,
}

impl Tree {
    /// How many leaves.
    pub fn len(&self) -> u64 {
        self.leaves
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = record_hash(leaf);
        // Every trailing bit that is set is a subtree that becomes whole with this leaf.
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(left, hash);
            }
        }
        self.roots.push(hash);
        self.leaves += 1;
    }

    /// Its head.
    pub fn head(&self) -> Hash {
        let mut roots = self.roots.iter().rev().copied();
        roots.next().map_or(tlog_tiles::EMPTY_HASH, |last| roots.fold(last, |right, left| node_hash(left, right)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tlog_tiles::{HashReader, stored_hashes, tree_hash};

    struct Stored(RefCell<Vec<Hash>>);

    impl HashReader for Stored {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
            Ok(indexes.iter().map(|&at| self.0.borrow()[at as usize]).collect())
        }
    }

    #[test]
    fn heads_are_those_of_the_library() {
        let (mut tree, stored) = (Tree::default(), Stored(RefCell::default()));
        for leaf in 0..300_u64 {
            assert_eq!(tree.head(), tree_hash(leaf, &stored).unwrap());
            let hashes = stored_hashes(leaf, &leaf.to_be_bytes(), &stored).unwrap();
            stored.0.borrow_mut().extend(hashes);
            tree.push(&leaf.to_be_bytes());
        }
        assert_eq!(tree.len(), 300);
    }
}
