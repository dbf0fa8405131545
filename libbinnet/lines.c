/* Convolutions along lines: a pixel is under as many positions as a kernel has places, and the
 * tables of its values serve them all. For kernels that have such tables; image.c has the other way,
 * of patches.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
/* Bytes of tables that a tile makes, if it can: they stay in a second-level cache. */
enum { TILE_BYTES = 384 * 1024 };

static uint32_t groups_of(const binnet_lines *l) {
    return binnet_blocks(l->channels, l->gemm->kernels->group);
}

/* What a tile of positions reaches along a height or width. */
static uint32_t reach(const binnet_lines *l, uint32_t n) { return (n - 1) * l->stride + l->kernel; }

static size_t table_bytes(const binnet_lines *l, uint32_t n_lines, uint32_t n_columns) {
    const size_t pixel = (size_t)groups_of(l) * l->gemm->kernels->table_size;
    return binnet_area(reach(l, n_lines), reach(l, n_columns) * pixel, 1);
}

uint32_t binnet_lines_depth(const binnet_lines *l) {
    return l->kernel * l->kernel * groups_of(l) * l->gemm->kernels->group;
}

void binnet_lines_tile(const binnet_lines *l, uint32_t step, uint32_t *n_lines,
                       uint32_t *n_columns) {
    const uint32_t most_lines = *n_lines, most_columns = *n_columns;
    *n_lines = step;
    while (*n_columns > step && *n_columns > 4 && table_bytes(l, step, *n_columns) > TILE_BYTES)
        *n_columns = binnet_blocks(*n_columns / 2, step) * step;
    if (*n_columns < most_columns) return;
    while (*n_lines + step <= most_lines &&
           table_bytes(l, *n_lines + step, *n_columns) <= TILE_BYTES)
        *n_lines += step;
}

typedef struct regions {
    size_t totals, values, end;
} regions;

static regions divide(const binnet_lines *l, uint32_t n_lines, uint32_t n_columns) {
    binnet_planner planner = {NULL, 0, l->gemm->kernels->alignment};
    regions r;
    binnet_plan(&planner, 1, table_bytes(l, n_lines, n_columns));
    r.totals = planner.n_bytes;
    binnet_plan(&planner, reach(l, n_lines), reach(l, n_columns) * sizeof(int32_t));
    r.values = planner.n_bytes;
    binnet_plan(&planner, reach(l, n_columns), l->channels);
    r.end = planner.n_bytes;
    return r;
}

size_t binnet_lines_scratch(const binnet_lines *l, uint32_t n_lines, uint32_t n_columns) {
    return divide(l, n_lines, n_columns).end;
}

/* ---- Packing ------------------------------------------------------------------------------- */

static void pack_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_lines *l = context;
    const binnet_gemm *g = l->gemm;
    const binnet_kernels *k = g->kernels;
    const uint32_t n = binnet_blocks(g->n_columns, k->panel_columns);
    const uint32_t first = task % n * k->panel_columns, groups = groups_of(l);
    const size_t place_bytes = (size_t)groups * k->index_bytes;
    uint8_t *panel = g->panels + task * (size_t)(l->kernel * l->kernel) * place_bytes;
    binnet_selector selector = g->selector;
    (void)worker;
    selector.bits = binnet_gemm_plane(g, task / n);
    for (uint32_t place = 0; place < l->kernel * l->kernel; ++place, panel += place_bytes) {
        (selector.by_column ? k->pack_by_column : k->pack_by_summand)(
            panel, &selector, first, binnet_block(first, g->n_columns, k->panel_columns),
            l->channels);
        selector.bits += l->place_bytes;
    }
}

void binnet_lines_pack(const binnet_lines *l) {
    const binnet_gemm *g = l->gemm;
    binnet_run(g->parallel,
               binnet_gemm_planes(g) * binnet_blocks(g->n_columns, g->kernels->panel_columns),
               pack_task, (void *)(uintptr_t)l);
}

/* ---- Sums ---------------------------------------------------------------------------------- */

