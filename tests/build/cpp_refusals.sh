#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What fastalloc.hpp is to refuse does not compile, with g++ and with clang++ where there is one,
# and the compiler's message says why.  A file with nothing wrong in it compiles, so it
# is the line tried that is refused.
set -eu

src=${FASTALLOC_TEST_SRCDIR:-$(pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

cat >"$work/before" <<'END_BEFORE'
#include <fastalloc/fastalloc.hpp>
#include <memory>
#include <string>
#include <utility>
using namespace fastalloc;
struct order { int number; };
struct trade { int number; };
struct shape { virtual ~shape() = default; int number = 0; };
struct named { std::string name; };
struct alignas(8192) huge { char bytes[8192]; };
struct owner { ~owner() {} int number = 0; };
template <> struct fastalloc::traits<owner> : fastalloc::default_traits<owner> {
    static constexpr bool portable = true;
};
struct owner_hooks { void on_release(owner &, handle_value<owner>) {} };
struct right_hooks { void on_release(order &, handle_value<order>) {} };
struct wrong_hooks { void on_release(order *) {} };
struct no_hooks { };
extern client &by;
extern pool<order> &orders;
extern pool<trade> &trades;
extern pool<owner> &owners;
extern handle<order> &one, &other;
extern handle<owner> &owned;
extern shared_handle<order> &held;
extern right_hooks &right;
extern wrong_hooks &wrong;
extern no_hooks &none;
extern owner_hooks &of_owners;
void tried();
void tried()
{
END_BEFORE

# A line that is to be refused, "|", words that are to be in what the compiler says.
cat >"$work/refused" <<'END_REFUSED'
handle<order> copy = one;|delete
other = one;|delete
pool<order> copy = std::move(orders), again = copy;|delete
client copy = by;|delete
handle<order> of_another = std::move(trades).make();|handle
orders.free(trades.make().release());|handle_value
(void)orders.get(trades.root());|handle_value
(void)orders.get(fastalloc_handle(1));|handle_value
(void)(one == handle<trade>());|operator==
handle<order> from_shared = held;|shared_handle
held = one;|shared_handle
weak_handle<trade> of_another = held;|weak_handle
(void)pool<shape>::create_local(1);|has a vtable
(void)pool<shape>::try_open(by, "shapes");|has a vtable
(void)pool<named>::create_local(1);|mean nothing in another process
(void)pool<std::unique_ptr<int>>::create_local(1);|mean nothing in another process
(void)pool<char *>::create_local(1);|mean nothing in another process
(void)pool<int[4]>::create_local(1);|put an array into a struct
(void)pool<const order>::create_local(1);|neither const nor volatile
(void)pool<huge>::create_local(1);|a page of 4096 bytes
(void)owned.share();|has to be trivial
(void)owners.acquire();|make() it
(void)pool<order>::create_local(1, wrong);|cannot be called
(void)pool<order>::create_local(1, none);|have none of
(void)pool<order>::create_local(1, right_hooks());|right_hooks
(void)pool<owner>::create_local(1, of_owners);|has to be trivially copyable
orders.try_seal();|nodiscard
END_REFUSED

# compile COMPILER SOURCE; several words in the compiler and the flags are meant.
compile()
{
    # shellcheck disable=SC2086
    $1 -std=c++17 -fsyntax-only -Werror=unused-result ${FASTALLOC_TEST_CFLAGS-} \
        -I"$src/include" "$2" 2>"$work/says"
}

# write_source LINE
write_source()
{
    {
        cat "$work/before"
        echo "$1"
        echo '}'
    } >"$work/tried.cpp"
}

refuse_all()
{
    tried=0
    write_source 'auto made = pool<order>::create_local(1, right); (void)made.make();'
    compile "$1" "$work/tried.cpp" || {
        echo "$1: what is right does not compile:" >&2
        cat "$work/says" >&2
        failed=1
        return
    }
    while IFS='|' read -r line words; do
        tried=$((tried + 1))
        write_source "$line"
        if compile "$1" "$work/tried.cpp"; then
            echo "$1 compiles: $line" >&2
            failed=1
        elif ! grep -Fq -e "$words" "$work/says"; then
            echo "$1 refuses \"$line\" without the words \"$words\":" >&2
            cat "$work/says" >&2
            failed=1
        fi
    done <"$work/refused"
    echo "$1: $tried lines tried"
}

first=${CXX:-c++}
refuse_all "$first"
case $first in
*clang*) second=g++ ;;
*) second=clang++ ;;
esac
if [ -n "${FASTALLOC_TEST_SANITIZERS-}" ] || ! command -v "$second" >/dev/null; then
    echo "$second is not tried"
else
    refuse_all "$second"
fi
exit $failed
