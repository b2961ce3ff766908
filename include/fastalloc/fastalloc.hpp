// SPDX-License-Identifier: MIT
//
// fastalloc for C++17: header-only, over fastalloc.h, which says what each thing means.
//
//   client             a connection to the daemon                         client.hpp
//   pool<T>            a pool of objects of one type, attached            pool.hpp
//   pool_config        what one is to be; hooks                           hooks.hpp
//   attachment         what all pools have: figures, sealing, growing     attachment.hpp
//   handle<T>          owns one object: freed at the end of its scope     handle.hpp
//   handle_value<T>    names one: 8 bytes to send to another process      handle.hpp
//   shared_handle<T>   one of several holders; the last one frees         handle.hpp
//   weak_handle<T>     may have gone stale; lock() says                   handle.hpp
//   memory_resource    std::pmr memory from pools by size                 pmr.hpp
//   traits<T>          what a type says of itself to a pool               traits.hpp
//   error, result<T>   failures                                           result.hpp
//
// Errors.  Each function that can fail comes twice: make() throws fastalloc::error, try_make()
// returns a fastalloc::result.  Without exceptions (-fno-exceptions) only the second is there.
// Run-time type information is not needed.
//
// Lifetimes.  What moves is empty afterwards, and to destroy, reset, compare or ask something
// empty is always fine.  A pool keeps its client's connection alive.  A handle does not keep its
// pool: like what a container takes from a memory resource, it must be gone before the pool is.
//
// Death and fork.  Destructors are a matter of living processes: when one dies, its slots go back
// without them.  In a forked child the handles that it inherited are its parent's: their
// destructors do nothing there.
//
// Threads.  A pool and a memory_resource may be used by any number of threads, a handle like any
// other variable.
#ifndef FASTALLOC_FASTALLOC_HPP
#define FASTALLOC_FASTALLOC_HPP

#include <fastalloc/attachment.hpp>
#include <fastalloc/client.hpp>
#include <fastalloc/fastalloc.h>
#include <fastalloc/handle.hpp>
#include <fastalloc/hooks.hpp>
#include <fastalloc/pmr.hpp>
#include <fastalloc/pool.hpp>
#include <fastalloc/result.hpp>
#include <fastalloc/traits.hpp>
#include <fastalloc/walk.hpp>

#endif // FASTALLOC_FASTALLOC_HPP
