/* SPDX-License-Identifier: MIT
 *
 * manifest: packing, unpacking and checking of the daemon's notes on a pool.
 */
#include "manifest.h"

#include "arena.h"
#include "fields.h"

#include <fastalloc/fastalloc.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TAG_VERSION 0x0d
#define TAG_CHECKSUM 0x71 /* field 14, of 8 bytes */
#define CHECKSUM_FIELD 9u /* bytes of it, with its tag */

/* The 64-bit FNV-1a hash (Fowler, Noll, Vo).  Against damage, not malice. */
static uint64_t checksum(const uint8_t *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    while (length-- > 0)
        hash = (hash ^ *bytes++) * UINT64_C(0x100000001b3);
    return hash;
}

static void put_manifest(Fastalloc__Wire__Manifest *out, Fastalloc__Wire__Spec *spec,
                         const struct manifest *manifest)
{
    fastalloc__wire__manifest__init(out);
    out->version = MANIFEST_VERSION;
    fields_put_text(&out->segment, manifest->segment, sizeof manifest->segment);
    fields_put_spec(spec, &manifest->spec);
    out->spec = spec;
    out->uid = manifest->uid;
    out->gid = manifest->gid;
    out->pool_id = manifest->pool_id;
    out->first_generation = manifest->first_generation;
    out->serial = manifest->serial;
    out->created = manifest->created;
    out->destroyed = manifest->destroyed;
    out->capacity = manifest->capacity;
    out->reserved = manifest->reserved;
}

int manifest_pack(const struct manifest *manifest, uint8_t **bytes, size_t *length,
                  struct reason *why)
{
    size_t count = manifest->session_count, i, size;
    Fastalloc__Wire__Manifest message;
    Fastalloc__Wire__Spec spec;
    Fastalloc__Wire__ManifestSession *sessions = calloc(count + 1, sizeof *sessions);
    Fastalloc__Wire__ManifestSession **list = calloc(count + 1, sizeof *list);
    uint8_t *packed = NULL;
    uint64_t sum;

    put_manifest(&message, &spec, manifest);
    if (sessions && list) {
        for (i = 0; i < count; i++) {
            fastalloc__wire__manifest_session__init(&sessions[i]);
            sessions[i].number = manifest->sessions[i].number;
            sessions[i].nonce = manifest->sessions[i].nonce;
            sessions[i].pid = manifest->sessions[i].pid;
            sessions[i].uid = manifest->sessions[i].uid;
            sessions[i].closed = manifest->sessions[i].closed;
            list[i] = &sessions[i];
        }
        message.n_sessions = count;
        message.sessions = list;
        size = fastalloc__wire__manifest__get_packed_size(&message);
        packed = malloc(size + CHECKSUM_FIELD);
    }
    if (packed) {
        fastalloc__wire__manifest__pack(&message, packed);
        sum = checksum(packed, size);
        packed[size] = TAG_CHECKSUM;
        for (i = 1; i < CHECKSUM_FIELD; i++, sum >>= 8)
            packed[size + i] = (uint8_t)sum;
        *bytes = packed;
        *length = size + CHECKSUM_FIELD;
    }
    free(sessions);
    free(list);
    if (!packed)
        return reason_set(why, FASTALLOC_E_NO_MEMORY,
                          "no memory for the manifest of pool \"%s\" with %zu sessions",
                          manifest->spec.name, count);
    return 0;
}

/* The outer shell: version and checksum, on the bytes as they are. */
static int check_bytes(const uint8_t *bytes, size_t length, struct reason *why)
{
    uint64_t sum = 0;
    uint32_t version = 0;
    unsigned i;

    if (length < 5 + CHECKSUM_FIELD || length > MANIFEST_MAX || bytes[0] != TAG_VERSION)
        return reason_set(why, FASTALLOC_E_POISONED, "%zu bytes that are not a manifest", length);
    for (i = 4; i > 0; i--)
        version = version << 8 | bytes[i];
    for (i = 8; i > 0; i--)
        sum = sum << 8 | bytes[length - CHECKSUM_FIELD + i];
    if (bytes[length - CHECKSUM_FIELD] != TAG_CHECKSUM ||
        sum != checksum(bytes, length - CHECKSUM_FIELD))
        return reason_set(why, FASTALLOC_E_POISONED,
                          "a manifest of %zu bytes with a wrong checksum", length);
    if (version != MANIFEST_VERSION)
        return reason_set(why, FASTALLOC_E_VERSION,
                          "a manifest of version %u: this fastallocd reads version %u", version,
                          MANIFEST_VERSION);
    return 0;
}

static int by_number(const void *left, const void *right)
{
    const struct manifest_session *a = left, *b = right;

    return a->number < b->number ? -1 : a->number > b->number;
}

