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
	tests/build/cpp_refusals.sh \
	tests/build/exported_symbols.sh \
	tests/build/headers.sh \
	tests/build/install_and_link.sh \
	tests/build/layering.sh \
	tests/build/manpages.sh \
	tests/build/snippets.sh \
	tests/build/surface.sh \
	tests/build/typed_handles.sh

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

# The daemon without its loop; desk.c is for all of them.
DESK = tests/unit/desk.c tests/unit/desk.h
check_tests += tests/unit/check_registry
tests_unit_check_registry_SOURCES = tests/unit/check_registry.c $(DESK)
tests_unit_check_registry_LDADD = $(TEST_LIBS) $(SERVER_LIBS)
check_tests += tests/unit/check_readoption
tests_unit_check_readoption_SOURCES = tests/unit/check_readoption.c $(DESK)
tests_unit_check_readoption_LDADD = $(TEST_LIBS) $(SERVER_LIBS)
check_tests += tests/unit/check_resize
tests_unit_check_resize_SOURCES = tests/unit/check_resize.c $(DESK)
tests_unit_check_resize_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

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

check_tests += tests/unit/check_metadata
tests_unit_check_metadata_SOURCES = tests/unit/check_metadata.c
tests_unit_check_metadata_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_seal
tests_unit_check_seal_SOURCES = tests/unit/check_seal.c
tests_unit_check_seal_LDADD = $(TEST_LIBS) $(SHM_LIBS)

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

check_tests += tests/unit/check_stages
tests_unit_check_stages_SOURCES = tests/unit/check_stages.c
tests_unit_check_stages_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_share
tests_unit_check_share_SOURCES = tests/unit/check_share.c
tests_unit_check_share_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_notes
tests_unit_check_notes_SOURCES = tests/unit/check_notes.c
tests_unit_check_notes_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_growth
tests_unit_check_growth_SOURCES = tests/unit/check_growth.c
tests_unit_check_growth_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_wait
tests_unit_check_wait_SOURCES = tests/unit/check_wait.c
tests_unit_check_wait_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_supply
tests_unit_check_supply_SOURCES = tests/unit/check_supply.c
tests_unit_check_supply_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_peak
tests_unit_check_peak_SOURCES = tests/unit/check_peak.c
tests_unit_check_peak_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_lane
tests_unit_check_lane_SOURCES = tests/unit/check_lane.c $(LANE)
tests_unit_check_lane_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/unit/check_tally
tests_unit_check_tally_SOURCES = tests/unit/check_tally.c $(LANE)
tests_unit_check_tally_LDADD = $(TEST_LIBS) $(SHM_LIBS)
thread_tests += tests/unit/check_tally

check_tests += tests/unit/check_sweep
tests_unit_check_sweep_SOURCES = tests/unit/check_sweep.c
tests_unit_check_sweep_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# ----------------------------------------------------- tests/integration

check_tests += tests/integration/check_daemon
tests_integration_check_daemon_SOURCES = tests/integration/check_daemon.c
tests_integration_check_daemon_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

check_tests += tests/integration/check_daemon_attack
tests_integration_check_daemon_attack_SOURCES = tests/integration/check_daemon_attack.c
tests_integration_check_daemon_attack_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

# Users of a daemon; user.c is for all of them.
USER = tests/integration/user.c tests/integration/user.h
check_tests += tests/integration/check_growth_daemon
tests_integration_check_growth_daemon_SOURCES = tests/integration/check_growth_daemon.c $(USER)
tests_integration_check_growth_daemon_LDADD = $(TEST_LIBS) $(SERVER_LIBS)
check_tests += tests/integration/check_kept_daemon
tests_integration_check_kept_daemon_SOURCES = tests/integration/check_kept_daemon.c $(USER)
tests_integration_check_kept_daemon_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

