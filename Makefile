# Two commands matter: `make demo` and `make test`. Both install what the machine lacks, by package name, and say so.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint unit conformance schemathesis bench-w1 bench-serving bench-hop request-cost crash overload reload soak ledger-kills edge \
  idle-sequences accuracy fuzz bench-engine bench-trust threats sim sim-compare sim-elastic cluster-faults sbom deny clean

help:
	@echo "make demo         train on New York taxi demand, serve the model, call it, draw it (no questions asked)"
	@echo "make test         everything CI runs: format, lints, house rules, tests, docs, protocol conformance"
	@echo "make schemathesis requests made from /openapi.json, right and wrong, EXAMPLES=25 an operation, against a real server"
	@echo "make accuracy     every accuracy gate on the data sets of ../shared/data, as docs/results/accuracy.md (resumable)"
	@echo "make fuzz         fuzz files, requests, states, credentials and parts of a ledger, FUZZ_SECONDS=600 a target, FUZZ_JOBS=1 at a time, as docs/results/fuzz.md"
	@echo "make bench-engine kernels and training beside ReservoirPy, rclib, numpy and qulacs, as docs/results/engine-speed.md"
	@echo "make bench-serving  serving beside tritonserver, pytriton and MLServer, as docs/results/serving.md (about 15 minutes)"
	@echo "make request-cost   what a request costs stage by stage, in time and allocations, as docs/results/request-cost.md"
	@echo "make crash        live sequences under load while the server is killed: none lost or doubled, to the bit, as docs/results/crash.md"
	@echo "make overload     three times what the server can answer: goodput, refusals, recovery, as docs/results/overload.md (3 minutes)"
	@echo "make reload       a model file exchanged every second under load, every answer checked, as docs/results/reload.md"
	@echo "make soak         SOAK_SECONDS=1200 at RATE=2000 a second: all counted, memory flat, as docs/results/soak.md; then make ledger-kills"
	@echo "make ledger-kills SPINWELL_KILLS=200 of a server with a ledger under load: nothing acknowledged is lost, as docs/results/ledger-kills.md"
	@echo "make idle-sequences  COUNT=1000000 sequences begun and left alone, as docs/results/idle-sequences.md"
	@echo "make edge         deploy/haproxy in a real HAProxy with a real Consul: gateways come, drain, die and go, no request is lost"
	@echo "make cluster-faults  a real region under load while parts of it are killed, frozen, drained, cut off, as docs/results/faults.md (about 6 minutes)"
	@echo "make bench-hop    what a gateway in a process of its own adds to a request, as docs/results/hop.md (2 minutes)"
	@echo "make bench-trust  what keys, policies, detectors, ledger, encryption and TLS cost: throughput, latency, lag, bytes, as docs/results/trust.md (12 minutes)"
	@echo "make threats      simulated attacks and honest traffic at the threat detectors, SEEDS=10, printed as in docs/results/threats.md"
	@echo "make sim          SEEDS=1000 simulated clusters with all faults on, sequences and controls too, SEEDS/10 of the real services, planted bugs, as docs/results/simulation.md"
	@echo "make sim-compare  the five balancing strategies on the same simulated traces, as docs/results/balancing.md"
	@echo "make sim-elastic  simulated days under our scaler, the score alone, HPA, Knative and Ray Serve, all tuned alike, as docs/results/elastic.md (about 5 minutes)"
	@echo "make sbom         what the binary is made of, as CycloneDX 1.5 in target/sbom, checked against its schema"
	@echo "make deny         holds all dependencies against deny.toml: bans, licences, sources (advisories need a database on the network: cargo deny check advisories)"
	@echo "make bench-w1     one model, 64 connections, 30 seconds: requests a second and latency"

demo:
	@scripts/need.sh build python
	@scripts/demo.sh

test: lint deny unit conformance
	@echo "make test: all passed"

lint:
	@scripts/need.sh build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --package spinwell-cli --no-default-features --quiet -- -D warnings
	cargo clippy --package spinwell-engine --features bench --all-targets --quiet -- -D warnings
	cargo xtask tidy

