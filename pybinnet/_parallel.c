/* The binnet_parallel hook of Python: a pool of threads that belongs to one net.
 *
 * Not OpenMP, for two reasons. A parallel region of OpenMP ends when every thread has arrived, so on
 * a busy machine each region waits for a thread that has nothing left to do but is not running:
 * with other processes about, a step on 2 threads took 30 times its quiet time. Here it ends
 * when every task is done, and the caller takes tasks too. And a process forked from one that has
 * used libgomp hangs in its next region; here the child runs alone.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "_parallel.h"

#if defined(__GNUC__) || defined(__clang__) /* compilers with the atomic operations below */

#include "_threads.h"

#include <stdlib.h>

/* 40 to 200 µs, by the processor: longer than the serial work between two products, so that threads
 * seldom sleep. */
enum { SPINS = 4000 };

/* A task number that no job has. */
#define NO_TASK 0xffffffffu

/* A thread's share of a job: the job's number in the high half, the share's next task in the low.
 * Any thread takes a task by raising the ticket it has seen, which fails if the job is another by
 * then. Each has a cache line of its own. */
enum { CACHE_LINE = 64 };

typedef struct share {
    uint64_t ticket;
    char padding[CACHE_LINE - sizeof(uint64_t)];
} share;

struct pybinnet_pool {
    mutex lock;
    condition wake;     /* workers: there are tasks, or it is over */
    condition finished; /* caller: the last task is done */
    long owner;         /* process */
    uint32_t n_threads;
    uint32_t n_workers;
    thread *threads;
    /* Shared without the lock: what changes while tasks are done stands apart from what every one
     * of them reads. */
    uint32_t job;
    uint32_t n_tasks;
    binnet_task task;
    void *context;
    char before[CACHE_LINE];
    int n_sleeping;
    int caller_sleeps;
    int stop;
    uint32_t n_done;
    char after[CACHE_LINE];
    share shares[];
};

static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#define LOAD(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
/* An exchange, as x86 compiles a sequentially consistent store: QEMU 7.2 on x86 lets an AArch64 load
 * overtake a store before it, so that one side would not see the other sleep, or wake it. */
#define STORE(p, v) ((void)__atomic_exchange_n(p, v, __ATOMIC_SEQ_CST))

/* The first task of a worker's share. */
static uint32_t first_task(const pybinnet_pool *pool, uint32_t n_tasks, uint32_t worker) {
    return (uint32_t)((uint64_t)n_tasks * worker / pool->n_workers);
}

