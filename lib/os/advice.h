/* SPDX-License-Identifier: MIT
 *
 * advice: what a process would like its mapping of a segment to be: present, locked into memory,
 * in huge pages.
 */
#ifndef OS_ADVICE_H
#define OS_ADVICE_H

#include "shm/reason.h"

#include <stdint.h>

/* Gives the advice, FASTALLOC_PREFAULT | _MLOCK | _HUGE_PAGES, for the pages that hold [from, from
 * + length): which has memory reserved.  Other threads may be at work there.  Returns 0;
 * FASTALLOC_E_LIMIT where the process may not lock that much, FASTALLOC_E_NO_MEMORY, _SYSTEM.
 * The kernel's having no huge pages is no error. */
int advice_give(char *from, uint64_t length, uint32_t advice, struct reason *why);

#endif
