# The documented commands. `make` alone lists them.

.DEFAULT_GOAL := help
.PHONY: help run test lint tools

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: tools ## Start Tern with sample links on http://127.0.0.1:8000; stop with Ctrl-C
	cargo run --release --locked --package tern -- serve --sample

test: tools ## Run every test; installs what they need (Debian, as root or with sudo)
	@scripts/install-if-missing redis-server:redis-server openssl:openssl
	cargo test --workspace --locked

lint: tools ## Check the format and run clippy; warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

# A C compiler, for SQLite and the allocator.
tools:
	@scripts/install-if-missing cc:gcc
