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

binnet_status binnet_xnor_matmul(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b,
                                 size_t n_bits, const binnet_kernels *kernels, int32_t *product) {
    if (n_bits >= 0x80000000u) return BINNET_ERR_LIMIT;
    if (n_a == 0 || n_b == 0) return BINNET_OK;
    if (!product || (n_bits && (!a || !b))) return BINNET_ERR_ARGUMENT;
    if (!kernels) kernels = binnet_kernels_best();
    const size_t n_words = binnet_bits_row_words(n_bits);
    for (size_t i = 0; i < n_a; ++i)
        for (size_t j = 0; j < n_b; ++j) /* equal bits count +1, differing ones -1 */
            product[i * n_b + j] =
                (int32_t)((int64_t)n_bits - 2 * (int64_t)kernels->xor_count(
                                                    a + i * n_words, b + j * n_words, n_words));
    return BINNET_OK;
}
