# SPDX-License-Identifier: MIT
"""multiprocessing_ctypes: Python processes that share a pool of structures.

multiprocessing can send an object to another process, by pickling it, or share one block of
memory of a fixed shape.  Here a pool gives the processes as many structures as they need, each
of them in one place for everybody; what goes through the queue is a number, the handle.

The parent fills a series of measurements into each Sample and queues its handle.  A worker
adopts it, computes mean and maximum where it lies, and sends the handle back.  One worker
is killed with samples in its hands.  They go back to the pool, their handles turn stale, and the
parent queues the same measurements again; every series is computed exactly once in the end.

    multiprocessing_ctypes.py [WORKERS]

Needs the standard library of Python, and libfastalloc: of the build in
$FASTALLOC_TEST_BUILDDIR, else of the one two folders above, else the system's.
"""

import ctypes
import ctypes.util
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import time

SAMPLES = 400
CAPACITY = 64
READINGS = 100
VICTIM_HOLDS = 3
FOREVER = 2**64 - 1


class Sample(ctypes.Structure):
    _fields_ = [
        ("number", ctypes.c_uint32),
        ("worker", ctypes.c_uint32),  # who computed it: a process
        ("mean", ctypes.c_double),
        ("maximum", ctypes.c_double),
        ("readings", ctypes.c_double * READINGS),
    ]


# ------------------------------------------------------------- libfastalloc, as used here


