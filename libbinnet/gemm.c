/* Tiles of a layer's three products. Work is split over output tiles, never over a sum, so that the
 * result does not depend on the threads; each finished tile goes to an epilogue while it is in
 * cache.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint64_t max64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint64_t quads(uint32_t n) { return ((uint64_t)n + 3) & ~(uint64_t)3; }
static uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) & ~(unit - 1); }

/* A worker's scratch: sums, then codes, random bytes and spare (outer only), then the panel. */
typedef struct regions {
    uint64_t sums, codes, random, spare, panel, end;
} regions;

static regions divide_scratch(const binnet_kernels *k, uint64_t sums, uint64_t side, uint64_t spare,
                              uint64_t panel) {
    regions r;
    r.sums = 0;
    r.codes = round_up(sums * 4, k->alignment);
    r.random = r.codes + round_up(side, k->alignment);
    r.spare = r.random + round_up(side, k->alignment);
    r.panel = r.spare + round_up(spare, k->alignment);
    r.end = r.panel + round_up(k->packs ? panel : 0, k->alignment);
    return r;
}

static regions forward_regions(const binnet_kernels *k, uint32_t batch, uint32_t fan_in) {
    return divide_scratch(k, (uint64_t)batch * k->unit_tile, 0, 0, quads(fan_in) * k->unit_tile);
}

static regions backward_regions(const binnet_kernels *k, uint32_t batch, uint32_t units) {
    return divide_scratch(k, (uint64_t)batch * k->column_tile, 0, 0, quads(units) * k->column_tile);
}

static regions outer_regions(const binnet_kernels *k, uint32_t batch) {
    const uint64_t block = (uint64_t)k->row_block * k->column_tile;
    return divide_scratch(k, block, (uint64_t)batch * k->column_tile, block,
                          quads(batch) * k->column_tile);
}

uint64_t binnet_gemm_forward_scratch(const binnet_kernels *kernels, uint32_t batch,
                                     uint32_t fan_in) {
    return forward_regions(kernels, batch, fan_in).end;
}

uint64_t binnet_gemm_scratch(const binnet_kernels *kernels, uint32_t batch, uint32_t fan_in,
                             uint32_t units) {
    return max64(max64(forward_regions(kernels, batch, fan_in).end,
                       backward_regions(kernels, batch, units).end),
                 outer_regions(kernels, batch).end);
}

uint64_t binnet_gemm_interleaved_bytes(const binnet_kernels *kernels, uint32_t batch,
                                       uint32_t units) {
    return kernels->packs ? quads(batch) * units : 0;
}

/* The operands of one product, shared by its tasks. */
typedef struct job {
    const binnet_gemm *gemm;
    const void *left;
    size_t left_stride;
    binnet_input input;
    const binnet_rng *rng;
    regions scratch;
} job;

static uint8_t *worker_scratch(const job *j, uint32_t worker) {
    return j->gemm->scratch + (size_t)worker * j->gemm->scratch_bytes;
}

static void finish(const job *j, const binnet_tile *tile, uint32_t first_row, uint32_t first_column,
                   uint32_t worker) {
    const binnet_result result = {
        tile->out,    tile->out_stride, first_row, tile->n_rows,
        first_column, tile->n_columns,  worker,    worker_scratch(j, worker) + j->scratch.spare};
    j->gemm->epilogue(j->gemm->context, &result);
}

/* A tile of `depth` summands for the whole batch, from a column on. */
static binnet_tile batch_tile(const job *j, uint32_t worker, uint32_t column, uint32_t width,
                              uint32_t n_columns, uint32_t depth) {
    uint8_t *scratch = worker_scratch(j, worker);
    binnet_tile tile;
    tile.out = (int32_t *)(void *)(scratch + j->scratch.sums);
    tile.out_stride = width;
    tile.left = j->left;
    tile.left_stride = j->left_stride;
    tile.bits = j->gemm->bits;
    tile.bits_stride = j->gemm->bits_stride;
    tile.n_rows = j->gemm->n_rows;
    tile.n_columns = min32(width, n_columns - column);
    tile.depth = depth;
    tile.panel = scratch + j->scratch.panel;
    return tile;
}

static uint32_t tiles(uint32_t n, uint32_t width) { return n / width + (n % width != 0); }