static int get_sessions(struct manifest *manifest, const Fastalloc__Wire__Manifest *in,
                        struct reason *why)
{
    size_t i;

    if (in->n_sessions > manifest->spec.max_sessions)
        return reason_set(why, FASTALLOC_E_POISONED, "a manifest with %zu sessions of at most %u",
                          in->n_sessions, manifest->spec.max_sessions);
    if (in->n_sessions == 0)
        return 0;
    manifest->sessions = calloc(in->n_sessions, sizeof *manifest->sessions);
    if (!manifest->sessions)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory for %zu sessions", in->n_sessions);
    manifest->session_count = (uint32_t)in->n_sessions;
    for (i = 0; i < in->n_sessions; i++) {
        manifest->sessions[i].number = in->sessions[i]->number;
        manifest->sessions[i].nonce = in->sessions[i]->nonce;
        manifest->sessions[i].pid = in->sessions[i]->pid;
        manifest->sessions[i].uid = in->sessions[i]->uid;
        manifest->sessions[i].closed = in->sessions[i]->closed;
    }
    qsort(manifest->sessions, in->n_sessions, sizeof *manifest->sessions, by_number);
    for (i = 0; i < in->n_sessions; i++) {
        uint32_t number = manifest->sessions[i].number;

        if (number == 0 || number > manifest->spec.max_sessions ||
            (i > 0 && number == manifest->sessions[i - 1].number))
            return reason_set(why, FASTALLOC_E_POISONED,
                              "a manifest with session %u twice or beyond %u", number,
                              manifest->spec.max_sessions);
    }
    return 0;
}

static int get_manifest(struct manifest *manifest, const Fastalloc__Wire__Manifest *in,
                        struct reason *why)
{
    struct pool_spec complete;
    int error;

    error = fields_get_text(manifest->segment, sizeof manifest->segment, &in->segment,
                            FASTALLOC_E_POISONED, "the segment's name", why);
    if (!error)
        error = fields_get_spec(&manifest->spec, in->spec, why);
    if (!error)
        error = spec_check_name(manifest->spec.name, strlen(manifest->spec.name), why);
    complete = manifest->spec;
    if (!error)
        error = spec_complete(&complete, why);
    if (error)
        return FASTALLOC_E_POISONED;
    if (complete.alignment != manifest->spec.alignment ||
        complete.max_capacity != manifest->spec.max_capacity ||
        complete.max_threads != manifest->spec.max_threads ||
        complete.max_sessions != manifest->spec.max_sessions ||
        complete.mode != manifest->spec.mode || complete.flags != manifest->spec.flags)
        return reason_set(why, FASTALLOC_E_POISONED, "a manifest whose spec is not complete");
    if (in->capacity == 0 || in->capacity > in->reserved ||
        in->reserved > manifest->spec.max_capacity)
        return reason_set(why, FASTALLOC_E_POISONED,
                          "a manifest with a capacity that is not among 1 to %" PRIu64,
                          manifest->spec.max_capacity);
    if (in->pool_id == 0 || in->first_generation == 0 || manifest->segment[0] != '/' ||
        strchr(manifest->segment + 1, '/'))
        return reason_set(why, FASTALLOC_E_POISONED, "a manifest that names no segment");
    manifest->uid = in->uid;
    manifest->gid = in->gid;
    manifest->pool_id = in->pool_id;
    manifest->first_generation = in->first_generation;
    manifest->serial = in->serial;
    manifest->created = in->created;
    manifest->destroyed = in->destroyed;
    manifest->capacity = in->capacity;
    manifest->reserved = in->reserved;
    return get_sessions(manifest, in, why);
}

int manifest_unpack(struct manifest *manifest, const uint8_t *bytes, size_t length,
                    struct reason *why)
{
    struct manifest result;
    struct arena arena;
    Fastalloc__Wire__Manifest *message;
    size_t size;
    void *block;
    int error;

    error = check_bytes(bytes, length, why);
    if (error)
        return error;
    /* A session takes 19 bytes or more of the file, and 80 when unpacked. */
    size = 16 * length + 16384;
    block = malloc(size);
    if (!block)
        return reason_set(why, FASTALLOC_E_NO_MEMORY, "no memory for a manifest of %zu bytes",
                          length);
    memset(&result, 0, sizeof result);
    arena_init(&arena, block, size);
    message = fastalloc__wire__manifest__unpack(&arena.allocator, length, bytes);
    if (!message || fields_has_unknown(&message->base))
        error = reason_set(why, FASTALLOC_E_POISONED, "a manifest of %zu bytes that is no message",
                           length);
    else
        error = get_manifest(&result, message, why);
    free(block);
    if (error) {
        manifest_release(&result);
        return error;
    }
    *manifest = result;
    return 0;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->sessions);
    manifest->sessions = NULL;
    manifest->session_count = 0;
}
