//! What must hold for every layout, every run and every sequence of bytes.

#![allow(clippy::unwrap_used)]

use core::num::NonZeroU32;

use coreflake_protocol::frame::{self, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{
    AnyId, Count, Encoding, Frame, Header, Id, IdsWriter, Kind, Layout, Namespace, Opcode, Request,
    Response, Run, Tick, Widths,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn mask(bits: u8) -> u64 {
    (1 << bits) - 1
}

/// Every combination of widths that makes a layout: datacenter, worker and sequence bits. Time has
/// the rest.
fn widths() -> impl Iterator<Item = (u8, u8, u8)> {
    (0..=16).flat_map(|slot| {
        (0..=slot.min(15))
            .flat_map(move |worker| (1..=23).map(move |sequence| (slot - worker, worker, sequence)))
    })
}

fn layout_of((datacenter, worker, sequence): (u8, u8, u8), epoch_ms: u64) -> Layout {
    let timestamp = 63 - datacenter - worker - sequence;
    let widths = Widths { timestamp, datacenter, worker, sequence };
    Layout::new(widths, 1, epoch_ms).expect("the widths are valid")
}

fn any_layout() -> impl Strategy<Value = Layout> {
    let widths = (0..=16u8, 1..=23u8)
        .prop_flat_map(|(slot, sequence)| (0..=slot.min(15), Just(slot), Just(sequence)));
    (widths, any::<u64>()).prop_map(|((worker, slot, sequence), epoch)| {
        let timestamp = 63 - slot - sequence;
        layout_of((slot - worker, worker, sequence), epoch % (u64::MAX - mask(timestamp)))
    })
}

/// Tick, datacenter, worker and sequence, each anywhere in its field, and often at an end of it.
fn any_fields(layout: Layout) -> impl Strategy<Value = [u64; 4]> {
    let field =
        |max: u64| prop_oneof![3 => 0..=max, 1 => Just(0), 1 => Just(max), 1 => 0..=max.min(3)];
    (
        field(layout.tick_max().get()),
        field(layout.datacenter_id_max()),
        field(layout.worker_id_max()),
        field(mask(layout.widths().sequence)),
    )
        .prop_map(<[u64; 4]>::from)
}

fn pack(layout: &Layout, [tick, datacenter_id, worker_id, sequence]: [u64; 4]) -> Id {
    let slot = layout.slot(datacenter_id, worker_id).expect("the slot is in range");
    let sequence = u32::try_from(sequence).expect("at most 23 bits");
    layout.pack(Tick::new(tick), slot, layout.sequence(sequence).expect("in range"))
}

fn parse(layout: &Layout, id: Id) -> [u64; 4] {
    let parts = layout.parse(id);
    let tick = layout.tick(parts.unix_ms).expect("every ID has a tick");
    [tick.get(), parts.datacenter_id.into(), parts.worker_id.into(), parts.sequence.into()]
}

fn any_id() -> impl Strategy<Value = Id> {
    prop_oneof![0..=Id::MAX.get(), 0..=3u64, Id::MAX.get() - 3..=Id::MAX.get()]
        .prop_map(|number| Id::new(number).expect("in range"))
}

fn any_run() -> impl Strategy<Value = Run> {
    (any_id(), prop_oneof![1..=5u32, 1..=4096u32])
        .prop_filter_map("past the last ID", |(first, count)| {
            Run::new(first, NonZeroU32::new(count)?)
        })
}

/// An ID of any kind, with any bits that are one.
fn any_any_id() -> impl Strategy<Value = AnyId> {
    let kind = prop::sample::select(&Kind::ALL[..]);
    (kind, any_id(), any::<u128>()).prop_filter_map("before 1970", |(kind, id, bits)| {
        let version = if kind == Kind::Uuid1 { 1 } else { 7 };
        let uuid = bits & !(0xf << 76 | 0b11 << 62) | version << 76 | 0b10 << 62;
        match kind {
            Kind::Uuid1 | Kind::Uuid7 => AnyId::wide(kind, uuid).ok(),
            Kind::Ulid => AnyId::wide(kind, bits).ok(),
            _ => AnyId::narrow(kind, id),
        }
    })
}

/// A namespace with slots and ticks of any size.
fn any_namespace() -> impl Strategy<Value = Namespace> {
    let widths = prop::sample::select(vec![
        "41+5+5+12",
        "39+8+8+8",
        "41+2+4+6",
        "47+0+0+16",
        "40+0+0+23",
        "42+16+0+5",
        "41+0+10+12",
    ]);
    (widths, prop::sample::select(vec![1, 10]), any::<bool>()).prop_map(
        |(widths, tick_ms, wide)| {
            let layout = Layout::new(widths.parse().unwrap(), tick_ms, 1_609_459_200_000).unwrap();
            Namespace::new(layout, wide.then_some(22), Some(1_500_000_000_000)).unwrap()
        },
    )
}

fn any_request() -> impl Strategy<Value = OwnedRequest> {
    let kind = prop::sample::select(&Kind::ALL[..]);
    prop_oneof![
        (kind.clone(), 1..=Count::MAX)
            .prop_map(|(kind, count)| OwnedRequest::Generate(kind, count)),
        any_any_id().prop_map(OwnedRequest::Parse),
        Just(OwnedRequest::Health),
        Just(OwnedRequest::Info),
        Just(OwnedRequest::Ping),
        vec(any::<u8>(), 1..=Request::TOKEN_SIZE_MAX).prop_map(OwnedRequest::Auth),
    ]
}

/// A request that owns its token, as a strategy's value must.
#[derive(Clone, Debug)]
enum OwnedRequest {
    Generate(Kind, u32),
    Parse(AnyId),
    Health,
    Info,
    Ping,
    Auth(Vec<u8>),
}

impl OwnedRequest {
    fn borrow(&self) -> Request<'_> {
        match self {
            Self::Generate(kind, count) => {
                Request::Generate { kind: *kind, count: Count::new(*count).expect("in range") }
            }
            Self::Parse(id) => Request::Parse { id: *id },
            Self::Health => Request::Health,
            Self::Info => Request::Info,
            Self::Ping => Request::Ping,
            Self::Auth(token) => Request::Auth { token },
        }
    }
}

/// Bytes that come closer to a frame than chance would: a plausible header before any payload.
fn near_frame() -> impl Strategy<Value = Vec<u8>> {
    let opcodes: Vec<u8> = Opcode::ALL
        .iter()
        .flat_map(|opcode| [opcode.wire(), opcode.reply()])
        .chain([0xff])
        .collect();
    let payload = prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200),
        prop::sample::select(vec![0usize, 8, 12, 16, 32, 80])
            .prop_flat_map(|size| vec(0..=1u8, size)),
    ];
    (
        prop::sample::select(opcodes),
        prop_oneof![9 => Just(0u16), 1 => any::<u16>()],
        any::<u64>(),
        payload,
    )
        .prop_map(|(opcode, flags, request_id, payload)| {
            let length = u32::try_from(12 + payload.len()).expect("short");
            let mut bytes = length.to_be_bytes().to_vec();
            bytes.extend_from_slice(&[1, opcode]);
            bytes.extend_from_slice(&flags.to_be_bytes());
            bytes.extend_from_slice(&request_id.to_be_bytes());
            bytes.extend_from_slice(&payload);
            bytes
        })
}

