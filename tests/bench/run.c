/* SPDX-License-Identifier: MIT
 *
 * run: see run.h.
 */
#include "run.h"

#include "progress.h"
#include "remote.h"
#include "worker.h"

#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTENDERS_MAX 32
#define WORKLOADS_MAX 256
#define QUICK_SHARE 3       /* of a full run's time that a quick one takes */
#define REPEATS_OF_WORKER 3 /* of a single thread, by one process */
#define CALIBRATIONS 6
#define CALIBRATION_SHARE 1.5 /* of a run's time, for all of them */
#define BRIEF_MS 2.0          /* in a brief run */
#define GROWTH_MAX 300.0      /* of a count from one to the next */

/* One that is measured, while its group is. */
struct runner {
    const struct contender *contender;
    struct remote remote;
    bool gone;               /* absent after all */
    bool can[WORKLOADS_MAX]; /* what it says it can, of what is wanted */
};

struct run {
    const struct run_options *options;
    struct results *results;
    json_t *versions, *left_out, *failures;
    struct runner runners[CONTENDERS_MAX];
    size_t count;
};

static volatile sig_atomic_t interrupted;

/* --------------------------------------------------------------- selection */

static bool matches(const char *patterns, const char *name)
{
    char pattern[RESULT_NAME_MAX];

    while (patterns && *patterns) {
        size_t length = strcspn(patterns, ",");

        snprintf(pattern, sizeof pattern, "%.*s", (int)length, patterns);
        if (!fnmatch(pattern, name, 0))
            return true;
        patterns += length + (patterns[length] == ',');
    }
    return false;
}

bool run_wants_workload(const struct run_options *options, const struct workload *workload)
{
    bool of_this_run = workload->quick || !options->quick;

    if (!options->workloads)
        return of_this_run;
    return matches(options->workloads, workload->name) ||
           (of_this_run && matches(options->workloads, workload->group));
}

bool run_wants_implementation(const struct run_options *options, const char *name)
{
    return !options->implementations || matches(options->implementations, name);
}

/* ------------------------------------------------------------------ workers */

static double run_ms(const struct run *run, const struct workload *workload)
{
    double ms = workload->run_ms > 0 ? workload->run_ms : SUITE_RUN_MS;

    if (run->options->brief && workload->timed)
        return BRIEF_MS;
    return run->options->quick && (workload->first_count || workload->timed) ? ms / QUICK_SHARE
                                                                             : ms;
}

/* Of one implementation, all repeats and what comes before them. */
static double planned_ms(const struct run *run, const struct workload *workload)
{
    return run_ms(run, workload) * (run->options->repeats + CALIBRATION_SHARE);
}

static void note(json_t *list, const char *title, const struct remote *remote)
{
    progress_clear();
    fprintf(stderr, "bench: %s: %s: %s\n", remote->contender->name, title, remote->why);
    json_array_append_new(
        list, json_pack("{s:s, s:s}", "impl", remote->contender->name, "why", remote->why));
}

/* An answer that is none, or an end. */
static void note_end(struct run *run, struct runner *runner, enum remote_answer answer)
{
    if (answer == REMOTE_ABSENT) {
        note(run->left_out, "left out", &runner->remote);
        runner->gone = true;
    } else if (answer == REMOTE_FAILED)
        note(run->failures, "failed", &runner->remote);
}

static enum remote_answer ask(struct run *run, struct runner *runner, const char *question,
                              char answer[REMOTE_TEXT_MAX])
{
    enum remote_answer got = REMOTE_TEXT;

    /* Then everything ends quickly. */
    if (interrupted)
        return REMOTE_NONE;
    if (!runner->remote.pid)
        got = remote_start(&runner->remote, runner->contender, run->options->cpu);
    if (got == REMOTE_TEXT)
        got = remote_ask(&runner->remote, question, run->options->timeout_s * 1000, answer);
    note_end(run, runner, got);
    return got;
}

/* Asks it what it can. */
static void ask_abilities(struct run *run, struct runner *runner)
{
    char question[128], answer[REMOTE_TEXT_MAX];
    const struct workload *workload;
    size_t i;

    for (i = 0; i < WORKLOADS_MAX && (workload = suite_at(i)); i++) {
        if (!run_wants_workload(run->options, workload))
            continue;
        snprintf(question, sizeof question, "%s 0", workload->name);
        runner->can[i] = ask(run, runner, question, answer) == REMOTE_TEXT;
    }
}

/* Who is there, what is it, and what can it do?  Returns how long that should take, in ms. */
static double call_the_roll(struct run *run)
{
    const struct contender *contender;
    char answer[REMOTE_TEXT_MAX];
    double planned = 0;
    size_t i, j;

    for (i = 0; (contender = roster_at(i)) && run->count < CONTENDERS_MAX; i++) {
        struct runner *runner = &run->runners[run->count];

        if (!run_wants_implementation(run->options, contender->name))
            continue;
        *runner = (struct runner){.contender = contender};
        if (ask(run, runner, "version", answer) == REMOTE_TEXT) {
            json_array_append_new(run->versions, json_pack("{s:s, s:s}", "impl", contender->name,
                                                           "version", answer + strlen("version ")));
            ask_abilities(run, runner);
            for (j = 0; j < WORKLOADS_MAX; j++)
                if (runner->can[j])
                    planned += planned_ms(run, suite_at(j));
            run->count++;
        }
        remote_stop(&runner->remote);
    }
    return planned;
}

/* ---------------------------------------------------------------- measuring */

/* A workload of one implementation. */
struct job {
    const struct workload *workload;
    struct runner *runner; /* NULL: it cannot, or has failed */
    size_t count;
};

