//! How IDs are laid out, as it is told on the command line and in the file.

use core::str::FromStr;

use clap::Args;
use coreflake_protocol::Widths;

use crate::args::serve::first;

/// Layout and epochs of IDs. Nothing of it may ever change under a slot.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub struct NamespaceArgs {
    /// When timestamps begin, in Unix milliseconds; never change it [default: 1609459200000]
    #[arg(long, value_name = "MS", env = "COREFLAKE_EPOCH", value_parser = epoch)]
    pub epoch: Option<u64>,

    /// Bits of timestamp, datacenter, worker and sequence: 63 together, or `snowflake`, or
    /// `javascript` for 53; never change it [default: 41+5+5+12]
    #[arg(long, value_name = "T+D+W+S", env = "COREFLAKE_LAYOUT")]
    pub layout: Option<LayoutArg>,

    /// Milliseconds of one timestamp, 1 or 10; never change it [default: 1]
    #[arg(long, value_name = "N", env = "COREFLAKE_TICK_MS", value_parser = tick_ms)]
    pub tick_ms: Option<u8>,

    /// Bits of the shard in IDs of kind instagram, of 23 that it has together with the sequence;
    /// never change it [default: 13, or the width of a slot if that is more]
    #[arg(long, value_name = "N", env = "COREFLAKE_INSTAGRAM_SHARD_BITS")]
    pub instagram_shard_bits: Option<u8>,

    /// When timestamps of kind instagram begin, in Unix milliseconds; never change it [default: the
    /// epoch]
    #[arg(long, value_name = "MS", env = "COREFLAKE_INSTAGRAM_EPOCH", value_parser = epoch)]
    pub instagram_epoch: Option<u64>,
}

impl NamespaceArgs {
    /// These settings, and those of `below` where they say nothing.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        first!(
            self, below, epoch, layout, tick_ms, instagram_shard_bits, instagram_epoch;
        )
    }
}

fn epoch(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "a time in Unix milliseconds such as 1609459200000 is expected")
}

fn tick_ms(text: &str) -> Result<u8, &'static str> {
    text.parse().map_err(|_| "1 or 10 is expected")
}

/// Bit widths, or the name of usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayoutArg(pub Widths);

impl FromStr for LayoutArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "snowflake" => Ok(Self(Widths::SNOWFLAKE)),
            "javascript" => Ok(Self(Widths::JAVASCRIPT)),
            _ => text.parse().map(Self).map_err(|_| LAYOUT_RULE),
        }
    }
}

/// What a layout is.
pub(crate) const LAYOUT_RULE: &str =
    "snowflake, javascript, or four bit widths such as 41+5+5+12 are expected";

/// The node of UUIDs of version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Made of the slot.
    Slot,
    /// The address of a network card. Everybody who sees an ID sees it.
    Mac,
    /// This one, of 48 bits.
    Given(u64),
}

/// What a node is.
pub(crate) const NODE_RULE: &str = "slot, mac, or six bytes such as 02:00:5e:10:00:01 are expected";

impl FromStr for Node {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "slot" => return Ok(Self::Slot),
            "mac" => return Ok(Self::Mac),
            _ => {}
        }
        let bytes = text.split(':').map(|byte| {
            let digits = byte.len() == 2 && byte.bytes().all(|digit| digit.is_ascii_hexdigit());
            digits.then(|| u64::from_str_radix(byte, 16).ok()).flatten()
        });
        let bytes: Vec<_> = bytes.collect::<Option<_>>().ok_or(NODE_RULE)?;
        if bytes.len() != 6 {
            return Err(NODE_RULE);
        }
        Ok(Self::Given(bytes.iter().fold(0, |node, byte| node << 8 | byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_has_a_name_or_four_widths() {
        assert_eq!("snowflake".parse(), Ok(LayoutArg(Widths::SNOWFLAKE)));
        assert_eq!("41+2+4+6".parse(), "javascript".parse::<LayoutArg>());
        for text in ["", "Snowflake", "41+5+5", "41,5,5,12"] {
            assert_eq!(text.parse::<LayoutArg>(), Err(LAYOUT_RULE), "{text}");
        }
    }

    #[test]
    fn a_node_is_six_bytes() {
        assert_eq!("02:00:5e:10:00:Ff".parse(), Ok(Node::Given(0x0200_5e10_00ff)));
        assert_eq!(("slot".parse(), "mac".parse()), (Ok(Node::Slot), Ok(Node::Mac)));
        for text in
            ["", "02:00:5e:10:00", "02:00:5e:10:00:01:02", "2:0:5e:10:0:1", "+2:00:5e:10:00:01"]
        {
            assert_eq!(text.parse::<Node>(), Err(NODE_RULE), "{text}");
        }
    }
}
