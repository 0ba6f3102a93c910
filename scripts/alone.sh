#!/usr/bin/env bash
# Runs a command in a network of its own, which has a loopback and nothing else: whatever port it
# listens on, nobody on this machine has it, and nobody can take it.
set -euo pipefail
# What administrators have may lie where only they look.
PATH=$PATH:/usr/sbin:/sbin
exec unshare --map-root-user --net -- sh -c 'ip link set lo up && exec "$@"' sh "$@"
