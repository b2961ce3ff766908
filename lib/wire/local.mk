# SPDX-License-Identifier: MIT
# lib/wire: messages as bytes.  Pure bytes, no I/O.
#
# fastalloc.pb-c.[ch] are made from fastalloc.proto and included by this folder
# only.  What includes them says so below, for builds that start at one target.

noinst_LTLIBRARIES += lib/libwire.la
lib_libwire_la_SOURCES = \
	lib/wire/arena.c lib/wire/arena.h \
	lib/wire/fields.c lib/wire/fields.h \
	lib/wire/frame.c lib/wire/frame.h \
	lib/wire/manifest.c lib/wire/manifest.h \
	lib/wire/replies.c lib/wire/requests.c lib/wire/wire.h
nodist_lib_libwire_la_SOURCES = \
	lib/wire/fastalloc.pb-c.c lib/wire/fastalloc.pb-c.h

lib/wire/fields.lo lib/wire/frame.lo lib/wire/manifest.lo lib/wire/replies.lo \
lib/wire/requests.lo: lib/wire/fastalloc.pb-c.h

AM_CPPFLAGS += $(PROTOBUF_C_CFLAGS)

EXTRA_DIST += lib/wire/fastalloc.proto
BUILT_SOURCES += lib/wire/fastalloc.pb-c.c lib/wire/fastalloc.pb-c.h
CLEANFILES += lib/wire/fastalloc.pb-c.c lib/wire/fastalloc.pb-c.h

# protoc-c writes both files at once: the header follows from the source, so
# that a parallel make runs it once.
lib/wire/fastalloc.pb-c.c: lib/wire/fastalloc.proto
	$(AM_V_GEN)$(MKDIR_P) lib/wire && \
	$(PROTOC_C) --proto_path=$(srcdir)/lib/wire --c_out=lib/wire \
		$(srcdir)/lib/wire/fastalloc.proto
lib/wire/fastalloc.pb-c.h: lib/wire/fastalloc.pb-c.c
	@test -f $@ || { rm -f $<; $(MAKE) $(AM_MAKEFLAGS) $<; }
