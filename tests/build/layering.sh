#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Holds the arrows between the folders, in what files include and in what their
# objects call:
#
#     os     -> shm/reason.h             client -> os, shm, wire
#     wire   -> shm/reason.h, spec.h     server -> os, shm, wire
#     shm    -> nothing                  ctl    -> client, os, shm, wire
#
# libuv stays in daemon/server and protobuf-c in lib/wire; lib/shm and lib/wire do
# no I/O; mutexes in shared memory are touched in lib/shm/lock.c only.
set -eu
LC_ALL=C
export LC_ALL

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
build=${FASTALLOC_TEST_BUILDDIR:-$src}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

broken()
{
    echo "broken: $*" >&2
    failed=1
}

# ---------------------------------------------------------------- includes

# includes FOLDER: "file:line: header" for each include in the folder's files.
includes()
{
    find "$src/$1" -name '*.[ch]' ! -name '*.pb-c.[ch]' | sort | while read -r file; do
        sed -n 's/^[ 	]*#[ 	]*include[ 	]*[<"]\([^>"]*\)[>"].*/\1/p' "$file" |
            sed "s|^|${file#"$src"/}: |"
    done
}

# only FOLDER PATTERN: what the folder includes from the project or from the
# libraries with a home of their own matches the (extended, anchored) pattern.
# A name without a slash is a neighbour if the folder has it.
only()
{
    includes "$1" >"$work/includes"
    [ -s "$work/includes" ] || broken "$1: no file there includes anything: is the folder gone?"
    while read -r file header; do
        case $header in
        */*) ;;
        uv.h | check.h | uthash.h | jansson.h | libsmartcols.h) ;;
        *) continue ;;
        esac
        case $header in
        sys/* | linux/* | netinet/* | arpa/* | sanitizer/* | valgrind/*) continue ;;
        check.h) [ ! -f "$src/${file%/*}/check.h" ] || continue ;;
        esac
        echo "$header" | grep -Eqx "$2" || broken "${file%:} includes $header"
    done <"$work/includes"
}

only include 'fastalloc/[a-z]+\.h(pp)?'
only lib/shm '(fastalloc|shm)/[a-z_]+\.h|uthash\.h'
only lib/os '(fastalloc|os)/[a-z_]+\.h|shm/reason\.h'
only lib/wire '(fastalloc|wire)/[a-z_]+\.h|shm/(reason|spec)\.h|wire/fastalloc\.pb-c\.h|protobuf-c/.*'
only lib/client '(fastalloc|client|os|shm)/[a-z_]+\.h|wire/wire\.h|uthash\.h'
only daemon/server '(fastalloc|server|os|shm)/[a-z_]+\.h|wire/(wire|manifest)\.h|uv\.h|uthash\.h'
only daemon/ctl '(fastalloc|ctl|client|os|shm)/[a-z_]+\.h|wire/wire\.h|uthash\.h|jansson\.h|libsmartcols/libsmartcols\.h|libsmartcols\.h'

# A neighbour of the generated header is not hidden by leaving the folder out.
for folder in lib/shm lib/os lib/client daemon/server daemon/ctl include; do
    includes $folder | grep -E 'pb-c\.h|protobuf-c' >"$work/leaks" || continue
    broken "protobuf-c outside lib/wire: $(cat "$work/leaks")"
done
includes lib/wire | grep -E '^lib/wire/wire\.h: .*(pb-c|protobuf)' &&
    broken "lib/wire/wire.h shows protobuf-c types to its users"

# ----------------------------------------------------------------- symbols

# symbols FOLDER OBJECT...: writes FOLDER.defined and FOLDER.used ("object symbol").
symbols()
{
    name=$1
    shift
    [ -e "$1" ] || { broken "$name: no objects ($1): built?"; return; }
    nm -A "$@" 2>/dev/null | awk -v defined="$work/$name.defined" -v used="$work/$name.used" '
        BEGIN { printf "" >defined; printf "" >used }
        {
            object = $1; sub(/:[0-9a-f]*$/, "", object); sub(/^.*[\/:]/, "", object)
            type = $(NF - 1); symbol = $NF
            if (type == "U") print object, symbol >used
            else if (type ~ /^[A-TV-Z]$/) print symbol >defined
        }'
    sort -u -o "$work/$name.defined" "$work/$name.defined"
    [ -s "$work/$name.used" ] || broken "$name: nm shows no symbols of it"
}

# never A B: no object of A uses what B defines, and A does not itself.
never()
{
    comm -13 "$work/$1.defined" "$work/$2.defined" >"$work/theirs"
    awk 'NR == FNR { theirs[$1] = 1; next } $2 in theirs { print "    " $1 " uses " $2 }' \
        "$work/theirs" "$work/$1.used" >"$work/uses"
    [ ! -s "$work/uses" ] || broken "$1 -> $2:
$(cat "$work/uses")"
}

# no_calls A PATTERN [OBJECT]: no object of A, but OBJECT, uses a symbol that matches.
no_calls()
{
    awk -v pattern="^($2)\$" -v but="${3:-}" \
        '$2 ~ pattern && $1 != but { print "    " $1 " uses " $2 }' "$work/$1.used" >"$work/uses"
    [ ! -s "$work/uses" ] || broken "$1 must not:
$(cat "$work/uses")"
}

for library in shm os wire client; do
    symbols $library "$build/lib/.libs/lib$library.a"
done
symbols server "$build/daemon/.libs/libserver.a"
symbols main "$build"/daemon/server/*main.o
symbols ctl "$build"/daemon/ctl/*.o
[ $failed = 0 ] || exit 1

for other in os wire client server ctl; do
    never shm $other
done
for other in wire client server ctl; do
    never os $other
done
for other in os client server ctl; do
    never wire $other
done
for other in server main ctl; do
    never client $other
done
for other in client ctl; do
    never server $other
    never main $other
done
never ctl server
never ctl main

for part in shm os wire client ctl; do
    no_calls $part 'uv_.*'
done
for part in shm os client server main ctl; do
    no_calls $part 'protobuf_c_.*'
done

io='(f|shm_|mq_)?open(at|dir)?(64)?|(p|f)?(read|write)v?(64)?|mmap(64)?|munmap|f?truncate(64)?'
io="$io|(posix_)?fallocate(64)?|memfd_create|fcntl(64)?|ioctl|socket|connect|accept4?|bind|listen"
io="$io|(send|recv)(to|from|msg)?|(v|f|vf)?printf|puts|putchar|perror|syslog|getenv|poll|fork"
no_calls shm "$io"
no_calls wire "$io"

robust='pthread_mutex_(clocklock|timedlock|consistent)|pthread_mutexattr_.*'
no_calls shm 'pthread_mutex.*' lock.o
no_calls os 'pthread_mutex.*'
no_calls wire 'pthread_mutex.*'
no_calls server 'pthread_mutex.*'
no_calls main 'pthread_mutex.*'
no_calls ctl 'pthread_mutex.*'
no_calls server 'lock_(try|wait|mend|release)' # in memory that clients can write
no_calls client "$robust" # its connection's own mutex is private to the process

exit $failed