/* Takes and does the tasks of one share until none is left. Returns how many it did. */
static uint32_t work_on(pybinnet_pool *pool, uint32_t owner, uint32_t worker) {
    uint64_t ticket = LOAD(&pool->shares[owner].ticket);
    uint32_t n_done = 0;
    for (;;) {
        const uint32_t n_tasks = LOAD(&pool->n_tasks);
        const binnet_task task = LOAD(&pool->task);
        void *const context = LOAD(&pool->context);
        const uint32_t t = (uint32_t)ticket;
        if (t >= first_task(pool, n_tasks, owner + 1)) return n_done;
        if (!__atomic_compare_exchange_n(&pool->shares[owner].ticket, &ticket, ticket + 1, 0,
                                         __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            continue; /* `ticket` is what it is now */
        task(context, t, worker);
        ++n_done;
        ++ticket;
    }
}

/* A worker's own share first, the same rows or units at every step, which its caches hold; then
 * what others have left. All are reported at once: cores that take turns at a counter wait for
 * it. */
static void work(pybinnet_pool *pool, uint32_t worker) {
    uint32_t n_done = 0;
    for (uint32_t i = 0; i < pool->n_workers; ++i)
        n_done += work_on(pool, (worker + i) % pool->n_workers, worker);
    if (n_done == 0) return;
    if (__atomic_add_fetch(&pool->n_done, n_done, __ATOMIC_SEQ_CST) == LOAD(&pool->n_tasks) &&
        LOAD(&pool->caller_sleeps)) {
        mutex_lock(&pool->lock);
        condition_wake_one(&pool->finished);
        mutex_unlock(&pool->lock);
    }
}

typedef struct start {
    pybinnet_pool *pool;
    uint32_t worker;
} start;

static thread_result THREAD_CALL serve(void *argument) {
    const start s = *(start *)argument;
    pybinnet_pool *pool = s.pool;
    uint32_t job = 0; /* the last one served */
    free(argument);
    for (;;) {
        for (int i = 0; i < SPINS && LOAD(&pool->job) == job && !LOAD(&pool->stop); ++i)
            pause_briefly();
        if (LOAD(&pool->job) == job) {
            mutex_lock(&pool->lock);
            __atomic_add_fetch(&pool->n_sleeping, 1, __ATOMIC_SEQ_CST);
            while (LOAD(&pool->job) == job && !LOAD(&pool->stop))
                condition_wait(&pool->wake, &pool->lock);
            __atomic_sub_fetch(&pool->n_sleeping, 1, __ATOMIC_SEQ_CST);
            mutex_unlock(&pool->lock);
        }
        if (LOAD(&pool->stop)) return 0;
        job = LOAD(&pool->job);
        work(pool, s.worker);
    }
}

void pybinnet_pool_run(void *handle, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                       void *context) {
    pybinnet_pool *pool = handle;
    (void)n_workers;
    if (n_tasks == 1 || pool->owner != process_id()) { /* threads do not survive a fork */
        for (uint32_t t = 0; t < n_tasks; ++t) task(context, t, 0);
        return;
    }
    /* Closed while it changes: else a late thread could take a new task by an old ticket. */
    const uint64_t job = LOAD(&pool->job) + 1u;
    for (uint32_t w = 0; w < pool->n_workers; ++w)
        STORE(&pool->shares[w].ticket, (uint64_t)job << 32 | NO_TASK);
    STORE(&pool->task, task);
    STORE(&pool->context, context);
    STORE(&pool->n_done, 0);
    STORE(&pool->n_tasks, n_tasks);
    for (uint32_t w = 0; w < pool->n_workers; ++w)
        STORE(&pool->shares[w].ticket, job << 32 | first_task(pool, n_tasks, w));
    STORE(&pool->job, (uint32_t)job);
    if (LOAD(&pool->n_sleeping)) {
        mutex_lock(&pool->lock);
        condition_wake_all(&pool->wake);
        mutex_unlock(&pool->lock);
    }
    work(pool, 0);
    for (int i = 0; i < SPINS && LOAD(&pool->n_done) < n_tasks; ++i) pause_briefly();
    if (LOAD(&pool->n_done) < n_tasks) {
        mutex_lock(&pool->lock);
        STORE(&pool->caller_sleeps, 1);
        while (LOAD(&pool->n_done) < n_tasks) condition_wait(&pool->finished, &pool->lock);
        STORE(&pool->caller_sleeps, 0);
        mutex_unlock(&pool->lock);
    }
}

void pybinnet_pool_free(pybinnet_pool *pool) {
    if (!pool || pool->owner != process_id()) return; /* a child has no thread to end */
    mutex_lock(&pool->lock);
    STORE(&pool->stop, 1);
    condition_wake_all(&pool->wake);
    mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->n_threads; ++i) thread_join(pool->threads[i]);
    condition_free(&pool->wake);
    condition_free(&pool->finished);
    mutex_free(&pool->lock);
    free(pool->threads);
    free(pool);
}

pybinnet_pool *pybinnet_pool_new(uint32_t n_workers) {
    const size_t n_bytes = sizeof(pybinnet_pool) + n_workers * sizeof(share);
    pybinnet_pool *pool = calloc(1, n_bytes);
    if (!pool) return NULL;
    pool->threads = calloc(n_workers, sizeof *pool->threads);
    if (!pool->threads) {
        free(pool);
        return NULL;
    }
    pool->n_workers = n_workers;
    pool->owner = process_id();
    mutex_init(&pool->lock);
    condition_init(&pool->wake);
    condition_init(&pool->finished);
    while (pool->n_threads + 1 < n_workers) {
        start *s = malloc(sizeof *s);
        if (s) {
            s->pool = pool;
            s->worker = pool->n_threads + 1;
        }
        if (!s || !thread_start(&pool->threads[pool->n_threads], serve, s)) {
            free(s);
            break; /* fewer threads compute the same */
        }
        ++pool->n_threads;
    }
    return pool;
}

int pybinnet_has_threads(void) { return 1; }

#else /* such as MSVC's own: the calling thread does all */

void pybinnet_pool_run(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                       void *context) {
    (void)pool;
    (void)n_workers;
    for (uint32_t t = 0; t < n_tasks; ++t) task(context, t, 0);
}

pybinnet_pool *pybinnet_pool_new(uint32_t n_workers) {
    (void)n_workers;
    return NULL;
}

void pybinnet_pool_free(pybinnet_pool *pool) { (void)pool; }

int pybinnet_has_threads(void) { return 0; }

#endif
