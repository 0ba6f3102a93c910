//! Random bits for IDs: from a generator that is fit for secrets, seeded once.

use chacha20::ChaCha12Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use coreflake_protocol::{Layout, Slot};

/// What an incarnation needs of randomness. Nothing of its uniqueness hangs on it.
#[derive(Clone, Debug)]
pub struct Entropy {
    seed: [u8; 32],
    node: Option<u64>,
}

/// The random bits of one lane. A system call is made by nobody: ChaCha with 12 rounds makes 48
/// bits in some nanoseconds.
#[derive(Debug)]
pub(crate) struct LaneEntropy {
    bits: ChaCha12Rng,
    node: u64,
}

/// The bit of a node that is no address of a network card (RFC 9562, section 6.10).
const MULTICAST: u64 = 1 << 40;

/// The stream of bits that the node is made of; lanes have those from 0 on.
const NODE_STREAM: u64 = u64::MAX;

impl Entropy {
    /// `seed` comes from the operating system and is used for one incarnation. `node` is the node
    /// of UUIDs of version 1, of 48 bits; without one it is made of the slot.
    pub const fn new(seed: [u8; 32], node: Option<u64>) -> Self {
        Self { seed, node }
    }

    pub(crate) fn of_lane(&self, lane: u16, layout: &Layout, slot: Slot) -> LaneEntropy {
        let node = self.node.unwrap_or_else(|| {
            let random = self.stream(NODE_STREAM).next_u64();
            slot_node(random, layout.slot_number(slot))
        });
        LaneEntropy { bits: self.stream(lane.into()), node }
    }

    fn stream(&self, stream: u64) -> ChaCha12Rng {
        let mut bits = ChaCha12Rng::from_seed(self.seed);
        bits.set_stream(stream);
        bits
    }
}

impl LaneEntropy {
    pub(crate) fn next(&mut self) -> u64 {
        self.bits.next_u64()
    }

    pub(crate) const fn node(&self) -> u64 {
        self.node
    }
}

/// A node of 31 random bits and the slot, with the multicast bit.
fn slot_node(random: u64, slot: u16) -> u64 {
    let random = random & (0xffff_ffff << 16 & !MULTICAST);
    MULTICAST | random | u64::from(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_no_address_of_a_card_and_ends_with_the_slot() {
        for random in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            let node = slot_node(random, 0x03ff);
            assert_eq!((node >> 48, node & MULTICAST, node & 0xffff), (0, MULTICAST, 0x03ff));
        }
    }

    #[test]
    fn lanes_have_bits_of_their_own_and_one_node() {
        let (layout, entropy) = (Layout::SNOWFLAKE, Entropy::new([7; 32], None));
        let slot = layout.slot(1, 2).unwrap();
        let mut lanes = [0, 1].map(|lane| entropy.of_lane(lane, &layout, slot));
        assert_eq!(lanes[0].node(), lanes[1].node());
        assert_ne!(lanes[0].next(), lanes[1].next());
        let given = Entropy::new([7; 32], Some(5)).of_lane(0, &layout, slot);
        assert_eq!(given.node(), 5);
    }
}
