#!/usr/bin/env bash
# Runs every test of the workspace, in two groups at the same time: tests that wait for alerts and for
# stores to notice things leave the cores to those that compute.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
logs=${CARGO_TARGET_DIR:-target}/tmp/test-logs
mkdir -p "$logs"

# What mostly waits. Whatever is not named here belongs to the other group.
waiting=(observability stores)

"$cargo" build --locked --workspace --bins --examples
"$cargo" test --locked --workspace --no-run

mapfile -t all < <("$cargo" metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
targets = [target for package in json.load(sys.stdin)["packages"] for target in package["targets"]]
print("\n".join(sorted({target["name"] for target in targets if "test" in target["kind"]})))')
first=() second=()
for name in "${all[@]}"; do
    case " ${waiting[*]} " in
        *" $name "*) second+=(--test "$name") ;;
        *) first+=(--test "$name") ;;
    esac
done
if [ "${#second[@]}" -ne $((2 * ${#waiting[@]})) ]; then
    echo "test: one of ${waiting[*]} is no test any more" >&2
    exit 1
fi

"$cargo" test --locked --workspace "${second[@]}" --no-fail-fast >"$logs/waiting.log" 2>&1 &
other=$!
failed=0
"$cargo" test --locked --workspace --lib --bins --examples "${first[@]}" --no-fail-fast || failed=1
"$cargo" test --locked --workspace --doc || failed=1
wait "$other" || failed=1
cat "$logs/waiting.log"
exit "$failed"
