# The documented commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint soak bench bench-quick bench-tools tools

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

run: tools ## Start Tern with sample links on http://127.0.0.1:8000; stop with Ctrl-C
	cargo run --release --locked --package tern -- serve --sample

test: tools ## Run every test; installs what they need (Debian, as root or with sudo)
	@scripts/install-if-missing '/usr/lib/postgresql/*/bin/initdb:postgresql' redis-server:redis-server openssl:openssl
	cargo build --workspace --locked
	cargo test --workspace --locked

lint: tools ## Check the format and run clippy; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

soak: tools ## Kill redirectors and PostgreSQL for most of an hour, and count what is lost
	@scripts/install-if-missing '/usr/lib/postgresql/*/bin/initdb:postgresql' redis-server:redis-server
	cargo build --release --workspace --locked
	target/release/tern-soak

bench: bench-tools ## Measure Tern beside nginx, HAProxy and others, up to 10,000,000 links; writes docs/PERFORMANCE_REPORT.md
	cd bench && target/release/report

bench-quick: bench-tools ## The same with 2,000 links in two minutes; writes bench/target/quick/PERFORMANCE_REPORT.md
	cd bench && target/release/report --quick --output target/quick

bench-tools: tools
	@scripts/install-if-missing wrk:wrk nginx:nginx-light haproxy:haproxy redis-server:redis-server \
		psql:postgresql-client '/usr/lib/postgresql/*/bin/initdb:postgresql'
	cargo build --release --locked --package tern-redirector
	cargo build --release --locked --package tern-admin
	cd bench && cargo build --release --locked --bins

# A C compiler, for SQLite and the allocator.
tools:
	@scripts/install-if-missing cc:gcc