class Config(ctypes.Structure):
    """fastalloc_pool_config as far as it is used here; the library fills in the rest."""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("type_version", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("type_name", ctypes.c_char_p),
        ("object_size", ctypes.c_size_t),
        ("alignment", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("rest", ctypes.c_char * 512),
    ]


class Options(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("timeout_ms", ctypes.c_uint32),
        ("socket", ctypes.c_char_p),
        ("autospawn", ctypes.c_int),
        ("reconnect_ms", ctypes.c_uint32),
    ]


def load():
    here = os.path.dirname(os.path.abspath(__file__))
    build = os.environ.get("FASTALLOC_TEST_BUILDDIR", os.path.join(here, "..", ".."))
    built = os.path.join(build, "lib", ".libs", "libfastalloc.so")
    name = built if os.path.exists(built) else ctypes.util.find_library("fastalloc")
    if not name:
        sys.exit("libfastalloc is neither in %s nor installed" % build)
    library = ctypes.CDLL(name)
    pointer, handle, string = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p
    library.fastalloc_last_error.restype = string
    for function, result, arguments in (
        ("connect", ctypes.c_int, [ctypes.POINTER(pointer), ctypes.POINTER(Options)]),
        ("connect_options_init", None, [ctypes.POINTER(Options)]),
        ("disconnect", None, [pointer]),
        ("pool_config_init", None, [ctypes.POINTER(Config)]),
        ("pool_create", ctypes.c_int, [pointer, ctypes.POINTER(Config), ctypes.POINTER(pointer)]),
        ("pool_open", ctypes.c_int,
         [pointer, string, ctypes.POINTER(Config), ctypes.POINTER(pointer)]),
        ("pool_allocated", ctypes.c_size_t, [pointer]),
        ("alloc_wait", ctypes.c_int,
         [pointer, ctypes.POINTER(handle), ctypes.POINTER(pointer), ctypes.c_uint64]),
        ("get", pointer, [pointer, handle]),
        ("adopt", ctypes.c_int, [pointer, handle]),
        ("free", ctypes.c_int, [pointer, handle]),
    ):
        function = getattr(library, "fastalloc_" + function)
        function.restype, function.argtypes = result, arguments
    return library


fastalloc = load()


def ok(error):
    if error:
        raise RuntimeError(fastalloc.fastalloc_last_error().decode())


class Pool:
    """A pool of Samples; made by the first process, opened by the others."""

    def __init__(self, name, create=False):
        options, config = Options(), Config()
        self.client, self.pool = ctypes.c_void_p(), ctypes.c_void_p()
        fastalloc.fastalloc_connect_options_init(options)
        options.autospawn = 1
        ok(fastalloc.fastalloc_connect(self.client, options))
        fastalloc.fastalloc_pool_config_init(config)
        config.type_name, config.object_size = b"Sample", ctypes.sizeof(Sample)
        if create:
            config.name, config.capacity = name, CAPACITY
            ok(fastalloc.fastalloc_pool_create(self.client, config, self.pool))
        else:
            ok(fastalloc.fastalloc_pool_open(self.client, name, config, self.pool))

    def close(self):
        fastalloc.fastalloc_disconnect(self.client)

    def allocated(self):
        return fastalloc.fastalloc_pool_allocated(self.pool)

    def alloc(self):
        """A handle and its Sample; waits for a slot."""
        handle, address = ctypes.c_uint64(), ctypes.c_void_p()
        ok(fastalloc.fastalloc_alloc_wait(self.pool, handle, address, FOREVER))
        return handle.value, Sample.from_address(address.value)

    def get(self, handle):
        """The Sample, or None when the handle is stale."""
        address = fastalloc.fastalloc_get(self.pool, handle)
        return Sample.from_address(address) if address else None

    def adopt(self, handle):
        ok(fastalloc.fastalloc_adopt(self.pool, handle))
        return self.get(handle)

    def free(self, handle):
        ok(fastalloc.fastalloc_free(self.pool, handle))


# ---------------------------------------------------------------------------- a worker


def end_with_parent():
    """Has this process killed when the parent is, at whatever moment."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != multiprocessing.parent_process().pid:
        sys.exit(1)


def compute(sample):
    sample.mean = sum(sample.readings) / READINGS
    sample.maximum = max(sample.readings)
    sample.worker = os.getpid()


def work(pool_name, queue, parent, is_victim):
    """Computes what comes, and sends back the handles, a list each time.  The victim only takes
    some, says which, and waits for its end."""
    end_with_parent()
    pool = Pool(pool_name)
    if is_victim:
        # Killed within queue.get() it would take the queue's lock along, and nobody could
        # get anything any more: that lock is not a robust one.  So it stops outside.
        held = [queue.get() for _ in range(VICTIM_HOLDS)]
        for handle in held:
            pool.adopt(handle)
        parent.send(held)
        while True:
            signal.pause()
    for handle in iter(queue.get, None):
        compute(pool.adopt(handle))
        parent.send([handle])
    pool.close()


# ---------------------------------------------------------------------------- the parent


class Parent:
    def __init__(self):
        # "spawn" starts each process from scratch: they have nothing but the pool's name.
        self.context = multiprocessing.get_context("spawn")
        self.name = b"multiprocessing-%d" % os.getpid()
        self.pool = Pool(self.name, create=True)
        self.queue = self.context.Queue()
        self.waiting = list(range(SAMPLES))  # numbers of samples
        self.queued = {}  # numbers by handle
        self.done = {}  # mean and maximum by number

    def start_worker(self, is_victim=False):
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=work, daemon=True,
                                       args=(self.name, self.queue, theirs, is_victim))
        process.start()
        theirs.close()
        return ours, process

    @staticmethod
    def readings_of(number):
        return [(number * 7919 + i * 104729) % 1000 / 10 for i in range(READINGS)]

    def send(self):
        number = self.waiting.pop(0)
        handle, sample = self.pool.alloc()
        sample.number = number
        sample.readings[:] = self.readings_of(number)
        self.queued[handle] = number
        self.queue.put(handle)

    def receive(self, connection):
        for handle in connection.recv():
            sample = self.pool.adopt(handle)
            number = self.queued.pop(handle)
            assert sample.number == number and number not in self.done
            self.done[number] = sample.mean, sample.maximum
            self.pool.free(handle)

    def kill(self, victim, handles):
        """Kills it with samples in its hands, and has these done again."""
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        killed = time.monotonic()
        while any(self.pool.get(handle) for handle in handles):
            assert time.monotonic() < killed + 10, "the slots of the dead did not come back"
            time.sleep(0.001)
        lost = [self.queued.pop(handle) for handle in handles]
        self.waiting += lost
        print("worker %d was killed with samples %s: reclaimed after %.0f ms"
              % (victim.pid, lost, (time.monotonic() - killed) * 1000))

    def run(self, count):
        connection, victim = self.start_worker(is_victim=True)
        for _ in range(VICTIM_HOLDS):
            self.send()
        held = connection.recv()
        workers = dict(self.start_worker() for _ in range(count))
        while len(self.done) < SAMPLES:
            if held and len(self.done) > SAMPLES // 2:
                self.kill(victim, held)
                held = None
            while self.waiting and len(self.queued) < CAPACITY:
                self.send()
            for connection in multiprocessing.connection.wait(workers):
                self.receive(connection)
        for _ in workers:
            self.queue.put(None)
        for process in workers.values():
            process.join()
            assert process.exitcode == 0
        self.judge(count)
        self.pool.close()

    def judge(self, count):
        for number, (mean, maximum) in self.done.items():
            readings = self.readings_of(number)
            assert mean == sum(readings) / READINGS and maximum == max(readings)
        print("%d samples of %d workers, every one computed once; %d of %d slots in use at the end"
              % (len(self.done), count, self.pool.allocated(), CAPACITY))
        assert not self.queued and self.pool.allocated() == 0


if __name__ == "__main__":
    Parent().run(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
