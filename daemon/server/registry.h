/* SPDX-License-Identifier: MIT
 *
 * registry: the pools there are, by name, by id and in the order they were made, and the
 * sessions under suspicion.
 *
 * A suspect is a session whose client has gone or has said that it is done with it.  It
 * stays attached until its fence is open and it has been swept; sweeper.c looks.
 */
#ifndef SERVER_REGISTRY_H
#define SERVER_REGISTRY_H

#include "server/pool.h"
#include "server/store.h"

struct registry {
    struct store store;
    const char *prefix;       /* of the names of segments */
    struct pool *pools;       /* all, in the order of serials; a utlist */
    struct pool *by_id;       /* all */
    struct pool *by_name;     /* those whose name is taken */
    struct session *suspects; /* a utlist */
    unsigned noted;           /* pools with notes: something in them may expire */
    uint64_t last_serial;
};

/* Opens the store of the daemon at `socket_path` and takes up again what its manifests
 * name.  The prefix has to outlive the registry.  Returns 0 or FASTALLOC_E_SYSTEM,
 * _PERMISSION, _NO_MEMORY: then every pool that may be good is left as it was. */
int registry_open(struct registry *registry, const char *socket_path, const char *prefix,
                  struct reason *why);

/* Lets all pools go, none of which may be busy: those that are persistent or have sessions
 * stay as they are for the next daemon; the others, or with `destroy` all, are removed. */
void registry_close(struct registry *registry, bool destroy);

/* Enters a pool whose name is free; the registry owns it from here on.  Returns 0 or
 * FASTALLOC_E_NO_MEMORY (then it stays the caller's). */
int registry_add(struct registry *registry, struct pool *pool, struct reason *why);

/* The pool that has the name or the id, or NULL. */
struct pool *registry_find(struct registry *registry, const char *name);
struct pool *registry_find_id(struct registry *registry, uint64_t pool_id);

/* How many pools the uid has created that are not yet gone. */
uint32_t registry_count_of(const struct registry *registry, uint32_t uid);

/* How many sessions there are in all pools. */
uint32_t registry_session_count(const struct registry *registry);

/* The pool is destroyed: its name is free, its users are told, its manifest says so.
 * Returns 0, or what kept the manifest from being written: then nothing has changed. */
int registry_destroy(struct registry *registry, struct pool *pool, struct reason *why);

/* Whether nothing keeps the pool any more: ready, not busy, without sessions, and
 * destroyed or not persistent. */
bool registry_is_over(const struct pool *pool);

/* Takes its names away: it is found no more.  Then pool_release(), then registry_drop(). */
void registry_retire(struct registry *registry, struct pool *pool);

/* Forgets the pool and frees it. */
void registry_drop(struct registry *registry, struct pool *pool);

/* Makes the session, or all of the client's, suspects, to be looked at from `now` on. */
void registry_suspect(struct registry *registry, struct session *session, uint64_t now);
void registry_suspect_client(struct registry *registry, struct client *client, uint64_t now);

/* Links a session to the client again: it is no suspect any more.  Refused when it was found
 * dead, or is closed, or the client is not its user or root.  Returns 0, FASTALLOC_E_SESSION,
 * _PERMISSION, _TOO_MANY. */
int registry_resume(struct registry *registry, struct session *session, struct client *client,
                    struct reason *why);

/* Removes swept sessions of the pool and writes its manifest. */
void registry_forget(struct registry *registry, struct pool *pool, const struct death *deaths,
                     uint32_t count);

#endif
