/* SPDX-License-Identifier: MIT
 *
 * server_connections: a preforked HTTP server whose connections live in a pool.
 *
 * The master opens the port and makes the pool; the workers are its children, and use both.
 * Each worker serves the connections it has accepted, each of them an object of the pool.  So
 * anybody can see them all: GET /status, whichever worker answers it, lists every worker's.
 * When a worker is killed under load, the kernel closes its sockets, its connections go back
 * to the pool, the master starts another, and the clients of all others notice nothing.
 *
 *     server_connections [PORT]       then:  curl http://127.0.0.1:PORT/status
 *
 * Ends on SIGTERM or SIGINT, and has then accounted for every connection there was.
 */
#include "server.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define CAPACITY 128
#define WORKERS 4
#define DRAIN_MS 5000

static connections_pool pool;
static int listener;
static pid_t workers[WORKERS];

static void open_port(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int yes = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    expect(listener >= 0);
    expect(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    expect(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    expect(listen(listener, 1024) == 0);
    expect(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    printf("serving http://127.0.0.1:%u/ with %d workers and %d connections\n",
           ntohs(address.sin_port), WORKERS, CAPACITY);
}

static fastalloc_client *create_pool(void)
{
    fastalloc_client *client = example_connect();
    fastalloc_pool_config config;
    char name[64];

    snprintf(name, sizeof name, "connections-%d", (int)getpid());
    fastalloc_pool_config_init(&config);
    config.name = name;
    config.capacity = CAPACITY;
    ok(connections_create(client, &config, &pool));
    return client;
}

static void start_worker(int number)
{
    workers[number] = example_fork();
    if (workers[number] == 0)
        exit(worker_live(pool, listener));
}

/* Puts another worker in the place of each that was killed.  One that ends by itself has found
 * something wrong, and said so. */
static void replace_the_dead(void)
{
    int status, i;
    pid_t dead;

    while ((dead = waitpid(-1, &status, WNOHANG)) > 0)
        for (i = 0; i < WORKERS; i++)
            if (workers[i] == dead) {
                expect(WIFSIGNALED(status));
                start_worker(i);
                printf("worker %d was killed by signal %d, worker %d takes its place\n", (int)dead,
                       WTERMSIG(status), (int)workers[i]);
            }
}

/* No new connections; those there are end; and where have they all gone? */
static void finish(void)
{
    fastalloc_stats stats = {.struct_size = sizeof stats};
    uint64_t gone;
    int i;

    ok(fastalloc_pool_seal(pool.pool));
    for (i = 0; i < WORKERS; i++)
        kill(workers[i], SIGTERM);
    ok(fastalloc_pool_drain(pool.pool, fastalloc_deadline(DRAIN_MS)));
    for (i = 0; i < WORKERS; i++)
        example_join(workers[i]);

    ok(fastalloc_pool_stats(pool.pool, &stats));
    printf("%" PRIu64 " connections: %" PRIu64 " closed, %" PRIu64
           " reclaimed from dead workers, %" PRIu64 " left; at most %" PRIu64 " at a time\n",
           stats.total_allocations, stats.total_deallocations, stats.reclaimed, stats.current_usage,
           stats.peak_usage);
    expect(stats.current_usage == 0);
    gone = stats.total_deallocations + stats.reclaimed;
    /* Who is killed while it counts leaves its count short by one. */
    expect(stats.total_allocations <= gone + stats.deaths);
    expect(gone <= stats.total_allocations + stats.deaths);
}

int main(int argc, char **argv)
{
    fastalloc_client *client;
    sigset_t signals;
    int number, i;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    client = create_pool();
    open_port(argc > 1 ? (uint16_t)atoi(argv[1]) : 0); /* 0: any that is free */
    for (i = 0; i < WORKERS; i++)
        start_worker(i);
    while ((number = sigwaitinfo(&signals, NULL)) == SIGCHLD || number < 0)
        replace_the_dead();
    finish();
    ok(connections_close(&pool));
    fastalloc_disconnect(client);
    return 0;
}
