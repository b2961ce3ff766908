# SPDX-License-Identifier: MIT
# tests: what `make check` runs.  Each program or script is one test of automake's
# parallel harness; its output is in <test>.log, and test-suite.log collects failures.
#
# To add a Check program, tests/unit/check_<module>.c, say what it is made of and
# which one of these it links:
#
#     $(SHM_LIBS)            the segment alone, without the client library
#     $(CLIENT_LIBS)         what is behind the public functions
#     $(SERVER_LIBS)         parts of the server
#     lib/libfastalloc.la    the public functions, as users have them
#
# Never two of them: the library's state would be there twice.  A test whose point
# is threads also goes into thread_tests, which CI runs under ThreadSanitizer.

check_tests =
thread_tests =

TESTS = $(check_tests) $(dist_check_SCRIPTS)
check_PROGRAMS += $(check_tests)

# Tests find the programs and the sources through these, and never the user's daemon.
# The time-outs of Check are longer where a sanitizer slows everything down.
AM_TESTS_ENVIRONMENT = \
	FASTALLOC_TEST_BUILDDIR='$(abs_top_builddir)'; export FASTALLOC_TEST_BUILDDIR; \
	FASTALLOC_TEST_SRCDIR='$(abs_top_srcdir)'; export FASTALLOC_TEST_SRCDIR; \
	FASTALLOCD='$(abs_top_builddir)/daemon/fastallocd'; export FASTALLOCD; \
	FASTALLOCCTL='$(abs_top_builddir)/daemon/fastallocctl'; export FASTALLOCCTL; \
	FASTALLOC_TEST_SANITIZERS='$(SANITIZERS)'; export FASTALLOC_TEST_SANITIZERS; \
	FASTALLOC_TEST_CFLAGS='$(SANITIZER_CFLAGS) $(COVERAGE_CFLAGS)'; \
	export FASTALLOC_TEST_CFLAGS; \
	FASTALLOC_TEST_VERSION='$(PACKAGE_VERSION)'; export FASTALLOC_TEST_VERSION; \
	CC='$(CC)'; export CC; CXX='$(CXX)'; export CXX; \
	PKG_CONFIG='$(PKG_CONFIG)'; export PKG_CONFIG; MAKE='$(MAKE)'; export MAKE; \
	test -z '$(SANITIZERS)' || CK_TIMEOUT_MULTIPLIER=$${CK_TIMEOUT_MULTIPLIER-5}; \
	test -z '$(SANITIZERS)' || export CK_TIMEOUT_MULTIPLIER; \
	UBSAN_OPTIONS=$${UBSAN_OPTIONS-print_stacktrace=1}; export UBSAN_OPTIONS; \
	unset FASTALLOC_SOCKET FASTALLOC_AUTOSPAWN;

# `make check-threads`: the tests of threads alone.
.PHONY: check-threads
check-threads:
	@test -n '$(strip $(thread_tests))' || { echo 'no tests of threads: see tests/local.mk'; exit 1; }
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(thread_tests)'

TEST_EXTENSIONS = .sh .py
SH_LOG_COMPILER = $(SHELL)
PY_LOG_COMPILER = python3

# ------------------------------------------------------------ the build itself

dist_check_SCRIPTS += \
	tests/build/exported_symbols.sh \
	tests/build/headers.sh \
	tests/build/install_and_link.sh \
	tests/build/layering.sh \
	tests/build/manpages.sh \
	tests/build/snippets.sh

# -------------------------------------------------------------------- support

check_LTLIBRARIES += tests/libsupport.la
tests_libsupport_la_SOURCES = \
	tests/support/daemon.c tests/support/daemon.h \
	tests/support/pool.c tests/support/pool.h \
	tests/support/raw.c tests/support/raw.h

TEST_LIBS = tests/libsupport.la $(CHECK_LIBS)
SHM_LIBS = lib/libos.la lib/libshm.la

# A source of the programs that use it, since it stands in for the client library.
LANE = tests/support/lane.c tests/support/lane.h
AM_CPPFLAGS += $(CHECK_CFLAGS)

# ------------------------------------------------------------ tests/unit

check_tests += tests/unit/check_manifest
tests_unit_check_manifest_SOURCES = tests/unit/check_manifest.c
tests_unit_check_manifest_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

check_tests += tests/unit/check_os
tests_unit_check_os_SOURCES = tests/unit/check_os.c
tests_unit_check_os_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_registry
tests_unit_check_registry_SOURCES = tests/unit/check_registry.c
tests_unit_check_registry_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

check_tests += tests/unit/check_wire
tests_unit_check_wire_SOURCES = tests/unit/check_wire.c
tests_unit_check_wire_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

# lib/shm, module by module (integrity is its check.c).

check_tests += tests/unit/check_bitmap
tests_unit_check_bitmap_SOURCES = tests/unit/check_bitmap.c
tests_unit_check_bitmap_LDADD = $(TEST_LIBS) $(SHM_LIBS)
thread_tests += tests/unit/check_bitmap

check_tests += tests/unit/check_cache
tests_unit_check_cache_SOURCES = tests/unit/check_cache.c
tests_unit_check_cache_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_depot
tests_unit_check_depot_SOURCES = tests/unit/check_depot.c
tests_unit_check_depot_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_integrity
tests_unit_check_integrity_SOURCES = tests/unit/check_integrity.c
tests_unit_check_integrity_LDADD = $(TEST_LIBS) $(SHM_LIBS)
thread_tests += tests/unit/check_integrity

