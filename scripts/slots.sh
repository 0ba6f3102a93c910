#!/usr/bin/env bash
# Measures how much more several slots give than one: `slots.sh SECONDS`.
#
# A server with four slots is asked for batches of 4,096 as fast as it answers, once with its records
# in files and once in an etcd. Fails when an ID came twice or an order was violated, and when less
# than 3.9 times one slot's 4,096,000 IDs/s were issued.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: slots.sh SECONDS}
cargo build --locked --release --workspace --bins
work=$PWD/$(mktemp -d -p target)
pids=()
finish() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT

# wait_for WHAT LOG COMMAND...: until the command succeeds, for ten seconds.
wait_for() {
    local what=$1 log=$2
    shift 2
    for _ in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "slots: $what did not start:" >&2
    cat "$log" >&2
    exit 1
}

# measure NAME FLAG...: a server with these flags.
measure() {
    local name=$1 server address
    shift
    ./target/release/coreflake --listen 127.0.0.1:0 --http none --grpc none --shards 2 \
        --state-dir "$work/$name" --worker-mode dynamic --worker-slots 4 "$@" \
        >"$work/$name.ready" 2>"$work/$name.log" &
    server=$!
    pids+=("$server")
    wait_for "the server" "$work/$name.log" grep -q '^ready ' "$work/$name.ready"
    address=$(sed -n 's/^ready tcp=\([^ ]*\) .*/\1/p' "$work/$name.ready")
    ./target/release/loadgen --duration "${seconds}s" --target "tcp://$address" --connections 16 \
        --count 4096 --rate max --verify --json "$work/$name.json" >/dev/null 2>"$work/$name.load" ||
        { cat "$work/$name.load" "$work/$name.json" >&2; exit 1; }
    kill "$server"
    wait "$server"
    python3 - "$name" "$work/$name.json" <<'PYTHON'
import json, sys
name, report = sys.argv[1], json.load(open(sys.argv[2]))
assert report["duplicates"] == 0 and report["order_violations"] == 0, report
ratio = report["ids_per_second"] / 4_096_000
print(f"{name}: 4 slots give {report['ids_per_second']:,.0f} IDs/s, {ratio:.2f} times one slot's")
sys.exit(f"slots: {name}: {ratio:.2f} is below 3.9" if ratio < 3.9 else 0)
PYTHON
}

measure file --store file

# A port that was free a moment ago.
ports() {
    python3 -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(socket.getsockname()[1] for socket in sockets))'
}
read -r client peer < <(ports)
client=http://127.0.0.1:$client peer=http://127.0.0.1:$peer
etcd --name slots --data-dir "$work/etcd" --listen-client-urls "$client" \
    --advertise-client-urls "$client" --listen-peer-urls "$peer" \
    --initial-advertise-peer-urls "$peer" --initial-cluster "slots=$peer" >"$work/etcd.log" 2>&1 &
pids+=("$!")
wait_for etcd "$work/etcd.log" etcdctl --endpoints "$client" endpoint health
./target/release/coreflake slots init --store etcd --store-endpoints "$client"
measure etcd --store etcd --store-endpoints "$client"
