/* Products of signs for layers: rows of bits, 64 at a time, by exclusive or and bit count. Zeros
 * cost a second plane and a second product: low + high - 1 is half the sum of two signs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

static uint32_t words_of(uint32_t n_bits) { return (uint32_t)(binnet_row_bytes(n_bits) / 8); }

size_t binnet_xnor_scratch(const binnet_kernels *k, uint32_t n_rows, uint32_t n_bits) {
    /* Of weights that are copied: packed, or one column after the other to where it is aligned. */
    const uint32_t n_columns = binnet_packs_xnor(k) ? k->panel_columns : 1;
    const size_t words = binnet_least(words_of(n_bits), BINNET_XNOR_WORDS) * n_columns;
    return binnet_area(1, words * 8 + n_rows * BINNET_XNOR_COLUMNS * sizeof(int32_t), k->alignment);
}

void binnet_xnor_by_row(const binnet_kernels *k, const binnet_xnor *whole, const uint8_t *w,
                        size_t stride, uint8_t *operand) {
    binnet_xnor tile = *whole;
    if ((uintptr_t)w % BINNET_WORD_ALIGNMENT == 0) {
        tile.a = (const binnet_word *)(const void *)w;
        tile.a_stride = stride / 8;
        tile.n_rows = whole->n_columns;
        tile.product_stride = 1;
        tile.panel = whole->a;
        for (uint32_t b = 0; b < whole->n_rows; ++b, tile.panel += whole->a_stride) {
            k->xnor_row(&tile);
            tile.product += whole->product_stride;
        }
        return;
    }
    tile.panel = (const binnet_word *)(const void *)operand;
    for (uint32_t c = 0; c < whole->n_columns; ++c, w += stride, ++tile.product) {
        memcpy(operand, w, whole->n_words * (size_t)8);
        k->xnor_row(&tile);
    }
}

/* Sums of two or four products to what they are twice or four times of. */
static void halve(const binnet_xnor *tile, int32_t halvings) {
    for (uint32_t b = 0; b < tile->n_rows; ++b)
        for (uint32_t i = 0; i < tile->n_columns; ++i) {
            int32_t *sum = tile->product + b * tile->product_stride + i;
            *sum = binnet_floor_shift(*sum, halvings);
        }
}

static void block_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_gemm *g = context;
    const binnet_kernels *k = g->kernels;
    const uint32_t n_words = words_of(g->depth), step = k->panel_columns;
    const uint32_t first = task * BINNET_XNOR_COLUMNS;
    const uint32_t end = first + binnet_least(g->n_columns - first, BINNET_XNOR_COLUMNS);
    const uint32_t planes = (g->a.high ? 2u : 1u) << (g->high ? 1 : 0);
    uint8_t *scratch = g->scratch + worker * g->scratch_bytes;
    int32_t *sums = (int32_t *)(void *)scratch;
    binnet_xnor tile;
    tile.a_stride = g->a.stride / 8;
    tile.n_rows = g->n_rows;
    tile.product_stride = g->sums ? k->panel_columns : BINNET_XNOR_COLUMNS;
    if (!g->sums) scratch += (size_t)g->n_rows * BINNET_XNOR_COLUMNS * sizeof(int32_t);
    for (uint32_t c = first; c < end; c += step) {
        tile.n_columns = binnet_least(end - c, step);
        tile.product = g->sums ? g->sums + binnet_sum_index(k, g->n_rows, c) : sums + (c - first);
        tile.add = 0;
        for (uint32_t word = 0; word < n_words; word += BINNET_XNOR_WORDS)
            for (uint32_t p = 0; p < planes; ++p, tile.add = 1) {
                const uint8_t *a = p & 1 && g->a.high ? g->a.high : g->a.low;
                const uint8_t *w = p && (p & 2 || !g->a.high) ? g->high : g->selector.bits;
                tile.a = (const binnet_word *)(const void *)a + word;
                tile.n_words = binnet_least(n_words - word, BINNET_XNOR_WORDS);
                tile.n_bits = (int32_t)binnet_least(g->depth - word * 64, 64 * BINNET_XNOR_WORDS);
                /* With few rows, packing weights would cost more than it saves. */
                (binnet_packs_xnor(k) && g->n_rows > 4 ? k->xnor_packed : binnet_xnor_by_row)(
                    k, &tile, w + c * g->selector.stride + 8 * (size_t)word, g->selector.stride,
                    scratch);
            }
        if (planes > 1) halve(&tile, planes > 2 ? 2 : 1);
    }
    if (!g->sums) {
        const binnet_result result = {sums,  BINNET_XNOR_COLUMNS, 0,     g->n_rows,
                                      first, end - first,         worker};
        g->epilogue(g->context, &result);
    }
}

static uint32_t n_tasks(const binnet_gemm *g) {
    BINNET_ASSERT(binnet_xnor_scratch(g->kernels, g->sums ? 0 : g->n_rows, g->depth) <=
                  g->scratch_bytes);
    return binnet_blocks(g->n_columns, BINNET_XNOR_COLUMNS);
}

void binnet_xnor_rows(const binnet_gemm *g) {
    for (uint32_t task = 0; task < n_tasks(g); ++task) block_task((void *)(uintptr_t)g, task, 0);
}

void binnet_xnor_run(const binnet_gemm *g) {
    binnet_run(g->parallel, n_tasks(g), block_task, (void *)(uintptr_t)g);
}
