# SPDX-License-Identifier: MIT
# lib/client: what makes a process a client; the public functions.

noinst_LTLIBRARIES += lib/libclient.la
lib_libclient_la_SOURCES = \
	lib/client/attach.c lib/client/attach.h \
	lib/client/client.c lib/client/client.h \
	lib/client/fault.c lib/client/fault.h \
	lib/client/object.c \
	lib/client/pool.c lib/client/pool.h \
	lib/client/process.c lib/client/process.h \
	lib/client/spawn.c lib/client/spawn.h \
	lib/client/thread.c lib/client/thread.h \
	lib/client/version.c
