/* SPDX-License-Identifier: MIT
 *
 * check: see check.h.
 *
 * A look goes through the magazines and marks each slot they hold, then through
 * the slot words, and compares.  What it finds is kept as bare observations; the
 * texts are written at the end, for what has been confirmed.
 */
#include "check.h"

#include "bitmap.h"
#include "lock.h"
#include "magazine.h"
#include "notes.h"
#include "session.h"
#include "share.h"
#include "slot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OBSERVATIONS_MAX 65536u

struct observation {
    enum check_kind kind;
    uint64_t place, seen;
};

struct look {
    const struct segment *segment;
    uint64_t slots; /* to look at: those that had memory when the look began */
    uint8_t *marks; /* for each slot, how many magazines hold it (up to 2) */
    bool *linked;   /* for each magazine, whether a depot's list has it */
    uint64_t *live; /* a row of holders: the live sessions */
    struct observation *list;
    size_t count;
    uint64_t total;
};

static void observe(struct look *look, enum check_kind kind, uint64_t place, uint64_t seen)
{
    look->total++;
    if (look->count < OBSERVATIONS_MAX)
        look->list[look->count++] = (struct observation){kind, place, seen};
}

/* ------------------------------------------------------------ the parts */

static void look_at_header(struct look *look)
{
    const struct segment *segment = look->segment;
    const struct shm_header *header = segment->header;
    /* In this order: as a pool grows, what was read first stays below what is read next. */
    uint64_t bump = shm_load_ordered(&header->bump);
    uint64_t published = shm_load_ordered(&header->published);
    uint64_t reserved = shm_load_ordered(&header->reserved);
    uint64_t magazine_bump = shm_load(&header->magazine_bump);

    if (published == 0 || published > reserved)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, published), published);
    if (reserved > segment->geometry.max_capacity)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, reserved), reserved);
    if (shm_load(&header->heir) > segment->geometry.sessions)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, heir), shm_load(&header->heir));
    if (bump > reserved)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, bump), bump);
    if (magazine_bump > segment->geometry.magazines)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, magazine_bump), magazine_bump);
    if (shm_load(&header->state) >= POOL_STATES)
        observe(look, CHECK_HEADER, offsetof(struct shm_header, state), shm_load(&header->state));
}

/* Whether some cache of the session has the magazine, noted with this word. */
static bool is_in_a_cache(const struct segment *segment, uint32_t magazine, uint64_t word)
{
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++) {
        const struct shm_cache *record = &segment->caches[c];

        if (cache_session_of(shm_load(&record->holder)) != magazine_owner(word))
            continue;
        if ((shm_load(&record->loaded) == magazine + 1 && shm_load(&record->loaded_word) == word) ||
            (shm_load(&record->previous) == magazine + 1 &&
             shm_load(&record->previous_word) == word))
            return true;
    }
    return false;
}

/* The entries to look at; observes what is wrong with owner or count. */
static uint32_t magazine_extent(struct look *look, uint32_t magazine, uint64_t word)
{
    const struct segment *segment = look->segment;
    uint32_t owner = magazine_owner(word), count;

    if (word == 0)
        return 0;
    if (magazine >= geometry_magazines(&segment->geometry, segment_reserved(segment))) {
        observe(look, CHECK_MAGAZINE_OWNER, magazine, word);
        return 0; /* its entries have no memory */
    }
    if (owner >= MAGAZINE_DEPOT_BASE) {
        if (owner - MAGAZINE_DEPOT_BASE >= segment->geometry.depots)
            observe(look, CHECK_MAGAZINE_OWNER, magazine, word);
        count = magazine_n(word);
    } else {
        if (session_state(segment, owner) != SESSION_LIVE ||
            !is_in_a_cache(segment, magazine, word))
            observe(look, CHECK_MAGAZINE_OWNER, magazine, word);
        count = shm_load(magazine_at(segment, magazine));
    }
    if (count > segment->geometry.magazine_size) {
        observe(look, CHECK_MAGAZINE_COUNT, magazine, word);
        count = segment->geometry.magazine_size;
    }
    return count;
}

static void look_at_magazines(struct look *look)
{
    const struct segment *segment = look->segment;
    uint32_t magazine, i;

    for (magazine = 0; magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);
        uint32_t extent = magazine_extent(look, magazine, word);
        const uint32_t *words = magazine_at(segment, magazine);

        for (i = 1; i <= extent; i++) {
            uint32_t index = shm_load(&words[i]);

            if (index >= segment_reserved(segment))
                observe(look, CHECK_MAGAZINE_ENTRY, magazine, index);
            else if (index < look->slots && look->marks[index] < 2)
                look->marks[index]++;
        }
    }
}

