/* SPDX-License-Identifier: MIT
 *
 * step: what the models share: a step, a death, and what pan is told.
 *
 * A model is a Promela program that names the steps as the code does.  Each shared load, store or
 * compare-and-swap is one STEP; what lies between two of them is private to the process, and
 * goes with one of them.  Before every step, also one that is waited at, the process may be killed
 * (SIGKILL: nothing after it happens), while `deaths` is below DEATHS.  A proctype
 * that uses STEP has an `actor` and a label `dead` where its end is told to the others.
 *
 * Memory is sequentially consistent, except where a model says so.  What that leaves out: the
 * code's only store followed by a load without a full fence between is the owner's `busy`,
 * then its gate's `room`, 0 where a thief has marked it (`marked` here); pool.pml and wait.pml keep
 * `busy` in a store buffer.  Everything else that pairs (ARCHITECTURE.md, "Which atomic pairs with
 * which") is sequentially consistent, release and acquire on one word, or behind a mutex.
 *
 * A mutant is a macro, MUTANT_ and what it does wrong; run.sh knows them all.
 */
#ifndef DEATHS
#define DEATHS 1
#endif

byte deaths;

#define DIE atomic { deaths < DEATHS -> deaths++; goto dead }
#define STEP(action) if :: atomic { action } :: DIE fi
