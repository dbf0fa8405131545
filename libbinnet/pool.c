/* Max-pooling of sums, before they are normalised (docs/algorithm.md, section 12).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
/* The largest of pool · pool rows, line by line, side by side; and the number of the first that has
 * it. */
static void largest(const int32_t *sums, size_t row_step, size_t line_step, uint32_t pool,
                    uint32_t n, int32_t *pooled, uint8_t *origins) {
    int32_t most[BINNET_UNIT_BLOCK], origin[BINNET_UNIT_BLOCK] = {0};
    for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) most[u] = sums[u];
    for (uint32_t i = 1; i < pool * pool; ++i) {
        const int32_t *row = sums + i / pool * line_step + i % pool * row_step;
        for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) {
            const int32_t more = -(row[u] > most[u]);
            most[u] = (row[u] & more) | (most[u] & ~more);
            origin[u] = ((int32_t)i & more) | (origin[u] & ~more);
        }
    }
    memcpy(pooled, most, sizeof most);
    for (uint32_t u = 0; origins && u < n; ++u) origins[u] = (uint8_t)origin[u];
}

void binnet_pool(const binnet_convolution *c, const int32_t *sums, uint32_t n, uint32_t run,
                 int32_t *pooled, size_t panel_step, uint8_t *origins) {
    const uint32_t width = c->gemm.kernels->panel_columns, n_columns = c->gemm.n_columns;
    const uint32_t pool = c->image->pool;
    const size_t line_step = (size_t)run * pool * width;
    for (uint32_t column = 0; column < n_columns; column += width) {
        for (uint32_t i = 0; i < n; ++i) {
            const int32_t *row = sums + i / run * pool * line_step + i % run * pool * width;
            for (uint32_t u = 0; u < width && column + u < n_columns; u += BINNET_UNIT_BLOCK)
                largest(row + u, width, line_step, pool,
                        binnet_block(column + u, n_columns, BINNET_UNIT_BLOCK),
                        pooled + (size_t)i * width + u,
                        origins ? origins + i * c->origin_stride + column + u : NULL);
        }
        sums += (size_t)n * pool * pool * width;
        pooled += panel_step;
    }
}

void binnet_unpool(const binnet_image *image, uint32_t units, const int8_t *error,
                   const uint8_t *origins, int8_t *unpooled) {
    const uint32_t pool = image->pool;
    const size_t line = (size_t)image->out_width * pool * units;
    for (uint32_t x = 0; x < image->out_width; ++x, error += units, origins += units)
        for (uint32_t u = 0; u < pool * pool; ++u) {
            int8_t *to = unpooled + u / pool * line + (x * pool + u % pool) * (size_t)units;
            for (uint32_t m = 0; m < units; ++m) to[m] = (int8_t)(error[m] & -(origins[m] == u));
        }
}
#endif
