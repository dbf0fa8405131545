/* Products of signs with rows of b packed in panels, for tables with such a kernel: as many rows
 * meet a panel as a cache holds.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* STRIP rows meet all panels: a strip, a panel and the strip's product share the first-level
 * cache. */
enum { STRIP = 8 };

/* Rows of b (columns of a product), words [0, n_words), as panels of `width` columns. */
static void pack_panels(binnet_word *panel, size_t width, const uint8_t *b, size_t b_stride,
                        size_t n_columns, size_t n_words) {
    for (size_t column = 0; column < n_columns; column += width, panel += n_words * width) {
        const size_t n = n_columns - column < width ? n_columns - column : width;
        if (n < width) memset(panel, 0, n_words * width * sizeof *panel);
        for (size_t j = 0; j < n; ++j, b += b_stride)
            for (size_t w = 0; w < n_words; ++w)
                memcpy(&panel[w * width + j], b + 8 * w, 8); /* of any alignment */
    }
}

/* All rows of `whole` against all panels of its columns. */
static void strips(const binnet_kernels *kernels, const binnet_xnor *whole, size_t panel_stride) {
    const uint32_t width = kernels->xnor_columns;
    binnet_xnor tile = *whole;
    for (uint32_t row = 0; row < whole->n_rows; row += STRIP) {
        tile.a = whole->a + row * whole->a_stride;
        tile.n_rows = binnet_least(whole->n_rows - row, STRIP);
        tile.panel = whole->panel;
        for (uint32_t column = 0; column < whole->n_columns; column += width) {
            tile.product = whole->product + row * whole->product_stride + column;
            tile.n_columns = binnet_least(whole->n_columns - column, width);
            kernels->xnor(&tile);
            tile.panel += panel_stride;
        }
    }
}

void binnet_xnor_packed(const binnet_kernels *kernels, const binnet_xnor *tile, const uint8_t *w,
                        size_t stride, uint8_t *operand) {
    const uint32_t width = kernels->xnor_columns;
    binnet_xnor whole = *tile;
    binnet_word *panels = (binnet_word *)(void *)operand;
    pack_panels(panels, width, w, stride, tile->n_columns, tile->n_words);
    whole.panel = panels;
    strips(kernels, &whole, (size_t)tile->n_words * width);
}
