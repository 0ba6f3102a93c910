"""Reads IDs of a kind from standard input, each with the time that it should say, by libraries that are not
ours: Python's uuid module and the package python-ulid. Prints how many there were."""

import sys
import uuid

import ulid

GREGORIAN_MS = 12_219_292_800_000


def read_uuid1(text):
    value = uuid.UUID(text)
    assert (value.version, value.variant) == (1, uuid.RFC_4122), text
    return (value.time, value.clock_seq, value.node), value.time / 10_000 - GREGORIAN_MS


def read_uuid7(text):
    value = uuid.UUID(text)
    assert (value.version, value.variant) == (7, uuid.RFC_4122), text
    return value.int, value.int >> 80


def read_ulid(text):
    value = ulid.ULID.from_str(text)
    assert str(value) == text
    return value.bytes, value.milliseconds


read = {"uuid1": read_uuid1, "uuid7": read_uuid7, "ulid": read_ulid}[sys.argv[1]]
before, count, texts = None, 0, []
for line in sys.stdin:
    text, unix_ms = line.split()
    order, found_ms = read(text)
    assert abs(found_ms - int(unix_ms)) < 1, f"{text} is of {found_ms} ms, not of {unix_ms}"
    assert before is None or before < order, f"{text} does not rise"
    before, count = order, count + 1
    texts.append(text)
if sys.argv[1] != "uuid1":
    assert texts == sorted(texts), "the texts sort as the IDs do"
print(count)