/* Tables and totals of n_lines × n_columns pixels, zeros outside the image. */
static void make_tables(const binnet_lines *l, uint32_t image, int32_t y, int32_t x,
                        uint32_t n_lines, uint32_t n_columns, uint8_t *tables, int32_t *totals,
                        uint8_t *buffer) {
    const binnet_kernels *k = l->gemm->kernels;
    const size_t pixel = (size_t)groups_of(l) * k->table_size;
    const uint32_t before = x < 0 ? binnet_least((uint32_t)-x, n_columns) : 0;
    const int32_t inside = (int32_t)l->width - x - (int32_t)before;
    const uint32_t n = inside <= 0 ? 0 : binnet_least((uint32_t)inside, n_columns - before);
    for (uint32_t i = 0; i < n_lines; ++i, ++y, tables += n_columns * pixel, totals += n_columns) {
        if (y < 0 || y >= (int32_t)l->height || n == 0) {
            memset(tables, 0, n_columns * pixel);
            memset(totals, 0, n_columns * sizeof *totals);
            continue;
        }
        const uint8_t *values =
            l->take(l->context, image, (uint32_t)y, (uint32_t)(x + (int32_t)before), n, buffer);
        memset(tables, 0, before * pixel);
        memset(totals, 0, n_columns * sizeof *totals);
        for (uint32_t j = before; j < before + n; ++j, values += l->channels)
            totals[j] = k->make_tables(tables + j * pixel, values, l->channels, l->gemm->int8);
        memset(tables + (before + n) * pixel, 0, (n_columns - before - n) * pixel);
    }
}

/* Minus the total of what each position reaches, as sums to begin with. */
static void start_sums(const binnet_lines *l, const int32_t *totals, uint32_t n_lines,
                       uint32_t n_columns, int32_t *sums, size_t panel_step) {
    const uint32_t width = l->gemm->kernels->panel_columns, line = reach(l, n_columns);
    for (uint32_t y = 0; y < n_lines; ++y)
        for (uint32_t x = 0; x < n_columns; ++x, sums += width) {
            const int32_t *first = totals + (y * line + x) * (size_t)l->stride;
            int32_t total = 0;
            for (uint32_t i = 0; i < l->kernel; ++i, first += line)
                for (uint32_t j = 0; j < l->kernel; ++j) total += first[j];
            for (uint32_t c = 0; c < l->gemm->n_columns; c += width)
                for (uint32_t u = 0; u < width; ++u) sums[c / width * panel_step + u] = -total;
        }
}

void binnet_lines_sums(const binnet_lines *l, uint32_t image, int32_t y, int32_t x,
                       uint32_t n_lines, uint32_t n_columns, int32_t *sums, size_t panel_step,
                       uint8_t *scratch) {
    const binnet_gemm *g = l->gemm;
    const binnet_kernels *k = g->kernels;
    const regions r = divide(l, n_lines, n_columns);
    const uint32_t run = l->kernel * groups_of(l), line = reach(l, n_columns);
    const size_t pixel = (size_t)groups_of(l) * k->table_size;
    int32_t *totals = (int32_t *)(void *)(scratch + r.totals);
    make_tables(l, image, y, x, reach(l, n_lines), line, scratch, totals, scratch + r.values);
    start_sums(l, totals, n_lines, n_columns, sums, panel_step);
    binnet_select s = {.row_step = k->panel_columns,
                       .panel_step = panel_step,
                       .int8 = g->int8,
                       .signs = !g->high,
                       .n_rows = n_columns,
                       .n_columns = g->n_columns,
                       .depth = binnet_lines_depth(l),
                       .panels = g->panels,
                       .table_step = l->stride * pixel};
    for (uint32_t p = 0; p < binnet_gemm_planes(g); ++p) {
        for (uint32_t i = 0; i < n_lines * l->kernel; ++i) {
            const uint32_t at = i / l->kernel, place = i % l->kernel;
            s.sums = sums + (size_t)at * n_columns * k->panel_columns;
            s.tables = scratch + (at * l->stride + place) * line * pixel;
            k->add_tables(&s, place * run, run);
        }
        s.panels += k->panels_bytes(k, g->n_columns, s.depth);
    }
}
#endif
