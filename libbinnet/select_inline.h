/* What all kernels that look sums up do alike. A kernels_*.c has its own tables, indices and
 * blocks, and compiles these for its instruction set.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_SELECT_INLINE_H
#define BINNET_SELECT_INLINE_H

#include "internal.h"

/* Defines `select`: a chunk of the depth after the other, whose 16-bit sums cannot overflow, all
 * panels against the tables of its values. `target` is the instruction set's attribute; ROWS,
 * COLUMNS, GROUP, DEPTH, make_tables and select_block are the file's; `most` panels make a block;
 * the tables of a row begin row_bytes after the row's before; sum_row sums a row. */
#define BINNET_DEFINE_SELECT(target, most, row_bytes, sum_row)                                     \
    target BINNET_INLINE void select_all(const int int8, const binnet_select *t) {                 \
        const uint32_t n_panels = (t->n_columns + COLUMNS - 1) / COLUMNS;                          \
        int32_t first_start[ROWS] = {0};                                                           \
        for (uint32_t i = 0; t->signs && !t->add && i < t->n_rows; ++i)                            \
            first_start[i] = -sum_row(t->values + i * t->stride, int8, t->depth);                  \
        for (uint32_t k = 0; k < t->depth; k += DEPTH) {                                           \
            const uint32_t n = t->depth - k < DEPTH ? t->depth - k : DEPTH;                        \
            const uint32_t group = k / GROUP, n_groups = (n + GROUP - 1) / GROUP;                  \
            const int32_t *start = k || t->add ? NULL : first_start;                               \
            for (uint32_t i = 0; i < t->n_rows; ++i)                                               \
                make_tables(int8, t->tables + i * (row_bytes), t->values + i * t->stride + k, n);  \
            for (uint32_t p = 0; p < n_panels;) {                                                  \
                const int whole = p + (most) <= n_panels;                                          \
                if (whole && t->n_rows == ROWS)                                                    \
                    select_block(int8, ROWS, most, t, 0, p, group, n_groups, start);               \
                for (uint32_t i = 0; whole && t->n_rows < ROWS && i < t->n_rows; ++i)              \
                    select_block(int8, 1, most, t, i, p, group, n_groups, start);                  \
                for (uint32_t i = 0; !whole && i < t->n_rows; ++i)                                 \
                    select_block(int8, 1, 1, t, i, p, group, n_groups, start);                     \
                p += whole ? (most) : 1;                                                           \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    target static void select_packed(const binnet_select *t) {                                     \
        if (t->int8)                                                                               \
            select_all(1, t);                                                                      \
        else                                                                                       \
            select_all(0, t);                                                                      \
    }

/* Defines `plain` by masked_sum of the file: the sum of a row's bytes whose bits are set. */
#define BINNET_DEFINE_PLAIN(target)                                                                \
    target static void plain(const binnet_select *t) {                                             \
        if (t->int8 || !t->signs || t->add || !t->selector.by_column) {                            \
            binnet_plain(t, COLUMNS);                                                              \
            return;                                                                                \
        }                                                                                          \
        for (uint32_t i = 0; i < t->n_rows; ++i) {                                                 \
            const uint8_t *row = t->values + i * t->stride;                                        \
            const int32_t less = binnet_total(row, 1, 0, t->depth);                                \
            int32_t *sums = t->sums + i * t->row_step;                                             \
            for (uint32_t c = 0; c < t->n_columns; ++c) {                                          \
                const uint8_t *bits = t->selector.bits + c * t->selector.stride;                   \
                const int32_t sum = masked_sum(row, bits, t->depth);                               \
                sums[c / COLUMNS * t->panel_step + c % COLUMNS] = sum + sum - less;                \
            }                                                                                      \
        }                                                                                          \
    }

#endif
