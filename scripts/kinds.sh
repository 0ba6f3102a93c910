#!/usr/bin/env bash
# Proves that each kind is unique across a kill -9 in the middle of a load: `kinds.sh IDS [PROFILE]`.
#
# For each kind a server is asked by the load generator, over several connections and at full rate, is
# killed with SIGKILL after a third of the time and started again on the same record and port. Fails
# when an ID came twice, an order was violated, an ID was of another slot, or fewer than IDS different
# ones came. PROFILE is `release` unless said otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

ids=${1:?usage: kinds.sh IDS [PROFILE]}
profile=${2:-release}
build=$profile
if [ "$profile" = dev ]; then
    build=debug
fi
cargo build --locked --profile "$profile" --workspace --bins
work=$PWD/$(mktemp -d -p target)
server=
finish() {
    if [ -n "$server" ]; then
        kill -9 "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

# serve KIND ADDRESS: starts a server, and waits until it is ready.
serve() {
    "./target/$build/coreflake" --listen "$2" --http none --grpc none --shards 2 \
        --state-dir "$work/$1" >"$work/$1.ready" 2>"$work/$1.log" &
    server=$!
    for _ in $(seq 100); do
        grep -q '^ready ' "$work/$1.ready" && return
        sleep 0.1
    done
    echo "kinds: the server did not start:" >&2
    cat "$work/$1.log" >&2
    exit 1
}

# prove KIND COUNT: COUNT IDs a request.
prove() {
    local kind=$1 count=$2 address load
    serve "$kind" 127.0.0.1:0
    address=$(sed -n 's/^ready tcp=\([^ ]*\) .*/\1/p' "$work/$kind.ready")
    "./target/$build/loadgen" --target "tcp://$address" --kind "$kind" --connections 8 --pipeline 4 \
        --count "$count" --rate max --warmup 0 --duration 15s --reconnect --verify \
        --json "$work/$kind.json" >/dev/null 2>"$work/$kind.load" &
    load=$!
    sleep 5
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    serve "$kind" "$address"
    # Its code says the same as its report, which is looked at below.
    wait "$load" || true
    python3 - "$kind" "$work/$kind.json" "$ids" <<'PYTHON'
import json, sys
kind, report, wanted = sys.argv[1], json.load(open(sys.argv[2])), int(sys.argv[3])
names = ("distinct", "duplicates", "order_violations", "foreign_ids")
distinct, *bad = (report[name] for name in names)
closed = report["errors_by_code"].get("connection_closed", 0)
print(f"{kind}: {distinct:,} different IDs, {bad[0]} duplicates, {bad[1]} order violations, "
      f"{bad[2]} of another slot; {closed} connections broke, {report['lost']} requests were lost")
problems = [f for f in report["failures"]]
if any(bad) or problems or closed == 0 or distinct < wanted:
    sys.exit(f"kinds: {kind}: {problems or 'too few IDs, or nothing was killed'}")
PYTHON
    kill "$server"
    wait "$server"
    server=
}

prove snowflake 1000
prove instagram 1000
prove uuid1 1000
# They are so many that their proof is what takes the time.
prove ulid 20
prove uuid7 20