# fastallocctl, run; ctl.c is for all of them.
CTL = tests/integration/ctl.c tests/integration/ctl.h
check_tests += tests/integration/check_ctl
tests_integration_check_ctl_SOURCES = tests/integration/check_ctl.c $(CTL)
tests_integration_check_ctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)
check_tests += tests/integration/check_ctl_damage
tests_integration_check_ctl_damage_SOURCES = tests/integration/check_ctl_damage.c $(CTL)
tests_integration_check_ctl_damage_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_damage_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)
check_tests += tests/integration/check_ctl_growth
tests_integration_check_ctl_growth_SOURCES = tests/integration/check_ctl_growth.c $(CTL)
tests_integration_check_ctl_growth_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_growth_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)
CTL_STATS = tests/integration/ctl_stats.c tests/integration/ctl_stats.h $(CTL) $(API)
check_tests += tests/integration/check_ctl_stats
tests_integration_check_ctl_stats_SOURCES = tests/integration/check_ctl_stats.c $(CTL_STATS)
tests_integration_check_ctl_stats_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_stats_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)
check_tests += tests/integration/check_ctl_openmetrics
tests_integration_check_ctl_openmetrics_SOURCES = \
	tests/integration/check_ctl_openmetrics.c $(CTL_STATS)
tests_integration_check_ctl_openmetrics_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_integration_check_ctl_openmetrics_LDADD = $(TEST_LIBS) $(CLIENT_LIBS) $(JANSSON_LIBS)
EXTRA_DIST += tests/integration/openmetrics.py

# ----------------------------------------------------------- tests/fault

# What plays crash points.
CRASH = \
	tests/fault/crash.c tests/fault/crash.h \
	tests/fault/tracer.c tests/fault/tracer.h

crash_tests = \
	tests/fault/check_crashpoints \
	tests/fault/check_crash_client \
	tests/fault/check_crash_daemon \
	tests/fault/check_interleavings

# `make check-crash`: all crash points instead of a sample, and the table of them.
.PHONY: check-crash
check-crash: $(BUILT_SOURCES)
	@status=0; \
	FASTALLOC_TEST_LONG=1 $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(crash_tests)' || status=$$?; \
	for test in $(crash_tests); do grep -v FASTALLOC_TEST_SEED= $$test.log; done; \
	exit $$status

check_tests += tests/fault/check_crashpoints
tests_fault_check_crashpoints_SOURCES = \
	tests/fault/check_crashpoints.c \
	tests/fault/operations_alloc.c \
	tests/fault/operations_capacity.c \
	tests/fault/operations_death.c \
	tests/fault/operations_free.c \
	tests/fault/operations_owner.c \
	tests/fault/operations_seal.c \
	tests/fault/operations_theft.c \
	tests/fault/operations_wait.c \
	tests/fault/stage.c tests/fault/stage.h \
	tests/fault/tallied.h \
	$(CRASH) $(LANE)
tests_fault_check_crashpoints_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_crash_client
tests_fault_check_crash_client_SOURCES = \
	tests/fault/check_crash_client.c \
	tests/fault/family.c tests/fault/family.h \
	tests/fault/operations_client.c tests/fault/operations_client_seal.c \
	tests/fault/operations_lifecycle.c \
	tests/fault/tallied.h \
	$(CRASH)
tests_fault_check_crash_client_LDADD = $(TEST_LIBS) $(CLIENT_LIBS)

check_tests += tests/fault/check_crash_daemon
tests_fault_check_crash_daemon_SOURCES = \
	tests/fault/check_crash_daemon.c \
	tests/fault/house.c tests/fault/house.h \
	tests/fault/operations_daemon.c \
	tests/fault/tallied.h \
	$(CRASH)
tests_fault_check_crash_daemon_LDADD = $(TEST_LIBS) $(SERVER_LIBS)

