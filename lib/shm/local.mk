# SPDX-License-Identifier: MIT
# lib/shm: the segment.  Pure memory, no I/O.

noinst_LTLIBRARIES += lib/libshm.la
lib_libshm_la_SOURCES = \
	lib/shm/bitmap.c lib/shm/bitmap.h \
	lib/shm/cache.c lib/shm/cache.h \
	lib/shm/check.c lib/shm/check.h \
	lib/shm/depot.c lib/shm/depot.h \
	lib/shm/growth.c lib/shm/growth.h \
	lib/shm/layout.c lib/shm/layout.h \
	lib/shm/lock.c lib/shm/lock.h \
	lib/shm/magazine.c lib/shm/magazine.h \
	lib/shm/notes.c lib/shm/notes.h \
	lib/shm/reason.c lib/shm/reason.h \
	lib/shm/revoke.c lib/shm/revoke.h \
	lib/shm/seal.c lib/shm/seal.h \
	lib/shm/session.c lib/shm/session.h \
	lib/shm/share.c lib/shm/share.h \
	lib/shm/slot.c lib/shm/slot.h \
	lib/shm/spec.c lib/shm/spec.h \
	lib/shm/stages.c lib/shm/stages.h \
	lib/shm/supply.c lib/shm/supply.h \
	lib/shm/survey.c lib/shm/survey.h \
	lib/shm/sweep.c lib/shm/sweep.h \
	lib/shm/tally.c lib/shm/tally.h \
	lib/shm/wait.c lib/shm/wait.h