/// Everything that a peer's bytes reach: no result is wrong, only a panic is.
fn read_everything(bytes: &[u8]) {
    for size_max in [REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX] {
        if let Ok(Split::Complete { frame, consumed }) = frame::split(bytes, size_max) {
            assert!(consumed <= bytes.len() && consumed == 16 + frame.payload.len());
            let _ = Request::decode(&frame).map_err(|error| error.to_string());
            match Response::decode(&frame) {
                Ok(Response::Generate(ids)) => {
                    if let Some(runs) = ids.runs() {
                        let counted: usize = runs.iter().map(|run| run.ids().len()).sum();
                        assert_eq!(runs.id_count(), counted as u64);
                    }
                    for kind in Kind::ALL {
                        if let Some(wide) = ids.wide(kind) {
                            assert!(kind.is_wide());
                            assert_eq!(wide.id_count(), wide.iter().count() as u64);
                        }
                    }
                }
                other => drop(format!("{other:?}")),
            }
        }
    }
}

#[test]
fn the_ends_of_every_field_round_trip_in_every_layout() {
    let mut layouts = 0;
    for widths in widths() {
        let layout = layout_of(widths, 1_609_459_200_000);
        let maxima = [
            layout.tick_max().get(),
            layout.datacenter_id_max(),
            layout.worker_id_max(),
            mask(layout.widths().sequence),
        ];
        for chosen in 0..16 {
            let fields =
                core::array::from_fn(|at| if chosen >> at & 1 == 1 { maxima[at] } else { 0 });
            assert_eq!(parse(&layout, pack(&layout, fields)), fields, "{layout:?}");
        }
        assert_eq!(pack(&layout, [0; 4]).get(), 0);
        assert_eq!(pack(&layout, maxima), Id::MAX);
        layouts += 1;
    }
    assert_eq!(layouts, 3496);
}

