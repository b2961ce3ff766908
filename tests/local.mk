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
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(thread_tests)'

TEST_EXTENSIONS = .sh .py
SH_LOG_COMPILER = $(SHELL)
PY_LOG_COMPILER = python3

# ------------------------------------------------------------ the build itself

dist_check_SCRIPTS += \
	tests/build/exported_symbols.sh \
	tests/build/headers.sh \
	tests/build/install_and_link.sh \
	tests/build/layering.sh

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

check_tests += tests/unit/check_wire
tests_unit_check_wire_SOURCES = tests/unit/check_wire.c
tests_unit_check_wire_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

# ----------------------------------------------------------- tests/fault

check_tests += tests/fault/check_crashpoints
tests_fault_check_crashpoints_SOURCES = \
	tests/fault/check_crashpoints.c \
	tests/fault/stepper.c tests/fault/stepper.h \
	$(LANE)
tests_fault_check_crashpoints_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# ------------------------------------------------------------------- examples

check_PROGRAMS += tests/examples/wordcount
tests_examples_wordcount_SOURCES = \
	tests/examples/text.c tests/examples/text.h \
	tests/examples/wordcount.c
tests_examples_wordcount_LDADD = lib/libfastalloc.la
EXTRA_DIST += tests/examples/demo.sh
