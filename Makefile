# The documented commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint soak bench tools

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

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

bench: tools ## Measure redirects beside nginx with wrk, in turns (about a minute)
	@scripts/install-if-missing wrk:wrk nginx:nginx-light curl:curl
	cargo build --release --locked --package tern
	bench/wrk-beside-nginx

# A C compiler, for SQLite and the allocator.
tools:
	@scripts/install-if-missing cc:gcc
