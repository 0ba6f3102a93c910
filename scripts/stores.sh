#!/usr/bin/env bash
# Runs the sessions of docs/etcd.md, docs/zookeeper.md and docs/consul.md: each page as one shell,
# block after block, in a folder of its own, against a store that the page itself starts. Fails when
# a command fails, or when a page shows output that does not come.
#
# Each page has a network of its own, so that all run at once with the ports they show. Of the output
# that is shown, numbers, times, random names and the name of the host may be others, and lines may
# stand between those that are shown.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(realpath "${CARGO_TARGET_DIR:-target}")
# The servers of the tests, as they are: another choice of packages is another choice of features, and
# compiles half of them again.
cargo build --locked --workspace --bins --examples
PATH=$target/debug:$target/consul/usr/bin:/usr/share/zookeeper/bin:$PATH:/usr/sbin:/sbin
export PATH
# Whatever is configured for the user of this shell is not what the pages have.
for name in $(compgen -e | grep -E '^(COREFLAKE|ETCD|ETCDCTL|CONSUL|ZOO|STATE_DIRECTORY|XDG_STATE)' || true); do
    unset "$name"
done
# Small and fast to start, for the servers and for the command line of ZooKeeper.
export JVMFLAGS="-Xms16m -Xmx96m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dzookeeper.preAllocSize=1024"

work=$(mktemp -d -p "$target")
trap 'rm -rf "$work"' EXIT
python3 - "$PWD/scripts/alone.sh" "$work" docs/etcd.md docs/zookeeper.md docs/consul.md <<'PYTHON'
import os, pathlib, re, signal, subprocess, sys, threading

PAGE_TIMEOUT_S = 100


def blocks(page):
    """The blocks of the session, each with the output that is shown behind it, if some is."""
    text = pathlib.Path(page).read_text()
    shown = r"(?:(?:(?!<!-- session -->).)*?<!-- output -->\n```\w*\n(?P<output>.*?)```)?"
    return re.findall(r"<!-- session -->\n```sh\n(.*?)```\n" + shown, text, re.DOTALL)


def pattern(line):
    """What a line of output has to look like: numbers and random names may be others."""
    line = re.sub(r"\b0x[0-9a-f]{8,}\b|\b(?=[0-9a-f-]*[0-9])[0-9a-f-]{8,}\b", "\0", line)
    line = re.sub(r"\bvm\b", "\1", line)
    parts = [re.escape(part) for part in re.split(r"\d+", line)]
    line = re.sub(r"(\\ )+", r"\\s+", r"\d+".join(parts))
    line = line.replace("\0", r"[0-9a-fx-]+").replace("\1", r"\S+")
    return re.compile(line + r"\s*$")


def missing(shown, seen):
    """The first line that is shown and has not come in its order."""
    seen = iter(seen)
    for line in filter(None, (line.rstrip() for line in shown.splitlines())):
        if line != "…" and not any(pattern(line).match(other) for other in seen):
            return line
    return None


def run(page, folder, failures):
    name = pathlib.Path(page).name
    session = blocks(page)
    if len(session) < 4:
        failures.append(f"{name} has lost its session")
        return
    # What a page has started ends with it.
    script = ["set -euo pipefail", "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT"]
    for number, (commands, _) in enumerate(session):
        script += [f"echo '=== {number}' >&2", commands]
    script = "\n".join(script)
    folder.mkdir()
    (folder / "session").write_text(script)
    output = folder / "output"
    with output.open("wb") as out:
        shell = subprocess.Popen(
            [alone, "bash", str(folder / "session")],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )
        try:
            status = shell.wait(timeout=PAGE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            status = f"no end within {PAGE_TIMEOUT_S} s"
    parts = re.split(r"^=== \d+\n", output.read_text(errors="replace"), flags=re.MULTILINE)[1:]
    if status != 0:
        logs = [f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in folder.glob("*.log")]
        done = session[len(parts) - 1][0] if parts else ""
        failures.append("\n".join([f"{name}: exit {status} in\n{done}", *parts[-1:], *logs]))
        return
    for (commands, shown), seen in zip(session, parts):
        line = missing(shown, seen.splitlines())
        if line is not None:
            failures.append(f"{name}: of\n{commands}this line has not come: {line}\nbut:\n{seen}")


alone, work, *pages = sys.argv[1:]
failures, threads = [], []
for page in pages:
    arguments = (page, pathlib.Path(work) / pathlib.Path(page).stem, failures)
    threads.append(threading.Thread(target=run, args=arguments))
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit("\n".join(f"stores: {failure}" for failure in failures))
print(f"stores: {len(pages)} pages ran")
PYTHON
