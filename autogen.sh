#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a fresh clone to a build, a demonstration or a tested tree.
set -eu

usage()
{
    cat <<'END'
usage: ./autogen.sh            make ./configure (afterwards: ./configure && make)
       ./autogen.sh demo       install what is missing, build, run the demonstration
       ./autogen.sh check      install what is missing, build, run the tests
       ./autogen.sh bench      install what is missing, and what fastalloc is compared with;
                               build, run the benchmark (6 minutes; BENCH_QUICK=1: one)
       ./autogen.sh deps [check|bench|ci]   only install what is missing, to build; also what
                               the tests, the benchmark or all of .ci/run need

demo, check and bench build in .build/ and leave their logs there.  Packages are
installed with apt-get, dnf or pacman, through sudo unless you are root, and only
those that are missing.
END
}

# ------------------------------------------------------------------- output

say()
{
    printf '%s\n' "fastalloc: $*"
}

die()
{
    printf '%s\n' "fastalloc: $*" >&2
    exit 1
}

# run TITLE LOG COMMAND...: one line on the terminal, everything else in the log.
run()
{
    title=$1 log=$2
    shift 2
    printf 'fastalloc: %s ... ' "$title"
    started=$(date +%s)
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "done ($(($(date +%s) - started)) s)"
    else
        status=$?
        echo "FAILED"
        tail -n 40 "$log" | sed 's/^/    /' >&2
        die "$title failed with status $status; the whole log is in ${log#"$top"/}"
    fi
}

# ----------------------------------------------------------------- packages

# needs EXTENT: what is needed, a line each: how to see that it is there, and the packages
# of Debian, Fedora and Arch that bring it.  The EXTENT is build, check (the tests), bench, or
# ci (all).
needs()
{
    cat <<'END'
program cc            build-essential       gcc                   base-devel
program g++           build-essential       gcc-c++               base-devel
program make          build-essential       make                  base-devel
program autoconf      autoconf              autoconf              base-devel
program automake      automake              automake              base-devel
program libtoolize    libtool               libtool               base-devel
program pkg-config    pkg-config            pkgconf-pkg-config    base-devel
program protoc-c      protobuf-c-compiler   protobuf-c-compiler   protobuf-c
module  libuv         libuv1-dev            libuv-devel           libuv
module  libprotobuf-c libprotobuf-c-dev     protobuf-c-devel      protobuf-c
module  check         check                 check-devel           check
module  jansson       libjansson-dev        jansson-devel         jansson
module  smartcols     libsmartcols-dev      libsmartcols-devel    util-linux-libs
header  uthash.h      uthash-dev            uthash-devel          uthash
program python3       python3               python3               python
END
    case $1 in check | ci) cat <<'END' ;; esac
program spin          spin                  spin                  spin
program ab            apache2-utils         httpd-tools           apache
program valgrind      valgrind              valgrind              valgrind
END
    # The names of Fedora and Arch in this list have not been tried.
    case $1 in bench | ci) cat <<'END' ;; esac
preload libmimalloc   libmimalloc-dev       mimalloc              mimalloc
preload libjemalloc   libjemalloc2          jemalloc              jemalloc
header  boost/version.hpp     libboost-dev  boost-devel           boost
module  libdpdk       libdpdk-dev           dpdk-devel            dpdk
program gnuplot       gnuplot-nox           gnuplot               gnuplot
END
    case $1 in ci) cat <<'END' ;; esac
program clang         clang                 clang                 clang
program shellcheck    shellcheck            ShellCheck            shellcheck
program xz            xz-utils              xz                    xz
linking -fsanitize=address    build-essential libasan  base-devel
linking -fsanitize=undefined  build-essential libubsan base-devel
linking -fsanitize=thread     build-essential libtsan  base-devel
END
}

# there KIND NAME: whether it is installed.
there()
{
    case $1 in
    program) command -v "$2" >/dev/null 2>&1 ;;
    module) pkg-config --exists "$2" >/dev/null 2>&1 ;;
    header) printf '#include <%s>\n' "$2" | cc -E - >/dev/null 2>&1 ;;
    preload)
        # The dynamic linker says when it does not find one.
        for suffix in .so .so.2 .so.3; do
            [ -n "$(LD_PRELOAD=$2$suffix /bin/true 2>&1)" ] || return 0
        done
        return 1
        ;;
    linking) echo 'int main(void) { return 0; }' | cc "$2" -x c - -o /dev/null 2>/dev/null ;;
    esac
}

# missing COLUMN EXTENT: the packages to install, a line each.
missing()
{
    needs "$2" | while read -r kind name debian fedora arch; do
        there "$kind" "$name" || case $1 in
        debian) echo "$debian" ;;
        fedora) echo "$fedora" ;;
        arch) echo "$arch" ;;
        esac
    done | sort -u
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_get()
{
    as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y \
        -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@"
}

# Lists that are too old or not there are no reason to fail before trying; a
# failing update is none either, as long as the installation works.
install_debian()
{
    apt_get update || echo "apt-get update failed: trying with the lists there are"
    apt_get install --no-install-recommends "$@"
}

install_fedora()
{
    as_root dnf -y install "$@"
}

install_arch()
{
    as_root pacman -S --needed --noconfirm "$@" || as_root pacman -Sy --needed --noconfirm "$@"
}

