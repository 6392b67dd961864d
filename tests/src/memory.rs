//! Memory as this machine hands it out. A virtual machine gives its host back what is free; a page of it that is touched again costs many
//! times the usual, and that is the host's work and not that of whatever is measured.

use anyhow::Result;
use memmap2::MmapMut;
use std::time::Instant;

const PAGE: usize = 4096;

/// Touches so many MiB and gives them back at once: whoever asks for memory next meets pages that the machine has. Answers what one cost
/// now, in microseconds.
///
/// # Errors
/// There is not so much.
pub fn have_at_hand(mib: usize) -> Result<f64> {
    // From the system itself: an allocator would keep it.
    let mut memory = MmapMut::map_anon(mib << 20)?;
    let began = Instant::now();
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    Ok(began.elapsed().as_secs_f64() * 1e6 / (memory.len() / PAGE).max(1) as f64)
}
