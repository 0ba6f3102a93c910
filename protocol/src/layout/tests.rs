//! What a layout takes and gives.

use super::*;

#[test]
fn the_example_of_the_mission_comes_apart_and_together() {
    let layout = Layout::SNOWFLAKE;
    let id = Id::new(1_234_567_890_123_456_789).unwrap();
    let parts = layout.parse(id);
    let tick = layout.tick(parts.unix_ms).unwrap();
    let slot = layout.slot(parts.datacenter_id.into(), parts.worker_id.into()).unwrap();
    assert_eq!(layout.pack(tick, slot, layout.sequence(parts.sequence).unwrap()), id);
}

fn new(timestamp: u8, datacenter: u8, worker: u8, sequence: u8) -> Result<Layout, LayoutError> {
    Layout::new(Widths { timestamp, datacenter, worker, sequence }, 1, 0)
}

#[test]
fn widths_must_fill_the_word() {
    assert_eq!(new(41, 5, 5, 13), Err(LayoutError::Total(64)));
    assert_eq!(new(41, 5, 5, 11), Err(LayoutError::Total(62)));
    assert_eq!(new(255, 255, 255, 255), Err(LayoutError::Total(1020)));
    assert_eq!(new(41, 10, 7, 5), Err(LayoutError::SlotTooWide(17)));
    assert_eq!(new(53, 5, 5, 0), Err(LayoutError::SequenceWidth(0)));
    assert_eq!(new(39, 0, 0, 24), Err(LayoutError::SequenceWidth(24)));
    assert!(new(41, 0, 10, 12).is_ok() && new(47, 0, 0, 16).is_ok());
    let widths = Widths::SNOWFLAKE;
    assert!(matches!(Layout::new(widths, 1, u64::MAX), Err(LayoutError::Epoch(_))));
    assert_eq!(Layout::new(widths, 5, 0), Err(LayoutError::TickLength(5)));
}

#[test]
fn an_id_of_53_bits_is_a_whole_number_in_floating_point() {
    let layout = Layout::new(Widths::JAVASCRIPT, 1, 0).unwrap();
    assert_eq!(layout.id_max().get(), (1 << 53) - 1);
    let (slot, last) = (layout.slot(3, 15).unwrap(), layout.sequence(63).unwrap());
    assert_eq!(layout.pack(layout.tick_max(), slot, last), layout.id_max());
    assert_eq!(Layout::SNOWFLAKE.id_max(), Id::MAX);
}

#[test]
fn a_slot_of_16_bits_has_a_number() {
    let layout = new(39, 1, 15, 8).unwrap();
    assert_eq!(layout.slot_number(layout.slot(1, 32_767).unwrap()), 65_535);
    assert_eq!(layout.slot_parts(65_535), (1, 32_767));
    assert_eq!(new(39, 0, 16, 8), Err(LayoutError::WorkerWidth(16)));
    let layout = new(39, 16, 0, 8).unwrap();
    assert_eq!(layout.slot_number(layout.slot(65_535, 0).unwrap()), 65_535);
}

#[test]
fn a_part_out_of_range_is_an_error_that_names_it() {
    let layout = Layout::SNOWFLAKE;
    let error = layout.slot(0, 32).unwrap_err();
    assert_eq!(error.to_string(), "worker_id 32 is out of range: 0 to 31 are allowed");
    assert_eq!(layout.slot(32, 0).unwrap_err().field, "datacenter_id");
    assert_eq!(layout.sequence(4096).unwrap_err().max, 4095);
    assert!(matches!(layout.tick(0), Err(TickError::BeforeEpoch { .. })));
    let end_ms = layout.unix_ms(layout.tick_max());
    assert_eq!(layout.tick(end_ms), Ok(layout.tick_max()));
    assert!(matches!(layout.tick(end_ms + 1), Err(TickError::AfterEnd { .. })));
}

#[test]
#[should_panic(expected = "tick past the end")]
fn packing_a_tick_past_the_end_panics_instead_of_masking() {
    let layout = Layout::SNOWFLAKE;
    let slot = layout.slot(0, 0).unwrap();
    layout.pack(layout.tick_max().next(), slot, layout.sequence(0).unwrap());
}

#[test]
#[should_panic(expected = "run leaves its tick")]
fn a_run_cannot_spill_into_the_worker_bits() {
    let layout = Layout::SNOWFLAKE;
    let slot = layout.slot(0, 0).unwrap();
    let two = NonZeroU32::new(2).unwrap();
    layout.pack_run(Tick::ZERO, slot, layout.sequence(4095).unwrap(), two);
}
