//! What the protocol costs: bytes to request, run to bytes, reply to runs; and an ID packed and
//! parsed.

use core::hint::black_box;
use core::num::NonZeroU32;

use coreflake_protocol::frame::{self, REQUEST_SIZE_MAX, RESPONSE_SIZE_MAX, Split};
use coreflake_protocol::{Count, Id, IdsWriter, Kind, Layout, Request, Response, Run, Tick};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn one_frame(bytes: &[u8], size_max: usize) -> frame::Frame<'_> {
    match frame::split(bytes, size_max) {
        Ok(Split::Complete { frame, .. }) => frame,
        other => panic!("one whole frame, not {other:?}"),
    }
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("request");
    group.throughput(Throughput::Elements(1));
    let request = Request::Generate { kind: Kind::Snowflake, count: Count::ONE };
    let mut bytes = Vec::with_capacity(64);
    group.bench_function("encode", |b| {
        b.iter(|| {
            bytes.clear();
            black_box(&request).encode(7, &mut bytes);
            bytes.len()
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| Request::decode(&one_frame(black_box(&bytes), REQUEST_SIZE_MAX)));
    });
    group.finish();
}

fn replies(c: &mut Criterion) {
    let mut group = c.benchmark_group("reply");
    group.throughput(Throughput::Elements(1));
    let first = Id::new(1 << 60).expect("below 2^63");
    let run = Run::new(first, NonZeroU32::MIN).expect("one ID");
    let mut bytes = Vec::with_capacity(64);
    group.bench_function("encode", |b| {
        b.iter(|| {
            bytes.clear();
            let mut writer = IdsWriter::begin(&mut bytes, 7);
            writer.push(&mut bytes, black_box(run));
            writer.finish(&mut bytes);
            bytes.len()
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| {
            let frame = one_frame(black_box(&bytes), RESPONSE_SIZE_MAX);
            match Response::decode(&frame) {
                Ok(Response::Generate(ids)) => ids.runs().and_then(|runs| runs.iter().next()),
                other => panic!("runs, not {other:?}"),
            }
        });
    });
    group.finish();
}

fn ids(c: &mut Criterion) {
    let layout = Layout::SNOWFLAKE;
    let slot = layout.slot(3, 4).expect("in range");
    let sequence = layout.sequence(5).expect("in range");
    c.bench_function("id/pack", |b| {
        b.iter(|| layout.pack(black_box(Tick::new(123_456_789)), slot, sequence));
    });
    let id = layout.pack(Tick::new(123_456_789), slot, sequence);
    c.bench_function("id/parse", |b| b.iter(|| layout.parse(black_box(id))));
}

criterion_group!(benches, requests, replies, ids);
criterion_main!(benches);
