/* Max-pooling of sums, before they are normalised (docs/algorithm.md, section 12).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

#if BINNET_CONVOLUTIONS
void binnet_pool(const binnet_convolution *c, const int32_t *sums, uint32_t n, uint32_t run,
                 int32_t *pooled, size_t panel_step, uint8_t *origins) {
    const uint32_t width = c->gemm.kernels->panel_columns, n_columns = c->gemm.n_columns;
    const uint32_t pool = c->image->pool;
    binnet_pool_job job = {
        .line_step = (size_t)run * pool * width, .row_step = width, .pool = pool};
    for (uint32_t column = 0; column < n_columns; column += width) {
        if (pool == 1) memcpy(pooled, sums, (size_t)n * width * sizeof *sums);
        for (uint32_t i = 0; pool > 1 && i < n; ++i)
            for (uint32_t u = column; u < column + width && u < n_columns; u += BINNET_UNIT_BLOCK) {
                job.sums =
                    sums + i / run * pool * job.line_step + i % run * pool * width + (u - column);
                job.pooled = pooled + (size_t)i * width + (u - column);
                job.n_units = binnet_block(u, n_columns, BINNET_UNIT_BLOCK);
                if (origins) job.origins = origins + i * c->origin_stride + u;
                c->gemm.kernels->pool(&job);
            }
        sums += (size_t)n * pool * pool * width;
        pooled += panel_step;
    }
}

void binnet_unpool(int8_t *to, const int8_t *error, const uint8_t *origins, uint32_t origin,
                   uint32_t n) {
    if (!origins)
        memcpy(to, error, n);
    else
        for (uint32_t m = 0; m < n; ++m) to[m] = (int8_t)(error[m] & -(origins[m] == origin));
}
#endif