static void forward_task(void *context, uint32_t task, uint32_t worker) {
    const job *j = context;
    const binnet_gemm *g = j->gemm;
    const uint32_t width = g->kernels->unit_tile, unit = task * width;
    binnet_tile tile = batch_tile(j, worker, unit, width, g->units, g->fan_in);
    tile.bits += unit * g->bits_stride;
    g->kernels->forward(&tile);
    finish(j, &tile, 0, unit, worker);
}

void binnet_gemm_forward(const binnet_gemm *g, binnet_input input) {
    job j = {g,     input.data, input.stride,
             input, NULL,       forward_regions(g->kernels, g->n_rows, g->fan_in)};
    assert(j.scratch.end <= g->scratch_bytes);
    binnet_run(g->parallel, tiles(g->units, g->kernels->unit_tile), forward_task, &j);
}

static void backward_task(void *context, uint32_t task, uint32_t worker) {
    const job *j = context;
    const binnet_gemm *g = j->gemm;
    const uint32_t width = g->kernels->column_tile, column = task * width;
    binnet_tile tile = batch_tile(j, worker, column, width, g->fan_in, g->units);
    tile.bits += column >> 3;
    g->kernels->backward(&tile);
    finish(j, &tile, 0, column, worker);
}

void binnet_gemm_backward(const binnet_gemm *g, const int8_t *delta) {
    const binnet_input none = {NULL, 0, 0};
    job j = {g, delta, g->units, none, NULL, backward_regions(g->kernels, g->n_rows, g->units)};
    assert(j.scratch.end <= g->scratch_bytes);
    binnet_run(g->parallel, tiles(g->fan_in, g->kernels->column_tile), backward_task, &j);
}

/* A tile of columns of the input as power-of-two codes. */
static void make_codes(const job *j, uint8_t *scratch, uint32_t column, uint32_t n_columns) {
    const binnet_gemm *g = j->gemm;
    const uint32_t width = g->kernels->column_tile;
    uint8_t *codes = scratch + j->scratch.codes, *random = scratch + j->scratch.random;
    g->kernels->random(random, j->rng, 0, g->n_rows, column >> 3, width >> 3);
    for (uint32_t b = 0; b < g->n_rows; ++b) {
        const size_t row = (size_t)b * width;
        memset(codes + row + n_columns, 0, width - n_columns);
        g->kernels->power_of_two(codes + row, j->input.data + b * j->input.stride + column,
                                 random + row, n_columns, j->input.doubling);
    }
    if (g->kernels->pack_codes)
        g->kernels->pack_codes(scratch + j->scratch.panel, codes, g->n_rows, width);
}

static void outer_task(void *context, uint32_t task, uint32_t worker) {
    const job *j = context;
    const binnet_gemm *g = j->gemm;
    const uint32_t width = g->kernels->column_tile, column = task * width;
    uint8_t *scratch = worker_scratch(j, worker);
    binnet_tile tile = batch_tile(j, worker, column, width, g->fan_in, g->n_rows);
    make_codes(j, scratch, column, tile.n_columns);
    if (!g->kernels->pack_codes) tile.panel = scratch + j->scratch.codes;
    for (uint32_t unit = 0; unit < g->units; unit += g->kernels->row_block) {
        /* An interleaved error has four batch rows in a unit's place. */
        tile.left = (const uint8_t *)j->left + (g->kernels->interleave ? 4 * (size_t)unit : unit);
        tile.n_rows = min32(g->kernels->row_block, g->units - unit);
        g->kernels->outer(&tile);
        finish(j, &tile, unit, column, worker);
    }
}

void binnet_gemm_outer(const binnet_gemm *g, const int8_t *delta, uint8_t *interleaved,
                       binnet_input input, const binnet_rng *rng) {
    job j = {g, delta, g->units, input, rng, outer_regions(g->kernels, g->n_rows)};
    assert(j.scratch.end <= g->scratch_bytes);
    if (g->kernels->interleave) {
        g->kernels->interleave(interleaved, delta, g->n_rows, g->units);
        j.left = interleaved;
    }
    binnet_run(g->parallel, tiles(g->fan_in, g->kernels->column_tile), outer_task, &j);
}
