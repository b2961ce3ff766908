# SPDX-License-Identifier: MIT
# lib/os: system calls with a meaning: memory, fences, packets, paths.

noinst_LTLIBRARIES += lib/libos.la
lib_libos_la_SOURCES = \
	lib/os/advice.c lib/os/advice.h \
	lib/os/backing.c lib/os/backing.h \
	lib/os/fence.c lib/os/fence.h \
	lib/os/packet.c lib/os/packet.h \
	lib/os/paths.c lib/os/paths.h \
	lib/os/room.c lib/os/room.h