/* Measures once.  Returns how long it took in ms; negative: it failed, and is not tried again. */
static double measure(struct run *run, struct job *job, size_t count,
                      double figures[SUITE_FIGURES_MAX])
{
    char question[128], answer[REMOTE_TEXT_MAX], *at = answer;
    double began = worker_now(), took;
    int i;

    snprintf(question, sizeof question, "%s %zu", job->workload->name, count);
    if (ask(run, job->runner, question, answer) != REMOTE_TEXT)
        goto failed;
    took = (worker_now() - began) / 1e6;
    for (i = 0; i < suite_figures(job->workload); i++) {
        char *end;

        figures[i] = strtod(at, &end);
        if (end == at || !isfinite(figures[i])) {
            snprintf(job->runner->remote.why, sizeof job->runner->remote.why,
                     "its worker answered \"%.80s\" when asked for \"%.80s\"", answer, question);
            note_end(run, job->runner, REMOTE_FAILED);
            goto failed;
        }
        at = end;
    }
    return took;

failed:
    job->runner = NULL;
    return -1;
}

/* Warms up, and finds a count that takes as long as a run should. */
static void calibrate(struct run *run, struct job *job)
{
    double wanted = run_ms(run, job->workload), figures[SUITE_FIGURES_MAX], took;
    size_t first = job->workload->first_count;
    int i;

    if (job->workload->timed)
        job->count = (size_t)wanted;
    else
        job->count = first ? first : 1;
    if (job->workload->timed || !first || run->options->brief)
        return;
    for (i = 0; i < CALIBRATIONS; i++) {
        double share = i == 0 ? wanted / 8 : wanted, growth;

        took = measure(run, job, job->count, figures);
        if (took < 0 || (i > 0 && took > wanted / 2 && took < wanted * 2))
            return;
        /* The first run has started the pool, so it tells little. */
        growth = took > 0 ? share / took : GROWTH_MAX;
        if (growth > GROWTH_MAX)
            growth = GROWTH_MAX;
        job->count = (size_t)((double)job->count * growth);
        if (job->count < first)
            job->count = first;
        if (i > 0 && job->count == first)
            return;
    }
}

/* Where a process's stack and heap happen to lie makes some loops faster or slower for as long
 * as it lives: so single threads get new ones now and then, which are warmed up. */
static void renew_workers(struct run *run, struct job *jobs, size_t count)
{
    double figures[SUITE_FIGURES_MAX];
    size_t j;

    if (!count || !jobs[0].workload->pinned || !jobs[0].workload->first_count)
        return;
    for (j = 0; j < run->count; j++)
        remote_stop(&run->runners[j].remote);
    for (j = 0; j < count; j++)
        if (jobs[j].runner && !jobs[j].runner->gone && jobs[j].workload->first_count)
            measure(run, &jobs[j], jobs[j].workload->first_count, figures);
}

static void measure_repeats(struct run *run, struct job *jobs, size_t count)
{
    double figures[SUITE_FIGURES_MAX];
    int repeat, i;
    size_t j;

    for (repeat = 0; repeat < run->options->repeats; repeat++) {
        if (repeat && repeat % REPEATS_OF_WORKER == 0)
            renew_workers(run, jobs, count);
        for (j = 0; j < count; j++) {
            struct job *job = &jobs[j];

            if (!job->runner || job->runner->gone)
                continue;
            progress_show("repeat %d of %d, %s of %s", repeat + 1, run->options->repeats,
                          job->workload->name, job->runner->contender->name);
            if (measure(run, job, job->count, figures) >= 0)
                for (i = 0; i < suite_figures(job->workload); i++)
                    results_add(run->results, job->runner->contender->name, job->workload, i,
                                figures[i]);
            progress_done(run_ms(run, job->workload));
        }
    }
}

/* The workloads from `first` on that are of one group.  Returns the first of the next. */
static size_t measure_group(struct run *run, size_t first)
{
    const char *group = suite_at(first)->group;
    struct job *jobs = NULL;
    size_t i, j, count = 0;

    for (i = first; suite_at(i) && !strcmp(suite_at(i)->group, group); i++) {
        jobs = realloc(jobs, (count + run->count) * sizeof *jobs);
        if (!jobs)
            bench_give_up("jobs", "no memory");
        for (j = 0; j < run->count; j++)
            if (run->runners[j].can[i])
                jobs[count++] = (struct job){.workload = suite_at(i), .runner = &run->runners[j]};
    }
    for (j = 0; j < count; j++) {
        progress_show("before %s of %s", jobs[j].workload->name, jobs[j].runner->contender->name);
        if (!jobs[j].runner->gone)
            calibrate(run, &jobs[j]);
        progress_done(run_ms(run, jobs[j].workload) * CALIBRATION_SHARE);
    }
    measure_repeats(run, jobs, count);
    for (j = 0; j < run->count; j++)
        remote_stop(&run->runners[j].remote);
    free(jobs);
    return i;
}

static void interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

bool run_all(const struct run_options *options, struct results *results, json_t *versions,
             json_t *left_out, json_t *failures)
{
    struct run run = {.options = options,
                      .results = results,
                      .versions = versions,
                      .left_out = left_out,
                      .failures = failures};
    /* Once: the second time it ends us. */
    struct sigaction action = {.sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND};
    size_t i;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    progress_start(call_the_roll(&run));
    for (i = 0; i < WORKLOADS_MAX && suite_at(i);)
        i = measure_group(&run, i);
    progress_clear();
    results_settle(results);
    return !interrupted;
}
