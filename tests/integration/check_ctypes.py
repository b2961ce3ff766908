# SPDX-License-Identifier: MIT
#
# The library as other languages see it: loaded late, called through ctypes, with no
# more than the declarations below and Python's standard library.

import ctypes
import os
import sys
import threading

BUILT = os.environ.get("FASTALLOC_TEST_BUILDDIR", ".")
SANITIZED = os.environ.get("FASTALLOC_TEST_SANITIZERS", "")

E_INVALID, E_NAME, E_SIZE, E_EXHAUSTED = -1, -2, -3, -22
E_NO_DAEMON, E_STALE, E_DOUBLE_FREE, E_HANDLE, E_SHARING = -14, -24, -25, -26, -35
E_HOOK = -36
SHARING, LIFECYCLE = 1, 32

Handle = ctypes.c_uint64
Pool = ctypes.c_void_p
Prepare = ctypes.CFUNCTYPE(ctypes.c_int, Pool, Handle, ctypes.c_void_p, ctypes.c_uint32,
                           ctypes.c_void_p)
Release = ctypes.CFUNCTYPE(None, Pool, Handle, ctypes.c_void_p, ctypes.c_void_p)


class Config(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type_version", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("type_name", ctypes.c_char_p),
        ("object_size", ctypes.c_size_t),
        ("alignment", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("max_threads", ctypes.c_uint32),
        ("max_sessions", ctypes.c_uint32),
        ("lifetime", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("max_capacity", ctypes.c_size_t),
        ("growth", ctypes.c_uint32),
        ("on_death", ctypes.c_uint32),
        ("growth_amount", ctypes.c_size_t),
        ("growth_factor", ctypes.c_double),
        ("low_water", ctypes.c_size_t),
        ("quarantine_ms", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("growth_function", ctypes.c_void_p),
        ("growth_argument", ctypes.c_void_p),
        ("initialize", Prepare),
        ("reset", Prepare),
        ("on_acquire", Prepare),
        ("on_release", Release),
        ("hook_argument", ctypes.c_void_p),
        ("initialization", ctypes.c_uint32),
        ("advice", ctypes.c_uint32),
    ]


class Info(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type_version", ctypes.c_uint32),
        ("name", ctypes.c_char * 256),
        ("type_name", ctypes.c_char * 64),
        ("object_size", ctypes.c_size_t),
        ("alignment", ctypes.c_size_t),
        ("stride", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("allocated", ctypes.c_size_t),
        ("available", ctypes.c_size_t),
        ("session", ctypes.c_uint32),
        ("sessions", ctypes.c_uint32),
        ("max_capacity", ctypes.c_size_t),
        ("growth", ctypes.c_uint32),
        ("on_death", ctypes.c_uint32),
        ("features", ctypes.c_uint32),
        ("heir", ctypes.c_uint32),
    ]


def load():
    library = ctypes.CDLL(os.path.join(BUILT, "lib", ".libs", "libfastalloc.so"))
    library.fastalloc_last_error.restype = ctypes.c_char_p
    library.fastalloc_strerror.restype = ctypes.c_char_p
    library.fastalloc_version.restype = ctypes.c_char_p
    library.fastalloc_get.restype = ctypes.c_void_p
    library.fastalloc_get.argtypes = [Pool, Handle]
    library.fastalloc_free.argtypes = [Pool, Handle]
    library.fastalloc_alloc.argtypes = [Pool, ctypes.POINTER(Handle),
                                        ctypes.POINTER(ctypes.c_void_p)]
    library.fastalloc_share.argtypes = [Pool, Handle]
    library.fastalloc_ref.argtypes = [Pool, Handle]
    library.fastalloc_unref.argtypes = [Pool, Handle]
    library.fastalloc_leave.argtypes = [Pool, Handle, ctypes.c_uint64]
    library.fastalloc_pool_close.argtypes = [Pool]
    library.fastalloc_pool_get_info.argtypes = [Pool, ctypes.POINTER(Info)]
    library.fastalloc_pool_create_local.argtypes = [ctypes.POINTER(Config), ctypes.POINTER(Pool)]
    library.fastalloc_connect.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p]
    return library


def require(condition, what):
    if not condition:
        sys.exit("ctypes.py: %s; last error: %s" % (what, fastalloc.fastalloc_last_error()))


def create(capacity, size=64, name=None, features=0):
    config, pool = Config(), Pool()
    fastalloc.fastalloc_pool_config_init(ctypes.byref(config))
    require(config.struct_size == ctypes.sizeof(Config), "the config has another size in C")
    config.name, config.object_size, config.capacity = name, size, capacity
    config.features = features
    return fastalloc.fastalloc_pool_create_local(ctypes.byref(config), ctypes.byref(pool)), pool


def info_of(pool):
    info = Info(struct_size=ctypes.sizeof(Info))
    require(fastalloc.fastalloc_pool_get_info(pool, ctypes.byref(info)) == 0, "no info")
    return info


def alloc(pool):
    handle, address = Handle(), ctypes.c_void_p()
    error = fastalloc.fastalloc_alloc(pool, ctypes.byref(handle), ctypes.byref(address))
    return error, handle.value, address.value


def objects_are_written_and_read():
    error, pool = create(1000, 64, "späti".encode())
    require(error == 0, "no pool")
    require(info_of(pool).name.decode() == "späti", "another name")
    handles = []
    for number in range(1000):
        error, handle, address = alloc(pool)
        require(error == 0, "no slot %d" % number)
        ctypes.memmove(address, b"%063d" % number, 64)
        handles.append(handle)
    error, handle, address = alloc(pool)
    require(error == E_EXHAUSTED and handle == 0 and address is None, "slot 1001 of 1000")
    require(b"1000/1000" in fastalloc.fastalloc_last_error(), "a text without numbers")
    require(info_of(pool).available == 0, "available")
    for number, handle in enumerate(handles):
        address = fastalloc.fastalloc_get(pool, handle)
        require(ctypes.string_at(address) == b"%063d" % number, "another's object")
        require(fastalloc.fastalloc_free(pool, handle) == 0, "not freed")
    require(info_of(pool).allocated == 0, "allocated")
    require(fastalloc.fastalloc_free(pool, handles[0]) == E_DOUBLE_FREE, "freed twice")
    require(fastalloc.fastalloc_get(pool, handles[0]) is None, "a stale handle leads somewhere")
    require(fastalloc.fastalloc_free(pool, 12345) == E_HANDLE, "no handle was freed")
    require(b"0x3039" in fastalloc.fastalloc_last_error(), "a text without the handle")
    require(fastalloc.fastalloc_pool_close(pool) == 0, "not closed")


def slots_are_shared_and_left():
    error, pool = create(10, features=SHARING)
    require(error == 0, "no pool")
    _, handle, _ = alloc(pool)
    require(fastalloc.fastalloc_share(pool, handle) == 0, "not shared")
    require(fastalloc.fastalloc_ref(pool, handle) == 0, "no reference")
    require(fastalloc.fastalloc_free(pool, handle) == E_SHARING, "a shared slot was freed")
    require(fastalloc.fastalloc_unref(pool, handle) == 0, "the first reference stays")
    require(fastalloc.fastalloc_unref(pool, handle) == 0, "the last reference stays")
    require(fastalloc.fastalloc_ref(pool, handle) == E_STALE, "a freed slot has a reference")
    _, handle, _ = alloc(pool)
    require(fastalloc.fastalloc_leave(pool, handle, 2 ** 64 - 1) == 0, "not left")
    require(fastalloc.fastalloc_leave(pool, handle, 2 ** 64 - 1) == E_STALE, "left twice")
    require(fastalloc.fastalloc_free(pool, handle) == 0, "left to nobody")
    require(fastalloc.fastalloc_pool_close(pool) == 0, "not closed")


def functions_are_called():
    told, config, pool = [], Config(), Pool()

    def initialize(_, handle, address, flags, argument):
        ctypes.memmove(address, b"made\0", 5)
        told.append(("initialize", flags, argument))
        return 0

    def reset(_, handle, address, flags, argument):
        told.append(("reset", flags, argument))
        return 11 if len(told) > 3 else 0

    def on_release(_, handle, address, argument):
        told.append(("on_release", ctypes.string_at(address), argument))

    fastalloc.fastalloc_pool_config_init(ctypes.byref(config))
    config.object_size, config.capacity, config.hook_argument = 64, 1, 4711
    config.initialize, config.reset = Prepare(initialize), Prepare(reset)
    config.on_release = Release(on_release)
    require(fastalloc.fastalloc_pool_create_local(ctypes.byref(config), ctypes.byref(pool)) == 0,
            "no pool with functions")
    require(info_of(pool).features == LIFECYCLE, "a pool without a lifecycle")
    for _ in range(2):
        error, handle, _ = alloc(pool)
        require(error == 0, "no slot")
        require(fastalloc.fastalloc_free(pool, handle) == 0, "not freed")
    require(alloc(pool)[0] == E_HOOK, "reset refused in vain")
    require(b"answered 11" in fastalloc.fastalloc_last_error(), "what did it answer?")
    require(told == [("initialize", 0, 4711), ("on_release", b"made", 4711), ("reset", 0, 4711),
                     ("on_release", b"made", 4711), ("reset", 0, 4711)], "called: %s" % told)
    require(fastalloc.fastalloc_pool_close(pool) == 0, "not closed")


def errors_are_told():
    require(create(10, 0)[0] == E_SIZE, "size 0")
    require(b"object size is 0" in fastalloc.fastalloc_last_error(), "which text?")
    require(create(10, 64, b"a/b")[0] == E_NAME, "a bad name")
    require(fastalloc.fastalloc_pool_close(None) == E_INVALID, "closed nothing")
    require(fastalloc.fastalloc_strerror(E_NAME) != fastalloc.fastalloc_strerror(E_SIZE), "texts")
    client = ctypes.c_void_p()
    os.environ["FASTALLOC_SOCKET"] = "/nonexistent/socket"
    require(fastalloc.fastalloc_connect(ctypes.byref(client), None) == E_NO_DAEMON, "connected")
    require(b"/nonexistent/socket" in fastalloc.fastalloc_last_error(), "connected where?")


def threads_and_forks_work():
    error, pool = create(1000)
    require(error == 0, "no pool")
    failures = []

    def work():
        for _ in range(300):
            error, handle, _ = alloc(pool)
            if error or fastalloc.fastalloc_free(pool, handle):
                failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    require(not failures, "threads failed: %s" % failures)
    _, handle, address = alloc(pool)
    ctypes.memmove(address, b"parent\0", 7)
    child = os.fork()
    if child == 0:
        error, own, address = alloc(pool)
        fine = error == 0 and own != handle and \
            ctypes.string_at(fastalloc.fastalloc_get(pool, handle)) == b"parent"
        if fine:
            ctypes.memmove(fastalloc.fastalloc_get(pool, handle), b"child\0", 6)
        os._exit(0 if fine else 1)
    require(os.waitpid(child, 0)[1] == 0, "the child failed")
    require(ctypes.string_at(address) == b"child", "the child wrote elsewhere")
    require(fastalloc.fastalloc_pool_close(pool) == 0, "not closed")


if "address" in SANITIZED or "thread" in SANITIZED:
    print("ctypes.py: a sanitized library cannot be loaded into this Python")
    sys.exit(77)
fastalloc = load()
print("libfastalloc", fastalloc.fastalloc_version().decode())
objects_are_written_and_read()
slots_are_shared_and_left()
functions_are_called()
errors_are_told()
threads_and_forks_work()