check_tests += tests/fault/check_holders
tests_fault_check_holders_SOURCES = tests/fault/check_holders.c
tests_fault_check_holders_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_interleavings
tests_fault_check_interleavings_SOURCES = \
	tests/fault/check_interleavings.c \
	$(CRASH) $(LANE)
tests_fault_check_interleavings_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# Sources of lib/shm that stop before each access to shared memory.
check_LTLIBRARIES += tests/libwoven.la
tests_libwoven_la_SOURCES = \
	lib/shm/bitmap.c lib/shm/notes.c lib/shm/share.c lib/shm/slot.c \
	tests/fault/woven.h
tests_libwoven_la_CPPFLAGS = $(AM_CPPFLAGS) -include $(srcdir)/tests/fault/woven.h

check_tests += tests/fault/check_share_interleavings
crash_tests += tests/fault/check_share_interleavings
tests_fault_check_share_interleavings_SOURCES = \
	tests/fault/check_share_interleavings.c \
	tests/fault/weave.c tests/fault/weave.h
tests_fault_check_share_interleavings_LDADD = tests/libwoven.la $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_strict_interleavings
crash_tests += tests/fault/check_strict_interleavings
tests_fault_check_strict_interleavings_SOURCES = \
	tests/fault/check_strict_interleavings.c \
	tests/fault/weave.c tests/fault/weave.h
tests_fault_check_strict_interleavings_LDADD = tests/libwoven.la $(TEST_LIBS) $(SHM_LIBS)

# The same of all that the fast path meets, and of what stands right behind it.
check_LTLIBRARIES += tests/libwoven-inline.la
tests_libwoven_inline_la_SOURCES = \
	lib/client/thread.c \
	lib/shm/bitmap.c lib/shm/cache.c lib/shm/magazine.c lib/shm/notes.c lib/shm/revoke.c \
	lib/shm/share.c lib/shm/slot.c lib/shm/supply.c lib/shm/sweep.c \
	tests/fault/check_inline_interleavings.c tests/fault/woven.h
tests_libwoven_inline_la_CPPFLAGS = \
	$(AM_CPPFLAGS) -include $(srcdir)/tests/fault/woven.h \
	-Dcalloc=woven_calloc -Dfree=woven_free

check_tests += tests/fault/check_inline_interleavings
crash_tests += tests/fault/check_inline_interleavings
tests_fault_check_inline_interleavings_SOURCES = tests/fault/weave.c tests/fault/weave.h
tests_fault_check_inline_interleavings_LDADD = \
	tests/libwoven-inline.la $(TEST_LIBS) $(CLIENT_LIBS)

check_tests += tests/fault/check_free_at_once
crash_tests += tests/fault/check_free_at_once
tests_fault_check_free_at_once_SOURCES = tests/fault/check_free_at_once.c $(CRASH)
tests_fault_check_free_at_once_LDADD = $(TEST_LIBS) $(CLIENT_LIBS)

check_tests += tests/fault/check_close_at_once
tests_fault_check_close_at_once_SOURCES = tests/fault/check_close_at_once.c
tests_fault_check_close_at_once_LDADD = $(TEST_LIBS) $(CLIENT_LIBS)

check_tests += tests/fault/check_growth_interleavings
tests_fault_check_growth_interleavings_SOURCES = \
	tests/fault/check_growth_interleavings.c \
	$(CRASH) $(LANE)
tests_fault_check_growth_interleavings_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_seal_interleavings
crash_tests += tests/fault/check_seal_interleavings
tests_fault_check_seal_interleavings_SOURCES = \
	tests/fault/check_seal_interleavings.c \
	$(CRASH)
tests_fault_check_seal_interleavings_LDADD = $(TEST_LIBS) $(CLIENT_LIBS)

check_tests += tests/fault/check_kill
tests_fault_check_kill_SOURCES = tests/fault/check_kill.c tests/fault/tallied.h $(LANE)
tests_fault_check_kill_LDADD = $(TEST_LIBS) $(SHM_LIBS)

