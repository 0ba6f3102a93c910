//! IDs of other systems: where what stands in them.

use core::fmt;
use core::str::FromStr;

/// How another system lays its 64-bit IDs out.
#[derive(Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    /// When its timestamps begin, in Unix milliseconds.
    pub epoch_ms: u64,
    /// The length of a timestamp's unit in milliseconds.
    pub tick_ms: u64,
    /// The bits of an ID: 63 where the sign is always 0.
    pub bits: u8,
    /// What stands behind the timestamp, from the top, and how many bits it has.
    pub fields: &'static [(&'static str, u8)],
}

/// The name is that of no preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPreset;

/// What an ID of another system says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) unix_ms: u64,
    pub(crate) fields: Vec<(&'static str, u64)>,
}

const PRESETS: &[Preset] = &[
    // github.com/twitter-archive/snowflake, IdWorker.scala of 2010.
    Preset {
        name: "twitter",
        epoch_ms: 1_288_834_974_657,
        tick_ms: 1,
        bits: 63,
        fields: &[("datacenter_id", 5), ("worker_id", 5), ("sequence", 12)],
    },
    // docs.discord.com, API reference, section Snowflakes.
    Preset {
        name: "discord",
        epoch_ms: 1_420_070_400_000,
        tick_ms: 1,
        bits: 64,
        fields: &[("worker_id", 5), ("process_id", 5), ("increment", 12)],
    },
    // github.com/mastodon/mastodon, lib/mastodon/snowflake.rb.
    Preset { name: "mastodon", epoch_ms: 0, tick_ms: 1, bits: 64, fields: &[("sequence", 16)] },
    // Sharding & IDs at Instagram, instagram-engineering.com, 2012.
    Preset {
        name: "instagram",
        epoch_ms: 1_314_220_021_721,
        tick_ms: 1,
        bits: 64,
        fields: &[("shard_id", 13), ("sequence", 10)],
    },
    // github.com/sony/sonyflake, sonyflake.go: units of 10 ms since 2014-09-01.
    Preset {
        name: "sony",
        epoch_ms: 1_409_529_600_000,
        tick_ms: 10,
        bits: 63,
        fields: &[("sequence", 8), ("machine_id", 16)],
    },
    // The same, v2/sonyflake.go: since 2025-01-01.
    Preset {
        name: "sony-v2",
        epoch_ms: 1_735_689_600_000,
        tick_ms: 10,
        bits: 63,
        fields: &[("sequence", 8), ("machine_id", 16)],
    },
];

impl Preset {
    /// The largest ID of the system.
    pub(crate) const fn id_max(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// Takes an ID apart, by another epoch if one is given.
    pub(crate) fn parse(&self, id: u64, epoch_ms: Option<u64>) -> Foreign {
        let mut rest = id;
        let mut fields: Vec<_> = self
            .fields
            .iter()
            .rev()
            .map(|(name, bits)| {
                let value = rest & ((1 << bits) - 1);
                rest >>= bits;
                (*name, value)
            })
            .collect();
        fields.reverse();
        let epoch_ms = epoch_ms.unwrap_or(self.epoch_ms);
        Foreign { unix_ms: epoch_ms.saturating_add(rest.saturating_mul(self.tick_ms)), fields }
    }
}

impl FromStr for &'static Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or(UnknownPreset)
    }
}

impl fmt::Display for UnknownPreset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the presets are")?;
        PRESETS.iter().enumerate().try_for_each(|(place, preset)| {
            write!(f, "{} `{}`", if place == 0 { "" } else { "," }, preset.name)
        })
    }
}

impl core::error::Error for UnknownPreset {}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, id: u64) -> Foreign {
        name.parse::<&Preset>().unwrap().parse(id, None)
    }

    #[test]
    fn documented_ids_come_apart() {
        let discord = parse("discord", 175_928_847_299_117_063);
        let fields = vec![("worker_id", 1), ("process_id", 0), ("increment", 7)];
        assert_eq!(discord, Foreign { unix_ms: 1_462_015_105_796, fields });
        // 1387263000 ms after the epoch, user 31341 of 2000 logical shards, the 5001st row.
        let instagram = parse("instagram", 1_387_263_000 << 23 | 1_341 << 10 | (5_001 % 1_024));
        let fields = vec![("shard_id", 1_341), ("sequence", 905)];
        assert_eq!(instagram, Foreign { unix_ms: 1_314_220_021_721 + 1_387_263_000, fields });
        let sony = parse("sony", 100 << 24 | 3 << 16 | 258);
        let fields = vec![("sequence", 3), ("machine_id", 258)];
        assert_eq!(sony, Foreign { unix_ms: 1_409_529_601_000, fields });
        // Composed as its `Compose` does for 2026-11-27T00:00:00Z, sequence 1, machine 258.
        let tick = (1_795_737_600_000 - 1_735_689_600_000) / 10;
        let sony = parse("sony-v2", tick << 24 | 1 << 16 | 258);
        assert_eq!((sony.unix_ms, &sony.fields[1]), (1_795_737_600_000, &("machine_id", 258)));
        let mastodon = parse("mastodon", 1_700_000_000_123 << 16 | 77);
        assert_eq!(
            mastodon,
            Foreign { unix_ms: 1_700_000_000_123, fields: vec![("sequence", 77)] }
        );
        let twitter = parse("twitter", "twitter".parse::<&Preset>().unwrap().id_max());
        assert_eq!(twitter.fields, [("datacenter_id", 31), ("worker_id", 31), ("sequence", 4_095)]);
    }

    #[test]
    fn an_unknown_preset_names_the_known_ones() {
        assert_eq!("Twitter".parse::<&Preset>(), Err(UnknownPreset));
        let text = "the presets are `twitter`, `discord`, `mastodon`, `instagram`, `sony`, \
                    `sony-v2`";
        assert_eq!(UnknownPreset.to_string(), text);
    }
}
