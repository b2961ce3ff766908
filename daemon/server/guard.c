/* SPDX-License-Identifier: MIT
 *
 * guard: SIGBUS inside a guarded range ends the work there, elsewhere the daemon.
 */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

/* What the thread is working on; `size` 0 when on nothing. */
static __thread struct {
    sigjmp_buf back;
    volatile uintptr_t base;
    volatile size_t size;
} guarded;

static void on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr;

    (void)context;
    if (guarded.size > 0 && address - guarded.base < guarded.size)
        siglongjmp(guarded.back, 1);
    /* Nobody's: happen again, and end the process as it would have. */
    signal(signal_number, SIG_DFL);
}

void guard_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

bool guard_run(void (*work)(void *argument), void *argument, const void *base, size_t size)
{
    if (sigsetjmp(guarded.back, 1)) {
        guarded.size = 0;
        return false;
    }
    guarded.base = (uintptr_t)base;
    guarded.size = size;
    work(argument);
    guarded.size = 0;
    return true;
}
