#!/usr/bin/env bash
# The long version of the tests of durability: soak.sh [LIVES] servers (1,000 unless said otherwise)
# are killed with kill -9 under full load and started again on the same record, and no ID may come
# twice; and as many on the slots of a pool, in each shared store. Everything random follows from
# COREFLAKE_SEED, which is printed: set it to repeat a run.
# Needs root, for file systems on loop devices.
set -euo pipefail
cd "$(dirname "$0")/.."

export COREFLAKE_CYCLES=${1:-1000}
export COREFLAKE_SEED=${COREFLAKE_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "--- durability: $COREFLAKE_CYCLES lives that end with kill -9, COREFLAKE_SEED=$COREFLAKE_SEED"
cargo test --locked --profile testrelease --test durability -- --nocapture --test-threads 4
echo "--- stores: as many on a pool of slots, in etcd, ZooKeeper and Consul"
cargo test --locked --profile testrelease --test stores -- --nocapture lives::
