/* SPDX-License-Identifier: MIT
 *
 * text: see text.h.
 */
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char problem[512];

static const char *cannot(const char *what, const char *path)
{
    snprintf(problem, sizeof problem, "cannot %s %.300s: %s", what, path, strerror(errno));
    return problem;
}

/* ------------------------------------------------------------------- files */

static const char *add(struct text *text, const char *path, bool named)
{
    struct text_file file;
    struct stat status;
    size_t i;

    if (stat(path, &status) < 0)
        return named ? cannot("read", path) : NULL;
    if (!S_ISREG(status.st_mode)) {
        snprintf(problem, sizeof problem, "%.300s is no regular file", path);
        return named ? problem : NULL;
    }
    for (i = 0; i < text->count; i++)
        if (text->files[i].device == status.st_dev && text->files[i].inode == status.st_ino)
            return NULL;
    if (status.st_size == 0)
        return NULL;
    if (text->count == text->room) {
        size_t room = text->room ? 2 * text->room : 64;
        struct text_file *files = realloc(text->files, room * sizeof *files);

        if (!files)
            return cannot("remember", path);
        text->files = files;
        text->room = room;
    }
    file.path = realpath(path, NULL);
    if (!file.path)
        return cannot("resolve", path);
    file.device = status.st_dev;
    file.inode = status.st_ino;
    file.size = (uint64_t)status.st_size;
    text->bytes += file.size;
    text->files[text->count++] = file;
    return NULL;
}

static struct text *walked;
static const char *walk_problem;

static int visit(const char *path, const struct stat *status, int type)
{
    (void)status;
    if (type == FTW_F)
        walk_problem = add(walked, path, false);
    return walk_problem != NULL;
}

static int by_path(const void *left, const void *right)
{
    const struct text_file *a = left, *b = right;

    return strcmp(a->path, b->path);
}

const char *text_gather(struct text *text, char **names, int count)
{
    static const char *const shipped[] = {"/usr/share/common-licenses", "/usr/share/licenses"};
    size_t place;
    int i;

    memset(text, 0, sizeof *text);
    for (i = 0; i < count; i++) {
        const char *wrong = add(text, names[i], true);

        if (wrong)
            return wrong;
    }
    for (place = 0; count == 0 && text->count == 0 && place < 2; place++) {
        walked = text;
        walk_problem = NULL;
        ftw(shipped[place], visit, 16);
        if (walk_problem)
            return walk_problem;
        qsort(text->files, text->count, sizeof *text->files, by_path);
    }
    if (text->count > 0)
        return NULL;
    return count ? "the files named are empty"
                 : "there are no licence texts in /usr/share/common-licenses nor in "
                   "/usr/share/licenses: name files to count the words of";
}

void text_release(struct text *text)
{
    size_t i;

    for (i = 0; i < text->count; i++)
        free(text->files[i].path);
    free(text->files);
    memset(text, 0, sizeof *text);
}

/* ------------------------------------------------------------------- words */

/* Bytes that neither end a word nor make one by themselves: none, or the ones that
 * do not print.  What wc is asked about; see text_ask_wc(). */
static bool unprintable_counts = true;

static bool is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

uint64_t text_count_words(const char *bytes, size_t length, bool *within)
{
    uint64_t words = 0;
    bool inside = *within;
    size_t i;

    for (i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (is_space(byte)) {
            inside = false;
        } else if (!inside && (unprintable_counts || (byte > ' ' && byte < 0x7f))) {
            inside = true;
            words++;
        }
    }
    *within = inside;
    return words;
}

size_t text_cut(const char *bytes, size_t length, bool last)
{
    size_t end = length;

    if (last)
        return length;
    while (end > 0 && !is_space((unsigned char)bytes[end - 1]))
        end--;
    return end > 0 ? end : length;
}

/* ---------------------------------------------------------------------- wc */

/* Runs wc with `arguments`, its input from `input`; *words is the last number it
 * writes at the beginning of a line: the total. */
static const char *run_wc(char *const *arguments, int input, uint64_t *words)
{
    static char *const environment[] = {(char *)"LC_ALL=C",
                                        (char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    unsigned long long number = 0;
    int ends[2], error, status;
    char *line = NULL;
    size_t size = 0;
    bool seen = false;
    FILE *output;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return cannot("make a pipe to", "wc");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    error = posix_spawnp(&pid, "wc", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    output = error ? NULL : fdopen(ends[0], "r");
    if (!output) {
        close(ends[0]);
        errno = error ? error : errno;
        return cannot("run", "wc");
    }
    while (getline(&line, &size, output) > 0)
        seen = sscanf(line, "%llu", &number) == 1 || seen;
    free(line);
    fclose(output);
    if (waitpid(pid, &status, 0) != pid || status != 0 || !seen)
        return "wc did not succeed";
    *words = number;
    return NULL;
}

/* Whether wc takes a byte that does not print for a word. */
static const char *ask_what_a_word_is(void)
{
    static char *const arguments[] = {(char *)"wc", (char *)"-w", NULL};
    const char *wrong;
    uint64_t words;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "\200\n", 2) != 2)
        return cannot("write to", "a pipe");
    close(ends[1]);
    wrong = run_wc(arguments, ends[0], &words);
    close(ends[0]);
    unprintable_counts = wrong || words > 0;
    return wrong;
}

const char *text_ask_wc(const struct text *text, uint64_t *words)
{
    char **arguments = calloc(text->count + 4, sizeof *arguments);
    const char *wrong = ask_what_a_word_is();
    size_t i;
    int nothing;

    if (wrong || !arguments) {
        free(arguments);
        return wrong ? wrong : cannot("remember", "the files");
    }
    arguments[0] = (char *)"wc";
    arguments[1] = (char *)"-w";
    arguments[2] = (char *)"--";
    for (i = 0; i < text->count; i++)
        arguments[3 + i] = text->files[i].path;
    nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    wrong = run_wc(arguments, nothing, words);
    close(nothing);
    free(arguments);
    return wrong;
}
