/* Packed ±1 matrices and their product.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

size_t binnet_bits_row_words(size_t n_bits) { return n_bits / 64 + (n_bits % 64 != 0); }

binnet_status binnet_bits_pack(const int8_t *values, size_t n_rows, size_t n_bits, uint64_t *bits) {
    if (n_rows == 0 || n_bits == 0) return BINNET_OK;
    if (!values || !bits) return BINNET_ERR_ARGUMENT;
    const size_t row_bytes = binnet_bits_row_words(n_bits) * 8;
    uint8_t *row = (uint8_t *)bits;
    for (size_t r = 0; r < n_rows; ++r, row += row_bytes, values += n_bits) {
        memset(row, 0, row_bytes);
        for (size_t i = 0; i < n_bits; ++i)
            if (values[i] >= 0) row[i >> 3] = (uint8_t)(row[i >> 3] | 1u << (i & 7));
    }
    return BINNET_OK;
}

/* ---- Product -------------------------------------------------------------------------------- */

/* A task is ROW_BLOCK rows of a, 1 MiB of words that stay in a second-level cache from task to
 * task, times COLUMN_BLOCK rows of b, packed once into 64 KiB of panels there. */
enum { ROW_BLOCK = 1024, COLUMN_BLOCK = 64 };

typedef struct xnor_job {
    const uint64_t *a, *b;
    size_t n_a, n_b, n_bits, n_words;
    const binnet_kernels *kernels;
    int32_t *product;
    uint8_t *scratch; /* [n_workers][panel_bytes] */
    size_t panel_bytes;
    size_t n_column_blocks;
} xnor_job;

static size_t min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t blocks(size_t n, size_t block) { return n / block + (n % block != 0); }

/* Bytes of a worker's panels. */
static size_t panel_bytes(size_t n_words, const binnet_kernels *kernels) {
    if (!binnet_packs_xnor(kernels)) return 0;
    return min_size(n_words, BINNET_XNOR_WORDS) * COLUMN_BLOCK * sizeof(uint64_t);
}

static void xnor_task(void *context, uint32_t task, uint32_t worker) {
    const xnor_job *job = context;
    const size_t row = task / job->n_column_blocks * ROW_BLOCK;
    const size_t column = task % job->n_column_blocks * COLUMN_BLOCK;
    binnet_xnor whole;
    whole.product = job->product + row * job->n_b + column;
    whole.product_stride = job->n_b;
    whole.a_stride = job->n_words;
    whole.n_rows = (uint32_t)min_size(job->n_a - row, ROW_BLOCK);
    whole.n_columns = (uint32_t)min_size(job->n_b - column, COLUMN_BLOCK);
    for (size_t w = 0; w < job->n_words; w += BINNET_XNOR_WORDS) {
        const uint64_t *b = job->b + column * job->n_words + w;
        whole.a = job->a + row * job->n_words + w;
        whole.n_words = (uint32_t)min_size(job->n_words - w, BINNET_XNOR_WORDS);
        whole.n_bits = (int32_t)min_size(job->n_bits - w * 64, 64 * BINNET_XNOR_WORDS);
        whole.add = w > 0;
        if (binnet_packs_xnor(job->kernels))
            job->kernels->xnor_packed(job->kernels, &whole, (const uint8_t *)b,
                                      job->n_words * sizeof *b,
                                      job->scratch + worker * job->panel_bytes);
        else
            binnet_xnor_by_row(job->kernels, &whole, (const uint8_t *)b, job->n_words * sizeof *b,
                               NULL);
    }
}

size_t binnet_xnor_scratch_size(size_t n_bits, const binnet_kernels *kernels,
                                const binnet_parallel *parallel) {
    if (!kernels) kernels = binnet_kernels_best();
    return panel_bytes(binnet_bits_row_words(n_bits), kernels) *
           (parallel ? parallel->n_workers : 1);
}

binnet_status binnet_xnor_matmul(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b,
                                 size_t n_bits, const binnet_kernels *kernels,
                                 const binnet_parallel *parallel, int32_t *product, void *scratch,
                                 size_t scratch_bytes) {
    if (parallel &&
        (!parallel->run || parallel->n_workers < 1 || parallel->n_workers > BINNET_MAX_WORKERS))
        return BINNET_ERR_ARGUMENT;
    if (n_bits >= 0x80000000u) return BINNET_ERR_LIMIT;
    if (n_a == 0 || n_b == 0) return BINNET_OK;
    if (!kernels) kernels = binnet_kernels_best();
    const size_t needed = binnet_xnor_scratch_size(n_bits, kernels, parallel);
    if (!product || (n_bits && (!a || !b)) || (needed && !scratch)) return BINNET_ERR_ARGUMENT;
    if (scratch_bytes < needed) return BINNET_ERR_BUFFER_SIZE;
    if ((uintptr_t)scratch % BINNET_ALIGNMENT != 0) return BINNET_ERR_ALIGNMENT;
    if (n_bits == 0) {
        memset(product, 0, n_a * n_b * sizeof *product);
        return BINNET_OK;
    }
    xnor_job job = {a,       b,       n_a,     n_b, n_bits, binnet_bits_row_words(n_bits),
                    kernels, product, scratch, 0,   0};
    job.panel_bytes = panel_bytes(job.n_words, kernels);
    job.n_column_blocks = blocks(n_b, COLUMN_BLOCK);
    const size_t n_blocks = blocks(n_a, ROW_BLOCK);
    if (job.n_column_blocks > UINT32_MAX / n_blocks) return BINNET_ERR_LIMIT;
    binnet_run(parallel, (uint32_t)(n_blocks * job.n_column_blocks), xnor_task, &job);
    return BINNET_OK;
}
