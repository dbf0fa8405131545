/* The binnet_parallel hook of Python: OpenMP threads, or the calling thread where there are none.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "binnet.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* n_workers is the team's size even when the tasks are fewer: libgomp ends and restarts threads
 * when the size changes from call to call. */
void pybinnet_parallel_run(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                           void *context) {
    (void)pool;
#ifdef _OPENMP
    if (n_workers > 1 && n_tasks > 1) {
        const int64_t end = n_tasks; /* signed: all that OpenMP 2 (MSVC) takes */
        int64_t t;
#pragma omp parallel for num_threads((int)n_workers) schedule(dynamic, 1)
        for (t = 0; t < end; ++t) task(context, (uint32_t)t, (uint32_t)omp_get_thread_num());
        return;
    }
#else
    (void)n_workers;
#endif
    for (uint32_t t = 0; t < n_tasks; ++t) task(context, t, 0);
}

int pybinnet_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}
