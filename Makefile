# The documented commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-map tools

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

run: tools ## Start Tern with sample links on http://127.0.0.1:8000; stop with Ctrl-C
	cargo run --release --locked --package tern -- serve --sample

test: tools ## Run every test; installs what they need (Debian, as root or with sudo)
	@scripts/install-if-missing '/usr/lib/postgresql/*/bin/initdb:postgresql' redis-server:redis-server openssl:openssl
	cargo build --workspace --locked
	cargo test --workspace --locked

lint: tools ## Check the format and run clippy; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: tools ## Measure redirects beside nginx with wrk, in turns (about a minute)
	@scripts/install-if-missing wrk:wrk nginx:nginx-light curl:curl
	cargo build --release --locked --package tern
	bench/wrk-beside-nginx

LINKS ?= 1000000
bench-map: tools ## Measure the map beside dashmap and papaya (LINKS=1000000; ten million take 5 GB)
	cd bench && cargo build --release --locked --bin map
	for what in look-ups memory replacement start; do bench/target/release/map $$what $(LINKS); done

# A C compiler, for SQLite and the allocator.
tools:
	@scripts/install-if-missing cc:gcc
