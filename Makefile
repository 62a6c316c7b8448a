# The loops of CONTRIBUTING.md. Each builds what it needs; nothing is left running.

.PHONY: help lint fast lab e2e mutants gate

help: ## what there is
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

lint: ## format, clippy, documentation, licences, Python and shell
	cargo fmt --all --check
	.ci/lint
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet

fast: ## all that needs no LocalStack and no tool of others
	cargo test --workspace --lib
	cargo test --test it fast::

lab: ## the program on LocalStack
	cargo test --test it lab::

e2e: ## Terraform, Ansible, Pulumi and clients in other languages on the program
	cargo test --test it e2e::

mutants: ## put each of the faults of tests/mutants/ back, and see that a test notices
	python3 tests/mutants.py

gate: ## all that a change must pass
	.ci/run
