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
    "flock:util-linux"
    "strace:strace"
    "faketime:faketime"
    "chronyd:chrony"
    "mkfs.ext4:e2fsprogs"
    "prometheus:prometheus"
    "promtool:prometheus"
)

# Some live where only the administrator looks.
PATH=$PATH:/usr/sbin:/sbin

missing=()
for entry in "${needed[@]}"; do
    command -v "${entry%%:*}" >/dev/null || missing+=("${entry##*:}")
done
# Debian's python3 comes without what makes a virtual environment.
if ! python3 -c "import ensurepip, venv" 2>/dev/null; then
    missing+=("python3-venv")
fi

if [ "${#missing[@]}" -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "setup: missing: ${missing[*]}; without apt-get, install them yourself" >&2
        exit 1
    fi
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update
    # Debian starts what it installs. The tests start their own chronyd and Prometheus, and nobody else
    # has asked for one.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${missing[@]}"
    # Nor at the next boot.
    if [ -d /run/systemd/system ] && [[ " ${missing[*]} " == *" prometheus "* ]]; then
        "${as_root[@]}" systemctl disable prometheus.service
    fi
fi

here=$(dirname "$0")
"$here/python.sh" "${CARGO_TARGET_DIR:-$here/../target}/python"
