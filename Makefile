# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# steadyport: one Makefile, all output in $(BUILD). `make help` lists the targets and the variables.

VERSION := 0.1.0

## BUILD=dir         where all output goes (build)
BUILD ?= build
## CC=gcc            compiler of the loader and the tests; clang works too
ifeq ($(origin CC),default)
CC := gcc
endif
## CLANG=clang       compiler of the BPF programs, 14 or newer
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format) clang-format)
## BPFTOOL=bpftool   makes the skeletons; by default the first one that runs on this kernel
# Ubuntu's /usr/sbin/bpftool is a script that fails unless the running kernel's own tools are installed.
BPFTOOL ?= $(eval BPFTOOL := $(or $(shell for tool in bpftool /usr/sbin/bpftool /usr/lib/linux-tools*/*/bpftool; do \
	$$tool version >/dev/null 2>&1 && { echo $$tool; break; }; done),bpftool))$(BPFTOOL)
CLANG_TIDY ?= $(firstword $(shell command -v clang-tidy-14 clang-tidy) clang-tidy)
PKG_CONFIG ?= pkg-config
## CFLAGS, LDFLAGS   added to the project's own flags (CFLAGS: -O2 -g)
CFLAGS ?= -O2 -g
## WERROR=           empty: warnings do not stop the build
WERROR ?= -Werror
## SANITIZE=list     instrument the loader and the tests: make BUILD=build/asan SANITIZE=address,undefined
SANITIZE ?=
## BALANCE=all       check-balance: each of its tests with each way to place by load, 11 minutes
BALANCE ?=
## PREFIX, DESTDIR   install: $(DESTDIR)$(PREFIX)/sbin/steadyport (/usr/local)
PREFIX ?= /usr/local
## SYSCONFDIR=/etc   install: where steadyport/steadyport.conf goes
SYSCONFDIR ?= /etc
## V=1               show the commands; with check: the tests' output as it comes
V ?=

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-8s %s\n'
endif

# The name that libbpf's headers have for this machine.
ARCH := $(shell uname -m | sed -e 's/x86_64/x86/' -e 's/aarch64.*/arm64/' -e 's/ppc64.*/powerpc/' \
	-e 's/riscv64/riscv/' -e 's/loongarch64/loongarch/' -e 's/s390x/s390/')

BPF_SRCS := $(wildcard bpf/*.bpf.c)
LOADER_SRCS := $(wildcard loader/*.c)
TEST_KINDS := unit prog e2e faults chaos
# Nothing calls line_buffer.c, so it is linked by name and not from the archive.
LINE_BUFFER := $(BUILD)/tests/lib/line_buffer.o
TESTLIB_SRCS := $(filter-out tests/lib/line_buffer.c %.bpf.c,$(wildcard tests/lib/*.c))

# The steering program a second time, for kernels without casts: bpf/packet.bpf.h.
SKELS := $(BPF_SRCS:bpf/%.bpf.c=$(BUILD)/%.skel.h) $(BUILD)/steer_uncast.skel.h
# The tests' own, of which the loader knows nothing.
TEST_SKELS := $(patsubst %.bpf.c,$(BUILD)/%.skel.h,$(wildcard tests/lib/*.bpf.c tests/bench/*.bpf.c tests/soak/*.bpf.c))
LOADER_OBJS := $(LOADER_SRCS:%.c=$(BUILD)/%.o)
LIB_OBJS := $(filter-out $(BUILD)/loader/main.o,$(LOADER_OBJS))
TESTLIB_OBJS := $(TESTLIB_SRCS:%.c=$(BUILD)/%.o)
tests_of = $(patsubst %.c,$(BUILD)/%,$(wildcard tests/$(1)/*_test.c))
TESTS := $(foreach kind,$(TEST_KINDS),$(call tests_of,$(kind)))
SELFTESTS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/selftest/*.c))

# Asked for when first used, so that `make help` and `make clean` need no library.
LIB_CFLAGS = $(eval LIB_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(LIB_PKGS)))$(LIB_CFLAGS)
LIBS = $(eval LIBS := $(shell $(PKG_CONFIG) --libs $(LIB_PKGS)))$(LIBS)
CMOCKA = $(eval CMOCKA := $(shell $(PKG_CONFIG) --cflags --libs cmocka))$(CMOCKA)
# Some have only the one with wide characters, some call it by the plain name.
CURSES = $(eval CURSES := $(shell $(PKG_CONFIG) --exists ncursesw && echo ncursesw || echo ncurses))$(CURSES)
LIB_PKGS = libbpf jansson libelf zlib inih libevent_core libevent_extra $(CURSES)

WARNINGS := -Wall -Wextra $(WERROR)

ifeq ($(SANITIZE),)
HARDEN_CFLAGS := -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE
else
# No _FORTIFY_SOURCE: its checked calls go around the sanitizers' own.
HARDEN_CFLAGS := -fPIE -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
HARDEN_LDFLAGS := -fsanitize=$(SANITIZE)
endif
HARDEN_LDFLAGS += -pie -Wl,-z,relro,-z,now

SP_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -DSP_VERSION='"$(VERSION)"' \
	-Iinclude -Iloader -I$(BUILD) $(LIB_CFLAGS) $(HARDEN_CFLAGS) $(CFLAGS)
TEST_CFLAGS = $(SP_CFLAGS) -Itests/lib -Itests -Werror=unused-function
SP_LDFLAGS = $(HARDEN_LDFLAGS) $(LDFLAGS)

BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) $(WARNINGS) -Ivmlinux -Iinclude

DEPFLAGS = -MMD -MP

.DELETE_ON_ERROR:
.SUFFIXES:
# Objects between a source and a skeleton or a test program stay: they are not temporary files.
.SECONDARY:

.PHONY: all
all: $(BUILD)/steadyport ## build the steadyport binary (default)

# --- BPF: bpf/x.bpf.c -> x.bpf.o -> x.skel.h ---

define compile_bpf
	$(say) BPF $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) $(DEPFLAGS) -MF $(@:.o=.d) -c $< -o $@
	$(Q)$(LLVM_STRIP) -g $@
endef

$(BUILD)/%.bpf.o: bpf/%.bpf.c vmlinux/vmlinux.h Makefile
	$(compile_bpf)

$(BUILD)/steer_uncast.bpf.o: BPF_CFLAGS += -DSP_HAS_CAST=0
$(BUILD)/steer_uncast.bpf.o: bpf/steer.bpf.c vmlinux/vmlinux.h Makefile
	$(compile_bpf)

$(BUILD)/tests/%.bpf.o: tests/%.bpf.c vmlinux/vmlinux.h Makefile
	$(compile_bpf)

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(say) SKEL $@
	$(Q)$(BPFTOOL) gen skeleton $< name $(notdir $*) > $@

.PHONY: skeletons
skeletons: $(SKELS) ## build only the BPF objects and their skeletons

# --- the loader ---

# Before the first build no dependency file says who includes a skeleton, so they come before every object.
$(BUILD)/loader/%.o: loader/%.c Makefile | $(SKELS)
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SP_CFLAGS) $(DEPFLAGS) -c $< -o $@

# An archive, so that a test program pulls in only what it calls.
$(BUILD)/libsteadyport.a: $(LIB_OBJS)
	$(say) AR $@
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# Blocks of the spark-lines need wide characters.
$(BUILD)/loader/top_screen.o: SP_CFLAGS += -DSP_WIDE_CURSES=$(if $(filter %w,$(CURSES)),1,0)

$(BUILD)/steadyport: $(BUILD)/loader/main.o $(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(SP_CFLAGS) $(SP_LDFLAGS) $^ $(LIBS) -o $@

# --- tests: tests/KIND/x_test.c -> $(BUILD)/tests/KIND/x_test ---

$(BUILD)/tests/%.o: tests/%.c Makefile | $(SKELS) $(TEST_SKELS)
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(TEST_CFLAGS) $(DEPFLAGS) -c $< -o $@

# Every system call that this machine's headers name, for the sandbox of packaging/'s unit.
$(BUILD)/tests/syscalls.def: Makefile
	$(say) GEN $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -dM -E -include sys/syscall.h -x c /dev/null | \
		sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/SYSCALL(\1)/p' > $@
$(BUILD)/tests/lib/sandbox.o: $(BUILD)/tests/syscalls.def
$(BUILD)/tests/lib/unit_file.o $(BUILD)/tests/e2e/completion_test.o $(BUILD)/tests/e2e/bpftool_page_test.o: \
	TEST_CFLAGS += -DSP_PACKAGING='"$(abspath packaging)"'

$(BUILD)/tests/libtests.a: $(TESTLIB_OBJS)
	$(say) AR $@
	$(Q)mkdir -p $(@D)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

# What belongs to one test program alone lies in a folder of its name: tests/KIND/x/*.c is linked into x_test.
$(foreach test,$(TESTS),$(eval $(test): $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(test:$(BUILD)/%_test=%)/*.c))))

$(TESTS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(LINE_BUFFER) $(BUILD)/tests/libtests.a $(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) $(WRAPPED:%=-Wl,--wrap=%) $(filter %.o,$^) $(filter %.a,$^) \
		$(LIBS) $(CMOCKA) -lm -o $@

# Some tests run the programs themselves, compiled for this machine by the compiler that compiles them for the kernel's.
# Their knobs are constants until the loader loads them; here they are variables.
HOST_CFLAGS := -O2 -g
HOST_BPF = $(CLANG) -std=gnu11 $(WARNINGS) -Wno-attributes -D__bpf__ -Dconst= -DSP_HAS_CAST=0 -Itests/chaos/pure/host -Ivmlinux \
	-Iinclude -fPIE $(HOST_CFLAGS)
define compile_host
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_BPF) $(DEPFLAGS) -c $< -o $@
endef
$(BUILD)/host/%.o: bpf/%.bpf.c Makefile
	$(compile_host)

# Branch by branch, on the kernel of the fuzz targets.
$(BUILD)/tests/unit/program_test $(BUILD)/tests/unit/placement_test: $(BUILD)/tests/unit/program/world.o \
	$(BUILD)/tests/fuzz/steer/kernel.o $(BUILD)/host/steer.o
$(BUILD)/tests/unit/placement_test: $(BUILD)/host/count.o

# What the loader asks of the kernel is answered by tests/chaos/pure/loader.c.
PURE := $(BUILD)/tests/chaos/pure
$(PURE)_test: WRAPPED := bpf_map_lookup_elem bpf_map_update_elem bpf_map_delete_elem bpf_map_lookup_batch \
	bpf_map_lookup_and_delete_elem bpf_obj_get_info_by_fd \
	mmap munmap close clock_gettime clock_nanosleep sp_kernel_wait_readers sp_steer_program_id \
	sp_members_scan sp_group_socket sp_group_any_socket sp_group_attach \
	sp_fail sp_refuse sp_hint sp_warn sp_note
$(PURE)_test: $(BUILD)/host/steer.o

# A test looks at nobody's files, and ends connections as a libevent may.
$(BUILD)/tests/unit/exporter_test: WRAPPED := sp_scanner_scan evhttp_connection_set_closecb

# A test asks for what the program does where the kernel has less.
$(BUILD)/tests/prog/steer_test: WRAPPED := sp_kernel_ask

# The verifier is asked for its statistics wherever the loader loads a program.
$(BUILD)/tests/prog/verifier_test: WRAPPED := bpf_object__load_skeleton

# A kernel that is locked down refuses some of them.
$(BUILD)/tests/prog/balance_test: WRAPPED := bpf_object__load_skeleton

# Who is under way is as late as the wait for him lets him be.
$(BUILD)/tests/prog/recount_test: WRAPPED := sp_kernel_wait_readers

# Into the binary as it is, so it has no sanitizer and needs none of ours.
$(BUILD)/tests/preload/%.so: tests/preload/%.c tests/lib/scarce.h Makefile
	$(say) LD $@
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARNINGS) -Itests/lib -O2 -g -fPIC -fvisibility=hidden -shared $< -ldl -o $@

# A look at the whole machine, and no test.
.PHONY: soak
soak: $(BUILD)/tests/soak/holdings ## build what scripts/soak.sh looks with
$(BUILD)/tests/soak/holdings: $(BUILD)/tests/soak/holdings.o $(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) $^ $(LIBS) -o $@

# --- measuring: tests/bench/*.c -> $(BUILD)/tests/bench/bench ---

BENCH := $(BUILD)/tests/bench/bench
$(BENCH): $(patsubst %.c,$(BUILD)/%.o,$(filter-out %.bpf.c,$(wildcard tests/bench/*.c))) $(BUILD)/tests/libtests.a \
		$(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) $^ $(LIBS) $(CMOCKA) -lm -o $@

RUN_BENCH = STEADYPORT=$(abspath $(BUILD))/steadyport $(BENCH) --json $(BUILD)/bench.json

.PHONY: bench bench-write
bench: all $(BENCH) ## measure, as root, a quarter of an hour: BENCH_OPTIONS='--quick steer' for less, into $(BUILD)/bench.json
	$(Q)$(RUN_BENCH) $(BENCH_OPTIONS)
bench-write: all $(BENCH) ## the same, and put the tables into docs/benchmarks.md
	$(Q)$(RUN_BENCH) --write docs/benchmarks.md

# tests/bench/queue.sh runs it.
QUEUE_BENCH := $(BUILD)/tests/bench/queue/queue
$(QUEUE_BENCH): $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/queue/*.c)) $(BUILD)/tests/libtests.a \
	$(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) $^ $(LIBS) -lm -o $@
.PHONY: bench-queue bench-balance-write
bench-balance-write: bench-queue ## run it, as root, a quarter of an hour, and put the tables into docs/benchmarks-balance.md
	$(Q)BUILD=$(BUILD) tests/bench/queue-write.sh
bench-queue: all $(QUEUE_BENCH) ## build the benchmark of placement by load; tests/bench/queue.sh runs it

# The runner's own tests need nothing of steadyport.
$(SELFTESTS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(LINE_BUFFER)
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) $^ $(CMOCKA) -o $@

RUN = V=$(V) STEADYPORT=$(abspath $(BUILD))/steadyport tests/run.sh

.PHONY: tests test check selftest $(TEST_KINDS:%=tests-%) $(TEST_KINDS:%=check-%)
tests: $(TESTS) ## build every test program
test: check-unit ## run the unit tests; needs no root
QUICK_TESTS = $(foreach kind,$(filter-out faults chaos,$(TEST_KINDS)),$(call tests_of,$(kind)))
check: all $(QUICK_TESTS) ## run the unit tests, prog (real sockets, root) and e2e (the binary, root)
	$(Q)$(RUN) $(QUICK_TESTS)

define kind_rules
tests-$(1): $$(call tests_of,$(1))
check-$(1): tests-$(1)
	$$(Q)$$(RUN) $$(call tests_of,$(1))
endef
$(foreach kind,$(TEST_KINDS),$(eval $(call kind_rules,$(kind))))
check-e2e: all

# What holds when a connection goes by its hash shall hold when it goes to who has less to do. Steering itself is tested
# with each way to place by load, and what is long with the one or the other; BALANCE=all: each of these and some more
# with both. Not here is what has no TCP (rolling, kill, scale), what asks for the hash's own choice (join, publish,
# where, explain) or how fast it is (daemon_join), what has a balance of its own (balance, recount), and what is about
# answers and screens.
named_tests = $(patsubst %,$(BUILD)/tests/%_test,$(1))
BY_EACH := $(call named_tests,$(addprefix prog/,death halfopen handshake migrate sibling steer) e2e/tcp)
BY_LEAST_QUEUE := $(call named_tests,$(addprefix prog/,park park_orphan) $(addprefix e2e/,daemon_park haproxy upgrade))
BY_LEAST_CONN := $(call named_tests,$(addprefix prog/,endings park_loss wake) $(addprefix e2e/,daemon_park_kill endings nginx))
BY_ALL := $(call named_tests,$(addprefix prog/,attach members pin size) $(addprefix e2e/,change daemon_life daemon_metrics \
	daemon_netns daemon_reload daemon_unit drain_wait foreign neighbours place security))
BY_LOAD = $(if $(filter all,$(BALANCE)),$(BY_EACH) $(BY_LEAST_QUEUE) $(BY_LEAST_CONN) $(BY_ALL),$(BY_EACH) $(1))
.PHONY: check-balance
check-balance: all $(call BY_LOAD,$(BY_LEAST_QUEUE) $(BY_LEAST_CONN)) ## tests of TCP with new connections placed by load; BALANCE=all: more of them
	$(Q)TEST_BALANCE=least-queue $(RUN) $(call BY_LOAD,$(BY_LEAST_QUEUE))
	$(Q)TEST_BALANCE=least-conn $(RUN) $(call BY_LOAD,$(BY_LEAST_CONN))

tests-faults: $(BUILD)/tests/preload/scarce.so
check-faults: all ## system calls and allocations that fail: minutes; all: tests/lib/fault.h
check-chaos: all ## random storms: minutes; CHAOS_SEED, CHAOS_SECONDS and CHAOS_STEPS are in tests/lib/seed.h

# With FAULTS=all one program takes hours.
check-faults: export TEST_TIMEOUT ?= $(if $(filter all,$(FAULTS)),36000,600)

# The storms end by themselves; the deadline is for one that hangs.
check-chaos: export TEST_TIMEOUT ?= \
	$(shell echo $$((300 + 2 * $${CHAOS_SECONDS:-60} + $${CHAOS_STEPS:-0} / 10000)))

selftest: $(SELFTESTS) ## prove that the test runner goes red on every kind of failure
	$(Q)BUILD=$(BUILD) tests/selftest/selftest.sh

.PHONY: asan
asan: ## build into $(BUILD)/asan with address and undefined behaviour sanitizers, run unit and prog tests
	$(Q)$(MAKE) BUILD=$(BUILD)/asan SANITIZE=address,undefined all check-unit check-prog

# --- fuzzing: tests/fuzz/x_fuzz.c -> $(BUILD)/fuzz/tests/fuzz/x_fuzz ---

FUZZERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/*_fuzz.c))

.PHONY: fuzz fuzzers fuzz-replay
fuzz: ## build the fuzz targets into $(BUILD)/fuzz: clang, libFuzzer, address and undefined behaviour sanitizers
	$(Q)$(MAKE) BUILD=$(BUILD)/fuzz CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined CFLAGS='-O1 -g' fuzzers
fuzz-replay: fuzz ## run the fuzz targets over their seeds and no further; tests/fuzz/run.sh goes on from there
	$(Q)BUILD=$(BUILD) FUZZ_SECONDS=0 tests/fuzz/run.sh

fuzzers: $(FUZZERS)
# So does fuzzing, over tables with anything in them.
$(BUILD)/tests/fuzz/steer/program.o: bpf/steer.bpf.c Makefile
	$(say) CC $@
	$(Q)mkdir -p $(@D)
	$(Q)$(HOST_BPF) -fsanitize=$(SANITIZE) -fno-sanitize-recover=all $(DEPFLAGS) -c $< -o $@
$(BUILD)/tests/fuzz/steer_fuzz $(BUILD)/tests/fuzz/packet_fuzz: $(BUILD)/tests/fuzz/steer/kernel.o \
	$(BUILD)/tests/fuzz/steer/program.o
$(FUZZERS): $(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libsteadyport.a
	$(say) LD $@
	$(Q)$(CC) $(TEST_CFLAGS) $(SP_LDFLAGS) -fsanitize=fuzzer $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@

.PHONY: coverage
# Counters that live in a file which the process has mapped: many a process of the tests is killed, and writes nothing
# at its end.
COVERAGE_CFLAGS := -O1 -g -fprofile-instr-generate -fcoverage-mapping -mllvm -runtime-counter-relocation \
	-Wno-unused-command-line-argument
COVERAGE ?= unit prog e2e
coverage: ## line coverage of loader/ and include/ by the tests: COVERAGE='unit prog e2e', into $(BUILD)/coverage; and branches
	$(Q)$(MAKE) BUILD=$(BUILD)/coverage CC=$(CLANG) CFLAGS='$(COVERAGE_CFLAGS)' all $(COVERAGE:%=tests-%)
	$(Q)BUILD=$(BUILD) scripts/coverage.sh $(COVERAGE)
	$(Q)echo; $(MAKE) --no-print-directory branches

# Only the programs are watched, so that a branch is theirs, and is taken by a case that asks them.
BRANCHES := $(BUILD)/branches
$(BRANCHES)/%.o: HOST_CFLAGS := -O1 -g -fprofile-instr-generate -fcoverage-mapping
$(BRANCHES)/%.o: bpf/%.bpf.c Makefile
	$(compile_host)
$(BRANCHES)/placement_test: $(BRANCHES)/count.o
$(BRANCHES)/%_test: $(BUILD)/tests/unit/%_test.o $(BUILD)/tests/unit/program/world.o $(BUILD)/tests/fuzz/steer/kernel.o \
		$(BRANCHES)/steer.o
	$(say) LD $@
	$(Q)$(CLANG) -fprofile-instr-generate $(SP_LDFLAGS) $^ $(CMOCKA) -o $@

.PHONY: branches branches-write
branches: $(BRANCHES)/program_test $(BRANCHES)/placement_test ## which unit test takes which branch of the programs: docs/branches.md
	$(Q)BUILD=$(BUILD) scripts/branches.py
branches-write: $(BRANCHES)/program_test $(BRANCHES)/placement_test ## the same, and put the tables into docs/branches.md
	$(Q)BUILD=$(BUILD) scripts/branches.py --write

# --- keeping house ---

FORMATTED := $(wildcard bpf/*.[ch] include/steadyport/*.h loader/*.[ch] tests/*/*.[ch] tests/*/*/*.[ch])

.PHONY: format format-check
format: ## bring all sources into the house format
	$(Q)$(CLANG_FORMAT) -i $(FORMATTED)
format-check: ## say which sources are not in the house format
	$(Q)$(CLANG_FORMAT) --dry-run --Werror $(FORMATTED)

# The analyzer takes a minute of each core; a file is looked at again when something that it includes has changed.
TIDY_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSP_VERSION='"$(VERSION)"' -Iinclude -Iloader -I$(BUILD) $(LIB_CFLAGS)
.PHONY: tidy cppcheck
tidy: $(LOADER_SRCS:%.c=$(BUILD)/tidy/%.ok) ## clang-tidy and clang's analyzer, with all of scan-build's checkers, over the loader
$(BUILD)/tidy/%.ok: %.c .clang-tidy scripts/lint/analyzer.h scripts/lint/tidy.sh Makefile $(wildcard loader/*.h include/steadyport/*) | $(SKELS)
	$(say) TIDY $<
	$(Q)mkdir -p $(@D)
	$(Q)CLANG_TIDY=$(CLANG_TIDY) scripts/lint/tidy.sh $< $(if $(filter %/log.c,$<),,-include scripts/lint/analyzer.h) $(TIDY_CFLAGS)
	$(Q)touch $@
# It does not know __attribute__((cleanup)) and calls each sp_autofree a leak; libbpf's macro is not its to expand.
cppcheck: ## cppcheck over the loader
	$(Q)cppcheck --quiet --std=c11 --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
		--suppress=memleak --suppress=resourceLeak --suppress=missingIncludeSystem \
		'-DLIBBPF_OPTS(TYPE,NAME,...)=struct TYPE NAME = {0}' -D_GNU_SOURCE -DSP_VERSION='"$(VERSION)"' \
		-Iinclude -Iloader loader

.PHONY: vmlinux-check
vmlinux-check: ## compare vmlinux/vmlinux.h with the running kernel's BTF
	$(Q)BPFTOOL=$(BPFTOOL) scripts/gen-vmlinux.sh --check

UNITDIR = $(PREFIX)/lib/systemd/system
EXAMPLES = $(PREFIX)/share/doc/steadyport
install_with_paths = sed 's|/usr/sbin/|$(PREFIX)/sbin/|' packaging/$(1) | \
	install -D -m 0644 /dev/stdin $(DESTDIR)$(2)/$(1)
BASH_COMPLETION = $(DESTDIR)$(PREFIX)/share/bash-completion/completions/steadyport
ZSH_COMPLETION = $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_steadyport
MANDIR = $(PREFIX)/share/man
MAN_PAGES := man5/steadyport.conf.5 man7/steadyport-bpf.7 man8/steadyport.8
CONFIG = $(DESTDIR)$(SYSCONFDIR)/steadyport/steadyport.conf

# An administrator's configuration is neither replaced nor removed.
.PHONY: install uninstall
install: all ## install the binary, the unit, manual pages, completion, examples, and a configuration that does nothing yet
	install -D -m 0755 $(BUILD)/steadyport $(DESTDIR)$(PREFIX)/sbin/steadyport
	$(call install_with_paths,steadyport.service,$(UNITDIR))
	$(call install_with_paths,server.conf,$(EXAMPLES))
	install -D -m 0644 packaging/netns.conf $(DESTDIR)$(EXAMPLES)/netns.conf
	set -e; for page in $(MAN_PAGES); do \
		install -D -m 0644 docs/man/$${page#*/} $(DESTDIR)$(MANDIR)/$$page; done
	install -D -m 0644 packaging/completion/steadyport.bash $(BASH_COMPLETION)
	install -D -m 0644 packaging/completion/_steadyport $(ZSH_COMPLETION)
	test -e $(CONFIG) || install -D -m 0644 packaging/steadyport.conf $(CONFIG)
uninstall: ## remove what was installed
	rm -f $(DESTDIR)$(PREFIX)/sbin/steadyport $(DESTDIR)$(UNITDIR)/steadyport.service
	rm -f $(DESTDIR)$(EXAMPLES)/server.conf $(DESTDIR)$(EXAMPLES)/netns.conf
	-rmdir $(DESTDIR)$(EXAMPLES)
	rm -f $(MAN_PAGES:%=$(DESTDIR)$(MANDIR)/%) $(BASH_COMPLETION) $(ZSH_COMPLETION)
	cmp -s packaging/steadyport.conf $(CONFIG) && rm -f $(CONFIG) && rmdir $(dir $(CONFIG)) || true

.PHONY: clean
clean: ## remove all output
	rm -rf $(BUILD)

.PHONY: help
help: ## this list
	@echo 'Targets:'
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 18
	@echo 'Variables:'
	@sed -n 's/^## /  /p' Makefile

-include $(wildcard $(BUILD)/*.d $(BUILD)/loader/*.d $(BUILD)/tests/*/*.d $(BUILD)/tests/*/*/*.d $(BUILD)/host/*.d $(BUILD)/branches/*.d)
