/* Tasks on the hook's threads, or here.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

void binnet_run(const binnet_parallel *parallel, uint32_t n_tasks, binnet_task task,
                void *context) {
    if (parallel && parallel->run) {
        parallel->run(parallel->pool, parallel->n_workers, n_tasks, task, context);
        return;
    }
    for (uint32_t t = 0; t < n_tasks; ++t) task(context, t, 0);
}
