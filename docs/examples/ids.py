#!/usr/bin/env python3
"""Fetches IDs from a coreflake server and takes them apart.

Usage: ids.py tcp|udp HOST PORT [COUNT [KIND]]
"""

import datetime
import secrets
import socket
import struct
import sys
import uuid

GENERATE, PARSE, INFO, ERROR = 0x01, 0x02, 0x04, 0xFF
KINDS = {"snowflake": 1, "instagram": 2, "uuid1": 3, "ulid": 4, "uuid7": 5}
WIDE = {"uuid1", "ulid", "uuid7"}  # of 128 bits
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
HEADER = struct.Struct(">IBBHQ")  # length of what follows, version, opcode, flags, request id
UNIX_EPOCH = datetime.datetime(1970, 1, 1)


def connect_tcp(host, port):
    stream = socket.create_connection((host, port), timeout=5).makefile("rwb")

    def exchange(request, _timeout):
        stream.write(request)
        stream.flush()
        length = stream.read(4)
        size = int.from_bytes(length, "big")
        if not 12 <= size <= 66_556:
            raise ConnectionError("the connection was closed or carries something else")
        return length + stream.read(size)

    return exchange


def connect_udp(host, port):
    family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    peer = socket.socket(family, kind)
    peer.connect(address)  # Datagrams of others do not come in.

    def exchange(request, timeout):
        try:
            peer.settimeout(timeout)
            peer.send(request.ljust(1200, b"\0"))  # No reply is longer than its request: pad.
            while (reply := peer.recv(1200))[8:16] != request[8:16]:
                pass  # A late reply to an earlier attempt.
            return reply
        except TimeoutError:
            return None

    return exchange


def ask(exchange, opcode, payload=b""):
    """The payload of the reply. Only a lost datagram is asked for again, with a new request id."""
    for timeout in (0.1, 0.2, 0.4, 0.8, 1.6):
        request_id = secrets.randbits(64)
        request = HEADER.pack(12 + len(payload), 1, opcode, 0, request_id) + payload
        if frame := exchange(request, timeout):
            break
    else:
        raise TimeoutError("the server does not answer")
    length, version, reply, flags, reply_id = HEADER.unpack_from(frame)
    if reply == ERROR:
        code, retry_after_ms = struct.unpack_from(">HxxI", frame, HEADER.size)
        sys.exit(f"error {code:#06x}, retry after {retry_after_ms} ms: {frame[24:].decode()}")
    if (length + 4, version, reply, flags, reply_id) != (len(frame), 1, opcode | 0x80, 0, request_id):
        raise ValueError("the reply does not fit the request")
    return frame[HEADER.size :]


def generate(exchange, kind, count):
    """At least one ID and at most `count`: over UDP as many as fit into the reply."""
    payload = ask(exchange, GENERATE, struct.pack(">BxxxIxxxx", KINDS[kind], count))
    if kind in WIDE:
        ids = [int.from_bytes(value, "big") for (value,) in struct.iter_unpack(">16s", payload)]
        if not 1 <= len(ids) <= count:
            raise ValueError("the server sent a number of IDs that was not asked for")
        return ids
    runs = list(struct.iter_unpack(">QI", payload))
    if not 1 <= sum(size for _, size in runs) <= count:
        raise ValueError("the server sent a number of IDs that was not asked for")
    return [first + offset for first, size in runs for offset in range(size)]


def text(kind, number):
    """An ID as people write it."""
    if kind == "ulid":
        return "".join(BASE32[number >> shift & 31] for shift in range(125, -1, -5))
    return str(uuid.UUID(int=number)) if kind in WIDE else str(number)


def take_apart(number, widths, tick_ms, epoch_ms):
    """Unix milliseconds, datacenter, worker, sequence: parts of `widths` bits, the last one lowest."""
    parts = []
    for width in reversed(widths):
        parts.append(number & (1 << width) - 1)
        number >>= width
    sequence, worker_id, datacenter_id, tick = parts
    return epoch_ms + tick * tick_ms, datacenter_id, worker_id, sequence


def main(transport, host, port, count=5, kind="snowflake"):
    exchange = {"tcp": connect_tcp, "udp": connect_udp}[transport](host, int(port))
    *widths, epoch_ms, count_max, tick_ms = struct.unpack_from(">4B4xQ8xI52xB", ask(exchange, INFO))
    ids = []
    while (missing := int(count) - len(ids)) > 0:
        ids += generate(exchange, kind, min(missing, count_max))
    for number in ids:
        size = 16 if kind in WIDE else 8
        asked = struct.pack(">B7x", KINDS[kind]) + number.to_bytes(size, "big")
        parsed = struct.unpack_from(">QHHI", ask(exchange, PARSE, asked))
        if kind == "snowflake" and parsed != take_apart(number, widths, tick_ms, epoch_ms):
            raise ValueError(f"the server takes {number} apart as {parsed}")
        unix_ms, datacenter, worker, sequence = parsed
        time = (UNIX_EPOCH + datetime.timedelta(milliseconds=unix_ms)).isoformat(timespec="milliseconds")
        print(f"{text(kind, number)} {time}Z datacenter={datacenter} worker={worker} sequence={sequence}")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5, 6) or sys.argv[1] not in ("tcp", "udp"):
        sys.exit(__doc__)
    if len(sys.argv) == 6 and sys.argv[5] not in KINDS:
        sys.exit(f"ids.py: the kinds are {', '.join(KINDS)}")
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError, struct.error) as problem:
        sys.exit(f"ids.py: {problem}")
