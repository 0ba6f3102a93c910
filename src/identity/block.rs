//! One copy of a record in a file, bound to that file.
//!
//! ```text
//!   0  record           180
//! 180  filesystem         8   f_fsid of its file system
//! 188  inode              8   st_ino of the file
//! 196  machine           16   /etc/machine-id, zero when there is none
//! 212  CRC-32 of all before  4
//! ```
//!
//! A file that was copied, restored from a backup or baked into an image is another file: its
//! record says where ticks were taken by somebody else, at some time.

use coreflake_engine::record::{RECORD_SIZE, Record};

/// Bytes of one copy.
pub(crate) const BLOCK_SIZE: usize = CHECKED_SIZE + 4;

const CHECKED_SIZE: usize = RECORD_SIZE + 8 + 8 + 16;

/// What tells one file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The identity of the file system: stays when its device gets another number.
    pub(crate) filesystem: u64,
    pub(crate) inode: u64,
    pub(crate) machine: u128,
}

/// A record and the file it was written into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) record: Record,
    pub(crate) binding: Binding,
}

impl Block {
    pub(crate) fn encode(&self) -> [u8; BLOCK_SIZE] {
        let mut bytes = [0; BLOCK_SIZE];
        let Binding { filesystem, inode, machine } = self.binding;
        let fields = [
            &self.record.encode()[..],
            &filesystem.to_be_bytes(),
            &inode.to_be_bytes(),
            &machine.to_be_bytes(),
        ];
        let mut at = 0;
        for field in fields {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        }
        let checksum = crc32fast::hash(&bytes[..CHECKED_SIZE]);
        bytes[CHECKED_SIZE..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// Reads a copy; in words, why it is none.
    pub(crate) fn decode(bytes: &[u8; BLOCK_SIZE]) -> Result<Self, String> {
        let (checked, checksum) = bytes.split_at(CHECKED_SIZE);
        let (record, binding) = checked.split_at(RECORD_SIZE);
        // The record first: it knows whether another release wrote it.
        let record = Record::decode(record).map_err(|error| error.to_string())?;
        if crc32fast::hash(checked).to_be_bytes() != checksum {
            return Err("the checksum of its block does not match: it is torn or damaged".into());
        }
        let number = |range: core::ops::Range<usize>| {
            binding[range].iter().fold(0, |number: u128, byte| number << 8 | u128::from(*byte))
        };
        let binding = Binding {
            filesystem: u64::try_from(number(0..8)).unwrap_or(u64::MAX),
            inode: u64::try_from(number(8..16)).unwrap_or(u64::MAX),
            machine: number(16..32),
        };
        Ok(Self { record, binding })
    }
}

#[cfg(test)]
mod tests {
    use coreflake_engine::record::Host;

    use super::*;

    #[test]
    fn a_block_comes_back_and_no_damage_passes() {
        let record = Record {
            slot: 1,
            fingerprint: 2,
            term: 3,
            created_ms: 4,
            bound_ms: 5,
            written_ms: 6,
            holder: 7,
            attempt: 8,
            host: Host::new("here"),
        };
        let binding = Binding { filesystem: u64::MAX - 1, inode: 12, machine: 1 << 120 | 9 };
        let block = Block { record, binding };
        let bytes = block.encode();
        assert_eq!(Block::decode(&bytes), Ok(block));
        for at in 0..BLOCK_SIZE {
            let mut damaged = bytes;
            damaged[at] ^= 0x10;
            assert!(Block::decode(&damaged).is_err(), "byte {at}");
        }
        assert!(Block::decode(&[0; BLOCK_SIZE]).is_err());
    }
}
