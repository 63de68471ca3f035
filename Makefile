# Needs Go, git, make and a POSIX shell. A real Vault is found or built by scripts/vault-bin.

# The plugin's packages link no C. Only `make test` uses a C compiler, where there is one, for the race detector.
.POSIX:

# Of make chaos: how long, what is done (0: another time something else), and the document in whose table the counts are added.
FOR = 10m
SEED = 0
RECORD =

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

build: ## build the plugin and the token server to bin/
	scripts/build bin/vault-plugin-secrets-zoho
	scripts/build bin/zoho-token-server zoho-token-server

demo: ## show the product on a real Vault: read a token, use it, revoke it
	@scripts/build bin/demo ./bootstrap/demo
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && exec bin/demo demo

dev: ## the same environment, kept up until Ctrl-C, to try things by hand
	@scripts/build bin/demo ./bootstrap/demo
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && exec bin/demo dev

test: ## run all tests, the acceptance tests on a real Vault among them
	scripts/test

test-kubernetes: ## run the example for External Secrets on a real Kubernetes API server, and write what came of it into docs/works-with.md; 20 minutes, and 40 more to build them the first time
	@scripts/build bin/works-with ./workswith
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && KUBERNETES=1 exec bin/works-with -name "External Secrets Operator on Kubernetes" -timeout 60m -- -run TestKubernetes ./test

works-with: ## run the acceptance tests, and write what came of it into docs/works-with.md: OPENBAO_VERSION=v2.4.0 make works-with
	@scripts/build bin/works-with ./workswith
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && exec bin/works-with ./test

bench: ## measure the engine on a real Vault, beside plugins that do nothing or only write, and with 100,000 leases; writes docs/scale.md; about 20 minutes
	@scripts/build bin/bench ./bench
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && exec bin/bench

chaos: ## break everything on three nodes and check what readers get: make chaos FOR=1h SEED=7
	@scripts/build bin/chaos ./chaos
	@VAULT_BIN=$$(scripts/vault-bin) && export VAULT_BIN && exec bin/chaos -for=$(FOR) -seed=$(SEED) -record=$(RECORD)

mutate: ## change the pure packages in one place after the other, and tell which changes no test notices; an hour
	cd tools/mutate && go run . -explained ../../docs/reliability.md ../../backend/clock ../../backend/quota ../../backend/store ../../backend/work ../../backend/ledger ../../backend/refreshtoken

check: ## gofmt, go vet and golangci-lint
	scripts/lint

release-check: ## make a release without publishing it, and check it: licences, same bytes, checksums, SBOM, vulnerabilities
	scripts/release-check

docs: ## write docs/reference.md anew, from the plugin's schemas and from what a real Vault answers
	VAULT_BIN=$$(scripts/vault-bin) UPDATE_DOCS=1 go test -count=1 -run TestReference ./test
	go test -count=1 -run TestReference_IsGenerated . -args write-reference

fmt: ## format the Go files
	gofmt -w .

clean: ## remove what was built in this repository (the cached Vault stays)
	rm -rf bin

.PHONY: help build demo dev test test-kubernetes works-with bench chaos mutate check release-check docs fmt clean