# install_missing EXTENT: brings what is missing, or says what to do.
install_missing()
{
    if command -v apt-get >/dev/null 2>&1; then
        system=debian manager=apt-get
    elif command -v dnf >/dev/null 2>&1; then
        system=fedora manager=dnf
    elif command -v pacman >/dev/null 2>&1; then
        system=arch manager=pacman
    else
        absent=$(needs "$1" | while read -r kind name debian rest; do
            there "$kind" "$name" || printf ' %s' "$name"
        done)
        [ -z "$absent" ] || die "missing:$absent; there is no apt-get, dnf or pacman here:" \
            "install them in your system's way and try again"
        return 0
    fi
    packages=$(missing $system "$1")
    [ -n "$packages" ] || return 0
    # One word each from here on.
    packages=$(echo "$packages" | tr '\n' ' ')
    packages=${packages% }
    if [ "$(id -u)" = 0 ]; then
        say "installing with $manager: $packages"
    elif command -v sudo >/dev/null 2>&1; then
        say "installing with sudo $manager: $packages"
        sudo -v || die "sudo does not work for you; as root: $manager install $packages"
    else
        die "missing: $packages; you are not root and there is no sudo:" \
            "have root install them with $manager, and try again"
    fi
    # shellcheck disable=SC2086
    run "installing" "$build/install.log" install_$system $packages
    left=$(missing $system "$1" | tr '\n' ' ')
    [ -z "$left" ] || die "installed, but still missing: $left(see $build/install.log)"
}

# -------------------------------------------------------------------- steps

bootstrap()
{
    cd "$top" && autoreconf -fi
}

# Whether configure is older than something it is made from.
bootstrap_is_due()
{
    [ -f "$top/configure" ] && [ -f "$top/Makefile.in" ] || return 0
    [ -n "$(find "$top/configure.ac" "$top/Makefile.am" "$top/lib" "$top/daemon" "$top/tests" \
        "$top/man" \( -name configure.ac -o -name Makefile.am -o -name local.mk \) \
        -newer "$top/Makefile.in" -print)" ]
}

# prepare EXTENT: to the point where make can run in $build.
prepare()
{
    mkdir -p "$build"
    install_missing "$1"
    # Objects in the source tree would be taken for those of another build.
    if [ -f "$top/config.status" ]; then
        say "you have configured the source tree itself: building there"
        build=$top logs=$top/.build
    fi
    [ -r /proc/self/status ] ||
        die "/proc is not mounted here; fastalloc needs it: mount -t proc proc /proc"
    [ -w /dev/shm ] ||
        die "/dev/shm is not there or not writable; fastalloc needs it:" \
            "mount -t tmpfs tmpfs /dev/shm"
    if bootstrap_is_due; then
        run "making configure" "$logs/autoreconf.log" bootstrap
    fi
    if [ ! -f "$build/config.status" ]; then
        cd "$build"
        run "configuring" "$logs/configure.log" "$top/configure"
    fi
    cd "$build"
}

processors()
{
    nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2
}

demo()
{
    prepare build
    run "building" "$logs/make.log" make -j"$(processors)" demo-programs
    exec make -s demo
}

# Who is compared with is no reason to fail: what cannot be installed is left out.
bench()
{
    mkdir -p "$build"
    install_missing build
    (install_missing bench) || say "going on without what could not be installed"
    prepare build
    # configure looked before that.
    if grep -q '^BENCH_MISSING = .' Makefile; then
        run "configuring again" "$logs/configure.log" ./config.status --recheck
        run "making the makefiles again" "$logs/config.status.log" ./config.status
    fi
    run "building" "$logs/make.log" make -j"$(processors)" bench-programs
    make -s bench
    say "the results and their plots: ${build#"$top"/}/bench-*"
}

# Shows a line for each test as it ends, and what failed at the end.
check()
{
    prepare check
    run "building" "$logs/make.log" make -j"$(processors)" all
    run "building the tests" "$logs/make-tests.log" make -j"$(processors)" check TESTS=
    say "testing (the whole log: ${logs#"$top"/}/check.log)"
    {
        status=0
        make -j"$(processors)" check 2>&1 </dev/null || status=$?
        echo $status >"$logs/check.status"
    } | tee "$logs/check.log" | grep -E '^(PASS|FAIL|SKIP|XPASS|XFAIL|ERROR|# [A-Z]+):' || :
    status=$(cat "$logs/check.status")
    [ "$status" = 0 ] || {
        if [ -f "$build/test-suite.log" ]; then
            sed -n '/^\(FAIL\|ERROR\|XPASS\):/,$p' "$build/test-suite.log"
        else
            cat "$logs/check.log"
        fi | tail -n 60 | sed 's/^/    /' >&2
        die "make check failed with status $status; see ${build#"$top"/}/test-suite.log"
    }
    say "all tests passed"
}

# --------------------------------------------------------------------- main

top=$(cd "$(dirname "$0")" && pwd)
build=$top/.build
logs=$build

case ${1-} in
'')
    command -v autoreconf >/dev/null 2>&1 ||
        die "autoconf is missing: ./autogen.sh deps installs all that is"
    mkdir -p "$build"
    run "making configure" "$build/autoreconf.log" bootstrap
    say "now: ./configure && make && make check (or ./autogen.sh --help)"
    ;;
deps)
    mkdir -p "$build"
    install_missing "${2-build}"
    say "nothing is missing"
    ;;
demo) demo ;;
check) check ;;
bench) bench ;;
-h | --help | help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