static void look_at_caches(struct look *look)
{
    const struct segment *segment = look->segment;
    uint32_t c;

    for (c = 0; c < segment->geometry.caches; c++) {
        const struct shm_cache *record = &segment->caches[c];
        uint64_t holder = shm_load_ordered(&record->holder);

        if (holder && session_state(segment, cache_session_of(holder)) != SESSION_LIVE)
            observe(look, CHECK_CACHE, c, holder);
        if (shm_load(&record->loaded) > segment->geometry.magazines)
            observe(look, CHECK_CACHE, c, shm_load(&record->loaded));
        if (shm_load(&record->previous) > segment->geometry.magazines)
            observe(look, CHECK_CACHE, c, shm_load(&record->previous));
    }
}

/* A list holds only magazines of its depot, whenever its holder died, and each
 * once.  False when it does not. */
static bool look_at_list(struct look *look, uint32_t d, uint32_t head)
{
    const struct segment *segment = look->segment;
    uint32_t at = head;

    while (at) {
        uint64_t word;

        if (at > segment->geometry.magazines || look->linked[at - 1]) {
            observe(look, CHECK_DEPOT_LIST, d, at);
            return false;
        }
        word = shm_load_ordered(&segment->magazine_words[at - 1]);
        if (magazine_owner(word) != MAGAZINE_DEPOT_BASE + d) {
            observe(look, CHECK_DEPOT_LIST, d, word);
            return false;
        }
        look->linked[at - 1] = true;
        at = shm_load(&segment->magazine_links[at - 1]);
    }
    return true;
}

/* Whether a depot's lists are complete, and not waiting for their rebuild. */
static bool is_at_rest(const struct shm_depot *depot)
{
    return lock_is_free(depot) && !shm_load_ordered(&depot->dirty);
}

static void look_at_depot(struct look *look, uint32_t d)
{
    const struct segment *segment = look->segment;
    const struct shm_depot *depot = &segment->depots[d];
    bool rested = is_at_rest(depot);
    uint32_t magazine;

    /* Its lists are known to be out of date, and made anew before anybody uses them. */
    if (shm_load_ordered(&depot->dirty))
        return;
    rested &= look_at_list(look, d, shm_load(&depot->full));
    rested &= look_at_list(look, d, shm_load(&depot->partial));
    rested &= look_at_list(look, d, shm_load(&depot->empty));
    for (magazine = 0; rested && magazine < segment->geometry.magazines; magazine++) {
        uint64_t word = shm_load_ordered(&segment->magazine_words[magazine]);

        if (magazine_owner(word) == MAGAZINE_DEPOT_BASE + d && !look->linked[magazine])
            observe(look, CHECK_DEPOT_LIST, d, word);
    }
}

static void look_at_depots(struct look *look)
{
    uint32_t d;

    memset(look->linked, 0, look->segment->geometry.magazines);
    for (d = 0; d < look->segment->geometry.depots; d++)
        look_at_depot(look, d);
}

/* Whether a session is at work on the bitmap, or withdrawing slots (growth.h). */
static bool somebody_works(const struct segment *segment)
{
    uint32_t s;

    for (s = 1; s <= segment->geometry.sessions; s++)
        if (shm_load_ordered(&segment->sessions[s].ended) !=
            shm_load_ordered(&segment->sessions[s].begun))
            return true;
    return false;
}

/* What is wrong with a slot that has an owner; true if anything is. */
static bool owner_is_wrong(const struct segment *segment, uint64_t index, uint32_t owner,
                           enum check_kind *kind)
{
    uint32_t session = share_closer(segment, owner);
    bool withdrawn = owner == SLOT_WITHDRAWN;

    if (!session && slot_owner_is_session(segment, owner))
        session = owner;
    if (session) {
        *kind = CHECK_SLOT_DEAD_OWNER;
        return session_state(segment, session) != SESSION_LIVE;
    }
    *kind = CHECK_SLOT_LOST;
    if (withdrawn && index < segment_capacity(segment))
        return !somebody_works(segment); /* else it may be shrinking */
    if (owner == SLOT_RETURNED && !bitmap_has(segment, index))
        return true;
    if (owner == SLOT_SHARED && segment->holders && share_is_empty(segment, index))
        return true;
    *kind = CHECK_SLOT_WORD;
    if (owner == SLOT_SHARED)
        return !segment->holders;
    if (owner == SLOT_QUARANTINED || owner == NOTES_EXPIRING)
        return !segment->notes;
    return !withdrawn && owner != SLOT_RETURNED && owner != SLOT_ANYONE;
}

