#!/usr/bin/env python3
"""Writes v1.json, the test vectors of the wire protocol, beside this script.

An encoder of its own, written from ../PROTOCOL.md and the Python standard library alone. Its output is
the same on every run. `make.py --check` writes nothing and fails when the file differs.
"""

import json
import pathlib
import struct
import sys

OPERATIONS = {"GENERATE": 1, "PARSE": 2, "HEALTH": 3, "INFO": 4, "PING": 5, "AUTH": 6, "ERROR": 0x7F}
CODES = {
    "FRAME_SIZE": 0x0001,
    "UNSUPPORTED_VERSION": 0x0002,
    "UNKNOWN_OPCODE": 0x0003,
    "RESERVED_BITS": 0x0004,
    "PAYLOAD_SIZE": 0x0005,
    "UNKNOWN_KIND": 0x0006,
    "INVALID_COUNT": 0x0007,
    "INVALID_ID": 0x0008,
    "UNEXPECTED_RESPONSE": 0x0009,
    "UNAUTHENTICATED": 0x000A,
    "REPLY_TOO_LARGE": 0x000B,
    "STARTING": 0x0100,
    "DRAINING": 0x0101,
    "CLOCK_REGRESSION": 0x0102,
    "WINDOW_EXHAUSTED": 0x0103,
    "TIMESTAMP_EXHAUSTED": 0x0104,
    "OVERLOADED": 0x0105,
    "CLOCK_DRIFT": 0x0106,
}
# Errors behind which a TCP connection closes, and those a datagram is answered with.
CLOSING = {"FRAME_SIZE", "UNSUPPORTED_VERSION", "UNEXPECTED_RESPONSE", "UNAUTHENTICATED"}
ANSWERED_ON_UDP = {"UNKNOWN_KIND", "INVALID_COUNT", "INVALID_ID"}
REFUSALS = [name for name, code in CODES.items() if code >= 0x0100]
STATES = {"serving": 1, "refusing": 2, "draining": 3}
CLOCKS = {"unknown": 0, "good": 1, "alert": 2, "refusing": 3}
STORES = {"good": 0, "doubtful": 1, "broken": 2}
KINDS = {"snowflake": 1, "instagram": 2, "uuid1": 3, "ulid": 4, "uuid7": 5}

EXAMPLE_ID = 1234567890123456789
REQUEST_ID = 0x0102030405060708
U16_MAX, U32_MAX, U64_MAX, ID_MAX = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**63 - 1
# What stands for the worker ID of a server that has no slot.
NO_WORKER = U16_MAX
# IDs of 128 bits from outside: see known.json.
UUID1 = 0xC232AB00941411ECB3C89F6BDECED846
ULID = 0x01563E3AB5D3D6764C61EFB99302BD5B
UUID7 = 0x017F22E279B07CC398C4DC0C0C07398F
WIDE = {"uuid1": UUID1, "ulid": ULID, "uuid7": UUID7}
UUID4 = 0x919108F752D143209BACF847DB4148A8
# The last millisecond whose 10,000 units fit the 60-bit time of a UUID of version 1.
UUID1_MS_MAX = 2**60 // 10_000 - 12_219_292_800_000 - 1
I64_MIN, I64_MAX = -(2**63), 2**63 - 1
DATAGRAM_SIZE_MAX = 1200

DEFAULT_INFO = {
    "timestamp_bits": 41,
    "datacenter_bits": 5,
    "worker_bits": 5,
    "sequence_bits": 12,
    "datacenter_id": 20,
    "worker_id": 24,
    "epoch_ms": 1609459200000,
    "count_max": 4096,
    "request_size_max": 1024,
    "datagram_size_max": DATAGRAM_SIZE_MAX,
    "shards": 4,
    "lane": 2,
    "more_worker_ids": [],
    "home_size": 240,
    "pool_size": 3072,
    "window_left_ms": 2750,
    "lane_ids": 123456789,
    "lane_waits": 12,
    "lane_pool_claims": 345,
    "tick_ms": 1,
    "instagram_shard_bits": 13,
    "instagram_epoch_ms": 1609459200000,
}

DEFAULT_HEALTH = {
    "datacenter_id": 3,
    "worker_id": 17,
    "uptime_seconds": 86_400,
    "ids_generated": 123_456_789,
    "window_left_ms": 2_750,
    "clock": "good",
    "clock_suspect": False,
    "store": "good",
    "clock_offset_us": -1_250,
    "clock_steps": 2,
    "clock_regressions": 1,
}

