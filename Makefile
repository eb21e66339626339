# Everything a fresh machine needs is python3, make and the package registries.
#   make demo   set up, run the main job on embedded defaults, show it (BROKER=rabbitmq: on RabbitMQ)
#   make test   set up, then check and all tests
#   make docs   write what is generated in the documents, and README's pictures of the page
SHELL := /bin/bash
PYTHON ?= python3
BROKER ?= nats
# Most tests wait for servers most of the time.
WORKERS ?= 5
# SERVICES=containers: the suites run on brokers and a cluster in containers, where Docker answers.
SERVICES ?=
# Where the environment says so, Python keeps nothing of what it compiles: hundreds of processes would do it anew.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILED := $(VENV)/.compiled
IN := $(if $(filter containers,$(SERVICES)),$(BIN)/python -m tests.containers)

# Paths of the Pythons besides $(PYTHON) that are tested as well: by default one of each version that is found. PYTHONS=
# for none. Their venvs are made by uv, in an eighth of pip's time; it does not read pip's settings.
PYTHONS ?= $(shell $(BIN)/python -m tests.pythons)
UV := UV_NATIVE_TLS=1 $(CURDIR)/$(BIN)/uv pip install --quiet --no-deps
INDEX = $$($(BIN)/pip config list | sed -n "s/^[^=]*[.]index-url='\(.*\)'$$/--default-index \1/p" | tail -n 1)
ITS = .jobrelay/pythons/$$(basename $$python)
ON_IT = $(MAKE) --no-print-directory PYTHON=$$python VENV=$(ITS) PYTHONS= PIP="$(UV) $(INDEX) --python $(ITS)/bin/python"

.PHONY: demo test check servers coverage docs e2e bench soak chaos rabbitmq postgresql chromium dist image kind kind-delete requirements clean others alone pythons

demo: $(READY) $(filter rabbitmq,$(BROKER))
	$(BIN)/jobrelay demo --broker $(BROKER)

# Never against a developer's own cluster: that is what e2e is for. No test trusts a public authority, but aiohttp reads
# them all, twice, in each of some hundred processes: 50 ms.
test: $(READY)
	@$(MAKE) --no-print-directory -j3 check $(COMPILED) servers
	@$(MAKE) --no-print-directory others
	env -u KUBECONFIG SSL_CERT_FILE=/dev/null $(IN) $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(COVERED)

# On the other Pythons, all at once, what needs no other process: a minute of one core each.
others: $(READY)
	@jobs=; for python in $(PYTHONS); do echo "== $$python"; $(ON_IT) alone & jobs="$$jobs $$!"; done; \
	  for job in $$jobs; do wait $$job || failed=1; done; [ -z "$$failed" ]

alone: $(READY)
	env -u KUBECONFIG SSL_CERT_FILE=/dev/null $(BIN)/pytest --alone -q -rfE -p no:cacheprovider

# All tests on each Python that is found, one after the other.
pythons: test
	@for python in $(PYTHONS); do echo "== $$python"; $(ON_IT) test || exit; done

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# The same, half as slow again: which lines and branches the tests take, at least 90 %; each in .jobrelay/coverage.
coverage:
	@$(MAKE) --no-print-directory test PYTHONS= COVERED="--cov --cov-report=html:.jobrelay/coverage --cov-report=term --cov-fail-under=90"

# Everything in the documents that is made from the code; tests compare it, but for README's pictures of the page.
PICTURES := tests/docs/page-light.png tests/docs/page-dark.png
docs: $(READY) $(PICTURES)
	$(BIN)/python -m tests.docs

