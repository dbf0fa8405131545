/* Threads for Python: see _parallel.c.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef PYBINNET_PARALLEL_H
#define PYBINNET_PARALLEL_H

#include "binnet.h"

/* cffi: begin */

typedef struct pybinnet_pool pybinnet_pool;

/* A pool for n_workers workers, of which the caller of pybinnet_pool_run is one. NULL: no memory,
 * or no threads on this system. */
pybinnet_pool *pybinnet_pool_new(uint32_t n_workers);

/* Ends the threads. Not while a run is going on. */
void pybinnet_pool_free(pybinnet_pool *pool);

/* The `run` of a binnet_parallel whose `pool` is a pybinnet_pool. From one thread at a time. */
void pybinnet_pool_run(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                       void *context);

int pybinnet_has_threads(void);

/* cffi: end */

#endif
