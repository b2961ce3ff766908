/* SPDX-License-Identifier: MIT
 *
 * text: the material of the word count: which files, what a word is, and what
 * wc(1) makes of them.  Nothing here knows of pools.
 */
#ifndef EXAMPLES_TEXT_H
#define EXAMPLES_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_file {
    char *path; /* absolute, without symbolic links */
    uint64_t device, inode, size;
};

struct text {
    struct text_file *files;
    size_t count, room;
    uint64_t bytes; /* all files together */
};

/* Adds the files named or, with none, the licence texts the system ships; each file
 * once, empty ones left out.  Returns NULL, or what is wrong. */
const char *text_gather(struct text *text, char **names, int count);
void text_release(struct text *text);

/* Counts the words that begin in `bytes`.  *within says whether a word goes on from
 * before, and is left saying whether one goes on behind. */
uint64_t text_count_words(const char *bytes, size_t length, bool *within);

/* How many of the bytes to take, so that no word is cut: up to behind the last
 * white space, or all when there is none or nothing follows (`last`). */
size_t text_cut(const char *bytes, size_t length, bool last);

/* Runs `LC_ALL=C wc -w` on all files, after having found out what it takes for a word:
 * versions differ on words without a printable byte, and text_count_words() follows
 * the one that is installed.  Returns NULL, or what is wrong. */
const char *text_ask_wc(const struct text *text, uint64_t *words);

#endif
