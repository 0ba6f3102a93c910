#!/usr/bin/env bash
# Starts a server with two shards and measures it with loadgen: `measure.sh SECONDS`.
#
# Fails when an ID came twice or an order was violated, when batches draw less than 98 % of a slot's
# 4,096,000 IDs/s over 16 connections or less than 80 % over one, or when a lane had to wait for
# sequence space because another one took all it could. Latencies are printed, not judged: they belong
# to the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: measure.sh SECONDS}
cargo build --locked --release --workspace --bins
work=$(mktemp -d -p target)
work=$PWD/$work
./target/release/coreflake --listen 127.0.0.1:0 --http 127.0.0.1:0 --grpc 127.0.0.1:0 --shards 2 \
    --state-dir "$work/state" >"$work/ready" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    grep -q '^ready ' "$work/ready" && break
    sleep 0.1
done
address=$(sed -n 's/^ready tcp=\([^ ]*\) .*/\1/p' "$work/ready")
[ -n "$address" ] || { echo "measure: the server did not start:" >&2; cat "$work/log" >&2; exit 1; }

load() {
    echo "--- loadgen $*"
    ./target/release/loadgen --duration "${seconds}s" "$@" 2>/dev/null
}

# field FILE NAME: a number of a JSON report.
field() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}

# at_least NAME FIGURE LIMIT
at_least() {
    python3 -c 'import sys; sys.exit(float(sys.argv[1]) < float(sys.argv[2]))' "$2" "$3" || {
        echo "measure: $1 is $2, below $3" >&2
        exit 1
    }
}

echo "--- throughput and latency: one ID per request, everything proved unique"
for transport in tcp udp; do
    load --target "$transport://$address" --connections 64 --pipeline 64 --rate max --verify
    load --target "$transport://$address" --connections 16 --rate 20000 --verify
done

echo "--- a slot's whole sequence space: batches of 1,000"
load --target "tcp://$address" --connections 16 --count 1000 --rate max --verify \
    --json "$work/sixteen.json"
at_least "IDs/s over 16 connections" "$(field "$work/sixteen.json" ids_per_second)" 4014080
load --target "tcp://$address" --connections 1 --count 1000 --rate max --verify \
    --json "$work/one.json"
at_least "IDs/s over one connection" "$(field "$work/one.json" ids_per_second)" 3276800

echo "--- a quiet lane beside a busy one, without and with the other, twice (A B A B)"
for _ in 1 2; do
    load --target "tcp://$address" --lane 1 --connections 1 --threads 1 --rate 2000 --verify \
        --json "$work/quiet.json" | grep -E 'from intended|latency'
    ./target/release/loadgen --duration "$((seconds + 2))s" --target "tcp://$address" --lane 0 \
        --connections 1 --threads 1 --count 4096 --pipeline 16 --rate max --verify \
        >"$work/busy" 2>/dev/null &
    busy=$!
    load --target "tcp://$address" --lane 1 --connections 1 --threads 1 --rate 2000 --verify \
        --json "$work/beside.json" | grep -E 'from intended|latency'
    wait "$busy"
    grep -E '^ids  ' "$work/busy"
    python3 - "$work/beside.json" <<'PYTHON'
import json, sys
lanes = json.load(open(sys.argv[1]))["lanes"]
quiet = [lane for lane in lanes if lane["lane"] == 1]
assert quiet and quiet[0]["waits"] == 0, f"the quiet lane had to wait: {lanes}"
print(f"waits of the quiet lane: {quiet[0]['waits']}")
PYTHON
done
