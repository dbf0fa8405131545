/* Products of signs for layers: rows of bits, 64 at a time, by exclusive or and bit count. Zeros cost a
 * second plane and a second product: low + high - 1 is half the sum of two signs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* STRIP rows meet all panels: a strip, a panel and the strip's product share the first-level cache. */
enum { STRIP = 8 };

static uint32_t min32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static uint32_t words_of(uint32_t n_bits) { return (uint32_t)(binnet_row_bytes(n_bits) / 8); }

void binnet_pack_panels(binnet_word *panel, size_t width, const uint8_t *b, size_t b_stride,
                        size_t n_columns, size_t n_words) {
    for (size_t column = 0; column < n_columns; column += width, panel += n_words * width) {
        const size_t n = n_columns - column < width ? n_columns - column : width;
        if (n < width) memset(panel, 0, n_words * width * sizeof *panel);
        for (size_t j = 0; j < n; ++j, b += b_stride)
            for (size_t w = 0; w < n_words; ++w)
                memcpy(&panel[w * width + j], b + 8 * w, 8); /* of any alignment */
    }
}

void binnet_xnor_strips(const binnet_kernels *kernels, const binnet_xnor *whole,
                        size_t panel_stride) {
    const uint32_t width = kernels->xnor_columns;
    binnet_xnor tile = *whole;
    for (uint32_t row = 0; row < whole->n_rows; row += STRIP) {
        tile.a = whole->a + row * whole->a_stride;
        tile.n_rows = min32(whole->n_rows - row, STRIP);
        tile.panel = whole->panel;
        for (uint32_t column = 0; column < whole->n_columns; column += width) {
            tile.product = whole->product + row * whole->product_stride + column;
            tile.n_columns = min32(whole->n_columns - column, width);
            kernels->xnor(&tile);
            tile.panel += panel_stride;
        }
    }
}

/* ---- Blocks of columns ---------------------------------------------------------------------- */

/* Where a block's sums are. */
typedef struct place {
    int32_t *sums;
    size_t row_step;
    size_t panel_step; /* of panel_columns columns */
} place;

/* With so few rows, packing weights would cost more than it saves. */
static int is_few(const binnet_xnor_gemm *g) { return g->n_rows <= 4; }

/* Columns that are copied at a time: packed, or to where they are aligned. */
static uint32_t block_columns(const binnet_kernels *k) {
    return k->xnor_columns > 1 ? BINNET_XNOR_COLUMNS : 1;
}

size_t binnet_xnor_gemm_scratch(const binnet_kernels *k, uint32_t n_rows, uint32_t n_bits) {
    const size_t words = min32(words_of(n_bits), BINNET_XNOR_WORDS) * block_columns(k);
    return binnet_area(1, words * 8 + n_rows * BINNET_XNOR_COLUMNS * sizeof(int32_t), k->alignment);
}

/* A plane's words from word w on. */
static const uint8_t *plane(const binnet_signs *s, uint32_t high, size_t row, uint32_t w) {
    return (high ? s->high : s->low) + row * s->stride + 8 * (size_t)w;
}

/* One plane of all rows against one of up to block_columns columns. */
static void multiply_many(const binnet_xnor_gemm *g, const place *to, binnet_xnor tile,
                          const uint8_t *a, const uint8_t *w, uint32_t n, uint8_t *operand) {
    const uint32_t width = g->kernels->xnor_columns, panel_columns = g->kernels->panel_columns;
    const size_t panel_stride = (size_t)tile.n_words * width;
    binnet_word *panels = (binnet_word *)(void *)operand;
    binnet_pack_panels(panels, width, w, g->w.stride, n, tile.n_words);
    tile.a = (const binnet_word *)(const void *)a;
    tile.a_stride = g->a.stride / 8;
    tile.n_rows = g->n_rows;
    tile.product_stride = to->row_step;
    for (uint32_t c = 0; c < n; c += panel_columns) {
        tile.product = to->sums + c / panel_columns * to->panel_step;
        tile.n_columns = min32(n - c, panel_columns);
        tile.panel = panels + c / width * panel_stride;
        binnet_xnor_strips(g->kernels, &tile, panel_stride);
    }
}