/* What is wrong with a slot that `marks` magazines hold; true if anything is. */
static bool slot_is_wrong(const struct segment *segment, uint64_t index, uint64_t word,
                          unsigned marks, enum check_kind *kind)
{
    uint32_t owner = slot_owner_of(word);

    if (word == 0) {
        *kind = marks ? CHECK_SLOT_WORD : CHECK_SLOT_LOST;
        return marks || index < shm_load(&segment->header->bump);
    }
    *kind = CHECK_SLOT_WORD;
    if (slot_generation_of(segment, word) == 0 || slot_word_with(segment, word, owner) != word ||
        (index >= segment_capacity(segment) && owner != SLOT_WITHDRAWN))
        return true;
    if (owner == SLOT_IDLE) {
        *kind = marks ? CHECK_SLOT_TWICE : CHECK_SLOT_LOST;
        return marks != 1;
    }
    if (owner_is_wrong(segment, index, owner, kind))
        return true;
    *kind = CHECK_SLOT_OWNED_IDLE;
    return marks != 0;
}

static void look_at_slots(struct look *look)
{
    const struct segment *segment = look->segment;
    uint64_t index;

    for (index = 0; index < look->slots; index++) {
        uint64_t word = shm_load_ordered(&segment->words[index]);
        enum check_kind kind;

        if (slot_is_wrong(segment, index, word, look->marks[index], &kind))
            observe(look, kind, index, word);
    }
}

/* Bits of sessions that are not live, in whichever slot's row: once it is shared, nobody
 * would take them out, and it would never be free again. */
static void look_at_holders(struct look *look)
{
    const struct segment *segment = look->segment;
    uint32_t words = segment->geometry.row_words, session;
    uint64_t index;

    memset(look->live, 0, words * sizeof *look->live);
    for (session = 1; words && session <= segment->geometry.sessions; session++)
        if (session_state(segment, session) == SESSION_LIVE)
            look->live[(session - 1) / 64] |= UINT64_C(1) << ((session - 1) % 64);
    for (index = 0; words && index < look->slots * words; index++) {
        uint64_t dead = shm_load_ordered(&segment->holders[index]) & ~look->live[index % words];

        for (; dead; dead &= dead - 1)
            observe(look, CHECK_HOLDER, index / words,
                    index % words * 64 + (unsigned)__builtin_ctzll(dead) + 1);
    }
}

/* The bits of a word that have a word, or at the leaves a slot, below them. */
static uint64_t bits_allowed(const struct segment *segment, uint32_t level, uint64_t word)
{
    uint64_t below =
        level ? segment->geometry.level_words[level - 1] : segment->geometry.max_capacity;

    return below - word * 64 >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << (below - word * 64)) - 1;
}

/* A word of the return bitmap that has bits, but not its parent's, or bits for
 * nothing. */
static void look_at_bitmap(struct look *look)
{
    const struct segment *segment = look->segment;
    uint64_t at = 0, word;
    uint32_t level;

    for (level = 0; level < segment->geometry.levels; level++) {
        uint64_t parents = at + segment->geometry.level_words[level];

        for (word = 0; word < segment->geometry.level_words[level]; word++) {
            uint64_t bits = shm_load_ordered(&segment->bitmap[at + word]);
            uint64_t parent = level + 1 < segment->geometry.levels
                                  ? shm_load_ordered(&segment->bitmap[parents + word / 64])
                                  : ~UINT64_C(0);

            if (bits && !(parent >> (word % 64) & 1))
                observe(look, CHECK_BITMAP, at + word, bits);
            if (bits & ~bits_allowed(segment, level, word))
                observe(look, CHECK_BITMAP, at + word, bits);
        }
        at = parents;
    }
}

static void look_once(struct look *look)
{
    look->count = 0;
    look->total = 0;
    memset(look->marks, 0, look->slots);
    look_at_header(look);
    look_at_magazines(look);
    look_at_caches(look);
    look_at_depots(look);
    look_at_slots(look);
    look_at_holders(look);
    look_at_bitmap(look);
}

/* ------------------------------------------------------ confirming, telling */

static int compare(const void *left, const void *right)
{
    const struct observation *a = left, *b = right;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->seen < b->seen ? -1 : a->seen > b->seen;
}

/* Keeps of `kept` what the look saw too, unchanged. */
static void keep_confirmed(struct look *kept, struct look *look)
{
    size_t i, left = 0;

    qsort(look->list, look->count, sizeof *look->list, compare);
    for (i = 0; i < kept->count; i++)
        if (bsearch(&kept->list[i], look->list, look->count, sizeof *look->list, compare))
            kept->list[left++] = kept->list[i];
    kept->count = left;
    kept->total = left;
}

static const char *owner_text(uint32_t owner)
{
    switch ((enum slot_owner)owner) {
    case SLOT_IDLE:
        return "idle";
    case SLOT_RETURNED:
        return "returned";
    case SLOT_ANYONE:
        return "left to anyone";
    case SLOT_SHARED:
        return "shared";
    case SLOT_QUARANTINED:
        return "quarantined";
    case SLOT_WITHDRAWN:
        return "withdrawn";
    case SLOT_NEVER: /* damage */
        break;
    }
    return "owned";
}

