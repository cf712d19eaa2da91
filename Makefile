# make demo    the whole job on real packages, in _demo/; KEY=tpm seals the keys to software TPMs
# make test    everything that continuous integration runs
# make bench   the numbers
# make soak    ten minutes of load, restarts and trouble: nothing may grow; as root
# make clients trees of thousands of real packages, resolved by npm, pnpm, yarn and go from the network
# make fuzz    every fuzz target for FUZZTIME each
# make build   the four programs, in _build/

GO       ?= go
FUZZTIME ?= 20s
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PACKAGES := gcc libc6-dev softhsm2 openssl curl ca-certificates p11-kit p11-kit-modules libnspr4 swtpm swtpm-tools python3-pip
BUILD    := _build
NSS      := $(BUILD)/nss
NSSLIBS  := softokn3 nssutil3 mozsqlite3 freeblpriv3

.PHONY: build deps demo lint test bench soak clients fuzz clean

build: deps
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BUILD)/ ./cmd/countersign ./cmd/countersignd
	CGO_ENABLED=1 GOEXPERIMENT=runtimesecret $(GO) build -trimpath -o $(BUILD)/ ./cmd/keyagent ./cmd/ceremony

# What building, testing and the demo need from Debian; nothing happens where it is all there. npm may come from elsewhere.
deps:
	@missing=""; for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; done; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
	  $(SUDO) apt-get update -q && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing; fi

# The second PKCS#11 module that tests run against. It comes out of the package of Firefox: libnss3 has no Ed25519 yet.
$(NSS)/ready:
	rm -rf $(NSS) && mkdir -p $(NSS)
	cd $(NSS) && { apt-get download -q firefox-esr || { $(SUDO) apt-get update -q && apt-get download -q firefox-esr; }; }
	dpkg-deb --fsys-tarfile $(NSS)/firefox-esr_*.deb | tar -x -C $(NSS) --strip-components=4 $(NSSLIBS:%=./usr/lib/firefox-esr/lib%.so)
	rm $(NSS)/firefox-esr_*.deb
	touch $@

demo: build
	@$(GO) build -trimpath -o $(BUILD)/ ./test/hostile
	@deploy/demo.sh $(BUILD) _demo

lint:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "not gofmt-clean: $$out"; exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) mod verify

test: build lint $(NSS)/ready
	$(GO) test -count=1 -timeout 14m ./...
	$(GO) test -count=1 -timeout 14m -race $(RACE)

RACE := ./agent ./gate ./hsm ./ledger ./policy ./signer ./tpm

soak: build
	$(GO) vet -tags soak ./test
	$(GO) test -count=1 -tags soak -run TestSoak -timeout 20m -v ./test -soak 10m

# Not in make test: it takes the network and several minutes.
clients: build
	$(GO) vet -tags clients ./test
	$(GO) test -count=1 -tags clients -run TestClient -timeout 40m -v ./test

bench:
	$(GO) test -run '^$$' -bench . -benchmem -count 5 ./provenance ./policy ./gate ./ledger ./agent ./hsm ./signer ./test

fuzz:
	@for p in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

clean:
	rm -rf $(BUILD) _demo
