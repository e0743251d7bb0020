# Everything a person or CI calls. What runs is in scripts/.
.PHONY: setup run test check bench lock audit clean

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

lock: ## makes requirements/*.lock anew
	@scripts/setup
	scripts/lock

audit: ## asks the registry's advisories about every locked package (needs a network)
	@scripts/setup
	.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/build.lock
	.venv/bin/pip-audit --strict --require-hashes --disable-pip --requirement requirements/dev.lock
	cd tests/interop && ../../scripts/node npm audit

clean: ## removes what setup and the tests made here
	rm -rf .venv build test-output tests/interop/node_modules
