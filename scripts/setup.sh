#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, on Debian 12. May be run any number of times;
# does nothing, and needs no network, when everything is there.
set -euo pipefail

# command -> Debian package
needed=(
    "cc:gcc"
    "make:make"
    "curl:curl"
    "python3:python3"
    "prlimit:util-linux"
    "strace:strace"
    "faketime:faketime"
    "chronyd:chrony"
    "mkfs.ext4:e2fsprogs"
)

# Some live where only the administrator looks.
PATH=$PATH:/usr/sbin:/sbin

missing=()
for entry in "${needed[@]}"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "setup: missing: ${missing[*]}; without apt-get, install them yourself" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${missing[@]}"