check_tests += tests/fault/check_threads
thread_tests += tests/fault/check_threads
tests_fault_check_threads_SOURCES = tests/fault/check_threads.c $(LANE)
tests_fault_check_threads_LDADD = $(TEST_LIBS) $(SHM_LIBS)

# ----------------------------------------------------------- tests/model

include tests/model/local.mk

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

# What examples.sh runs; example.h is for all of them.
EXAMPLE = tests/examples/example.h
examples = \
	tests/examples/basic_usage \
	tests/examples/custom_initialization \
	tests/examples/event_loop \
	tests/examples/game_entities \
	tests/examples/particle_system \
	tests/examples/server_connections \
	tests/examples/statistics \
	tests/examples/thread_local
check_PROGRAMS += $(examples)
dist_check_SCRIPTS += tests/examples/examples.sh
EXTRA_DIST += tests/examples/multiprocessing_ctypes.py

tests_examples_basic_usage_SOURCES = tests/examples/basic_usage.c $(EXAMPLE)
tests_examples_basic_usage_LDADD = lib/libfastalloc.la
tests_examples_custom_initialization_SOURCES = tests/examples/custom_initialization.c $(EXAMPLE)
tests_examples_custom_initialization_LDADD = lib/libfastalloc.la
tests_examples_event_loop_SOURCES = tests/examples/event_loop.c $(EXAMPLE)
tests_examples_event_loop_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS)
tests_examples_event_loop_LDADD = lib/libfastalloc.la $(UV_LIBS)
tests_examples_game_entities_SOURCES = \
	tests/examples/game.h \
	tests/examples/game_entities.c \
	tests/examples/game_mind.c \
	$(EXAMPLE)
tests_examples_game_entities_LDADD = lib/libfastalloc.la -lm
tests_examples_particle_system_SOURCES = tests/examples/particle_system.c $(EXAMPLE)
tests_examples_particle_system_LDADD = lib/libfastalloc.la -lm
tests_examples_server_connections_SOURCES = \
	tests/examples/server.h \
	tests/examples/server_connections.c \
	tests/examples/server_worker.c \
	$(EXAMPLE)
tests_examples_server_connections_LDADD = lib/libfastalloc.la
tests_examples_statistics_SOURCES = tests/examples/statistics.c $(EXAMPLE)
tests_examples_statistics_LDADD = lib/libfastalloc.la -lm
tests_examples_thread_local_SOURCES = tests/examples/thread_local.c $(EXAMPLE)
tests_examples_thread_local_LDADD = lib/libfastalloc.la

# `make examples`: builds them, and what they need.
.PHONY: examples
examples: $(BUILT_SOURCES) $(bin_PROGRAMS) lib/libfastalloc.la
	@$(MAKE) $(AM_MAKEFLAGS) $(examples:=$(EXEEXT))

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

check_tests += tests/integration/check_deaths
tests_integration_check_deaths_SOURCES = tests/integration/check_deaths.c $(API)
tests_integration_check_deaths_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_soak
tests_integration_check_soak_SOURCES = \
	tests/integration/check_soak.c \
	tests/integration/soak.c tests/integration/soak.h \
	$(API)
tests_integration_check_soak_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# `make check-soak SECONDS=60`: the same for longer; a daemon killed a thousand times; and
# a holder of locks who is stopped for a minute.
SECONDS = 30
soak_tests = \
	tests/integration/check_soak \
	tests/integration/check_restart \
	tests/fault/check_holders
.PHONY: check-soak
check-soak: $(BUILT_SOURCES)
	@status=0; \
	FASTALLOC_SOAK_SECONDS=$(SECONDS) FASTALLOC_RESTART_KILLS=1000 \
		FASTALLOC_STOPPED_SECONDS=60 \
		$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(soak_tests)' || status=$$?; \
	for test in $(soak_tests); do cat $$test.log; done; \
	exit $$status