vectors = []


# Bytes


def frame(opcode, payload=b"", request_id=REQUEST_ID, *, length=None, version=1, flags=0):
    length = 12 + len(payload) if length is None else length
    return struct.pack(">IBBHQ", length, version, opcode, flags, request_id) + payload


def generate(count, *, kind=1, reserved=bytes(3), reserved_end=bytes(4)):
    return bytes([kind]) + reserved + struct.pack(">I", count) + reserved_end


def parse(number, *, kind=1, reserved=bytes(7)):
    return bytes([kind]) + reserved + struct.pack(">Q", number)


def parse_wide(number, kind, *, reserved=bytes(7)):
    return bytes([kind]) + reserved + number.to_bytes(16, "big")


def wide_ids(*numbers):
    return b"".join(number.to_bytes(16, "big") for number in numbers)


def runs(*pairs):
    return b"".join(struct.pack(">QI", first, count) for first, count in pairs)


def parts(unix_ms, datacenter_id, worker_id, sequence):
    return struct.pack(">QHHI", unix_ms, datacenter_id, worker_id, sequence)


def worker(f):
    return NO_WORKER if f["worker_id"] is None else f["worker_id"]


def health(state, code, f, *, clock=None, flags=None, store=None, reserved=bytes(5)):
    clock = CLOCKS[f["clock"]] if clock is None else clock
    flags = int(f["clock_suspect"]) if flags is None else flags
    store = STORES[f["store"]] if store is None else store
    return (
        struct.pack(">BxHHH", state, code, f["datacenter_id"], worker(f))
        + struct.pack(">QQQ", f["uptime_seconds"], f["ids_generated"], f["window_left_ms"])
        + bytes([clock, flags, store])
        + reserved
        + struct.pack(">qQQ", f["clock_offset_us"], f["clock_steps"], f["clock_regressions"])
    )


def fingerprint(f):
    widths = [f[name + "_bits"] for name in ("timestamp", "datacenter", "worker", "sequence")]
    data = bytes(widths) + struct.pack(">Q", f["epoch_ms"])
    usual = (1, max(13, widths[1] + widths[2]), f["epoch_ms"])
    told = (f["tick_ms"], f["instagram_shard_bits"], f["instagram_epoch_ms"])
    if told != usual:
        data += struct.pack(">BBQ", *told)
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x00000100000001B3 % 2**64
    return value


def info(f, *, mark=None, more_workers=None):
    widths = [f[name + "_bits"] for name in ("timestamp", "datacenter", "worker", "sequence")]
    mark = fingerprint(f) if mark is None else mark
    more = f["more_worker_ids"]
    more_workers = len(more) if more_workers is None else more_workers
    return (
        bytes(widths)
        + struct.pack(">HHQQ", f["datacenter_id"], worker(f), f["epoch_ms"], mark)
        + struct.pack(">IIH", f["count_max"], f["request_size_max"], f["datagram_size_max"])
        + struct.pack(">HHHII", f["shards"], f["lane"], more_workers, f["home_size"], f["pool_size"])
        + struct.pack(">QQ", f["window_left_ms"], f["lane_ids"])
        + struct.pack(">QQ", f["lane_waits"], f["lane_pool_claims"])
        + struct.pack(">BB6xQ", f["tick_ms"], f["instagram_shard_bits"], f["instagram_epoch_ms"])
        + struct.pack(f">{len(more)}H", *more)
    )


def error(code, retry_after_ms, text):
    return struct.pack(">HxxI", code, retry_after_ms) + text


# Vectors


def add(name, direction, transport, data, expect, canonical=True):
    vector = {"name": name, "direction": direction, "transport": transport}
    vector |= {"hex": data.hex(), "expect": expect}
    if not canonical:
        vector["canonical"] = False
    vectors.append(vector)


def good(
    name,
    direction,
    op,
    payload=b"",
    request_id=REQUEST_ID,
    *,
    transport="both",
    tail=b"",
    canonical=True,
    **fields,
):
    """A message to accept. `tail` lies inside the frame behind the fields that version 1 knows."""
    opcode = OPERATIONS[op] | (0x80 if direction == "response" else 0)
    expect = {"op": op, "request_id": str(request_id), **fields}
    add(name, direction, transport, frame(opcode, payload + tail, request_id), expect, canonical and not tail)


