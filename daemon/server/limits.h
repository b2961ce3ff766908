/* SPDX-License-Identifier: MIT
 *
 * limits: how much anybody may ask of one daemon, and how long it waits for
 * anybody.  Each has an error text of its own where it is enforced.
 */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#define LIMIT_CONNECTIONS 1024u /* of all clients */
#define LIMIT_CONNECTIONS_PER_UID 256u
#define LIMIT_REFUSALS 16u       /* connections beyond either, only to be told so; then dropped */
#define LIMIT_POOLS_PER_UID 256u /* created, and not yet gone */
#define LIMIT_SESSIONS_PER_CLIENT 4096u /* of one connection */
#define LIMIT_GROUPS 1024u              /* of a peer that are looked at */

#define LIMIT_HANDSHAKE_MS 5000u    /* from connecting to the hello */
#define LIMIT_REPLY_MS 5000u        /* for a client to make room for a reply */
#define LIMIT_FIRST_CLIENT_MS 5000u /* --exit-when-idle waits for its first client */

/* A close is answered after this although the fence stays closed: a forked child
 * still has the segment mapped. */
#define LIMIT_CLOSE_MS 50u

/* Looks at a suspect's fence: the pause doubles from the first to the last. */
#define LIMIT_LOOK_FIRST_MS 1u
#define LIMIT_LOOK_LAST_MS 1000u
#define LIMIT_ROUND_NS 2000000u         /* of looks; then the loop serves others first */
#define LIMIT_LAST_ROUND_NS 1000000000u /* before the end */

/* Each lock on a segment makes each look dearer, and who has the descriptor can set as many
 * as memory allows.  A pool rests so many times what its last look took; one that takes
 * more than its sessions explain is damaged, and looked at this seldom. */
#define LIMIT_LOOK_REST 20u
#define LIMIT_FENCE_NS 5000000u
#define LIMIT_FENCE_NS_PER_SESSION 1000u
#define LIMIT_LOOK_CROWDED_MS 60000u
#define LIMIT_SWEEPS_AT_ONCE 64u /* sessions that one job sweeps */
#define LIMIT_EXPIRE_MS 100u     /* between looks at pools in which something may expire */

/* Of the thread pool's workers so many sweep and release, so that a build always finds
 * one: how long a sweep takes is up to who filled the pool. */
#define LIMIT_WORKERS "4"
#define LIMIT_SWEEPERS 2u

#define LIMIT_ACCEPTS_AT_ONCE 16u

#endif
