# The farm's chores. Every target can be run again at any time.

SHELL := /bin/bash
CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BUILD_USER := pybit-build

# Started as root, builds run as another user, who must be able to enter the directories of program and data. A checkout
# below /root cannot be entered: then both go to a place that can.
ROOM := $(shell [ "$$(id -u)" != 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x '$(CURDIR)' || echo /var/tmp/pybit)
ifneq ($(ROOM),)
export CARGO_TARGET_DIR := $(ROOM)/target
DATA := --data-dir $(ROOM)/data
endif
PYBIT := $(or $(CARGO_TARGET_DIR),target)/debug/pybit
# What cargo needs besides Rust: a C compiler and a linker, and the libzmq that ZeroMQ hints go over.
BUILD_PACKAGES := build-essential libzmq3-dev pkg-config
DEMO_PACKAGES := $(BUILD_PACKAGES) debhelper dpkg-dev fakeroot git gnupg iproute2 mmdebstrap reprepro sbuild uidmap
SERVICE_PACKAGES := openssl postgresql rabbitmq-server
TEST_PACKAGES := $(DEMO_PACKAGES) $(SERVICE_PACKAGES) createrepo-c curl devscripts dnf dput faketime flit gpgv libdpkg-perl pristine-tar python3-build python3-debian python3-dev python3-dput python3-packaging python3-pip python3-setuptools python3-wheel rpm strace subversion
BENCH_PACKAGES := $(BUILD_PACKAGES) libdpkg-dev libmd-dev librpm-dev python3-packaging
DENY_VERSION := 0.20.2
NEXTEST_VERSION := 0.9.143
# The S3 server of the tests: docs/decisions/0008-s3-in-tests.md
S3_VERSION := 0.14.1
# make chaos: a run of the fault harness.
JOBS ?= 1000
FAULTS ?= 200
SEED ?= 1
BACKENDS ?= postgres+rabbitmq

.PHONY: help demo clean-demo test test-fast acceptance sweep sequences mutations fuzz chaos chaos-mutations check bench load services deps-build deps-demo deps-test deps-services deps-s3 deps-nextest build-user

help:
	@echo 'make demo [ONCE=1]  a farm that builds and publishes the sample package; with ONCE=1 it ends after the proof'
	@echo 'make clean-demo     removes what the demo has written'
	@echo 'make test           installs what the tests need and runs those that a change could break; ALL=1 runs all, TESTS="NAME…" some'
	@echo 'make test-fast      the tests that need neither root nor other programs'
	@echo 'make acceptance     the checks that are long by nature, about four hours; PARTS=list shows them, PARTS="fuzz load" selects'
	@echo 'make chaos          a farm under a seeded schedule of faults: JOBS=1000 FAULTS=200 SEED="1 2 3" BACKENDS=postgres+rabbitmq|sqlite+zeromq'
	@echo 'make sweep           ends every process at every named point (POINTS=a,b for some)'
	@echo 'make sequences       a million random sequences of the state machine'
	@echo 'make mutations       breaks twelve rules, one after the other, and sees a check notice each'
	@echo 'make fuzz            every parser of foreign bytes under libFuzzer; SECONDS=600, TARGETS="dsc changes" selects'
	@echo 'make chaos-mutations  the harness on farms with one rule left out: the checker must notice'
	@echo 'make services       private PostgreSQL, RabbitMQ and S3 servers until Ctrl-C, and the variables that tests read'
	@echo 'make check          formatting, lints, documentation, dependencies'
	@echo 'make bench          the benchmarks'
	@echo 'make load           how quick a farm is, by simulated clients; MEASURE=submissions,done selects'

# Installs Debian packages that are missing; says what to do elsewhere.
define install
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ] && ! command -v apt-get >/dev/null; then \
	  echo 'This is not Debian. On Fedora or RHEL: dnf install gcc make zeromq-devel pkgconf-pkg-config git gnupg2 dpkg-dev debhelper fakeroot iproute mmdebstrap reprepro sbuild shadow-utils' >&2; exit 1; \
	fi; \
	if [ -n "$$missing" ]; then \
	  echo "installing" $$missing; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
endef

deps-build:
	$(call install,$(BUILD_PACKAGES))

deps-demo:
	$(call install,$(DEMO_PACKAGES))

deps-test: deps-s3
	$(call install,$(TEST_PACKAGES))

deps-services: deps-s3
	$(call install,$(SERVICE_PACKAGES))

deps-nextest:
	@command -v cargo-nextest >/dev/null || $(CARGO) install --quiet --locked --version $(NEXTEST_VERSION) cargo-nextest