def padded(name, op, payload, size, **fields):
    """A request in a datagram with padding up to `size` bytes."""
    data = frame(OPERATIONS[op], payload).ljust(size, b"\0")
    expect = {"op": op, "request_id": str(REQUEST_ID), **fields}
    add(name, "request", "udp", data, expect, canonical=False)


def bad(name, code, data, *, foreign=False):
    """A request to refuse."""
    tcp = "close" if foreign else "error_close" if code in CLOSING else "error"
    udp = "error" if code in ANSWERED_ON_UDP else "drop"
    add(name, "request", "both", data, {"error": code, "tcp": tcp, "udp": udp})


def bad_datagram(name, data):
    """A datagram to drop although its frame, as far as it goes, would be good on TCP."""
    add(name, "request", "udp", data, {"error": None, "udp": "drop"})


def bad_reply(name, data, kind=None):
    """A reply that a client must not accept, or not to a request for this kind."""
    expect = {"error": "INVALID_REPLY", "tcp": "close", "udp": "drop"}
    add(name, "response", "both", data, expect if kind is None else {**expect, "kind": kind})


def good_requests():
    ask = {"kind": "snowflake"}
    for name, count in [("one", 1), ("three", 3), ("most", 4096)]:
        good(f"generate_{name}", "request", "GENERATE", generate(count), **ask, count=count)
    for name, number in [("example", EXAMPLE_ID), ("lowest", 0), ("highest", ID_MAX)]:
        good(f"parse_{name}", "request", "PARSE", parse(number), **ask, id=str(number))
    for kind, number in KINDS.items():
        if kind != "snowflake":
            asked = generate(7, kind=number)
            good(f"generate_{kind}", "request", "GENERATE", asked, kind=kind, count=7)
    asked = parse(EXAMPLE_ID, kind=KINDS["instagram"])
    good("parse_instagram", "request", "PARSE", asked, kind="instagram", id=str(EXAMPLE_ID))
    for kind, number in WIDE.items():
        asked = parse_wide(number, KINDS[kind])
        good(f"parse_{kind}", "request", "PARSE", asked, kind=kind, id=f"{number:032x}")
    asked = parse_wide(2**128 - 1, KINDS["ulid"])
    good("parse_ulid_highest", "request", "PARSE", asked, kind="ulid", id="f" * 32)
    for op in ("HEALTH", "INFO", "PING"):
        good(op.lower(), "request", op)
    good("request_id_lowest", "request", "PING", request_id=0)
    good("request_id_highest", "request", "PING", request_id=U64_MAX)
    for name, token in [("shortest", b"\0"), ("text", b"correct horse"), ("longest", bytes(range(256)) * 2)]:
        good(f"auth_{name}", "request", "AUTH", token, transport="tcp", token_hex=token.hex())
    padded("generate_padded_by_one", "GENERATE", generate(1), 29, **ask, count=1)
    padded("generate_padded_to_the_limit", "GENERATE", generate(4096), DATAGRAM_SIZE_MAX, **ask, count=4096)
    padded("health_padded", "HEALTH", b"", 80)
    asked = generate(74, kind=KINDS["ulid"])
    padded("generate_ulid_padded", "GENERATE", asked, DATAGRAM_SIZE_MAX, kind="ulid", count=74)
    padded("info_padded", "INFO", b"", 112)


