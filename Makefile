# The words are the same everywhere; `make` alone lists them. CI runs `CI=true make test` and nothing else.

.DEFAULT_GOAL := help
.PHONY: help setup run test check fix sim faults bench compiled quality browser docs lock clean

BIN := .venv/bin
BOOTSTRAP := sh deploy/scripts/bootstrap.sh

help: ## this list
	@echo "Switchdesk. A newcomer needs two of these: make run, make test."
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: ## make .venv with everything that tests and checks need
	@$(BOOTSTRAP) dev

run: ## start everything in one process with a demo contact centre
	@$(BOOTSTRAP) runtime
	@exec $(BIN)/python -m services.embedded

test: check ## all checks and all tests (ARGS="-k offers" narrows the tests, ARGS="-n 0" is one at a time)
	@$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

check: setup ## lint, formatting, types, import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: setup ## put right what ruff can put right by itself
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

sim: setup ## seeded days through the engine: SEEDS=1000 for many, SEED=42 for one
	@SEEDS=$(SEEDS) SEED=$(SEED) $(BIN)/python -m pytest tests/simulation $(ARGS)

faults: setup ## real brokers, routers and Redis under faults: SEED=1 MINUTES=5
	@$(BIN)/python -m tests.faults --seed $(or $(SEED),1) --minutes $(or $(MINUTES),5) $(ARGS)

bench: setup ## print the figures of docs/performance.md
	@$(BIN)/python -m tests.load.bench $(ARGS)

compiled: setup ## the same system with a compiled engine, in build/compiled (needs a C compiler)
	@$(BIN)/python -m deploy.scripts.compiled build/compiled --with-tests

quality: setup ## print the figures of docs/routing-quality.md: ARGS="--seeds 6 --jobs 2"
	@$(BIN)/python -m tests.load.routing_quality $(ARGS)

browser: setup ## the pages, in a real Chromium
	@$(BIN)/python -m pytest tests/browser $(ARGS)

docs: setup ## write docs/configuration.md, docs/policy.md and docs/contracts/ anew from the code
	@$(BIN)/python -m deploy.scripts.configuration
	@$(BIN)/python -m deploy.scripts.policy_reference
	@$(BIN)/python -m deploy.scripts.schemas

lock: ## resolve the dependencies of pyproject.toml anew (needs uv)
	@$(BOOTSTRAP) python deploy/scripts/lock.py

clean: ## remove .venv and caches; data stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .grimp_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