check_tests += tests/integration/check_restart
tests_integration_check_restart_SOURCES = tests/integration/check_restart.c $(API)
tests_integration_check_restart_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# Those that begin with a daemon and a client of it.
CONNECTED = tests/integration/connected.c tests/integration/connected.h $(API)

check_tests += tests/integration/check_client
tests_integration_check_client_SOURCES = tests/integration/check_client.c $(CONNECTED)
tests_integration_check_client_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_connect
tests_integration_check_connect_SOURCES = tests/integration/check_connect.c $(CONNECTED)
tests_integration_check_connect_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_errors
tests_integration_check_errors_SOURCES = tests/integration/check_errors.c $(CONNECTED)
tests_integration_check_errors_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_survival
tests_integration_check_survival_SOURCES = tests/integration/check_survival.c $(CONNECTED)
tests_integration_check_survival_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# The same on a local pool and on one of a daemon's.
BOTH = tests/integration/both.c tests/integration/both.h $(API)

check_tests += tests/integration/check_growth
tests_integration_check_growth_SOURCES = tests/integration/check_growth.c $(BOTH)
tests_integration_check_growth_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_wait
thread_tests += tests/integration/check_wait
tests_integration_check_wait_SOURCES = tests/integration/check_wait.c $(BOTH)
tests_integration_check_wait_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_operations
thread_tests += tests/integration/check_operations
tests_integration_check_operations_SOURCES = tests/integration/check_operations.c $(BOTH)
tests_integration_check_operations_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_seal
thread_tests += tests/integration/check_seal
tests_integration_check_seal_SOURCES = tests/integration/check_seal.c $(BOTH)
tests_integration_check_seal_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# counted.c is for the tests of statistics.
COUNTED = tests/integration/counted.c tests/integration/counted.h $(BOTH)
check_tests += tests/integration/check_stats
tests_integration_check_stats_SOURCES = tests/integration/check_stats.c $(COUNTED)
tests_integration_check_stats_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_stats_ends
thread_tests += tests/integration/check_stats_ends
tests_integration_check_stats_ends_SOURCES = tests/integration/check_stats_ends.c $(COUNTED)
tests_integration_check_stats_ends_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_report
tests_integration_check_report_SOURCES = tests/integration/check_report.c $(API)
tests_integration_check_report_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_event
thread_tests += tests/integration/check_event
tests_integration_check_event_SOURCES = tests/integration/check_event.c $(BOTH)
tests_integration_check_event_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_growth_fire
tests_integration_check_growth_fire_SOURCES = tests/integration/check_growth_fire.c $(BOTH)
tests_integration_check_growth_fire_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_detach
tests_integration_check_detach_SOURCES = tests/integration/check_detach.c $(BOTH)
tests_integration_check_detach_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_lookup
tests_integration_check_lookup_SOURCES = tests/integration/check_lookup.c $(BOTH)
tests_integration_check_lookup_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_reconnect
tests_integration_check_reconnect_SOURCES = tests/integration/check_reconnect.c $(BOTH)
tests_integration_check_reconnect_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_pools
thread_tests += tests/integration/check_pools
tests_integration_check_pools_SOURCES = tests/integration/check_pools.c $(BOTH)
tests_integration_check_pools_LDADD = $(TEST_LIBS) lib/libfastalloc.la
check_tests += tests/integration/check_pools_growth
tests_integration_check_pools_growth_SOURCES = tests/integration/check_pools_growth.c $(BOTH)
tests_integration_check_pools_growth_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_lifecycle
tests_integration_check_lifecycle_SOURCES = tests/integration/check_lifecycle.c $(BOTH)
tests_integration_check_lifecycle_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_lifecycle_met
tests_integration_check_lifecycle_met_SOURCES = tests/integration/check_lifecycle_met.c $(BOTH)
tests_integration_check_lifecycle_met_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_batch
tests_integration_check_batch_SOURCES = tests/integration/check_batch.c $(API)
tests_integration_check_batch_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_strict
thread_tests += tests/integration/check_strict
tests_integration_check_strict_SOURCES = tests/integration/check_strict.c $(BOTH)
tests_integration_check_strict_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_zeroing
tests_integration_check_zeroing_SOURCES = tests/integration/check_zeroing.c $(BOTH)
tests_integration_check_zeroing_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_advice
tests_integration_check_advice_SOURCES = tests/integration/check_advice.c $(BOTH)
tests_integration_check_advice_LDADD = $(TEST_LIBS) lib/libfastalloc.la