def bad_requests():
    for length in (0, 11, 1021, U32_MAX):
        bad(f"length_{length}", "FRAME_SIZE", frame(5, length=length))
    bad("length_bomb_alone", "FRAME_SIZE", b"\xff" * 4)
    bad("foreign_http_get", "FRAME_SIZE", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", foreign=True)
    bad("foreign_http_post", "FRAME_SIZE", b"POST / HTTP/1.1\r\n", foreign=True)
    bad("foreign_tls_hello", "FRAME_SIZE", bytes.fromhex("16030100c8010000c40303") + bytes(32), foreign=True)
    bad("foreign_ssh_banner", "FRAME_SIZE", b"SSH-2.0-OpenSSH_9.6\r\n", foreign=True)

    for version in (0, 2, 255):
        bad(f"version_{version}", "UNSUPPORTED_VERSION", frame(1, generate(1), version=version))
    for opcode in (0x81, 0x80, 0xC2, 0xFF):
        bad(f"response_bit_{opcode:#04x}", "UNEXPECTED_RESPONSE", frame(opcode, generate(1)))
    for opcode in (0x00, 0x07, 0x7F):
        bad(f"opcode_{opcode:#04x}", "UNKNOWN_OPCODE", frame(opcode))
    for flags in (1, 0x8000):
        bad(f"flags_{flags:#06x}", "RESERVED_BITS", frame(1, generate(1), flags=flags))

    bad("generate_short", "PAYLOAD_SIZE", frame(1, generate(1)[:-1]))
    bad("generate_long", "PAYLOAD_SIZE", frame(1, generate(1) + b"\0"))
    bad("generate_empty", "PAYLOAD_SIZE", frame(1))
    bad("parse_short", "PAYLOAD_SIZE", frame(2, parse(1)[:-1]))
    bad("parse_long", "PAYLOAD_SIZE", frame(2, parse(1) + b"\0"))
    for op in ("HEALTH", "INFO", "PING"):
        bad(f"{op.lower()}_long", "PAYLOAD_SIZE", frame(OPERATIONS[op], b"\0"))
    bad("longest_request", "PAYLOAD_SIZE", frame(5, bytes(1024 - 16)))
    add("auth_empty", "request", "tcp", frame(6), {"error": "PAYLOAD_SIZE", "tcp": "error"})
    add("auth_long", "request", "tcp", frame(6, b"t" * 513), {"error": "PAYLOAD_SIZE", "tcp": "error"})

    for kind in (0, 6, 255):
        bad(f"generate_kind_{kind}", "UNKNOWN_KIND", frame(1, generate(1, kind=kind)))
    for kind in (0, 6):
        bad(f"parse_kind_{kind}", "UNKNOWN_KIND", frame(2, parse(1, kind=kind)))
        bad(f"parse_wide_kind_{kind}", "UNKNOWN_KIND", frame(2, parse_wide(1, kind)))
    for kind, number in KINDS.items():
        narrow, wide = parse(1, kind=number), parse_wide(UUID7, number)
        bad(f"parse_{kind}_of_another_size", "PAYLOAD_SIZE", frame(2, narrow if kind in WIDE else wide))
    for kind in ("uuid1", "uuid7"):
        bad(f"parse_uuid4_as_{kind}", "INVALID_ID", frame(2, parse_wide(UUID4, KINDS[kind])))
    bad("parse_uuid7_as_uuid1", "INVALID_ID", frame(2, parse_wide(UUID7, KINDS["uuid1"])))
    bad("parse_uuid1_as_uuid7", "INVALID_ID", frame(2, parse_wide(UUID1, KINDS["uuid7"])))
    other_variant = UUID7 ^ 0b01 << 62
    bad("parse_uuid7_of_another_variant", "INVALID_ID", frame(2, parse_wide(other_variant, KINDS["uuid7"])))
    bad("parse_uuid1_before_1970", "INVALID_ID", frame(2, parse_wide(1 << 76 | 0b10 << 62, KINDS["uuid1"])))
    bad("parse_wide_reserved", "RESERVED_BITS", frame(2, parse_wide(ULID, 4, reserved=b"\1" + bytes(6))))
    bad("parse_wide_short", "PAYLOAD_SIZE", frame(2, parse_wide(ULID, 4)[:-1]))
    bad("parse_wide_long", "PAYLOAD_SIZE", frame(2, parse_wide(ULID, 4) + b"\0"))
    bad("generate_reserved_first", "RESERVED_BITS", frame(1, generate(1, reserved=b"\x80\0\0")))
    bad("generate_reserved_last", "RESERVED_BITS", frame(1, generate(1, reserved_end=b"\0\0\0\1")))
    bad("parse_reserved", "RESERVED_BITS", frame(2, parse(1, reserved=b"\0\0\0\0\0\0\1")))
    for count in (0, 4097, 10_000, 0x2000_0001, U32_MAX):
        bad(f"generate_count_{count}", "INVALID_COUNT", frame(1, generate(count)))
    for number in (2**63, U64_MAX):
        bad(f"parse_id_{number}", "INVALID_ID", frame(2, parse(number)))

    # Several faults in one frame: the first in the order of the specification counts.
    bad("version_before_response_bit", "UNSUPPORTED_VERSION", frame(0xFF, version=2, flags=1))
    bad("response_bit_before_flags", "UNEXPECTED_RESPONSE", frame(0x87, flags=1))
    bad("opcode_before_flags", "UNKNOWN_OPCODE", frame(7, flags=1))
    bad("flags_before_size", "RESERVED_BITS", frame(1, flags=1))
    bad("size_before_kind", "PAYLOAD_SIZE", frame(1, generate(0, kind=9) + b"\0"))
    bad("kind_before_the_size_of_its_ids", "UNKNOWN_KIND", frame(2, parse_wide(1, 9)))
    bad("size_of_its_ids_before_reserved", "PAYLOAD_SIZE", frame(2, parse(1, kind=4, reserved=b"\1" * 7)))
    bad("reserved_before_wide_id", "RESERVED_BITS", frame(2, parse_wide(UUID4, 5, reserved=b"\1" * 7)))
    bad("kind_before_reserved", "UNKNOWN_KIND", frame(1, generate(0, kind=9, reserved=b"\1\1\1")))
    bad("reserved_before_count", "RESERVED_BITS", frame(1, generate(0, reserved_end=b"\1\0\0\0")))


def bad_datagrams():
    ping, ask = frame(5), frame(1, generate(1))
    bad_datagram("datagram_empty", b"")
    bad_datagram("datagram_of_one_byte", ping[:1])
    bad_datagram("datagram_shorter_than_a_header", ping[:15])
    bad_datagram("datagram_cut", ask[:-1])
    bad_datagram("datagram_too_long", ask.ljust(DATAGRAM_SIZE_MAX + 1, b"\0"))
    bad_datagram("datagram_padding_not_zero", ask + b"\0\0\1")
    bad_datagram("datagram_of_two_frames", ping + ping)
    bad_datagram("datagram_auth", frame(6, b"token"))


def good_replies():
    def batch(name, *pairs, request_id=REQUEST_ID):
        listed = [{"first": str(first), "count": count} for first, count in pairs]
        good(name, "response", "GENERATE", runs(*pairs), request_id, kind="snowflake", runs=listed)

    batch("generated_one", (EXAMPLE_ID, 1))
    batch("generated_one_run", (EXAMPLE_ID, 3))
    batch("generated_one_run_of_a_tick", (EXAMPLE_ID // 4096 * 4096, 4096))
    batch("generated_runs", (EXAMPLE_ID, 2), (EXAMPLE_ID + 1000, 1), (EXAMPLE_ID + 2**22, 4093))
    batch("generated_fills_a_datagram", *((EXAMPLE_ID + 2 * n, 1) for n in range(98)))
    batch("generated_lowest_id", (0, 1), request_id=0)
    batch("generated_highest_id", (ID_MAX, 1), request_id=U64_MAX)
    batch("generated_ends_at_highest_id", (ID_MAX - 4095, 4096))

    instagram = [{"first": str(EXAMPLE_ID), "count": 5}]
    good("generated_instagram", "response", "GENERATE", runs((EXAMPLE_ID, 5)), kind="instagram", runs=instagram)

    def wide_batch(name, kind, *numbers):
        listed = [f"{number:032x}" for number in numbers]
        good(name, "response", "GENERATE", wide_ids(*numbers), kind=kind, ids=listed)

    for kind, number in WIDE.items():
        wide_batch(f"generated_{kind}", kind, number)
    wide_batch("generated_ulids_fill_a_datagram", "ulid", *range(ULID, ULID + 74))
    wide_batch("generated_ulid_lowest_and_highest", "ulid", 0, 2**128 - 1)
    # As long as four runs: the bytes alone do not say the kind.
    wide_batch("generated_three_uuid7", "uuid7", *range(UUID7, UUID7 + 3))

    def taken_apart(name, *values, tail=b""):
        unix_ms, *rest = values
        names = ("datacenter_id", "worker_id", "sequence")
        fields = {"unix_ms": str(unix_ms), **dict(zip(names, rest))}
        good(name, "response", "PARSE", parts(*values), tail=tail, **fields)

    taken_apart("parsed_example", 1903803122167, 20, 24, 277)
    taken_apart("parsed_lowest", 0, 0, 0, 0)
    taken_apart("parsed_highest", U64_MAX, U16_MAX, U16_MAX - 1, U32_MAX)
    nowhere = {"unix_ms": "1645557742000", "datacenter_id": None, "worker_id": None, "sequence": 0}
    good("parsed_without_a_slot", "response", "PARSE", parts(1645557742000, U16_MAX, U16_MAX, 0), **nowhere)
    taken_apart("parsed_with_trailing_bytes", 1903803122167, 20, 24, 277, tail=b"\xff")

    def how(name, state, code_name=None, *, tail=b"", later=None, **changed):
        f = {**DEFAULT_HEALTH, **changed}
        code = CODES.get(code_name, 0)
        payload = health(STATES[state], code, f, **(later or {}))
        wide = {"uptime_seconds", "ids_generated", "window_left_ms"}
        wide |= {"clock_offset_us", "clock_steps", "clock_regressions"}
        shown = {key: str(value) if key in wide else value for key, value in f.items()}
        fields = {"state": state, "code": code, "code_name": code_name, **shown}
        good(name, "response", "HEALTH", payload, tail=tail, canonical=not later, **fields)

    how("health_serving", "serving")
    most = {"datacenter_id": U16_MAX, "worker_id": NO_WORKER - 1}
    most |= {key: U64_MAX for key in ("uptime_seconds", "ids_generated", "window_left_ms")}
    most |= {key: U64_MAX for key in ("clock_steps", "clock_regressions")}
    how("health_highest", "serving", **most, clock_offset_us=I64_MAX)
    how("health_lowest", "serving", **{key: 0 for key in most}, clock_offset_us=I64_MIN)
    for code_name in REFUSALS:
        if code_name != "DRAINING":
            how(f"health_refusing_{code_name.lower()}", "refusing", code_name, window_left_ms=0)
    how("health_draining", "draining", "DRAINING", ids_generated=77)
    nothing = {"worker_id": None, "ids_generated": 0, "window_left_ms": 0}
    how("health_without_a_slot", "refusing", "STARTING", **nothing)
    how("health_clock_unknown", "serving", clock="unknown", clock_offset_us=0)
    how("health_clock_alert", "serving", clock="alert", clock_offset_us=250_000)
    drifted = {"clock": "refusing", "clock_offset_us": -1_500_000}
    how("health_clock_refusing", "refusing", "CLOCK_DRIFT", **drifted)
    how("health_clock_suspect", "serving", clock_suspect=True)
    how("health_store_doubtful", "serving", store="doubtful")
    how("health_store_broken", "serving", store="broken")
    how("health_with_trailing_bytes", "serving", tail=bytes(range(1, 9)))
    # What a newer server may say: values and bits that version 1 does not know.
    how("health_clock_of_a_newer_server", "serving", clock="unknown", later={"clock": 4})
    how("health_store_of_a_newer_server", "serving", store="doubtful", later={"store": 3})
    how("health_flags_of_a_newer_server", "serving", later={"flags": 0xFE})
    how("health_reserved_of_a_newer_server", "serving", later={"reserved": b"\1\2\3\4\5"})

    def described(name, fields, tail=b""):
        mark = fingerprint(fields)
        shown = {**fields, "more_workers": len(fields["more_worker_ids"]), "fingerprint": mark}
        wide = {"epoch_ms", "fingerprint", "window_left_ms", "lane_ids", "lane_waits", "lane_pool_claims"}
        wide |= {"instagram_epoch_ms"}
        shown = {key: str(value) if key in wide else value for key, value in shown.items()}
        good(name, "response", "INFO", info(fields), tail=tail, **shown)

    described("info_default_layout", DEFAULT_INFO)
    narrow = {"timestamp_bits": 62, "datacenter_bits": 0, "worker_bits": 0, "sequence_bits": 1}
    latest = {"epoch_ms": UUID1_MS_MAX, "instagram_epoch_ms": 2**48 - 1}
    described("info_longest_time", {**DEFAULT_INFO, **narrow, **latest})
    wide = {"timestamp_bits": 24, "datacenter_bits": 1, "worker_bits": 15, "sequence_bits": 23}
    wide |= {"epoch_ms": 0, "instagram_epoch_ms": 0, "instagram_shard_bits": 16}
    described("info_shortest_time", {**DEFAULT_INFO, **wide})
    javascript = {"datacenter_bits": 2, "worker_bits": 4, "sequence_bits": 6}
    described("info_53_bits", {**DEFAULT_INFO, **javascript, "datacenter_id": 3, "worker_id": 15})
    described("info_ticks_of_10_ms", {**DEFAULT_INFO, "tick_ms": 10})
    described("info_other_shards", {**DEFAULT_INFO, "instagram_shard_bits": 22})
    described("info_other_epoch_of_instagram", {**DEFAULT_INFO, "instagram_epoch_ms": 1314220021721})
    most = {key: U32_MAX for key in ("count_max", "request_size_max", "home_size", "pool_size")}
    most |= {key: U16_MAX for key in ("datacenter_id", "datagram_size_max", "shards", "lane")}
    most |= {"worker_id": NO_WORKER - 1}
    most |= {key: U64_MAX for key in ("window_left_ms", "lane_ids", "lane_waits", "lane_pool_claims")}
    described("info_highest", {**DEFAULT_INFO, **most})
    described("info_with_trailing_bytes", DEFAULT_INFO, tail=b"later")
    several = {**DEFAULT_INFO, "worker_id": 4, "more_worker_ids": [5, 17, 31]}
    several |= {"home_size": 960, "pool_size": 12_288}
    described("info_four_workers", several)
    described("info_four_workers_with_trailing_bytes", several, tail=b"\0\6later")
    described("info_most_workers", {**several, "worker_id": 0, "more_worker_ids": list(range(1, 32))})
    highest = list(range(NO_WORKER - 31, NO_WORKER))
    described("info_most_and_highest_workers", {**several, "worker_id": highest[0] - 1, "more_worker_ids": highest})
    nothing = {"worker_id": None, "window_left_ms": 0, "lane_ids": 0, "lane_waits": 0, "lane_pool_claims": 0}
    described("info_without_a_slot", {**DEFAULT_INFO, **nothing})

    for op in ("PING", "AUTH"):
        transport = "tcp" if op == "AUTH" else "both"
        name = {"PING": "pong", "AUTH": "authenticated"}[op]
        good(name, "response", op, transport=transport)
        good(f"{name}_with_trailing_bytes", "response", op, transport=transport, tail=b"\0\1\2")


def error_replies():
    def refusal(name, code, retry_after_ms, text, *, request_id=REQUEST_ID, transport="both"):
        names = {number: known for known, number in CODES.items()}
        fields = {"code": code, "code_name": names.get(code)}
        fields |= {"retry_after_ms": retry_after_ms, "text": text}
        payload = error(code, retry_after_ms, text.encode())
        good(name, "response", "ERROR", payload, request_id, transport=transport, **fields)

    tcp_only = CLOSING | {"UNKNOWN_OPCODE", "RESERVED_BITS", "PAYLOAD_SIZE"}
    for code_name, code in CODES.items():
        retry_after_ms = 250 if code_name in REFUSALS and code_name != "TIMESTAMP_EXHAUSTED" else 0
        transport = "tcp" if code_name in tcp_only else "udp" if code_name == "REPLY_TOO_LARGE" else "both"
        request_id = 0 if code_name == "FRAME_SIZE" else REQUEST_ID
        name = f"error_{code_name.lower()}"
        text = code_name.lower().replace("_", " ")
        refusal(name, code, retry_after_ms, text, request_id=request_id, transport=transport)
    refusal("error_without_text", CODES["OVERLOADED"], 0, "")
    refusal("error_retry_highest", CODES["STARTING"], U32_MAX, "a long wait")
    refusal("error_longest_text", CODES["INVALID_COUNT"], 0, "é" * 80)
    refusal("error_unknown_code", 0x7777, 1000, "from a newer server")
    refusal("error_code_zero", 0, 0, "")


def bad_replies():
    one = runs((EXAMPLE_ID, 1))
    bad_reply("reply_length_11", frame(0x85, length=11))
    bad_reply("reply_length_66557", frame(0x85, length=66_557))
    bad_reply("reply_version_2", frame(0x85, version=2))
    bad_reply("reply_flags", frame(0x85, flags=1))
    bad_reply("reply_without_response_bit", frame(0x05))
    bad_reply("reply_opcode_0x80", frame(0x80))
    bad_reply("reply_opcode_0x87", frame(0x87))
    bad_reply("reply_opcode_0xfe", frame(0xFE))
    bad_reply("generated_none", frame(0x81))
    bad_reply("generated_cut_run", frame(0x81, one + one[:-1]))
    bad_reply("generated_trailing_byte", frame(0x81, one + b"\0"))
    bad_reply("generated_empty_run", frame(0x81, one + runs((EXAMPLE_ID + 9, 0))))
    bad_reply("generated_id_too_high", frame(0x81, runs((2**63, 1))))
    bad_reply("generated_run_too_high", frame(0x81, runs((ID_MAX, 2))))
    for kind, other in (("uuid1", UUID7), ("uuid7", UUID1), ("uuid7", UUID4), ("uuid7", ULID)):
        bad_reply(f"generated_{other:032x}_as_{kind}", frame(0x81, wide_ids(WIDE[kind], other)), kind)
    bad_reply("generated_no_ulid", frame(0x81), "ulid")
    bad_reply("generated_cut_ulid", frame(0x81, wide_ids(ULID, ULID)[:-1]), "ulid")
    bad_reply("generated_run_as_ulid", frame(0x81, one), "ulid")
    bad_reply("parsed_short", frame(0x82, parts(1, 2, 3, 4)[:-1]))
    bad_reply("health_short", frame(0x83, health(1, 0, DEFAULT_HEALTH)[:-1]))
    bad_reply("health_of_32_bytes", frame(0x83, health(1, 0, DEFAULT_HEALTH)[:32]))
    bad_reply("info_short", frame(0x84, info(DEFAULT_INFO)[:-1]))
    bad_reply("info_fingerprint_of_another", frame(0x84, info(DEFAULT_INFO, mark=1)))
    for name, changed in {
        "widths_of_64_bits": {"sequence_bits": 13},
        "widths_of_52_bits": {"sequence_bits": 1},
        "worker_of_16_bits": {"datacenter_bits": 0, "worker_bits": 16, "sequence_bits": 6},
        "ticks_of_5_ms": {"tick_ms": 5},
        "ticks_of_0_ms": {"tick_ms": 0},
        "shard_narrower_than_a_slot": {"instagram_shard_bits": 9},
        "shard_of_23_bits": {"instagram_shard_bits": 23},
        "epoch_without_a_uuid1": {"epoch_ms": UUID1_MS_MAX + 1, "instagram_epoch_ms": 0},
    }.items():
        bad_reply(f"info_{name}", frame(0x84, info({**DEFAULT_INFO, **changed})))

    def workers(first, *more, count=None):
        fields = {**DEFAULT_INFO, "worker_id": first, "more_worker_ids": list(more)}
        return frame(0x84, info(fields, more_workers=count))

    bad_reply("info_workers_beyond_the_payload", workers(4, 5, 6, count=3))
    bad_reply("info_half_a_worker_beyond_the_payload", frame(0x84, workers(4, 5, 6)[16:-1]))
    bad_reply("info_most_workers_beyond_the_payload", workers(4, count=U16_MAX))
    bad_reply("info_too_many_workers", workers(0, *range(1, 33)))
    bad_reply("info_workers_not_ascending", workers(4, 6, 5))
    bad_reply("info_workers_twice", workers(4, 5, 5))
    bad_reply("info_workers_not_above_the_first", workers(4, 4))
    bad_reply("info_workers_behind_none", workers(None, 5))
    bad_reply("error_short", frame(0xFF, error(1, 0, b"")[:-1]))
    bad_reply("error_text_too_long", frame(0xFF, error(1, 0, b"x" * 161)))
    bad_reply("error_text_not_utf8", frame(0xFF, error(1, 0, b"\xff")))


def main():
    good_requests()
    bad_requests()
    bad_datagrams()
    good_replies()
    error_replies()
    bad_replies()
    assert len({vector["name"] for vector in vectors}) == len(vectors), "names are unique"
    file = pathlib.Path(__file__).with_name("v1.json")
    text = json.dumps(vectors, indent=2) + "\n"
    if sys.argv[1:] == ["--check"]:
        if file.read_text(encoding="ascii") != text:
            sys.exit(f"{file.name} is not what make.py writes")
    elif sys.argv[1:]:
        sys.exit("usage: make.py [--check]")
    else:
        file.write_text(text, encoding="ascii", newline="\n")


if __name__ == "__main__":
    main()
