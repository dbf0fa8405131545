/* The product of values and bits, in blocks of rows. Bits are packed once for all rows; every task
 * then makes the sums of a few rows and all columns, so that no sum is ever split between threads,
 * and hands them on while they are in cache.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t blocks(uint32_t n, uint32_t size) { return n / size + (n % size != 0); }
static int is_plain(const binnet_kernels *k, uint32_t n_rows) { return n_rows <= k->plain_rows; }

/* Bytes of a panel. */
static uint64_t panel_bytes(const binnet_kernels *k, uint32_t depth) {
    return (uint64_t)blocks(depth, k->group) * k->index_bytes;
}

static uint64_t aligned(const binnet_kernels *k, uint64_t n_bytes) {
    return (n_bytes + k->alignment - 1) & ~(uint64_t)(k->alignment - 1);
}

uint64_t binnet_gemm_panels(const binnet_kernels *k, uint32_t n_rows, uint32_t n_columns,
                            uint32_t depth) {
    return is_plain(k, n_rows) ? 0 : blocks(n_columns, k->panel_columns) * panel_bytes(k, depth);
}

uint64_t binnet_gemm_scratch(const binnet_kernels *k, uint32_t n_columns) {
    const uint64_t sums = k->row_block * binnet_padded(k, n_columns) * sizeof(int32_t);
    return aligned(k, k->table_bytes) + aligned(k, sums);
}

static uint32_t n_panels(const binnet_gemm *g) {
    return blocks(g->n_columns, g->kernels->panel_columns);
}

/* The panels of the selector, then those of `nonzero`. */
static void pack_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const uint32_t n = n_panels(g), first = task % n * g->kernels->panel_columns;
    binnet_selector selector = g->selector;
    (void)worker;
    if (task >= n) selector.bits = g->nonzero;
    (selector.by_column ? g->kernels->pack_by_column : g->kernels->pack_by_summand)(
        g->panels + task * (size_t)panel_bytes(g->kernels, g->depth), &selector, first,
        min32(g->kernels->panel_columns, g->n_columns - first), g->depth);
}

static void run_plane(const binnet_gemm *g, const binnet_select *s) {
    if (is_plain(g->kernels, g->n_rows))
        g->kernels->plain(s);
    else
        g->kernels->select(s);
}

/* Minus the sum of the values whose weights are not 0, to which twice those of weight 1 are added. */
static void run_nonzero(const binnet_gemm *g, const binnet_select *signs) {
    binnet_select s = *signs;
    s.signs = 0;
    s.add = 0;
    s.selector.bits = g->nonzero;
    s.panels += n_panels(g) * (size_t)panel_bytes(g->kernels, g->depth);
    run_plane(g, &s);
    const uint32_t width = g->kernels->panel_columns;
    for (uint32_t i = 0; i < s.n_rows; ++i)
        for (uint32_t c = 0; c < g->n_columns; ++c) {
            int32_t *sum = s.sums + c / width * s.panel_step + i * s.row_step + c % width;
            *sum = -*sum;
        }
}

static void select_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const binnet_kernels *k = g->kernels;
    uint8_t *scratch = g->scratch + worker * g->scratch_bytes;
    const uint32_t first = task * k->row_block;
    binnet_select s;
    s.values = g->values + first * g->stride;
    s.stride = g->stride;
    s.int8 = g->int8;
    s.signs = g->signs;
    s.add = g->nonzero != NULL;
    s.n_rows = min32(k->row_block, g->n_rows - first);
    s.n_columns = g->n_columns;
    s.depth = g->depth;
    s.selector = g->selector;
    s.panels = g->panels;
    s.tables = scratch;
    if (g->sums) {
        s.row_step = k->panel_columns;
        s.panel_step = (size_t)g->n_rows * k->panel_columns;
        s.sums = g->sums + first * s.row_step;
    } else {
        s.row_step = (size_t)binnet_padded(k, g->n_columns);
        s.panel_step = k->panel_columns;
        s.sums = (int32_t *)(void *)(scratch + aligned(k, k->table_bytes));
    }
    if (g->nonzero) run_nonzero(g, &s);
    run_plane(g, &s);
    if (!g->sums) {
        const binnet_result result = {s.sums, s.row_step, first, s.n_rows, worker};
        g->epilogue(g->context, &result);
    }
}

void binnet_gemm_run(const binnet_gemm *g) {
    assert(binnet_gemm_scratch(g->kernels, g->sums ? 0 : g->n_columns) <= g->scratch_bytes);
    void *context = (void *)(uintptr_t)g;
    if (!is_plain(g->kernels, g->n_rows))
        binnet_run(g->parallel, g->nonzero ? 2 * n_panels(g) : n_panels(g), pack_task, context);
    binnet_run(g->parallel, blocks(g->n_rows, g->kernels->row_block), select_task, context);
}