deps-s3: deps-build
	@command -v s3s-fs >/dev/null || test -x "$${CARGO_HOME:-$$HOME/.cargo}/bin/s3s-fs" \
	  || $(CARGO) install --quiet --locked --version $(S3_VERSION) --features binary s3s-fs

# Builds never run as root: they run as this user, whose subordinate ids isolated roots need.
build-user:
	@id -u $(BUILD_USER) >/dev/null 2>&1 || { \
	  echo 'making the user $(BUILD_USER)'; \
	  $(SUDO) useradd --create-home --shell /usr/sbin/nologin $(BUILD_USER); }
	@grep -q '^$(BUILD_USER):' /etc/subuid || $(SUDO) usermod --add-subuids 200000-265535 --add-subgids 200000-265535 $(BUILD_USER)

demo: deps-demo build-user
	$(CARGO) build --quiet
	$(PYBIT) up --demo $(DATA) $(if $(ONCE),--once)

# Everything that the demo has written lies here.
clean-demo:
	rm -rf pybit-data $(if $(ROOM),$(ROOM)/data)

# The test programs are compiled before the services start, and run side by side (.config/nextest.toml).
test: deps-test deps-nextest build-user
	$(CARGO) nextest run --workspace --all-features --no-run
	tools/count-tests $(CARGO)
	tools/in-memory -- tools/services run -- tools/run-tests $(if $(ALL)$(CI),--all) $(CARGO) $(TESTS)
	$(CARGO) test --workspace --all-features --doc --quiet

# What needs neither root nor other programs.
test-fast: deps-build deps-nextest
	$(CARGO) nextest run --workspace --all-features --profile fast $(TESTS)

# What is long by nature, each part with its time: `make acceptance PARTS=list`.
acceptance: deps-test deps-nextest build-user
	tools/acceptance $(if $(filter list,$(PARTS)),--list,$(PARTS))

# Every point at which a process can end, until it is reached no more: most of an hour.
sweep: deps-test build-user
	PYBIT_TEST_SWEEP=$(or $(POINTS),all) tools/services run -- $(CARGO) test --features trial --test sweep -- --include-ignored --nocapture --test-threads=1

# The state machine against its model, a million times.
sequences:
	PYBIT_TEST_SEQUENCES=$(or $(N),1000000) PYBIT_TEST_SEED=$(or $(SEED),0) $(CARGO) test --release --package pybit-core --test sequences -- --nocapture

# Breaks one rule after the other and sees a check notice.
mutations: deps-test build-user
	tools/services run -- tools/mutations $(NAMES)

# Every parser that sees foreign bytes, under libFuzzer, sharing the seconds.
fuzz: deps-build
	tools/fuzz $(or $(SECONDS),600) $(TARGETS)

check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --all-features --no-deps --quiet
	@command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked --version $(DENY_VERSION) cargo-deny
	$(CARGO) deny --all-features check bans licenses sources
	@tree=$$($(CARGO) tree --package pybit-core --all-features --edges normal --prefix none) || exit 1; \
	if grep -E '^(sqlx|lapin|zmq|poem|reqwest|figment|hyper|mio|socket2)[-a-z]* v' <<< "$$tree"; then \
	  echo 'pybit-core must do no I/O, and depends on the crates above' >&2; exit 1; \
	fi

bench:
	$(call install,$(BENCH_PACKAGES) $(SERVICE_PACKAGES))
	$(CARGO) bench

# Ten minutes with servers of its own, which really wait for the disk; everything ends with it.
load: deps-build deps-services
	$(CARGO) build --quiet --release
	PYBIT_SERVICES_DURABLE=1 timeout 1200 tools/services run -- \
	  $(or $(CARGO_TARGET_DIR),target)/release/pybit load $(if $(MEASURE),--measure $(MEASURE))

# docs/chaos.md. Exit status 1 where an invariant does not hold; the directory of the run is kept then.
chaos: deps-test
	$(CARGO) build --quiet -p pybit -p pybit-chaos --features pybit/trial
	@failed=0; for seed in $(SEED); do \
	  $(if $(findstring postgres,$(BACKENDS)),tools/services run --) $(PYBIT)-chaos run \
	    --jobs $(JOBS) --faults $(FAULTS) --seed $$seed --backends $(BACKENDS) --pybit $(PYBIT) $(CHAOS_ARGS) || failed=1; \
	done; exit $$failed

# The same harness on builds with one rule left out: its checker must notice.
chaos-mutations: deps-test
	$(CARGO) build --quiet -p pybit -p pybit-chaos --features pybit/trial
	PYBIT_SERVICES_WITHOUT_S3=1 $(PYBIT)-chaos mutations --services tools/services $(NAMES)

services: deps-services
	@tools/services show
