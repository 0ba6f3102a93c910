//! What a namespace makes of slots, ticks and numbers.

use super::*;

const NAMESPACE: Namespace = Namespace::DEFAULT;
const NOW_MS: u64 = 1_700_000_000_123;

fn layout(widths: &str) -> Layout {
    Layout::new(widths.parse().unwrap(), 1, 1_609_459_200_000).unwrap()
}

fn slot(datacenter_id: u64, worker_id: u64) -> Slot {
    NAMESPACE.layout().slot(datacenter_id, worker_id).unwrap()
}

#[test]
fn each_kind_tells_its_time_slot_and_number() {
    let slot = slot(3, 7);
    for kind in Kind::ALL {
        let number = NAMESPACE.space(kind) - 1;
        let tick = NAMESPACE.scale(kind).tick(NOW_MS).unwrap();
        let id = if kind.is_wide() {
            let bits = NAMESPACE.pack_wide(kind, NOW_MS, slot, number, u64::MAX, 0x0100_0000_0067);
            AnyId::wide(kind, bits).unwrap()
        } else {
            let run = NAMESPACE.pack_run(kind, tick, slot, number, NonZeroU32::MIN);
            AnyId::narrow(kind, run.first()).unwrap()
        };
        // Of the 13 bits that `instagram` counts in a slot, the upper three belong to the shard.
        let sequence = if kind == Kind::Instagram { number & 1_023 } else { number };
        let parsed = Parsed { unix_ms: NOW_MS, slot: Some(slot), sequence };
        assert_eq!(NAMESPACE.parse(id), Ok(parsed), "{kind}");
        if let Some(id) = id.id().filter(|_| kind == Kind::Instagram) {
            assert_eq!(NAMESPACE.shard(id), (3 << 5 | 7) << 3 | 7);
        }
    }
}

#[test]
fn spaces_are_as_large_as_documented() {
    let spaces = Kind::ALL.map(|kind| NAMESPACE.space(kind));
    assert_eq!(spaces, [4_096, 8_192, 10_000, 1 << 20, 1 << 20]);
    let wide = Namespace::new(layout("41+8+8+6"), None, None).unwrap();
    assert_eq!(Kind::ALL.map(|kind| wide.space(kind)), [64, 128, 10_000, 1 << 16, 1 << 16]);
    assert_eq!(wide.shard_bits(), 16);
    let none = Namespace::new(layout("47+0+0+16"), None, None).unwrap();
    assert_eq!(
        Kind::ALL.map(|kind| none.space(kind)),
        [1 << 16, 1 << 23, 10_000, 1 << 20, 1 << 20]
    );
}

#[test]
fn a_shard_belongs_to_one_slot() {
    let layout = *NAMESPACE.layout();
    let new = |shard_bits| Namespace::new(layout, Some(shard_bits), None);
    let error = new(9).unwrap_err();
    let text = "a shard of 9 bits: 10 (the width of a slot) to 22 are allowed";
    assert_eq!(error.to_string(), text);
    assert!(new(23).is_err() && new(10).is_ok() && new(22).is_ok());
    assert_eq!(Namespace::new(layout, None, Some(u64::MAX)), Err(NamespaceError::Epoch(u64::MAX)));
}

#[test]
fn what_names_no_slot_has_none() {
    let bits = wide::uuid1(NOW_MS, 5, 1_024, 0);
    let id = AnyId::wide(Kind::Uuid1, bits).unwrap();
    assert_eq!(NAMESPACE.parse(id).unwrap().slot, None);
    // With slots of 16 bits the node has to agree.
    let wide = Namespace::new(layout("41+8+8+6"), None, None).unwrap();
    let parse = |node| {
        let id = AnyId::wide(Kind::Uuid1, wide::uuid1(NOW_MS, 5, 0x08c7, node)).unwrap();
        wide.parse(id).unwrap().slot
    };
    assert_eq!(parse(0x1782_bfca_c8c7).map(|slot| wide.layout().slot_number(slot)), Some(0xc8c7));
    assert_eq!(parse(0x1782_bfca_c8c8), None);
    let javascript = Namespace::new(layout("41+2+4+6"), None, None).unwrap();
    let id = AnyId::narrow(Kind::Snowflake, Id::new(1 << 53).unwrap()).unwrap();
    assert_eq!(
        javascript.parse(id),
        Err(IdError::PastEnd { id_max: javascript.layout().id_max() })
    );
}

#[test]
fn the_fingerprint_tells_everything_apart_that_must_not_change() {
    let epoch_ms = NAMESPACE.layout().epoch_ms();
    let of = |widths: &str, tick_ms, epoch_ms, shard_bits, instagram_epoch_ms| {
        let layout = Layout::new(widths.parse().unwrap(), tick_ms, epoch_ms).unwrap();
        Namespace::new(layout, shard_bits, instagram_epoch_ms).unwrap().fingerprint()
    };
    let mut fingerprints = vec![
        of("41+5+5+12", 1, epoch_ms, None, None),
        of("41+5+5+12", 1, epoch_ms + 1, None, None),
        of("41+4+6+12", 1, epoch_ms, None, None),
        of("41+5+5+12", 10, epoch_ms, None, None),
        of("41+5+5+12", 1, epoch_ms, Some(12), None),
        of("41+5+5+12", 1, epoch_ms, None, Some(epoch_ms + 1)),
        of("41+2+4+6", 1, epoch_ms, None, None),
    ];
    assert_eq!(fingerprints[0], 0x68a1_7527_2bad_620c, "the one that records already have");
    assert_eq!(of("41+5+5+12", 1, epoch_ms, Some(13), Some(epoch_ms)), fingerprints[0]);
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 7);
}

#[test]
#[should_panic(expected = "a number outside its tick")]
fn a_number_cannot_spill_into_the_slot() {
    NAMESPACE.pack_wide(Kind::Ulid, NOW_MS, slot(0, 0), 1 << 22, 0, 0);
}
