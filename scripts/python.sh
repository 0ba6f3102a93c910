#!/usr/bin/env bash
# Makes the virtual environment that some tests use: python.sh DIRECTORY. May be run
# any number of times, also at once; does nothing, and needs no network, when it is there.
set -euo pipefail
directory=${1:?"usage: python.sh DIRECTORY"}
requirements=$(dirname "$0")/requirements.txt

mkdir -p "$(dirname "$directory")"
exec 9>"$directory.lock"
flock 9
if cmp -s "$requirements" "$directory/requirements.txt"; then
    exit 0
fi
rm -rf "$directory"
python3 -m venv "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
# Last: it says that the environment is whole.
cp "$requirements" "$directory/requirements.txt"