static void multiply_few(const binnet_xnor_gemm *g, const place *to, binnet_xnor tile,
                         const uint8_t *a, const uint8_t *w, uint32_t n, uint8_t *operand) {
    const uint32_t panel_columns = g->kernels->panel_columns;
    tile.a = (const binnet_word *)(const void *)w;
    tile.a_stride = g->w.stride / 8;
    if ((uintptr_t)w % 8 != 0) {
        binnet_pack_panels((binnet_word *)(void *)operand, 1, w, g->w.stride, n, tile.n_words);
        tile.a = (const binnet_word *)(void *)operand;
        tile.a_stride = tile.n_words;
    }
    tile.product_stride = 1;
    for (uint32_t b = 0; b < g->n_rows; ++b, a += g->a.stride) {
        tile.panel = (const binnet_word *)(const void *)a;
        for (uint32_t c = 0; c < n; c += panel_columns) {
            binnet_xnor part = tile;
            part.a += c * tile.a_stride;
            part.n_rows = min32(n - c, panel_columns);
            part.product = to->sums + c / panel_columns * to->panel_step + b * to->row_step;
            g->kernels->xnor_row(&part);
        }
    }
}

/* Sums of two or four products to what they are twice or four times of. */
static void halve(const binnet_xnor_gemm *g, const place *to, uint32_t n, int32_t halvings) {
    const uint32_t panel_columns = g->kernels->panel_columns;
    for (uint32_t c = 0; c < n; c += panel_columns)
        for (uint32_t b = 0; b < g->n_rows; ++b) {
            int32_t *sum = to->sums + c / panel_columns * to->panel_step + b * to->row_step;
            for (uint32_t i = 0; i < min32(n - c, panel_columns); ++i)
                sum[i] = binnet_floor_shift(sum[i], halvings);
        }
}

static void block_task(void *context, uint32_t task, uint32_t worker) {
    const binnet_xnor_gemm *g = context;
    const uint32_t first = task * BINNET_XNOR_COLUMNS, n_words = words_of(g->n_bits);
    const uint32_t n = min32(g->n_columns - first, BINNET_XNOR_COLUMNS);
    const uint32_t a_planes = g->a.high ? 2 : 1, planes = a_planes * (g->w.high ? 2 : 1);
    uint8_t *scratch = g->scratch + worker * g->scratch_bytes;
    const uint32_t panel_columns = g->kernels->panel_columns;
    place whole;
    if (g->sums) {
        whole.row_step = panel_columns;
        whole.panel_step = (size_t)g->n_rows * panel_columns;
        whole.sums = g->sums + first / panel_columns * whole.panel_step;
    } else {
        whole.row_step = BINNET_XNOR_COLUMNS;
        whole.panel_step = panel_columns;
        whole.sums = (int32_t *)(void *)scratch;
        scratch += (size_t)g->n_rows * BINNET_XNOR_COLUMNS * sizeof(int32_t);
    }
    const uint32_t step = block_columns(g->kernels);
    for (uint32_t c = 0; c < n; c += step) {
        place to = whole;
        to.sums += c / panel_columns * to.panel_step + c % panel_columns;
        for (uint32_t w = 0; w < n_words; w += BINNET_XNOR_WORDS)
            for (uint32_t p = 0; p < planes; ++p) {
                binnet_xnor tile;
                tile.n_words = min32(n_words - w, BINNET_XNOR_WORDS);
                tile.n_bits = (int32_t)min32(g->n_bits - w * 64, 64 * BINNET_XNOR_WORDS);
                tile.add = w > 0 || p > 0;
                (is_few(g) ? multiply_few : multiply_many)(
                    g, &to, tile, plane(&g->a, p & (a_planes - 1), 0, w),
                    plane(&g->w, p / a_planes, first + c, w), min32(n - c, step), scratch);
            }
    }
    if (planes > 1) halve(g, &whole, n, planes > 2 ? 2 : 1);
    if (!g->sums) g->epilogue(g->context, whole.sums, first, n);
}

void binnet_xnor_gemm_run(const binnet_xnor_gemm *g) {
    assert(binnet_xnor_gemm_scratch(g->kernels, g->sums ? 0 : g->n_rows, g->n_bits) <=
           g->scratch_bytes);
    binnet_run(g->parallel, (g->n_columns + BINNET_XNOR_COLUMNS - 1) / BINNET_XNOR_COLUMNS,
               block_task, (void *)(uintptr_t)g);
}
