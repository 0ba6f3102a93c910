#!/usr/bin/env bash
# Runs the commands of the README as a new user would: starts the server, then every block that is
# marked as part of the session, in order. Fails when one of them fails, or prints nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != alone ]; then
    # A copy of the tree, as a new user has it. What is checked is that the commands do what the README
    # says, not how fast: a build without any speed takes a quarter of the time, and stays apart from the
    # real one.
    place=${CARGO_TARGET_DIR:-target}/readme
    mkdir -p "$place"
    git ls-files -z | tar --null --files-from=- --create --file=- | tar --extract --file=- --directory="$place"
    cd "$place"
    unset CARGO_TARGET_DIR
    export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256
    export CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_DEBUG=false

    # Exactly what `cargo run --release` builds; what follows builds the rest when it needs it, where
    # nothing can be fetched any more.
    cargo fetch --locked --target "$(rustc --version --verbose | sed -n 's/^host: //p')"
    cargo build --locked --release
    # The ports are those of the README: somebody on this machine may have them.
    exec scripts/alone.sh scripts/readme.sh alone
fi

mkdir -p target
work=$(mktemp -d -p target)
# The user's own state directory is left alone.
export XDG_STATE_HOME=$PWD/$work/state
cargo run --locked --release >"$work/ready" 2>"$work/log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
for _ in $(seq 300); do
    grep -q '^ready ' "$work/ready" && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
if ! grep -qE '^ready tcp=127.0.0.1:4096 udp=127.0.0.1:4096 http=127.0.0.1:8080 grpc=127.0.0.1:50051 datacenter=0 worker=0 shards=[0-9]+$' \
        "$work/ready"; then
    echo "readme: the server is not ready:" >&2
    cat "$work/log" >&2
    exit 1
fi

python3 - >"$work/session" <<'PYTHON'
import re
text = open("README.md").read()
blocks = re.findall(r"<!-- session -->\n```sh\n(.*?)```", text, re.DOTALL)
assert len(blocks) >= 4, "the README has lost its session"
print("".join(blocks), end="")
PYTHON

ran=0
while IFS= read -r command; do
    echo "+ $command"
    output=$(bash -euo pipefail -c "$command" 2>"$work/stderr" </dev/null) || {
        status=$?
        echo "readme: exit $status: $command" >&2
        cat "$work/stderr" >&2
        exit 1
    }
    [ -n "$output" ] || { echo "readme: no output: $command" >&2; exit 1; }
    echo "$output"
    ran=$((ran + 1))
done <"$work/session"

kill -INT "$server"
wait "$server" || { echo "readme: the server did not end cleanly" >&2; cat "$work/log" >&2; exit 1; }
trap 'rm -rf "$work"' EXIT
echo "readme: $ran commands ran"
