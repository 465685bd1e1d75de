# make train and make test do all the set-up they need; make help lists the rest.
PYTHON ?= python3
VENV ?= .venv
CONFIG ?= demo.yaml
ARCHIVES ?=
DATA ?= $(if $(ARCHIVES),data/places,$(SAMPLE))
PICTURES ?= $(DATA)/pictures
MINUTES ?= 30
TAKE_OVER ?=

SAMPLE := data/sample
INSTALLED := $(VENV)/installed
PLACES := $(VENV)/bin/places

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install data train test fuzz lint format type leaderboard docs docker clean
.PHONY: owner

help: ## list the targets and the variables
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo 'variables: CONFIG=$(CONFIG) DATA=$(DATA) ARCHIVES=$(ARCHIVES) PYTHON=$(PYTHON) VENV=$(VENV)'

install: owner $(INSTALLED) ## make .venv with the pinned packages and this project (once)

# Another checkout may have the same VENV: it must not be run in place of this one, nor lose it.
owner:
	@sh scripts/owner.sh '$(PYTHON)' '$(VENV)' '$(TAKE_OVER)'

$(INSTALLED): requirements.txt pyproject.toml scripts/install.sh | owner
	@sh scripts/install.sh '$(PYTHON)' '$(VENV)'
	@touch $@

ifdef ARCHIVES
data: install ## pack the official archives (ARCHIVES=folder), or draw and pack a sample
	@set -- '$(ARCHIVES)'/*.tar; [ -e "$$1" ] || { \
		echo "places: error: no archives (*.tar) in $(ARCHIVES)" && \
		echo "  get them:  $(PLACES) download standard-256 --root $(ARCHIVES)"; \
		exit 2; } >&2
	$(PLACES) pack '$(ARCHIVES)'/*.tar --root $(DATA)
else
data: install $(SAMPLE)/test.json
endif

# The manifest that is written last.
$(SAMPLE)/test.json: | $(INSTALLED)
	$(PLACES) sample --root $(SAMPLE)

# Data are made where archives are given or the sample is trained on; others must be there already.
train: install $(if $(ARCHIVES)$(filter $(SAMPLE),$(DATA)),data) ## train, test and predict (CONFIG=recipe DATA=folder)
	$(PLACES) fit --config $(CONFIG) --data.root $(DATA)
	@best=$$(ls -t runs/*/*/checkpoints/best.ckpt | head -n 1) && set -x && \
	$(PLACES) test --ckpt_path "$$best" && \
	if [ -d '$(PICTURES)' ]; then \
		$(PLACES) predict '$(PICTURES)' --ckpt_path "$$best"; \
	fi
	@$(VENV)/bin/python scripts/summary.py runs

test: lint type ## check style and types, run the tests (CI=true: the slow ones too)
	$(VENV)/bin/pytest --cov --numprocesses 2 --dist worksteal $(if $(CI),,-m 'not slow')

fuzz: install ## try random damaged inputs (MINUTES=30); what fails is repeated by its seed
	$(VENV)/bin/python -m tests.fuzz --minutes $(MINUTES)

lint: install ## check style and format, and the workflows of GitHub
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/zizmor --offline --quiet .github/workflows
	@if command -v actionlint >/dev/null; then actionlint; fi

format: install ## format, and correct what can be corrected
	$(VENV)/bin/ruff format
	$(VENV)/bin/ruff check --fix

type: install ## check types
	$(VENV)/bin/mypy

leaderboard: install ## build the tables in leaderboard/ from the results that lie there
	$(VENV)/bin/python scripts/leaderboard.py

docs: install ## build the documentation into site/; a broken link is an error
	$(VENV)/bin/mkdocs build --strict

docker: ## build the container image places
	docker build --tag places .

clean: ## delete caches and built files; keeps .venv, data and runs
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov site dist
	find src tests scripts -name __pycache__ -prune -exec rm -rf {} +
