/* The threads of the Python package: a pool does every task of every job once, and no two tasks at
 * once as the same worker, whether threads spin or sleep when a job begins or ends.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "../../pybinnet/_parallel.h"

#include <stdio.h>

enum { MOST_TASKS = 300, MOST_WORKERS = 5, JOBS = 400 };

static int failures;

static void expect(int condition, const char *what, uint32_t n_workers, uint32_t n_tasks) {
    if (condition) return;
    ++failures;
    printf("%u workers, %u tasks: %s\n", (unsigned)n_workers, (unsigned)n_tasks, what);
}

typedef struct job {
    uint32_t times_done[MOST_TASKS];
    uint32_t at_work[MOST_WORKERS];
    uint32_t slow_task; /* the last worker's first: others must take the rest, and wait for it */
    uint32_t shared, beyond;
} job;

/* Longer than a thread spins. */
static void dawdle(void) {
    for (volatile uint32_t i = 0; i < 2000000; ++i) continue;
}

static void task(void *context, uint32_t t, uint32_t worker) {
    job *j = context;
    if (worker >= MOST_WORKERS || t >= MOST_TASKS) {
        __atomic_store_n(&j->beyond, 1, __ATOMIC_SEQ_CST);
        return;
    }
    if (__atomic_exchange_n(&j->at_work[worker], 1, __ATOMIC_SEQ_CST))
        __atomic_store_n(&j->shared, 1, __ATOMIC_SEQ_CST);
    if (t == j->slow_task) dawdle();
    __atomic_add_fetch(&j->times_done[t], 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&j->at_work[worker], 0, __ATOMIC_SEQ_CST);
}

static void test_jobs(uint32_t n_workers) {
    static const uint32_t sizes[] = {1, 2, 3, 7, 64, MOST_TASKS};
    pybinnet_pool *pool = pybinnet_pool_new(n_workers);
    expect(pool != NULL, "no pool", n_workers, 0);
    if (!pool) return;
    for (uint32_t i = 0; i < JOBS; ++i) {
        const uint32_t n_tasks = sizes[i % (sizeof sizes / sizeof *sizes)];
        job j = {.slow_task = i % 8 ? MOST_TASKS : n_tasks * (n_workers - 1) / n_workers};
        if (i % 16 == 0) dawdle();
        pybinnet_pool_run(pool, n_workers, n_tasks, task, &j);
        for (uint32_t t = 0; t < MOST_TASKS; ++t)
            expect(j.times_done[t] == (t < n_tasks), "a task was not done once", n_workers,
                   n_tasks);
        expect(!j.shared, "two tasks at once as the same worker", n_workers, n_tasks);
        expect(!j.beyond, "a worker or task that there is not", n_workers, n_tasks);
    }
    pybinnet_pool_free(pool);
}

int main(void) {
    if (!pybinnet_has_threads()) {
        printf("no threads with this compiler\n");
        return 1;
    }
    for (uint32_t n_workers = 1; n_workers <= MOST_WORKERS; ++n_workers) test_jobs(n_workers);
    printf("%s\n", failures ? "FAILED" : "every task done once");
    return failures != 0;
}
