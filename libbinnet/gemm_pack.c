/* The bits of a product, packed as a table's `select` wants them: once for all rows, panel by
 * panel. What of gemm.c the portable kernels have no use for.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* Bytes of a panel. */
static size_t panel_bytes(const binnet_kernels *k, uint32_t depth) {
    return (size_t)binnet_blocks(depth, k->group) * k->index_bytes;
}

size_t binnet_panels_bytes(const binnet_kernels *k, uint32_t n_columns, uint32_t depth) {
    return binnet_area(binnet_blocks(n_columns, k->panel_columns), panel_bytes(k, depth), 1);
}

static uint32_t n_panels(const binnet_gemm *g) {
    return binnet_blocks(g->n_columns, g->kernels->panel_columns);
}

static void pack_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const binnet_kernels *k = g->kernels;
    const uint32_t n = n_panels(g), first = task % n * k->panel_columns;
    const uint32_t rest = g->n_columns - first;
    binnet_selector selector = g->selector;
    (void)worker;
    selector.bits = binnet_gemm_plane(g, task / n);
    (selector.by_column ? k->pack_by_column : k->pack_by_summand)(
        g->panels + task * panel_bytes(k, g->depth), &selector, first,
        rest < k->panel_columns ? rest : k->panel_columns, g->depth);
}

void binnet_pack(const binnet_gemm *g) {
    binnet_run(g->parallel, binnet_gemm_planes(g) * n_panels(g), pack_task, (void *)(uintptr_t)g);
}