check_tests += tests/integration/check_sharing
tests_integration_check_sharing_SOURCES = tests/integration/check_sharing.c $(API)
tests_integration_check_sharing_LDADD = $(TEST_LIBS) lib/libfastalloc.la

# fastalloc.hpp, compiled by cpp.sh itself.
EXTRA_DIST += \
	tests/integration/cpp.hpp \
	tests/integration/cpp_handles.cpp \
	tests/integration/cpp_main.cpp \
	tests/integration/cpp_pmr.cpp \
	tests/integration/cpp_pools.cpp \
	tests/integration/cpp_shared.cpp \
	tests/integration/cpp_values.cpp

dist_check_SCRIPTS += \
	tests/integration/check_ctypes.py \
	tests/integration/cpp.sh \
	tests/unit/api_cpp.sh
EXTRA_DIST += tests/unit/check_api.cpp

# --------------------------------------------------------------- tests/bench

# What the parent and all workers are made of; it needs lib/libfastalloc.la and $(SHM_LIBS).
check_LTLIBRARIES += tests/bench/libsuite.la
tests_bench_libsuite_la_SOURCES = \
	tests/bench/costs.c tests/bench/costs.h \
	tests/bench/costs_deaths.c \
	tests/bench/costs_memory.c \
	tests/bench/costs_supply.c \
	tests/bench/crate.c \
	tests/bench/crew.c tests/bench/crew.h \
	tests/bench/crowd.c \
	tests/bench/implementation.h \
	tests/bench/latency.c \
	tests/bench/loops.h \
	tests/bench/loops_crate.h \
	tests/bench/loops_shared.h \
	tests/bench/shared.c tests/bench/shared.h \
	tests/bench/single.c \
	tests/bench/suite.c tests/bench/suite.h \
	tests/bench/worker.c tests/bench/worker.h
BENCH_LIBS = tests/bench/libsuite.la lib/libfastalloc.la $(SHM_LIBS)

check_tests += tests/bench/check_shared
tests_bench_check_shared_SOURCES = tests/bench/check_shared.c
tests_bench_check_shared_LDADD = $(TEST_LIBS) $(BENCH_LIBS) -lm
thread_tests += tests/bench/check_shared

# They are run where they are built: no wrapper of libtool's stands before them.
BENCH_LINKING = $(AM_LDFLAGS) -no-install

check_PROGRAMS += tests/bench/bench
tests_bench_bench_SOURCES = \
	tests/bench/bench.c \
	tests/bench/goals.c tests/bench/goals.h \
	tests/bench/machine.c tests/bench/machine.h \
	tests/bench/progress.c tests/bench/progress.h \
	tests/bench/remote.c tests/bench/remote.h \
	tests/bench/results.c tests/bench/results.h \
	tests/bench/roster.c tests/bench/roster.h \
	tests/bench/run.c tests/bench/run.h \
	tests/bench/table.c tests/bench/table.h
tests_bench_bench_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) \
	-DBENCH_MIMALLOC='"$(BENCH_MIMALLOC)"' -DBENCH_JEMALLOC='"$(BENCH_JEMALLOC)"'
tests_bench_bench_LDFLAGS = $(BENCH_LINKING)
tests_bench_bench_LDADD = $(BENCH_LIBS) $(JANSSON_LIBS) -lm

