# SPDX-License-Identifier: MIT
# lib: libfastalloc, made of the folders below it, and what is installed with it.

lib_LTLIBRARIES += lib/libfastalloc.la
lib_libfastalloc_la_SOURCES =
lib_libfastalloc_la_LIBADD = $(CLIENT_LIBS)

# What a program links that looks behind the public functions: ctl and tests.
# Order counts; a program takes either these or lib/libfastalloc.la, not both.
CLIENT_LIBS = lib/libclient.la lib/libwire.la lib/libos.la lib/libshm.la $(PROTOBUF_C_LIBS)

# -version-info CURRENT:REVISION:AGE, libtool's rule.  At each release:
#   code changed, no symbol did                      REVISION + 1
#   symbols added, none changed nor removed          CURRENT + 1, REVISION = 0, AGE + 1
#   a symbol, or the segment's layout major, changed CURRENT + 1, REVISION = 0, AGE = 0
# Symbols added also open a new node in fastalloc.map.
#
# nodelete: thread-exit hooks and thread-local pointers lead into the library for
# as long as any thread lives, so dlclose() must not unmap it.
lib_libfastalloc_la_LDFLAGS = $(AM_LDFLAGS) \
	-version-info 0:0:0 \
	-Wl,-z,nodelete $(NO_UNDEFINED_LDFLAGS) \
	-Wl,--version-script=$(srcdir)/lib/fastalloc.map
EXTRA_lib_libfastalloc_la_DEPENDENCIES = lib/fastalloc.map
EXTRA_DIST += lib/fastalloc.map

pkgincludedir = $(includedir)/fastalloc
pkginclude_HEADERS = \
	include/fastalloc/attachment.hpp \
	include/fastalloc/client.hpp \
	include/fastalloc/fastalloc.h \
	include/fastalloc/fastalloc.hpp \
	include/fastalloc/handle.hpp \
	include/fastalloc/hooks.hpp \
	include/fastalloc/inline.h \
	include/fastalloc/pmr.hpp \
	include/fastalloc/pool.hpp \
	include/fastalloc/result.hpp \
	include/fastalloc/stats.h \
	include/fastalloc/traits.hpp \
	include/fastalloc/typed.h \
	include/fastalloc/walk.hpp

pkgconfig_DATA = lib/fastalloc.pc
