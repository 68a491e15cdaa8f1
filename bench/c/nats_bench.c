/* The C client on the rows that it is measured on: nats_bench publish|callback URL SECONDS WARMUP
 * Prints one line of JSON, as bench/measure.py does. One connection; the callback runs in the library's thread. */

#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUBJECT "bench.subject"
#define SIZE 16
#define BATCH 500
#define WINDOW 20000
#define FLUSH_TIMEOUT_MS 20000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t reached = PTHREAD_COND_INITIALIZER;
static long seen = 0, goal = -1;

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(status));
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void count(natsConnection *connection, natsSubscription *subscription, natsMsg *message, void *closure)
{
    (void)connection, (void)subscription, (void)closure;
    natsMsg_Destroy(message);
    long now_seen = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (now_seen == __atomic_load_n(&goal, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&lock);
        pthread_cond_signal(&reached);
        pthread_mutex_unlock(&lock);
    }
}

static void reach(long number)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += FLUSH_TIMEOUT_MS / 1000;
    pthread_mutex_lock(&lock);
    __atomic_store_n(&goal, number, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&seen, __ATOMIC_SEQ_CST) < number)
        if (pthread_cond_timedwait(&reached, &lock, &end)) {
            fprintf(stderr, "%ld of %ld messages came\n", seen, number);
            exit(1);
        }
    pthread_mutex_unlock(&lock);
}

static long section(natsConnection *connection, int receive, double seconds)
{
    static const char payload[SIZE];
    static long total = 0;
    long before = total;
    for (double end = now() + seconds; now() < end;) {
        for (int i = 0; i < BATCH; i++)
            check(natsConnection_Publish(connection, SUBJECT, payload, SIZE), "publish");
        total += BATCH;
        if (receive && total - __atomic_load_n(&seen, __ATOMIC_SEQ_CST) > WINDOW)
            reach(total - WINDOW / 2);
    }
    check(natsConnection_FlushTimeout(connection, FLUSH_TIMEOUT_MS), "flush");
    if (receive)
        reach(total);
    return total - before;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: nats_bench publish|callback URL SECONDS WARMUP\n");
        return 2;
    }
    natsConnection *connection = NULL;
    natsSubscription *subscription = NULL;
    int receive = strcmp(argv[1], "callback") == 0;

    check(natsConnection_ConnectTo(&connection, argv[2]), "connect");
    if (receive) {
        check(natsConnection_Subscribe(&subscription, connection, SUBJECT, count, NULL), "subscribe");
        check(natsConnection_FlushTimeout(connection, FLUSH_TIMEOUT_MS), "flush");
    }
    section(connection, receive, atof(argv[4]));
    double start = now();
    long done = section(connection, receive, atof(argv[3]));
    printf("{\"figure\": %.1f}\n", done / (now() - start));
    return 0;
}
