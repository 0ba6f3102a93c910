#!/usr/bin/env bash
# Compares REST and gRPC with the smallest servers that axum and tonic make, each on one thread, in one
# run: `gateway.sh SECONDS`. Then floods REST while a TCP client on a shard looks at its latency.
#
# Fails when an ID came twice, or when REST or gRPC reach less than 70 % of their baseline (the median of
# three rounds, baseline and gateway in turn). Latencies are printed, not judged.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: gateway.sh SECONDS}
cargo build --locked --release --workspace --bins --example baseline
work=$(mktemp -d -p target)
work=$PWD/$work
./target/release/examples/baseline >"$work/baseline" &
baseline=$!
./target/release/coreflake --listen 127.0.0.1:0 --http 127.0.0.1:0 --grpc 127.0.0.1:0 --shards 1 \
    --state-dir "$work/state" >"$work/gateway" 2>"$work/log" &
gateway=$!
trap 'kill "$baseline" "$gateway" 2>/dev/null || true; wait || true; rm -rf "$work"' EXIT
for _ in $(seq 100); do
    grep -q '^ready ' "$work/gateway" && grep -q '^ready ' "$work/baseline" && break
    sleep 0.1
done

# address FILE DOOR
address() {
    grep -o " $2=[^ ]*" "$1" | cut -d= -f2
}

# load ARGUMENTS…: a run of loadgen, its report in report.json. Exit code 1 says that order was violated,
# as the equal IDs of the baseline do; what is asked of the gateway is looked up in its reports.
load() {
    "${pin[@]}" ./target/release/loadgen --duration "${seconds}s" --warmup 500ms --json "$work/report.json" "$@" \
        >/dev/null 2>"$work/loadgen" || [ $? -eq 1 ] || { cat "$work/loadgen" >&2; exit 1; }
}

# Where the load runs: anywhere, until latency is looked at.
pin=(env)

# field NAME: a number of the last report.
field() {
    python3 -c 'import functools, json, sys
report = json.load(open(sys.argv[1]))
print(functools.reduce(lambda value, name: value[name], sys.argv[2].split("."), report))' \
        "$work/report.json" "$1"
}

# HTTP clients have one request in flight per connection; gRPC clients share a connection.
declare -A shape=([http]="--connections 64 --pipeline 1" [grpc]="--connections 16 --pipeline 4")
for door in http grpc; do
    read -ra shaped <<<"${shape[$door]}"
    : >"$work/rates"
    for _ in 1 2 3; do
        load --target "$door://$(address "$work/baseline" "$door")" --threads 1 "${shaped[@]}" \
            --rate max
        before=$(field requests_per_second)
        load --target "$door://$(address "$work/gateway" "$door")" --threads 1 "${shaped[@]}" \
            --rate max --verify
        echo "$before $(field requests_per_second) $(field duplicates) $(field order_violations) $(field errors)" >>"$work/rates"
    done
    python3 - "$door" "$work/rates" <<'PYTHON'
import statistics, sys
rounds = [[float(number) for number in line.split()] for line in open(sys.argv[2])]
baseline, gateway = (statistics.median(column) for column in list(zip(*rounds))[:2])
print(f"{sys.argv[1]}: baseline {baseline:,.0f}/s, gateway {gateway:,.0f}/s, ratio {gateway / baseline:.2f}")
assert not any(any(faults) for _, _, *faults in rounds), f"duplicates, order, errors: {rounds}"
assert gateway >= 0.7 * baseline, "the gateway is too slow"
PYTHON
done

echo "--- p99 in us of a TCP client at 2,000 requests/s, without and with a flood of REST (A B A B A B)"
tcp=$(address "$work/gateway" tcp)
# The server has its shard on core 0 and its gateway on core 1; each load goes where it is served.
pin=(taskset -c 0)
for _ in 1 2 3; do
    load --target "tcp://$tcp" --threads 1 --connections 1 --rate 2000 --verify
    echo "without: $(field latency_us.p99)"
    taskset -c 1 ./target/release/loadgen --target "http://$(address "$work/gateway" http)" --threads 1 \
        --connections 16 --pipeline 4 --rate max --warmup 0 --duration "$((seconds + 2))s" \
        >/dev/null 2>&1 &
    flood=$!
    load --target "tcp://$tcp" --threads 1 --connections 1 --rate 2000 --verify
    echo "with:    $(field latency_us.p99)"
    wait "$flood"
done