check_tests += tests/unit/check_layout
tests_unit_check_layout_SOURCES = tests/unit/check_layout.c
tests_unit_check_layout_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_magazine
tests_unit_check_magazine_SOURCES = tests/unit/check_magazine.c
tests_unit_check_magazine_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_session
tests_unit_check_session_SOURCES = tests/unit/check_session.c
tests_unit_check_session_LDADD = $(TEST_LIBS) $(SHM_LIBS)
thread_tests += tests/unit/check_session

check_tests += tests/unit/check_slot
tests_unit_check_slot_SOURCES = tests/unit/check_slot.c
tests_unit_check_slot_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_spec
tests_unit_check_spec_SOURCES = tests/unit/check_spec.c
tests_unit_check_spec_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_supply
tests_unit_check_supply_SOURCES = tests/unit/check_supply.c
tests_unit_check_supply_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_sweep
tests_unit_check_sweep_SOURCES = tests/unit/check_sweep.c
tests_unit_check_sweep_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# ----------------------------------------------------- tests/integration

check_tests += tests/integration/check_daemon
tests_integration_check_daemon_SOURCES = tests/integration/check_daemon.c
tests_integration_check_daemon_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

check_tests += tests/integration/check_ctl
tests_integration_check_ctl_SOURCES = tests/integration/check_ctl.c
tests_integration_check_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)

check_tests += tests/integration/check_soak
tests_integration_check_soak_SOURCES = tests/integration/check_soak.c
tests_integration_check_soak_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# `make check-soak SECONDS=60`: the same for longer.
SECONDS = 30
.PHONY: check-soak
check-soak: $(BUILT_SOURCES)
	$(MAKE) $(AM_MAKEFLAGS) check TESTS=tests/integration/check_soak \
		FASTALLOC_SOAK_SECONDS=$(SECONDS)
	cat tests/integration/check_soak.log

# ----------------------------------------------------------- tests/fault

check_tests += tests/fault/check_crashpoints
tests_fault_check_crashpoints_SOURCES = \
	tests/fault/check_crashpoints.c \
	tests/fault/stepper.c tests/fault/stepper.h \
	$(LANE)
tests_fault_check_crashpoints_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_interleavings
tests_fault_check_interleavings_SOURCES = \
	tests/fault/check_interleavings.c \
	tests/fault/stepper.c tests/fault/stepper.h \
	$(LANE)
tests_fault_check_interleavings_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_kill
tests_fault_check_kill_SOURCES = tests/fault/check_kill.c $(LANE)
tests_fault_check_kill_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_threads
thread_tests += tests/fault/check_threads
tests_fault_check_threads_SOURCES = tests/fault/check_threads.c $(LANE)
tests_fault_check_threads_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# ------------------------------------------------------------------- examples

check_PROGRAMS += tests/examples/wordcount
tests_examples_wordcount_SOURCES = \
	tests/examples/job.h \
	tests/examples/reader.c \
	tests/examples/text.c tests/examples/text.h \
	tests/examples/wordcount.c \
	tests/examples/worker.c tests/examples/worker.h
tests_examples_wordcount_LDADD = lib/libfastalloc.la
dist_check_SCRIPTS += tests/examples/demo.sh

# What the tests of the public functions share; a source of each, for it links none.
API = tests/integration/api.c tests/integration/api.h tests/integration/inlined.c

check_tests += tests/integration/check_local
tests_integration_check_local_SOURCES = tests/integration/check_local.c $(API)
tests_integration_check_local_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_threads
thread_tests += tests/integration/check_threads
tests_integration_check_threads_SOURCES = tests/integration/check_threads.c $(API)
tests_integration_check_threads_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_fork
tests_integration_check_fork_SOURCES = tests/integration/check_fork.c $(API)
tests_integration_check_fork_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_client
tests_integration_check_client_SOURCES = tests/integration/check_client.c $(API)
tests_integration_check_client_LDADD = $(TEST_LIBS) lib/libfastalloc.la

dist_check_SCRIPTS += \
	tests/integration/check_ctypes.py \
	tests/unit/api_cpp.sh
EXTRA_DIST += tests/unit/check_api.cpp

# --------------------------------------------------------------- tests/bench

check_PROGRAMS += tests/bench/bench
tests_bench_bench_SOURCES = \
	tests/bench/bench.c \
	tests/bench/implementations.c tests/bench/implementations.h \
	tests/bench/workloads.h
tests_bench_bench_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_bench_bench_LDADD = lib/libfastalloc.la $(JANSSON_LIBS) -lm
dist_check_SCRIPTS += tests/bench/smoke.sh
EXTRA_DIST += tests/bench/instructions.sh
CLEANFILES += bench-results.json

# `make bench`, or `BENCH_QUICK=1 make bench`: a table, and bench-results.json.
# `make bench-instructions`: instructions instead of times, by valgrind.
.PHONY: bench bench-instructions
bench: $(BUILT_SOURCES) tests/bench/bench$(EXEEXT)
	@tests/bench/bench$(EXEEXT)
bench-instructions: $(BUILT_SOURCES) tests/bench/bench$(EXEEXT)
	@FASTALLOC_TEST_BUILDDIR='$(abs_top_builddir)' $(srcdir)/tests/bench/instructions.sh
