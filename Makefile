# What a change has to pass, and what is worth measuring. `make help` lists the targets.

CARGO ?= cargo
# Most tests wait for a server more than they compute: more of them at once than there are cores.
TEST_THREADS ?= 4
LOOM_FLAGS = RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom

.PHONY: help setup test lint bench soak

help:
	@echo "make test   install what the tests need, then run all of them"
	@echo "make lint   formatting, clippy and documentation, warnings are errors"
	@echo "make bench  ns per ID, claim and frame; throughput and latency of a real server; REST and gRPC"
	@echo "make soak   the long version: 10^8 IDs and more, each proved unique; 1,000 kills and restarts"

setup:
	./scripts/setup.sh

test: setup
	CARGO="$(CARGO)" RUST_TEST_THREADS=$(TEST_THREADS) ./scripts/test.sh
	$(LOOM_FLAGS) $(CARGO) test --locked -p coreflake-engine --test loom --profile testrelease
	python3 protocol/vectors/make.py --check
	./scripts/stores.sh
	./scripts/readme.sh

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

bench: setup
	$(CARGO) bench --locked
	./scripts/measure.sh 10
	./scripts/gateway.sh 5
	./scripts/slots.sh 5
	./scripts/kinds.sh 10000000

soak: setup
	./scripts/measure.sh 60
	./scripts/soak.sh
