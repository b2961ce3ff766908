/* SPDX-License-Identifier: MIT
 *
 * paths: the order in which the socket is looked for.
 */
#include "paths.h"

#include <fastalloc/fastalloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_ROOT "/run"
#define IN_ROOT "/fastalloc/fastallocd.sock"

static int keep_path(char path[PATHS_MAX], const char *root, const char *rest, const char *origin,
                     struct reason *why)
{
    size_t length = strlen(root) + strlen(rest);

    if (length == 0)
        return reason_set(why, FASTALLOC_E_INVALID, "the socket's path from %s is empty", origin);
    if (length >= PATHS_MAX)
        return reason_set(
            why, FASTALLOC_E_INVALID,
            "the socket's path \"%.60s...\" from %s has %zu bytes: a socket's path can "
            "have at most %d",
            root, origin, length, PATHS_MAX - 1);
    memcpy(path, root, strlen(root));
    memcpy(path + strlen(root), rest, strlen(rest) + 1);
    return 0;
}

/* Whether the socket is there, or, to create it, its directory or the one above can be
 * written to. */
static bool is_there(const char *root)
{
    char path[4096];

    return snprintf(path, sizeof path, "%s%s", root, IN_ROOT) < (int)sizeof path &&
           access(path, F_OK) == 0;
}

static bool can_have(const char *root)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s/fastalloc", root) >= (int)sizeof path)
        return false;
    return access(path, F_OK) == 0 ? access(path, W_OK | X_OK) == 0
                                   : access(root, W_OK | X_OK) == 0;
}

int paths_socket(char path[PATHS_MAX], const char *explicit_path, bool to_create,
                 struct reason *why)
{
    const char *named = secure_getenv("FASTALLOC_SOCKET");
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    const char *runtime_origin = "$XDG_RUNTIME_DIR";

    if (explicit_path)
        return keep_path(path, explicit_path, "", "the caller", why);
    if (named && *named)
        return keep_path(path, named, "", "$FASTALLOC_SOCKET", why);
    /* A relative one is to be ignored, says the specification of the variable. */
    if (runtime && *runtime != '/')
        runtime = NULL;
    if (runtime && is_there(runtime))
        return keep_path(path, runtime, IN_ROOT, runtime_origin, why);
    if (is_there(SYSTEM_ROOT))
        return keep_path(path, SYSTEM_ROOT, IN_ROOT, "the system", why);
    if (!to_create)
        return keep_path(path, runtime ? runtime : SYSTEM_ROOT, IN_ROOT, runtime_origin, why);
    if (geteuid() != 0 && runtime && can_have(runtime))
        return keep_path(path, runtime, IN_ROOT, runtime_origin, why);
    if (can_have(SYSTEM_ROOT))
        return keep_path(path, SYSTEM_ROOT, IN_ROOT, "the system", why);
    return reason_set(why, FASTALLOC_E_INVALID,
                      "no place for the daemon's socket: $XDG_RUNTIME_DIR is %s and %s/fastalloc "
                      "cannot be written to; set XDG_RUNTIME_DIR, or name a path",
                      runtime ? "no directory of this user" : "not set", SYSTEM_ROOT);
}