check_tests += tests/bench/check_results
tests_bench_check_results_SOURCES = \
	tests/bench/check_results.c \
	tests/bench/goals.c tests/bench/goals.h \
	tests/bench/results.c tests/bench/results.h
tests_bench_check_results_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
tests_bench_check_results_LDADD = $(TEST_LIBS) $(BENCH_LIBS) $(JANSSON_LIBS) -lm

bench_workers = tests/bench/bench-worker$(EXEEXT)
check_PROGRAMS += tests/bench/bench-worker
tests_bench_bench_worker_SOURCES = \
	tests/bench/control.c tests/bench/control.h \
	tests/bench/fastalloc.c \
	tests/bench/implementations.h \
	tests/bench/libc.c \
	tests/bench/stacks.c \
	tests/bench/worker_main.c
tests_bench_bench_worker_LDFLAGS = $(BENCH_LINKING)
tests_bench_bench_worker_LDADD = $(BENCH_LIBS) -ldl -lm

if BENCH_BOOST
bench_workers += tests/bench/bench-worker-boost$(EXEEXT)
check_PROGRAMS += tests/bench/bench-worker-boost
endif
tests_bench_bench_worker_boost_SOURCES = tests/bench/boost.cpp
# g++ has defined _GNU_SOURCE already.
tests_bench_bench_worker_boost_CPPFLAGS = -U_GNU_SOURCE $(AM_CPPFLAGS)
tests_bench_bench_worker_boost_CXXFLAGS = -std=gnu++17 -pthread -fvisibility=hidden \
	$(WARN_CXXFLAGS) $(SANITIZER_CFLAGS) $(COVERAGE_CFLAGS)
tests_bench_bench_worker_boost_LDFLAGS = $(BENCH_LINKING)
tests_bench_bench_worker_boost_LDADD = $(BENCH_LIBS) -lm

if BENCH_DPDK
bench_workers += tests/bench/bench-worker-dpdk$(EXEEXT)
check_PROGRAMS += tests/bench/bench-worker-dpdk
endif
tests_bench_bench_worker_dpdk_SOURCES = tests/bench/dpdk.c
tests_bench_bench_worker_dpdk_CFLAGS = $(AM_CFLAGS) $(DPDK_CFLAGS)
tests_bench_bench_worker_dpdk_LDFLAGS = $(BENCH_LINKING)
tests_bench_bench_worker_dpdk_LDADD = $(BENCH_LIBS) $(DPDK_LIBS) -lm

# bench-scale: costs, a simulation and its test.  `make bench-scale BENCH_SCALE_FLAGS=--large`, on
# an idle machine, then `make bench-scale-publish`: the tables of ARCHITECTURE.md's "At scale".
check_LTLIBRARIES += tests/bench/libscale.la
tests_bench_libscale_la_SOURCES = \
	tests/bench/scale.h \
	tests/bench/scale_alone.c \
	tests/bench/scale_calls.c \
	tests/bench/scale_costs.c \
	tests/bench/scale_deaths.c \
	tests/bench/scale_depots.c \
	tests/bench/scale_large.c \
	tests/bench/scale_play.c tests/bench/scale_play.h \
	tests/bench/scale_pool.c tests/bench/scale_pool.h \
	tests/bench/scale_runs.c \
	tests/bench/scale_sim.c tests/bench/scale_sim.h \
	tests/bench/scale_tables.c \
	tests/bench/scale_together.c
