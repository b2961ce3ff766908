# SPDX-License-Identifier: MIT
# daemon/ctl: fastallocctl.

bin_PROGRAMS += daemon/fastallocctl
daemon_fastallocctl_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(SMARTCOLS_CFLAGS)
daemon_fastallocctl_SOURCES = \
	daemon/ctl/arguments.c daemon/ctl/arguments.h \
	daemon/ctl/cmd_capacity.c \
	daemon/ctl/cmd_check.c \
	daemon/ctl/cmd_create.c \
	daemon/ctl/cmd_destroy.c \
	daemon/ctl/cmd_list.c \
	daemon/ctl/cmd_quarantine.c \
	daemon/ctl/cmd_shutdown.c \
	daemon/ctl/cmd_stat.c \
	daemon/ctl/ctl.h \
	daemon/ctl/look.c daemon/ctl/look.h \
	daemon/ctl/main.c \
	daemon/ctl/openmetrics.c daemon/ctl/openmetrics.h \
	daemon/ctl/output.c daemon/ctl/output.h \
	daemon/ctl/pools.c daemon/ctl/pools.h \
	daemon/ctl/text.c daemon/ctl/text.h \
	daemon/ctl/usage.c
daemon_fastallocctl_LDADD = $(CLIENT_LIBS) $(JANSSON_LIBS) $(SMARTCOLS_LIBS)
