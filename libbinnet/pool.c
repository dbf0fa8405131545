/* Max-pooling of sums, before they are normalised (docs/algorithm.md, section 12).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
/* The largest of so many rows, side by side, and the number of the first that has it. */
static void largest(const int32_t *sums, size_t stride, uint32_t n_rows, uint32_t n,
                    int32_t *pooled, uint8_t *origins) {
    int32_t most[BINNET_UNIT_BLOCK], origin[BINNET_UNIT_BLOCK] = {0};
    for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) most[u] = sums[u];
    for (uint32_t i = 1; i < n_rows; ++i) {
        sums += stride;
        for (uint32_t u = 0; u < BINNET_UNIT_BLOCK; ++u) {
            const int32_t more = -(sums[u] > most[u]);
            most[u] = (sums[u] & more) | (most[u] & ~more);
            origin[u] = ((int32_t)i & more) | (origin[u] & ~more);
        }
    }
    memcpy(pooled, most, sizeof most);
    for (uint32_t u = 0; origins && u < n; ++u) origins[u] = (uint8_t)origin[u];
}

void binnet_pool(const binnet_convolution *c, const int32_t *sums, uint32_t n, int32_t *pooled,
                 uint8_t *origins) {
    const uint32_t width = c->gemm.kernels->panel_columns, n_columns = c->gemm.n_columns;
    const uint32_t size = c->image->pool * c->image->pool;
    for (uint32_t column = 0; column < n_columns; column += width) {
        int32_t *out = pooled;
        for (uint32_t i = 0; i < n; ++i, sums += size * width, out += width)
            for (uint32_t u = 0; u < width; u += BINNET_UNIT_BLOCK)
                if (column + u < n_columns)
                    largest(sums + u, width, size,
                            binnet_block(column + u, n_columns, BINNET_UNIT_BLOCK), out + u,
                            origins ? origins + i * c->origin_stride + column + u : NULL);
        pooled += c->panel_step;
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
