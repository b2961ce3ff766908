# SPDX-License-Identifier: MIT
# lib/client: what makes a process a client; the public functions.

noinst_LTLIBRARIES += lib/libclient.la
lib_libclient_la_SOURCES = \
	lib/client/attach.c lib/client/attach.h \
	lib/client/batch.c \
	lib/client/client.c lib/client/client.h \
	lib/client/config.c \
	lib/client/connection.c lib/client/connection.h \
	lib/client/event.c lib/client/event.h \
	lib/client/fault.c lib/client/fault.h \
	lib/client/figures.c \
	lib/client/fork.c lib/client/fork.h \
	lib/client/growth.c lib/client/growth.h \
	lib/client/lifecycle.c lib/client/lifecycle.h \
	lib/client/local.c lib/client/local.h \
	lib/client/lookup.c \
	lib/client/object.c \
	lib/client/obtain.c lib/client/obtain.h \
	lib/client/pool.c lib/client/pool.h \
	lib/client/process.c lib/client/process.h \
	lib/client/seal.c \
	lib/client/share.c lib/client/share.h \
	lib/client/small.c lib/client/small.h \
	lib/client/spawn.c lib/client/spawn.h \
	lib/client/stats.c \
	lib/client/thread.c lib/client/thread.h \
	lib/client/version.c \
	lib/client/wait.c lib/client/wait.h \
	lib/client/walk.c
