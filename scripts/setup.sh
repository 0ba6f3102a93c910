#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, on Debian 12. May be run any number of times;
# does nothing, and needs no network, when everything is there. Consul is not installed but unpacked
# beside the build: the tests run it from there.
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
    "etcd:etcd-server"
    "etcdctl:etcd-client"
    "java:default-jre-headless"
    "/usr/share/zookeeper/bin/zkServer.sh:zookeeper"
    "openssl:openssl"
    "ip:iproute2"
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
    # Debian starts what it installs. The tests start their own chronyd, Prometheus, etcd and ZooKeeper,
    # and nobody else has asked for one.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
        "${as_root[@]}" chmod 755 "$policy"
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "${missing[@]}"
    # Nor at the next boot.
    for entry in prometheus:prometheus etcd-server:etcd zookeeper:zookeeper; do
        service=${entry##*:}.service
        if [ -d /run/systemd/system ] && [[ " ${missing[*]} " == *" ${entry%%:*} "* ]] &&
            systemctl cat "$service" >/dev/null 2>&1; then
            "${as_root[@]}" systemctl disable "$service"
        fi
    done
fi

here=$(dirname "$0")
target=${CARGO_TARGET_DIR:-$here/../target}
"$here/python.sh" "$target/python"

# Where this machine gets Debian from, as the entry of a file of sources for the release $1.
debian_source() {
    local list parts
    eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
    # The own release is what tells Debian's archive from all others.
    python3 - "$1" "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$list" "$parts" <<'PYTHON'
import glob, re, sys
wanted, own, main_list, parts = sys.argv[1:]

def entries(path):
    """The sources in a file, as pairs of fields and options."""
    text = open(path).read()
    text = re.sub(r"(?m)^\s*#.*\n?", "", text)
    if path.endswith(".sources"):
        for block in re.split(r"\n[ \t]*\n", text):
            fields = re.findall(r"(?m)^([A-Za-z-]+):((?:.*\n?)(?:^[ \t].*\n?)*)", block)
            yield {name.lower(): value.strip() for name, value in fields}
    else:
        for options, uri, suite, components in re.findall(
            r"(?m)^\s*deb\s+(?:\[([^]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#\n]*)", text
        ):
            signed = re.search(r"signed-by=(\S+)", options, re.IGNORECASE)
            yield {
                "types": "deb", "uris": uri, "suites": suite, "components": components,
                "signed-by": signed.group(1).replace(",", " ") if signed else "",
            }

files = [main_list] + sorted(glob.glob(parts + "*.sources") + glob.glob(parts + "*.list"))
for path in files:
    try:
        found = list(entries(path))
    except FileNotFoundError:
        continue
    for entry in found:
        has = lambda name, word: word in entry.get(name, "").split()
        if not (has("types", "deb") and has("suites", own) and has("components", "main")):
            continue
        if entry.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in entry["uris"].split():
            if uri.startswith(("http://", "https://")):
                print(f"Types: deb\nURIs: {uri}\nSuites: {wanted}\nComponents: main")
                if entry.get("signed-by"):
                    print("Signed-By:", entry["signed-by"])
                sys.exit()
sys.exit("setup: no source of Debian packages in the configuration of apt")
PYTHON
}

# Debian 12 has no Consul; Debian 11 has the last free one. apt looks there with directories of its
# own, so that nothing on the machine changes, and the package needs no more than it holds.
fetch_consul() {
    local work=$target/consul.work package
    rm -rf "$work"
    mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$work"/unpacked
    debian_source bullseye >"$work/debian.sources"
    # What the machine does after an update of its own is not for this one.
    printf '#clear %s;\n' APT::Update::{Pre-Invoke,Post-Invoke,Post-Invoke-Success} >"$work/apt.conf"
    local apt=(
        apt-get --quiet -c "$work/apt.conf"
        -o Dir::Etc::sourcelist="$work/debian.sources"
        -o Dir::Etc::sourceparts=-
        -o Dir::State::lists="$work/lists"
        -o Dir::Cache="$work/cache"
        # Whoever else apt would become cannot write here.
        -o APT::Sandbox::User="$(id -un)"
    )
    "${apt[@]}" update
    (cd "$work" && "${apt[@]}" download consul)
    package=("$work"/consul_*.deb)
    dpkg -x "${package[0]}" "$work/unpacked"
    # Last: it says that it is whole.
    rm -rf "$target/consul"
    mv "$work/unpacked" "$target/consul"
    rm -rf "$work"
}

mkdir -p "$target"
target=$(cd "$target" && pwd)
exec 8>"$target/consul.lock"
flock 8
[ -x "$target/consul/usr/bin/consul" ] || fetch_consul
