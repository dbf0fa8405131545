/* The product of values and bits, in blocks of rows. Bits are packed once for all rows; every task
 * then makes the sums of a few rows and all columns, so that no sum is ever split between threads,
 * and hands them on while they are in cache.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

size_t binnet_area(uint32_t n, size_t bytes, uint32_t alignment) {
    const size_t limit = SIZE_MAX / 4, high = n * (bytes >> 16), low = n * (bytes & 0xffff);
    if (high >= limit >> 16 || low >= limit) return BINNET_TOO_MUCH; /* n <= 2^16 */
    return (n * bytes + alignment - 1) & ~(size_t)(alignment - 1);
}

void *binnet_plan(binnet_planner *planner, uint32_t n_rows, size_t row_bytes) {
    void *place = planner->base ? planner->base + planner->n_bytes : NULL;
    const size_t n_bytes = binnet_area(n_rows, row_bytes, planner->alignment);
    planner->n_bytes =
        planner->n_bytes < BINNET_TOO_MUCH - n_bytes ? planner->n_bytes + n_bytes : BINNET_TOO_MUCH;
    return place;
}

size_t binnet_gemm_scratch(const binnet_kernels *k, uint32_t n_columns) {
    const size_t sums = binnet_padded(k, n_columns) * sizeof(int32_t);
    return k->table_bytes + binnet_area(1u << k->row_shift, sums, k->alignment);
}

/* Planes of one product: binary digits, or the low and the high plane of ternary weights. */
uint32_t binnet_gemm_planes(const binnet_gemm *g) { return g->high ? 2 : g->n_digits; }

const uint8_t *binnet_gemm_plane(const binnet_gemm *g, uint32_t p) {
    return g->high && p == 1 ? g->high : g->selector.bits + p * g->digit_bytes;
}

/* Sums doubled, or less the sum of all values of their row. */
static void adjust(const binnet_gemm *g, const binnet_select *s, int doubled) {
    const uint32_t width = g->kernels->panel_columns;
    for (uint32_t i = 0; i < s->n_rows; ++i) {
        const int32_t less =
            doubled ? 0 : binnet_total(s->values + i * s->stride, s->step, s->int8, s->depth);
        int32_t *sums = s->sums + i * s->row_step;
        for (uint32_t c = 0; c < g->n_columns; c += width, sums += s->panel_step) {
            const uint32_t n = binnet_least(width, g->n_columns - c);
            BINNET_COUNT(ADDITIONS, n);
            for (uint32_t u = 0; doubled && u < n; ++u) sums[u] += sums[u];
            for (uint32_t u = 0; less && u < n; ++u) sums[u] -= less;
        }
    }
}

/* The planes one after another, of binary digits the highest first. */
static void run_planes(const binnet_gemm *g, binnet_select *s) {
    const uint32_t n = binnet_gemm_planes(g);
    for (uint32_t p = n; p-- > 0;) {
        s->add = p + 1 < n;
        if (s->add && !g->high) adjust(g, s, 1);
        s->selector.bits = binnet_gemm_plane(g, p);
        if (binnet_is_plain(g->kernels, g->n_rows)) {
            g->kernels->plain(s);
            continue;
        }
        s->panels = g->panels + p * g->kernels->panels_bytes(g->kernels, g->n_columns, g->depth);
        g->kernels->select(s);
    }
    if (g->high) adjust(g, s, 0);
}

static void select_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const binnet_kernels *k = g->kernels;
    uint8_t *scratch = g->scratch + worker * g->scratch_bytes;
    const uint32_t first = task << k->row_shift;
    binnet_select s;
    s.values = g->values + first * g->stride;
    s.stride = g->stride;
    s.step = g->step;
    s.int8 = g->int8;
    s.signs = g->signs && !g->high;
    s.n_rows = binnet_least(1u << k->row_shift, g->n_rows - first);
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
        const binnet_result result = {s.sums, s.row_step, first, s.n_rows, 0, g->n_columns, worker};
        g->epilogue(g->context, &result);
    }
}

void binnet_gemm_pack(const binnet_gemm *g) {
    if (!binnet_is_plain(g->kernels, g->n_rows)) g->kernels->pack(g);
}

static uint32_t n_tasks(const binnet_gemm *g) {
    const uint32_t shift = g->kernels->row_shift, more = (1u << shift) - 1;
    BINNET_ASSERT(binnet_gemm_scratch(g->kernels, g->sums ? 0 : g->n_columns) <= g->scratch_bytes);
    return (g->n_rows + more) >> shift;
}

void binnet_gemm_rows(const binnet_gemm *g) {
    for (uint32_t task = 0; task < n_tasks(g); ++task) select_task((void *)(uintptr_t)g, task, 0);
}

void binnet_gemm_run(const binnet_gemm *g) {
    binnet_gemm_pack(g);
    binnet_run(g->parallel, n_tasks(g), select_task, (void *)(uintptr_t)g);
}
