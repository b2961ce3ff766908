# SPDX-License-Identifier: MIT
# daemon/server: fastallocd.  All but main.c is a library, so that tests can link it.

noinst_LTLIBRARIES += daemon/libserver.la
daemon_libserver_la_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS)
daemon_libserver_la_SOURCES = \
	daemon/server/access.c daemon/server/access.h \
	daemon/server/aftermath.c \
	daemon/server/attach.c \
	daemon/server/background.c daemon/server/background.h \
	daemon/server/connection.c daemon/server/connection.h \
	daemon/server/demand.c daemon/server/demand.h \
	daemon/server/guard.c daemon/server/guard.h \
	daemon/server/instance.c daemon/server/instance.h \
	daemon/server/job.h \
	daemon/server/jobs.c daemon/server/jobs.h \
	daemon/server/limits.h \
	daemon/server/listener.c daemon/server/listener.h \
	daemon/server/log.c daemon/server/log.h \
	daemon/server/memory.c daemon/server/memory.h \
	daemon/server/options.c daemon/server/options.h \
	daemon/server/pool.c daemon/server/pool.h \
	daemon/server/registry.c daemon/server/registry.h \
	daemon/server/request.c daemon/server/request.h \
	daemon/server/resize.c \
	daemon/server/server.c daemon/server/server.h \
	daemon/server/store.c daemon/server/store.h \
	daemon/server/sweeper.c daemon/server/sweeper.h \
	daemon/server/wishes.c daemon/server/wishes.h

# What a program links that is made of the server's parts.
SERVER_LIBS = daemon/libserver.la lib/libwire.la lib/libos.la lib/libshm.la \
	$(PROTOBUF_C_LIBS) $(UV_LIBS)

bin_PROGRAMS += daemon/fastallocd
daemon_fastallocd_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS)
daemon_fastallocd_SOURCES = daemon/server/main.c
daemon_fastallocd_LDADD = $(SERVER_LIBS)
