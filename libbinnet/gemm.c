/* The product of values and bits, in blocks of rows. Bits are packed once for all rows; every task
 * then makes the sums of a few rows and all columns, so that no sum is ever split between threads,
 * and hands them on while they are in cache.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t blocks(uint32_t n, uint32_t size) { return n / size + (n % size != 0); }
static int is_plain(const binnet_kernels *k, uint32_t n_rows) { return n_rows <= k->plain_rows; }

/* Bytes of a panel. */
static size_t panel_bytes(const binnet_kernels *k, uint32_t depth) {
    return (size_t)blocks(depth, k->group) * k->index_bytes;
}

size_t binnet_area(uint32_t n, size_t bytes, uint32_t alignment) {
    const size_t limit = SIZE_MAX / 4, mask = alignment - 1;
    if (bytes && n > (limit - mask) / bytes) return limit;
    return (n * bytes + mask) & ~mask;
}

size_t binnet_gemm_panels(const binnet_kernels *k, uint32_t n_rows, uint32_t n_columns,
                          uint32_t depth) {
    if (is_plain(k, n_rows)) return 0;
    return binnet_area(blocks(n_columns, k->panel_columns), panel_bytes(k, depth), 1);
}

size_t binnet_gemm_scratch(const binnet_kernels *k, uint32_t n_columns) {
    const size_t sums = binnet_padded(k, n_columns) * sizeof(int32_t);
    return k->table_bytes + binnet_area(k->row_block, sums, k->alignment);
}

static uint32_t n_panels(const binnet_gemm *g) {
    return blocks(g->n_columns, g->kernels->panel_columns);
}

/* Planes of one product: binary digits, or the low and the high plane of ternary weights. */
static uint32_t n_planes(const binnet_gemm *g) { return g->high ? 2 : g->n_digits; }

static const uint8_t *plane(const binnet_gemm *g, uint32_t p) {
    return g->high && p == 1 ? g->high : g->selector.bits + p * g->digit_bytes;
}

static void pack_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const uint32_t n = n_panels(g), first = task % n * g->kernels->panel_columns;
    binnet_selector selector = g->selector;
    (void)worker;
    selector.bits = plane(g, task / n);
    (selector.by_column ? g->kernels->pack_by_column : g->kernels->pack_by_summand)(
        g->panels + task * panel_bytes(g->kernels, g->depth), &selector, first,
        min32(g->kernels->panel_columns, g->n_columns - first), g->depth);
}

/* Sums doubled, or less the sum of all values of their row. */
static void adjust(const binnet_gemm *g, const binnet_select *s, int doubled) {
    const uint32_t width = g->kernels->panel_columns;
    for (uint32_t i = 0; i < s->n_rows; ++i) {
        const int32_t less =
            doubled ? 0 : binnet_total(s->values + i * s->stride, s->step, s->int8, s->depth);
        for (uint32_t c = 0; c < g->n_columns; c += width) {
            int32_t *sums = s->sums + c / width * s->panel_step + i * s->row_step;
            const uint32_t n = min32(width, g->n_columns - c);
            BINNET_COUNT(ADDITIONS, n);
            for (uint32_t u = 0; doubled && u < n; ++u) sums[u] += sums[u];
            for (uint32_t u = 0; less && u < n; ++u) sums[u] -= less;
        }
    }
}

/* The planes one after another, of binary digits the highest first. */
static void run_planes(const binnet_gemm *g, binnet_select *s) {
    const uint32_t n = n_planes(g);
    for (uint32_t p = n; p-- > 0;) {
        s->add = p + 1 < n;
        if (s->add && !g->high) adjust(g, s, 1);
        s->selector.bits = plane(g, p);
        s->panels = g->panels + p * n_panels(g) * panel_bytes(g->kernels, g->depth);
        if (is_plain(g->kernels, g->n_rows))
            g->kernels->plain(s);
        else
            g->kernels->select(s);
    }
    if (g->high) adjust(g, s, 0);
}

static void select_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const binnet_kernels *k = g->kernels;
    uint8_t *scratch = g->scratch + worker * g->scratch_bytes;
    const uint32_t first = task * k->row_block;
    binnet_select s;
    s.values = g->values + first * g->stride;
    s.stride = g->stride;
    s.step = g->step;
    s.int8 = g->int8;
    s.signs = g->signs && !g->high;
    s.n_rows = min32(k->row_block, g->n_rows - first);
    s.n_columns = g->n_columns;
    s.depth = g->depth;
    s.selector = g->selector;
    s.tables = scratch;
    if (g->sums) {
        s.row_step = k->panel_columns;
        s.panel_step = (size_t)g->n_rows * k->panel_columns;
        s.sums = g->sums + first * s.row_step;
    } else {
        s.row_step = binnet_padded(k, g->n_columns);
        s.panel_step = k->panel_columns;
        s.sums = (int32_t *)(void *)(scratch + k->table_bytes);
    }
    run_planes(g, &s);
    if (!g->sums) {
        const binnet_result result = {s.sums, s.row_step, first, s.n_rows, worker};
        g->epilogue(g->context, &result);
    }
}

void binnet_gemm_run(const binnet_gemm *g) {
    assert(binnet_gemm_scratch(g->kernels, g->sums ? 0 : g->n_columns) <= g->scratch_bytes);
    void *context = (void *)(uintptr_t)g;
    if (!is_plain(g->kernels, g->n_rows))
        binnet_run(g->parallel, n_planes(g) * n_panels(g), pack_task, context);
    binnet_run(g->parallel, blocks(g->n_rows, g->kernels->row_block), select_task, context);
}
