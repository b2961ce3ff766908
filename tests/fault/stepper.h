/* SPDX-License-Identifier: MIT
 *
 * stepper: runs an act in a forked child, one instruction at a time, so that a
 * test can kill it or stop it between any two.
 *
 * The child steps itself: it sets its own trap flag and counts in the signal
 * handler.  That is ten times as fast as ptrace, and what the act does to shared
 * memory and to the kernel (locks, above all) is the same.  x86-64 only: where
 * STEPPER_CAN is 0 the functions fail the test.
 */
#ifndef FAULT_STEPPER_H
#define FAULT_STEPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__x86_64__)
#define STEPPER_CAN 1
#else
#define STEPPER_CAN 0
#endif

/* Does the act in a child that is killed after `step` instructions of it.
 * Returns false when the act ended before. */
bool stepper_die(void (*act)(void *), void *argument, uint64_t step);

/* Does the act in a child to its end, and says which of its instructions changed the
 * `size` bytes at `memory`, which is shared: changes[n] is 1 if the n-th did.  Returns
 * how many there were; the caller frees *changes (one more). */
uint64_t stepper_trace(void (*act)(void *), void *argument, const void *memory, size_t size,
                       uint8_t **changes);

/* Sets chosen[n] for some of the instructions, at random: of those that changed
 * something (or of the others) as many as take `budget` steps to get to. */
void stepper_choose(uint8_t *chosen, const uint8_t *changes, uint64_t steps, bool changed,
                    uint64_t budget, uint64_t *random);

/* Begins an act in a child that stops after `step` instructions of it, or at its
 * end.  A second act follows. */
struct stepper {
    pid_t child;
    volatile uint32_t *phase; /* shared with the child */
};
void stepper_stop(struct stepper *stepper, void (*act)(void *), void (*second)(void *),
                  void *argument, uint64_t step);

/* Lets the child go on to the end of the first act, where it waits. */
void stepper_finish(struct stepper *stepper);

/* Lets it do the second. */
void stepper_go_on(struct stepper *stepper);

/* Kills it. */
void stepper_end(struct stepper *stepper);

#endif