unit:
	@scripts/need.sh build vulkan consul haproxy postgres s3
	@grep -q avx512f /proc/cpuinfo || echo "this machine has no AVX-512: its bits are not tested here"
	SPINWELL_TEST_VULKAN=required SPINWELL_TEST_AVX512=$$(grep -q avx512f /proc/cpuinfo && echo required || true) \
	  NODEVICE_SELECT=1 cargo test --workspace --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

conformance: schemathesis
	@scripts/need.sh build python
	@scripts/conformance.sh

schemathesis:
	@scripts/need.sh build schemathesis
	@scripts/schemathesis.sh

edge:
	@scripts/need.sh build consul haproxy
	cargo test --package spinwell-registry --test consul -- edge

cluster-faults:
	@scripts/need.sh build consul haproxy postgres python
	cargo build --release --quiet
	@python3 scripts/faults.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

accuracy:
	@scripts/need.sh build python
	cargo build --release --quiet
	@python3 scripts/accuracy.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" --data "$${DATA:-../shared/data}"

bench-w1:
	@scripts/need.sh build wrk
	@scripts/bench-w1.sh

bench-serving:
	@scripts/need.sh build wrk serving
	cargo build --release --quiet
	@python3 scripts/bench-serving.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" --venv target/venv-serving $${OUT:+--out "$$OUT"}

request-cost:
	@scripts/need.sh build
	cargo build --release --quiet --package spinwell-cli --bin spinwell --example request_cost
	@scripts/request-cost.sh

crash:
	@scripts/need.sh build python
	cargo build --release --quiet
	@scripts/crash.sh

bench-hop:
	@scripts/need.sh build python
	cargo build --release --quiet
	@python3 scripts/hop.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

overload:
	@scripts/need.sh build python
	cargo build --release --quiet
	@python3 scripts/overload.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

reload:
	@scripts/need.sh build python
	cargo build --release --quiet
	@target/venv/bin/python scripts/reload.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

soak:
	@scripts/need.sh build python
	cargo build --release --quiet
	@python3 scripts/soak.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}
	@$(MAKE) --no-print-directory ledger-kills $${OUT:+OUT="$${OUT%.md}-ledger-kills.md"}

ledger-kills:
	@scripts/need.sh build python
	cargo build --release --quiet
	cargo build --release --quiet --package spinwell-store --example ledger_events
	@python3 scripts/ledger-kills.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

idle-sequences:
	@scripts/need.sh build python
	cargo build --release --quiet
	@python3 scripts/idle-sequences.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

bench-engine:
	@scripts/need.sh build peers
	cargo build --release --quiet --package spinwell-engine --features bench --example engine_speed
	@python3 scripts/bench-engine.py --engine "$${CARGO_TARGET_DIR:-target}/release/examples/engine_speed" \
	  $${OUT:+--out "$$OUT"}

fuzz:
	@scripts/need.sh build fuzz
	@scripts/fuzz.sh

bench-trust:
	@scripts/need.sh build python
	cargo build --release --quiet
	cargo build --release --quiet --package spinwell-store --example ledger_speed
	@python3 scripts/trust.py --spinwell "$${CARGO_TARGET_DIR:-target}/release/spinwell" $${OUT:+--out "$$OUT"}

sim:
	@scripts/need.sh build python
	cargo build --release --quiet --package spinwell-sim --package spinwell-ring
	@python3 scripts/sim.py --seeds $${SEEDS:-1000} --out $${OUT:-docs/results/simulation.md} \
	  --written "$$(date +%F), commit $$(git describe --always --dirty)"

threats:
	@scripts/need.sh build
	cargo run --release --quiet --package spinwell-policy --example threats -- $${SEEDS:-10}

sim-compare:
	@scripts/need.sh build
	cargo run --release --quiet --package spinwell-sim -- compare --out $${OUT:-docs/results/balancing.md} \
	  --written "$$(date +%F), commit $$(git describe --always --dirty)"

sim-elastic:
	@scripts/need.sh build
	cargo run --release --quiet --package spinwell-sim -- elastic --out $${OUT:-docs/results/elastic.md} \
	  --written "$$(date +%F), commit $$(git describe --always --dirty)"

sbom:
	@scripts/need.sh build sbom
	@target/venv-sbom/bin/python scripts/sbom.py $${OUT:+--out "$$OUT"}

deny:
	@scripts/need.sh build deny
	cargo deny --log-level error check bans licenses sources

clean:
	cargo clean
	rm -rf demo-out