/// Each ID of one tick, of all slots: 4,194,304 of them, consecutive when sorted by slot and
/// sequence.
#[test]
fn one_tick_of_all_slots_round_trips_and_holds_no_id_twice() {
    let layout = Layout::SNOWFLAKE;
    let tick = layout.tick(1_903_803_122_167).unwrap();
    let mut next = tick.get() << 22;
    for datacenter_id in 0..=layout.datacenter_id_max() {
        for worker_id in 0..=layout.worker_id_max() {
            let slot = layout.slot(datacenter_id, worker_id).unwrap();
            for sequence in 0..layout.sequence_space() {
                let id = layout.pack(tick, slot, layout.sequence(sequence).unwrap());
                assert_eq!(id.get(), next);
                let parts = layout.parse(id);
                assert_eq!(parts.unix_ms, 1_903_803_122_167);
                assert_eq!(u64::from(parts.datacenter_id), datacenter_id);
                assert_eq!(u64::from(parts.worker_id), worker_id);
                assert_eq!(parts.sequence, sequence);
                next += 1;
            }
        }
    }
    assert_eq!(next, (tick.get() + 1) << 22);
}

#[test]
fn the_longest_generate_reply_fits() {
    let (mut out, count) = (Vec::new(), 4096);
    let mut writer = IdsWriter::begin(&mut out, u64::MAX);
    for number in 0..count {
        let first = Id::new(number * 2).unwrap();
        writer.push(&mut out, Run::new(first, NonZeroU32::MIN).unwrap());
    }
    writer.finish(&mut out);
    assert_eq!(out.len(), 49_168);
    let Ok(Split::Complete { frame, .. }) = frame::split(&out, RESPONSE_SIZE_MAX) else {
        panic!("the reply is a frame");
    };
    let Ok(Response::Generate(ids)) = Response::decode(&frame) else { panic!("it is a batch") };
    let runs = ids.runs().unwrap();
    assert_eq!((runs.id_count(), runs.iter().count()), (count, 4096));

    let mut out = Vec::new();
    let mut writer = IdsWriter::begin(&mut out, u64::MAX);
    (0..4096).for_each(|number| writer.push_wide(&mut out, number));
    writer.finish(&mut out);
    assert_eq!(out.len(), 65_552);
    let Ok(Split::Complete { frame, .. }) = frame::split(&out, RESPONSE_SIZE_MAX) else {
        panic!("the reply is a frame");
    };
    let Ok(Response::Generate(ids)) = Response::decode(&frame) else { panic!("it is a batch") };
    assert_eq!(ids.wide(Kind::Ulid).unwrap().id_count(), 4096);
    assert!(ids.wide(Kind::Uuid7).is_none() && ids.wide(Kind::Snowflake).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn packing_and_parsing_are_inverse(
        (layout, fields) in any_layout().prop_flat_map(|layout| (Just(layout), any_fields(layout))),
        id in any_id(),
    ) {
        prop_assert_eq!(parse(&layout, pack(&layout, fields)), fields);
        prop_assert_eq!(pack(&layout, parse(&layout, id)), id);
    }

    #[test]
    fn other_parts_make_another_id_and_sort_as_it_does(
        (layout, one, other) in any_layout()
            .prop_flat_map(|layout| (Just(layout), any_fields(layout), any_fields(layout))),
        same in any::<[bool; 4]>(),
    ) {
        let other = core::array::from_fn(|at| if same[at] { one[at] } else { other[at] });
        prop_assert_eq!(one.cmp(&other), pack(&layout, one).cmp(&pack(&layout, other)));
    }

    #[test]
    fn a_number_out_of_range_is_refused(layout in any_layout(), past in 1..=1000u64) {
        prop_assert!(layout.slot(layout.datacenter_id_max() + past, 0).is_err());
        prop_assert!(layout.slot(0, layout.worker_id_max() + past).is_err());
        let sequence = u32::try_from(mask(layout.widths().sequence) + past).unwrap();
        prop_assert!(layout.sequence(sequence).is_err());
        prop_assert!(Id::new(Id::MAX.get() + past).is_none());
    }

    #[test]
    fn a_run_is_its_ids(run in any_run()) {
        let ids: Vec<Id> = run.ids().collect();
        prop_assert_eq!(ids.len(), run.count().get() as usize);
        prop_assert_eq!((ids[0], ids[ids.len() - 1]), (run.first(), run.last()));
        prop_assert!(ids.windows(2).all(|pair| pair[0].get() + 1 == pair[1].get()));
    }

    #[test]
    fn runs_join_when_one_continues_the_other(run in any_run(), cut in any::<prop::sample::Index>()) {
        let size = run.count().get();
        prop_assume!(size > 1);
        let left_size = 1 + u32::try_from(cut.index(size as usize - 1)).unwrap();
        let middle = Id::new(run.first().get() + u64::from(left_size)).unwrap();
        let left = Run::new(run.first(), NonZeroU32::new(left_size).unwrap()).unwrap();
        let right = Run::new(middle, NonZeroU32::new(size - left_size).unwrap()).unwrap();
        prop_assert_eq!(left.join(right), Some(run));
        prop_assert_eq!(right.join(left), None);
        prop_assert_eq!(run.join(right), None);
    }

    #[test]
    fn a_run_never_passes_the_highest_id(back in 0..5000u32, count in 1..=5000u32) {
        let first = Id::new(Id::MAX.get() - u64::from(back)).unwrap();
        let run = Run::new(first, NonZeroU32::new(count).unwrap());
        prop_assert_eq!(run.is_some(), count - 1 <= back);
    }

    #[test]
    fn requests_round_trip(owned in any_request(), request_id in any::<u64>(), behind in vec(any::<u8>(), 0..20)) {
        let (request, mut bytes) = (owned.borrow(), Vec::new());
        request.encode(request_id, &mut bytes);
        let size = bytes.len();
        bytes.extend_from_slice(&behind);
        let Ok(Split::Complete { frame, consumed }) = frame::split(&bytes, REQUEST_SIZE_MAX) else {
            return Err(TestCaseError::fail("not a frame"));
        };
        prop_assert_eq!(consumed, size);
        prop_assert_eq!(frame.header.request_id, request_id);
        prop_assert_eq!(Request::decode(&frame), Ok(request));
    }

    #[test]
    fn the_runs_written_are_the_ids_read(
        pushed in vec((any_run(), any::<bool>()), 1..40),
        request_id in any::<u64>(),
        before in vec(any::<u8>(), 0..30),
    ) {
        // Half of the runs continue the one before, where there is room for it.
        let mut runs: Vec<Run> = Vec::new();
        for (run, continues) in pushed {
            let next = runs.last().filter(|_| continues).and_then(|last| Id::new(last.last().get() + 1));
            runs.push(next.and_then(|first| Run::new(first, run.count())).unwrap_or(run));
        }
        let ids: Vec<Id> = runs.iter().flat_map(|run| run.ids()).collect();

        let mut out = before.clone();
        let mut writer = IdsWriter::begin(&mut out, request_id);
        prop_assert!(writer.is_empty());
        for run in &runs {
            writer.push(&mut out, *run);
        }
        // What stands before the reply has been sent meanwhile.
        out.drain(..before.len());
        writer.shift(before.len());
        prop_assert_eq!(writer.start(), 0);
        writer.finish(&mut out);

        let Ok(Split::Complete { frame, consumed }) = frame::split(&out, RESPONSE_SIZE_MAX) else {
            return Err(TestCaseError::fail("not a frame"));
        };
        prop_assert_eq!((consumed, frame.header.request_id), (out.len(), request_id));
        let Ok(Response::Generate(read)) = Response::decode(&frame) else {
            return Err(TestCaseError::fail("not a batch"));
        };
        let read = read.runs().unwrap();
        prop_assert_eq!(read.id_count(), ids.len() as u64);
        prop_assert!(read.iter().flat_map(Run::ids).eq(ids));
        prop_assert!(read.iter().count() <= runs.len());
        let runs_read: Vec<Run> = read.iter().collect();
        prop_assert!(runs_read.windows(2).all(|pair| pair[0].join(pair[1]).is_none()));
    }

    #[test]
    fn a_cancelled_reply_leaves_no_byte(before in vec(any::<u8>(), 0..30), runs in vec(any_run(), 0..5)) {
        let mut out = before.clone();
        let mut writer = IdsWriter::begin(&mut out, 1);
        for run in runs {
            writer.push(&mut out, run);
        }
        writer.cancel(&mut out);
        prop_assert_eq!(out, before);
    }

    #[test]
    fn whatever_a_namespace_makes_it_takes_apart(
        namespace in any_namespace(),
        kind in prop::sample::select(&Kind::ALL[..]),
        (at, slot, number) in any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index)>(),
        (random, later) in any::<(u64, u64)>(),
    ) {
        let (layout, scale) = (namespace.layout(), namespace.scale(kind));
        let slots = 1 << layout.widths().slot();
        let (datacenter_id, worker_id) = layout.slot_parts(u16::try_from(slot.index(slots)).unwrap());
        let slot = layout.slot(datacenter_id.into(), worker_id.into()).unwrap();
        let number = u32::try_from(number.index(namespace.space(kind) as usize)).unwrap();
        let end_ms = scale.end_ms().min((1 << 48) - 1);
        let span_ms = usize::try_from(end_ms - 1_609_459_200_000).unwrap();
        let unix_ms = 1_609_459_200_000 + at.index(span_ms) as u64;
        let tick = scale.tick(unix_ms).unwrap();
        let id = if kind.is_wide() {
            let node = random & 0xffff_ffff_ffff;
            AnyId::wide(kind, namespace.pack_wide(kind, unix_ms, slot, number, random, node)).unwrap()
        } else {
            let run = namespace.pack_run(kind, tick, slot, number, NonZeroU32::MIN);
            AnyId::narrow(kind, run.first()).unwrap()
        };
        let parsed = namespace.parse(id).unwrap();
        prop_assert_eq!(parsed.unix_ms, scale.unix_ms(tick));
        prop_assert_eq!(parsed.slot, Some(slot));
        prop_assert_eq!(AnyId::of_place(kind, id.place()).map(AnyId::place), Some(id.place()));
        prop_assert_eq!(AnyId::read(&id.to_string(), Some(kind), None), Ok(id));
        let later_ms = unix_ms.saturating_add(later % 86_400_000).min(end_ms);
        if let Ok(bounds) = namespace.bounds(kind, unix_ms, later_ms) {
            prop_assert!(bounds.min.bits() <= id.bits() && id.bits() <= bounds.max.bits());
        } else {
            prop_assert_eq!(kind, Kind::Uuid1);
        }
    }

    #[test]
    fn every_encoding_comes_back_and_the_short_ones_keep_the_order(one in any_id(), other in any_id()) {
        for encoding in Encoding::ALL {
            let texts = [one, other].map(|id| encoding.text(id).to_string());
            prop_assert_eq!(encoding.read(&texts[0]), Some(one));
            if encoding != Encoding::Decimal {
                prop_assert_eq!(texts[0].cmp(&texts[1]), one.cmp(&other));
            }
        }
    }

    #[test]
    fn any_text_is_an_id_or_an_error(text in "\\PC{0,40}", digits in "[0-9A-Za-z]{11,26}") {
        for text in [&text, &digits] {
            for kind in Kind::ALL.map(Some).into_iter().chain([None]) {
                for encoding in Encoding::ALL.map(Some).into_iter().chain([None]) {
                    if let Ok(id) = AnyId::read(text, kind, encoding) {
                        let _ = Namespace::DEFAULT.parse(id);
                    }
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_everything(&bytes);
    }

    #[test]
    fn bytes_that_look_like_a_frame_never_panic(bytes in near_frame()) {
        read_everything(&bytes);
    }

    #[test]
    fn arbitrary_frames_never_panic(
        (version, opcode, flags, request_id) in any::<(u8, u8, u16, u64)>(),
        payload in vec(any::<u8>(), 0..100),
    ) {
        let header = Header { version, opcode, flags, request_id };
        let frame = Frame { header, payload: &payload };
        let _ = (Request::decode(&frame), Response::decode(&frame));
    }
}