const char *check_kind_name(enum check_kind kind)
{
    switch (kind) {
    case CHECK_HEADER:
        return "header";
    case CHECK_SLOT_LOST:
        return "slot lost";
    case CHECK_SLOT_TWICE:
        return "slot twice";
    case CHECK_SLOT_OWNED_IDLE:
        return "slot owned and idle";
    case CHECK_SLOT_DEAD_OWNER:
        return "slot of a dead owner";
    case CHECK_SLOT_WORD:
        return "slot word";
    case CHECK_MAGAZINE_COUNT:
        return "magazine count";
    case CHECK_MAGAZINE_ENTRY:
        return "magazine entry";
    case CHECK_MAGAZINE_OWNER:
        return "magazine owner";
    case CHECK_CACHE:
        return "cache record";
    case CHECK_DEPOT_LIST:
        return "depot list";
    case CHECK_BITMAP:
        return "return bitmap";
    case CHECK_HOLDER:
        return "dead holder";
    }
    return "unknown";
}

static void describe(const struct segment *segment, const struct observation *seen,
                     struct check_finding *finding)
{
    const char *name = check_kind_name(seen->kind);
    uint32_t owner = slot_owner_of(seen->seen);

    finding->kind = seen->kind;
    finding->place = seen->place;
    finding->seen = seen->seen;
    switch (seen->kind) {
    case CHECK_SLOT_LOST:
    case CHECK_SLOT_TWICE:
    case CHECK_SLOT_OWNED_IDLE:
    case CHECK_SLOT_DEAD_OWNER:
    case CHECK_SLOT_WORD:
        snprintf(finding->text, sizeof finding->text,
                 "%s: slot %" PRIu64 ", generation %" PRIu64 ", %s (owner %u)", name, seen->place,
                 slot_generation_of(segment, seen->seen), owner_text(owner), owner);
        break;
    case CHECK_MAGAZINE_COUNT:
    case CHECK_MAGAZINE_OWNER:
        snprintf(finding->text, sizeof finding->text,
                 "%s: magazine %" PRIu64 ", owner %u, n %u, epoch %" PRIu64, name, seen->place,
                 magazine_owner(seen->seen), magazine_n(seen->seen), seen->seen >> 32);
        break;
    case CHECK_MAGAZINE_ENTRY:
        snprintf(finding->text, sizeof finding->text,
                 "%s: magazine %" PRIu64 " names slot %" PRIu64 ", which is outside the table",
                 name, seen->place, seen->seen);
        break;
    case CHECK_HOLDER:
        snprintf(finding->text, sizeof finding->text,
                 "%s: the row of slot %" PRIu64 " has session %" PRIu64 ", which is not live", name,
                 seen->place, seen->seen);
        break;
    case CHECK_HEADER:
    case CHECK_CACHE:
    case CHECK_DEPOT_LIST:
    case CHECK_BITMAP:
        snprintf(finding->text, sizeof finding->text, "%s: at %" PRIu64 ", 0x%" PRIx64, name,
                 seen->place, seen->seen);
        break;
    }
}

static bool look_init(struct look *look, const struct segment *segment)
{
    look->segment = segment;
    look->count = 0;
    look->total = 0;
    look->slots = segment_reserved(segment);
    look->marks = malloc(look->slots + 1);
    look->linked = malloc(segment->geometry.magazines + 1);
    look->live = malloc((segment->geometry.row_words + 1) * sizeof *look->live);
    look->list = malloc(OBSERVATIONS_MAX * sizeof *look->list);
    return look->marks && look->linked && look->live && look->list;
}

static void look_free(struct look *look)
{
    free(look->marks);
    free(look->linked);
    free(look->live);
    free(look->list);
}

int check_confirm(const struct segment *segment, unsigned looks, unsigned pause_us,
                  struct check_report *report)
{
    struct timespec pause = {pause_us / 1000000, (long)(pause_us % 1000000) * 1000};
    struct look first, again;
    bool ready = look_init(&first, segment);
    unsigned i;
    size_t f;

    ready = look_init(&again, segment) && ready;
    if (ready) {
        look_once(&first);
        for (i = 1; i < looks && first.count; i++) {
            clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
            look_once(&again);
            keep_confirmed(&first, &again);
        }
        memset(report, 0, sizeof *report);
        report->total = first.total;
        report->count = first.count < CHECK_FINDINGS_MAX ? first.count : CHECK_FINDINGS_MAX;
        for (f = 0; f < report->count; f++)
            describe(segment, &first.list[f], &report->findings[f]);
    }
    look_free(&first);
    look_free(&again);
    return ready ? 0 : FASTALLOC_E_NO_MEMORY;
}