# One run makes both.
$(PICTURES) &: $(READY) $(wildcard handler/console/pages/templates/* handler/console/pages/static/*)
	$(BIN)/python -m tests.docs.pictures
	@touch $(PICTURES)

# Against KUBECONFIG, NATS_URL and RABBITMQ_URL where they are set, in E2E_NAMESPACE; else against servers of its own.
e2e: $(READY)
	$(IN) $(BIN)/pytest tests/e2e

# Everything that can break, broken, and what is marked `long`; the table goes to .jobrelay/chaos.md. Four to five hours.
chaos: $(READY)
	JOBRELAY_CHAOS=long $(BIN)/pytest -s

# JOBRELAY_BENCH_REQUESTS (1000000) in the history, and on the page.
bench: $(READY)
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.history
	$(BIN)/python -m tests.bench.page

# JOBRELAY_SOAK_REQUESTS (20000) at 60 a second: do handler and controller stay as they are?
soak: $(READY)
	$(BIN)/python -m tests.bench.soak

# Without RabbitMQ, PostgreSQL or Chromium their suites are skipped, but not in CI. One after the other: apt takes one at
# a time.
servers:
	@[ -n "$$RABBITMQ_URL$(SERVICES)" ] || $(MAKE) --no-print-directory rabbitmq || [ -z "$$CI" ]
	@[ -n "$$POSTGRES_URL" ] || $(MAKE) --no-print-directory postgresql || [ -z "$$CI" ]
	@$(MAKE) --no-print-directory chromium || [ -z "$$CI" ]

# RabbitMQ is no Python package. We start nodes of our own: the system-wide service is neither needed nor started.
rabbitmq:
	@PATH="$$PATH:/usr/lib/rabbitmq/bin"; command -v rabbitmq-server >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y rabbitmq-server; \
	  else \
	    echo "rabbitmq-server is missing: install the package rabbitmq-server (make does it as root on Debian)," \
	      "put it on PATH, or name a server for the tests in RABBITMQ_URL" >&2; exit 1; \
	  fi

# The tests start servers of their own here, too.
postgresql:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql; \
	  else \
	    echo "postgres is missing: install the package postgresql (make does it as root on Debian)," \
	      "put it on PATH, or name a server for the tests in POSTGRES_URL" >&2; exit 1; \
	  fi

# The page is looked at in it. Of Debian's packages the one that needs no display is half as large; not every release has it.
chromium:
	@command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && for package in chromium-headless-shell chromium; do \
	      DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$package && exit; \
	    done; exit 1; \
	  else \
	    echo "chromium is missing: install the package chromium (make does it as root on Debian), or put it on PATH" >&2; \
	    exit 1; \
	  fi

# Debian keeps venv in a package of its own. --no-deps: the file names all there is to install. The pip that comes with
# Python takes three times as long; what of it all is imported is compiled then.
PIP := $(BIN)/pip --quiet --disable-pip-version-check install --no-compile --no-deps
$(READY): .ci/requirements.txt .ci/requirements-pip.txt pyproject.toml
	$(PYTHON) -m venv $(VENV) || { apt-get update -qq && apt-get install -qq -y python3-venv && $(PYTHON) -m venv $(VENV); }
	$(PIP) --require-hashes -r .ci/requirements-pip.txt
	$(PIP) --require-hashes -r .ci/requirements.txt
	$(PIP) --no-build-isolation -e .
	touch $@

# Once, of all that the tests import: their processes would all do it at the same time.
$(COMPILED): $(READY)
	@$(BIN)/pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

# Wheel and sdist, the same bytes wherever and whenever they are built: by the pinned build backend, hence no isolation.
dist: $(READY)
	$(BIN)/python -m build --no-isolation

# The image, with SBOM and provenance, by Docker's buildx; PUSH=1 IMAGE=registry.example/jobrelay puts it there. k8s/README.md
# has the other variables, also those of `kind`: a cluster in containers of this machine, with jobrelay and all it needs.
image:
	k8s/deploy/image.sh

kind:
	k8s/deploy/kind/start.sh

kind-delete:
	k8s/deploy/kind/start.sh delete

# Resolve the pinned requirements anew, and with them what the image gets: the same versions.
COMPILE := $(BIN)/uv pip compile --universal --generate-hashes --quiet --no-emit-index-url --no-emit-find-links
requirements: $(READY)
	$(COMPILE) --all-extras --group dev --upgrade pyproject.toml -o .ci/requirements.txt
	$(COMPILE) --extra console --extra nats --extra otlp --extra rabbitmq -c .ci/requirements.txt pyproject.toml -o .ci/requirements-runtime.txt
	echo pip | $(COMPILE) --upgrade - -o .ci/requirements-pip.txt
	printf 'hatch-fancy-pypi-readme>=25.1\nhatchling>=1.27\nsetuptools>=68\n' | $(COMPILE) -c .ci/requirements.txt - -o .ci/requirements-build.txt

clean:
	rm -rf $(VENV) .jobrelay .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* dist build *.egg-info
