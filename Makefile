# Everything a person or CI calls. What runs is in scripts/.
.PHONY: setup run test check bench fuzz lock audit clean

setup: ## installs what is missing: Debian packages, .venv, what tests take from npm
	@scripts/setup

run: ## installs what the demo needs, and runs it: http://localhost:8000
	@scripts/setup run
	.venv/bin/citizenid demo

test: ## installs what is missing, and runs every check and test
	@scripts/setup
	scripts/check

check: ## the quick checks alone, on what is installed: format, lint, types, imports, unit tests
	scripts/check format lint types imports unit

bench: ## every figure, beside its yardstick
	@scripts/setup
	scripts/bench

fuzz: ## a coverage-guided fuzzer run over every parser of untrusted octets: make fuzz [SECONDS=120]
	@scripts/setup
	@scripts/setup fuzz
	.venv/bin/python scripts/fuzz --seconds $(or $(SECONDS),120)

lock: ## makes requirements/*.lock anew
	@scripts/setup
	scripts/lock

audit: ## asks the registry's advisories about every locked package (needs a network)
	@scripts/setup
	.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/build.lock
	.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.lock
	.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/fuzz.lock
	cd tests/interop && ../../scripts/node npm audit

clean: ## removes what setup and the tests made here
	rm -rf .venv build test-output tests/interop/node_modules
