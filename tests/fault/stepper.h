/* SPDX-License-Identifier: MIT
 *
 * stepper: runs an act in a forked child, one instruction at a time, so that a
 * test can stop or kill it between any two.
 *
 * To stop it takes ptrace, some ten microseconds a step.  To be killed the child needs
 * nobody: it sets its own trap flag and counts in the signal handler, ten times as
 * fast (on x86-64; elsewhere by ptrace).
 */
#ifndef FAULT_STEPPER_H
#define FAULT_STEPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Does the act in a child that is killed after `step` instructions of it.
 * Returns false when the act ended before. */
bool stepper_die(void (*act)(void *), void *argument, uint64_t step);

/* Does the act in a child to its end.  After each instruction `look` is called in the
 * child, with the number of instructions so far: what it finds it must leave in
 * shared memory.  Returns how many there were. */
uint64_t stepper_trace(void (*act)(void *), void *argument, void (*look)(uint64_t step));

struct stepper {
    pid_t child;
    volatile uint32_t *phase; /* shared: 1 from the act's beginning, 2 from its end */
    uint64_t steps;           /* of the act, so far */
};

/* Forks the child and brings it to the act's first instruction. */
void stepper_begin(struct stepper *stepper, void (*act)(void *), void *argument);

/* Goes `steps` instructions on.  False when the act has ended before. */
bool stepper_go(struct stepper *stepper, uint64_t steps);

/* Lets the child run on freely until the act has ended. */
void stepper_finish(struct stepper *stepper);

/* Kills the child and waits until it is gone. */
void stepper_kill(struct stepper *stepper);

#endif