SCALE_LIBS = tests/bench/libscale.la lib/libfastalloc.la $(SHM_LIBS) -lm
check_PROGRAMS += tests/bench/bench-scale
tests_bench_bench_scale_SOURCES = tests/bench/scale.c
tests_bench_bench_scale_LDFLAGS = $(BENCH_LINKING)
tests_bench_bench_scale_LDADD = $(SCALE_LIBS)
check_tests += tests/bench/check_scale
tests_bench_check_scale_SOURCES = tests/bench/check_scale.c
tests_bench_check_scale_LDADD = $(TEST_LIBS) $(SCALE_LIBS)
EXTRA_DIST += tests/bench/scale_publish.sh
CLEANFILES += bench-scale.md
.PHONY: bench-scale bench-scale-publish
bench-scale: $(BUILT_SOURCES) tests/bench/bench-scale$(EXEEXT)
	@tests/bench/bench-scale$(EXEEXT) $(BENCH_SCALE_FLAGS) >bench-scale.md || \
		{ cat bench-scale.md; exit 1; }
	@cat bench-scale.md
bench-scale-publish:
	$(SHELL) $(srcdir)/tests/bench/scale_publish.sh bench-scale.md $(srcdir)/ARCHITECTURE.md

dist_check_SCRIPTS += tests/bench/instructions.sh tests/bench/smoke.sh
EXTRA_DIST += tests/bench/instructions.txt
CLEANFILES += bench-instructions.txt bench-results.json bench-*.svg

# The figures of README.md are those of a run that is kept.
dist_check_SCRIPTS += tests/bench/kept.sh
EXTRA_DIST += tests/bench/plots.py tests/bench/readme.py tests/bench/validate.py \
	tests/bench/results/bench-handover.svg tests/bench/results/bench-latency.svg \
	tests/bench/results/bench-pairs.svg tests/bench/results/bench-results.json \
	tests/bench/results/bench-scaling.svg tests/bench/results/bench-sizes.svg

# `make bench`, or `BENCH_QUICK=1 make bench`: tables, and bench-results.json.  BENCH_FLAGS for
# others of its options: see tests/bench/bench --help.
# `make bench-publish`: makes the last run the one that README.md shows.
# `make bench-instructions`: instructions instead of times, by valgrind; `-renew`: the file of
# those that `make check` compares with.
.PHONY: bench bench-instructions bench-instructions-renew bench-programs bench-publish
bench_programs = tests/bench/bench$(EXEEXT) $(bench_workers) daemon/fastallocd$(EXEEXT)
bench-programs: $(BUILT_SOURCES) $(bench_programs)
bench: bench-programs
	@if test "$${BENCH_QUICK:-0}" != 0 || ! command -v valgrind >/dev/null; then counts=; \
	else echo 'counting instructions'; counts='--counts bench-instructions.txt'; \
		FASTALLOC_TEST_BUILDDIR='$(abs_top_builddir)' $(SHELL) \
			$(srcdir)/tests/bench/instructions.sh list >bench-instructions.txt || counts=; \
	fi; \
	FASTALLOC_DAEMON='$(abs_top_builddir)/daemon/fastallocd' \
		tests/bench/bench$(EXEEXT) $$counts $(BENCH_FLAGS)
	@test -z '$(GNUPLOT)' || python3 $(srcdir)/tests/bench/plots.py --gnuplot '$(GNUPLOT)' \
		"$${BENCH_RESULTS:-bench-results.json}"
bench-publish:
	python3 $(srcdir)/tests/bench/validate.py --full bench-results.json bench-*.svg
	cp bench-results.json bench-*.svg $(srcdir)/tests/bench/results/
	python3 $(srcdir)/tests/bench/readme.py bench-results.json $(srcdir)/README.md
bench-instructions: $(BUILT_SOURCES) $(bench_workers)
	@FASTALLOC_TEST_BUILDDIR='$(abs_top_builddir)' $(SHELL) $(srcdir)/tests/bench/instructions.sh show
bench-instructions-renew: $(BUILT_SOURCES) $(bench_workers)
	@FASTALLOC_TEST_BUILDDIR='$(abs_top_builddir)' FASTALLOC_TEST_SRCDIR='$(abs_top_srcdir)' \
		$(SHELL) $(srcdir)/tests/bench/instructions.sh renew
