/* Every kernel table that this processor can run equals the portable one, exactly, on random
 * shapes, with operands that end at an inaccessible page.
 * SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE
#include "../../libbinnet/internal.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

static binnet_rng stream;
static uint32_t drawn;

static uint32_t draw(uint32_t below) {
    uint8_t bytes[8];
    binnet_rng_blocks(&stream, 0, drawn++, 1, bytes);
    return binnet_get32(bytes) % below;
}

#ifdef _WIN32
static size_t page_size(void) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    return system.dwPageSize;
}

static uint8_t *map_pages(size_t n_bytes) {
    return VirtualAlloc(NULL, n_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

static int forbid_page(uint8_t *at, size_t n_bytes) {
    DWORD before;
    return VirtualProtect(at, n_bytes, PAGE_NOACCESS, &before);
}

static void unmap_pages(uint8_t *at, size_t n_bytes) {
    (void)n_bytes;
    VirtualFree(at, 0, MEM_RELEASE);
}
#else
static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

static uint8_t *map_pages(size_t n_bytes) {
    void *map = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

static int forbid_page(uint8_t *at, size_t n_bytes) {
    return mprotect(at, n_bytes, PROT_NONE) == 0;
}

static void unmap_pages(uint8_t *at, size_t n_bytes) { munmap(at, n_bytes); }
#endif

/* Memory whose last byte is followed by an inaccessible page. It is not of zeros, so that results show
 * what is read before it was written, also where no tool can: MSan and valgrind do not know AVX-512. */
typedef struct guarded {
    uint8_t *start, *map;
    size_t n_bytes, map_bytes;
} guarded;

static guarded guard(size_t n_bytes) {
    const size_t page = page_size();
    guarded g;
    g.n_bytes = n_bytes;
    g.map_bytes = (n_bytes + page - 1) / page * page + page;
    g.map = map_pages(g.map_bytes);
    if (!g.map || !forbid_page(g.map + g.map_bytes - page, page)) {
        printf("no memory for %zu bytes and a guard page\n", n_bytes);
        exit(1);
    }
    g.start = g.map + g.map_bytes - page - n_bytes;
    memset(g.start, 0xa5, n_bytes);
    return g;
}

static guarded random_bytes(size_t n_bytes) {
    guarded g = guard(n_bytes);
    for (size_t i = 0; i < n_bytes; ++i) g.start[i] = (uint8_t)draw(256);
    return g;
}

/* int8 without -128, which no error is. */
static guarded random_errors(size_t n) {
    guarded g = random_bytes(n);
    for (size_t i = 0; i < n; ++i)
        if (g.start[i] == 128) g.start[i] = draw(2) ? 127 : 129;
    return g;
}

static void release(guarded g) { unmap_pages(g.map, g.map_bytes); }

/* The training half of a table; NULL: of the portable one. */
static const binnet_training *training_of(const binnet_kernels *kernels) {
    return binnet_training_of(kernels ? kernels : &binnet_kernels_portable);
}

static int failures;

static void expect(int equal, const char *table, const char *kernel, uint32_t a, uint32_t b,
                   uint32_t c) {
    if (equal) return;
    ++failures;
    printf("%s %s differs from portable at shape %u %u %u\n", table, kernel, (unsigned)a,
           (unsigned)b, (unsigned)c);
}

/* Weight rows without stray bits beyond their end, as all rows are kept. */
static guarded random_rows(uint32_t n_rows, uint32_t n_bits, size_t *stride) {
    const uint32_t n_bytes = (n_bits + 7) / 8;
    *stride = n_bytes + draw(3);
    guarded g = random_bytes(n_rows * *stride - (*stride - n_bytes));
    for (uint32_t r = 0; r < n_rows && n_bits % 8; ++r)
        g.start[r * *stride + n_bytes - 1] &= (uint8_t)((1u << n_bits % 8) - 1u);
    return g;
}

/* Tasks from the last to the first, on alternating workers. */
static void run_backwards(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                          void *context) {
    (void)pool;
    while (n_tasks-- > 0) task(context, n_tasks, n_tasks % n_workers);
}

/* An epilogue that only stores: the whole product, [n_rows][n_columns]. */
typedef struct store {
    int32_t *sums;
    uint32_t n_columns;
} store;

static void keep(void *context, const binnet_result *r) {
    const store *s = context;
    for (uint32_t i = 0; i < r->n_rows; ++i)
        memcpy(s->sums + (size_t)(r->first_row + i) * s->n_columns + r->first_column,
               r->sums + i * r->stride, r->n_columns * sizeof *s->sums);
}

static int is_set(const binnet_selector *s, uint32_t column, uint32_t k) {
    const uint32_t row = s->by_column ? column : k, bit = s->by_column ? k : column;
    return s->bits[row * s->stride + bit / 8] >> bit % 8 & 1;
}

/* Planes of the same shape, one after another, of which the first is given. */
static guarded more_planes(guarded first, uint32_t n) {
    guarded all = guard(first.n_bytes * n);
    for (uint32_t i = 0; i < n; ++i)
        for (size_t k = 0; k < first.n_bytes; ++k)
            all.start[i * first.n_bytes + k] = (uint8_t)(i == 0 ? first.start[k] : draw(256));
    release(first);
    return all;
}

/* Against plain sums, with buffers of just the sizes that were asked for. */
static void test_product(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_columns,
                         uint32_t depth) {
    const binnet_parallel hook = {run_backwards, NULL, 3};
    const int int8 = draw(2) != 0, direct = draw(2) != 0, high = draw(4) == 0;
    const uint32_t n_workers = draw(2) ? 3 : 1;
    const int down = !kernels->transpose && draw(2); /* rows of the product are columns */
    const size_t stride = down ? 1 : depth + draw(3), step = down ? n_rows + draw(3) : 1;
    const size_t n_values = (n_rows - 1) * stride + (depth - 1) * step + 1;
    const size_t n_sums = (size_t)n_rows * n_columns;
    const size_t scratch_bytes = (size_t)binnet_gemm_scratch(kernels, direct ? 0 : n_columns);
    binnet_selector selector = {NULL, 0, draw(2) != 0};
    guarded values = int8 ? random_errors(n_values) : random_bytes(n_values);
    guarded bits = selector.by_column ? random_rows(n_columns, depth, &selector.stride)
                                      : random_rows(depth, n_columns, &selector.stride);
    const int signs = draw(2) != 0, ternary = signs && draw(2);
    const uint32_t n_digits = !signs && draw(3) == 0 ? 1 + draw(8) : 1;
    const size_t plane_bytes = bits.n_bytes;
    bits = more_planes(bits, n_digits);
    guarded high_plane = guard(bits.n_bytes);
    guarded panels = guard((size_t)binnet_gemm_panels(kernels, n_rows, n_columns, depth) *
                           (ternary ? 2 : n_digits));
    guarded scratch = guard((n_workers * scratch_bytes + 63) & ~(size_t)63);
    guarded sums = guard(n_rows * (size_t)binnet_padded(kernels, n_columns) * sizeof(int32_t));
    int32_t *product = malloc(n_sums * sizeof *product);
    store s = {product, n_columns};
    for (size_t i = 0; high && i < n_values; ++i) values.start[i] = int8 ? 129 : 255;
    for (size_t i = 0; high && i < bits.n_bytes; ++i) bits.start[i] = 255;
    selector.bits = bits.start;
    for (size_t i = 0; i < bits.n_bytes; ++i) {
        high_plane.start[i] = (uint8_t)draw(256);
        if (ternary) bits.start[i] &= high_plane.start[i];
    }
    const binnet_selector other = {high_plane.start, selector.stride, selector.by_column};
    const binnet_gemm gemm = {.kernels = kernels,
                              .parallel = n_workers > 1 ? &hook : NULL,
                              .values = values.start,
                              .stride = stride,
                              .step = step,
                              .int8 = int8,
                              .signs = signs,
                              .selector = selector,
                              .high = ternary ? high_plane.start : NULL,
                              .n_digits = n_digits,
                              .digit_bytes = plane_bytes,
                              .n_rows = n_rows,
                              .n_columns = n_columns,
                              .depth = depth,
                              .sums = direct ? (int32_t *)(void *)sums.start : NULL,
                              .epilogue = keep,
                              .context = &s,
                              .panels = panels.start,
                              .scratch = scratch.start,
                              .scratch_bytes = scratch_bytes};
    binnet_gemm_run(&gemm);
    int equal = 1;
    for (uint32_t i = 0; i < n_rows; ++i)
        for (uint32_t c = 0; c < n_columns; ++c) {
            int32_t sum = 0;
            for (uint32_t k = 0; k < depth; ++k) {
                const uint8_t v = values.start[i * stride + k * step];
                const int32_t value = int8 ? (int8_t)v : v;
                const int zero = ternary && is_set(&other, c, k) && !is_set(&selector, c, k);
                for (uint32_t d = 1; d < n_digits; ++d) {
                    const binnet_selector digit = {bits.start + d * plane_bytes, selector.stride,
                                                   selector.by_column};
                    if (is_set(&digit, c, k)) sum += value * (1 << d);
                }
                sum += is_set(&selector, c, k) ? value : signs && !zero ? -value : 0;
            }
            const size_t row = i * (size_t)kernels->panel_columns;
            equal &= sum == (direct ? gemm.sums[binnet_sum_index(kernels, n_rows, c) + row]
                                    : product[(size_t)i * n_columns + c]);
        }
    expect(equal, kernels->name, int8 ? "int8 product" : "uint8 product", n_rows, n_columns, depth);
    free(product);
    release(values), release(bits), release(high_plane);
    release(panels), release(scratch), release(sums);
}

static void test_products(const binnet_kernels *kernels) {
    static const uint32_t edges[] = {1,  2,  3,  4,  5,   7,   8,   15,  16,  17,  31, 33,
                                     63, 64, 65, 96, 127, 128, 130, 254, 255, 256, 257};
    enum { N_EDGES = sizeof edges / sizeof *edges };
    for (uint32_t i = 0; i < N_EDGES; ++i) {
        test_product(kernels, edges[i], edges[draw(N_EDGES)], edges[draw(N_EDGES)]);
        test_product(kernels, edges[draw(N_EDGES)], edges[i], edges[draw(N_EDGES)]);
        for (uint32_t k = 0; k < 4; ++k)
            test_product(kernels, 1 + draw(9), edges[draw(N_EDGES)], edges[i]);
    }
    for (uint32_t i = 0; i < 60; ++i)
        test_product(kernels, 1 + draw(30), 1 + draw(200), 1 + draw(800));
}

static void test_transpose(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_columns) {
    if (!kernels->transpose) return;
    const size_t in_stride = n_columns + draw(3), out_stride = n_rows + draw(3);
    guarded in = random_bytes((n_rows - 1) * in_stride + n_columns);
    guarded out = guard((n_columns - 1) * out_stride + n_rows);
    kernels->transpose((int8_t *)out.start, out_stride, (const int8_t *)in.start, in_stride, n_rows,
                       n_columns);
    int equal = 1;
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t n = 0; n < n_columns; ++n)
            equal &= out.start[n * out_stride + b] == in.start[b * in_stride + n];
    expect(equal, kernels->name, "transpose", n_rows, n_columns, 0);
    release(in), release(out);
}

static void test_draw_bits(const binnet_kernels *kernels, uint32_t n, uint32_t mask) {
    guarded x = random_bytes(n), random = random_bytes(n), bits = random_bytes((n + 7) / 8);
    int equal = 1;
    for (uint32_t i = 0; mask < 255 && i < n; ++i) x.start[i] = (uint8_t)draw(mask + 5);
    kernels->draw_bits(bits.start, x.start, random.start, n, mask);
    for (uint32_t i = 0; i < (n + 7) / 8 * 8; ++i)
        equal &=
            (bits.start[i / 8] >> i % 8 & 1) == (i < n && (random.start[i] & mask) < x.start[i]);
    expect(equal, kernels->name, "draw_bits", n, mask, 0);
    release(x), release(random), release(bits);
}

static void test_update(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n) {
    enum { STRIDE = 160 };
    const size_t n_weights = (size_t)n_rows * n, n_tile = (n_rows - 1) * (size_t)STRIDE + n;
    const size_t bits_stride = (n + 7) / 8;
    guarded latent[2], bits[2];
    guarded gradient = guard(n_tile * sizeof(int32_t));
    const uint32_t first_row = draw(1000), first_column = 8 * draw(100);
    const int32_t exponent = (int32_t)draw(30);
    const binnet_rule rule = {draw(8) != 0, (int32_t)(2u << exponent),
                              exponent + (int32_t)draw(16) - 15};
    int32_t peak_bits[2];
    for (size_t i = 0; i < n_tile; ++i) {
        const int32_t g = (int32_t)(draw(1u << 30) >> draw(30));
        ((int32_t *)(void *)gradient.start)[i] = draw(2) ? g : -g;
    }
    latent[0] = random_bytes(2 * n_weights);
    latent[1] = guard(2 * n_weights);
    for (size_t i = 0; i < n_weights; ++i) {
        int16_t *w = (int16_t *)(void *)latent[0].start + i;
        const uint32_t kind = draw(4); /* at the ends, at the sign, or anywhere */
        if (*w == -32768 || kind == 0) *w = draw(2) ? 32767 : -32767;
        if (kind == 1) *w = (int16_t)((int)draw(5) - 2);
    }
    memcpy(latent[1].start, latent[0].start, 2 * n_weights);
    for (int i = 0; i < 2; ++i) {
        bits[i] = guard(n_rows * bits_stride);
        memset(bits[i].start, 0, n_rows * bits_stride);
        const binnet_update u = {.rule = rule,
                                 .limit = 32767,
                                 .n_rows = n_rows,
                                 .n_columns = n,
                                 .latent = (int16_t *)(void *)latent[i].start,
                                 .latent_stride = n,
                                 .bits = bits[i].start,
                                 .bits_stride = bits_stride,
                                 .gradient = (const int32_t *)(const void *)gradient.start,
                                 .gradient_stride = STRIDE,
                                 .rng = stream,
                                 .first_row = first_row,
                                 .first_column = first_column};
        peak_bits[i] = binnet_bitlen(training_of(i ? kernels : NULL)->update(&u));
    }
    expect(peak_bits[0] == peak_bits[1] &&
               !memcmp(latent[0].start, latent[1].start, 2 * n_weights) &&
               !memcmp(bits[0].start, bits[1].start, n_rows * bits_stride),
           kernels->name, "update", n_rows, n, (uint32_t)rule.shift);
    for (int i = 0; i < 2; ++i) release(latent[i]), release(bits[i]);
    release(gradient);
}

/* Normalisation of a tile forward and backward and the quantization of its error, with one
 * table. */
typedef struct normed {
    guarded normed, activation, error, delta;
    binnet_scale scale[64];
    int32_t bias_gradient[64], peak;
} normed;

static normed normalise(const binnet_kernels *kernels, const int32_t *z, const int16_t *error,
                        const uint8_t *random, uint32_t n_rows, uint32_t n_units, int hidden) {
    const size_t n = (size_t)n_rows * n_units;
    int16_t bias[64];
    uint8_t target[64];
    normed r;
    r.normed = guard(n);
    r.activation = guard(n);
    r.error = guard(n * sizeof(int16_t));
    r.delta = guard(n);
    for (uint32_t u = 0; u < n_units; ++u) {
        bias[u] = (int16_t)((int)(u * 769 % 49153) - 24576);
        target[u] = (uint8_t)(2 + u % 47);
    }
    binnet_kernels one_panel = *kernels; /* sums of all units side by side */
    one_panel.panel_columns = n_units;
    binnet_net net;
    memset(&net, 0, sizeof net);
    net.kernels = &one_panel;
    net.training = binnet_training_of(kernels);
    binnet_layer_state layer;
    memset(&layer, 0, sizeof layer);
    layer.units = n_units;
    layer.bias = bias;
    layer.bias_gradient = r.bias_gradient;
    layer.target = hidden ? NULL : target;
    layer.scale = r.scale;
    layer.normed = (int8_t *)r.normed.start;
    layer.error = (int16_t *)(void *)r.error.start;
    layer.activation = hidden ? r.activation.start : NULL;
    layer.low_signs = hidden == 2 ? r.activation.start : NULL; /* sign activation: only asked for */
    for (uint32_t u = 0; u < n_units; u += BINNET_UNIT_BLOCK)
        binnet_norm_forward(&net, &layer, z + u, n_rows, u,
                            n_units - u < BINNET_UNIT_BLOCK ? n_units - u : BINNET_UNIT_BLOCK, 0);
    memcpy(r.error.start, error, n * sizeof(int16_t));
    r.peak = BINNET_NO_PEAK;
    for (uint32_t u = 0; u < n_units; u += BINNET_UNIT_BLOCK) {
        const uint32_t width = n_units - u < BINNET_UNIT_BLOCK ? n_units - u : BINNET_UNIT_BLOCK;
        const int32_t peak = binnet_norm_backward(&net, &layer, n_rows, u, width);
        if (peak > r.peak) r.peak = peak;
    }
    for (uint32_t u = 0; r.peak != BINNET_NO_PEAK && u < n_units; u += BINNET_UNIT_BLOCK) {
        const binnet_error_job job = {.error = (int16_t *)(void *)r.error.start + u,
                                      .stride = n_units,
                                      .n_rows = n_rows,
                                      .scale = r.scale + u,
                                      .exponent = r.peak,
                                      .random = random + u,
                                      .random_stride = n_units,
                                      .delta = (int8_t *)r.delta.start + u};
        net.training->quantize(&job,
                               n_units - u < BINNET_UNIT_BLOCK ? n_units - u : BINNET_UNIT_BLOCK);
    }
    return r;
}

static void test_norm(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_units) {
    const size_t n = (size_t)n_rows * n_units;
    guarded z = guard(n * sizeof(int32_t)), error = guard(n * sizeof(int16_t));
    guarded random = random_bytes(n);
    int32_t *sums = (int32_t *)(void *)z.start;
    int16_t *errors = (int16_t *)(void *)error.start;
    const int hidden = (int)draw(3);
    const uint32_t spread = 1u << draw(25), height = 1u << draw(16);
    for (size_t i = 0; i < n; ++i) {
        sums[i] = (int32_t)draw(spread) - (int32_t)(spread >> draw(3));
        errors[i] = (int16_t)((int32_t)draw(height) - (int32_t)(height / 2));
        if (errors[i] == -32768) errors[i] = 32767;
    }
    normed r[2];
    for (int i = 0; i < 2; ++i)
        r[i] = normalise(i ? kernels : &binnet_kernels_portable, sums, errors, random.start, n_rows,
                         n_units, hidden);
    expect(!memcmp(r[0].normed.start, r[1].normed.start, n) &&
               !memcmp(r[0].activation.start, r[1].activation.start, n) &&
               !memcmp(r[0].scale, r[1].scale, n_units * sizeof *r[0].scale),
           kernels->name, "forward normalisation", n_rows, n_units, (uint32_t)hidden);
    expect(!memcmp(r[0].error.start, r[1].error.start, n * sizeof(int16_t)) &&
               !memcmp(r[0].bias_gradient, r[1].bias_gradient, n_units * sizeof(int32_t)) &&
               r[0].peak == r[1].peak && !memcmp(r[0].delta.start, r[1].delta.start, n),
           kernels->name, "backward normalisation", n_rows, n_units, (uint32_t)hidden);
    guarded rounded[2];
    const int32_t shift = (int32_t)draw(16) - 8;
    for (size_t i = 0; i < n; ++i) sums[i] = (int32_t)draw(1u << 23) - (1 << 22);
    for (size_t i = 0; shift < 0 && i < n; ++i) sums[i] %= 1 << (15 + shift);
    for (int i = 0; i < 2; ++i) {
        rounded[i] = guard(n * sizeof(int16_t));
        training_of(i ? kernels : NULL)
            ->round_error((int16_t *)(void *)rounded[i].start, sums, shift, (uint32_t)n);
    }
    expect(!memcmp(rounded[0].start, rounded[1].start, n * sizeof(int16_t)), kernels->name,
           "round_error", (uint32_t)n, (uint32_t)shift, 0);
    for (int i = 0; i < 2; ++i)
        release(r[i].normed), release(r[i].activation), release(r[i].error), release(r[i].delta),
            release(rounded[i]);
    release(z), release(error), release(random);
}

static void test_random(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_blocks) {
    const uint32_t row = draw(1000), block = draw(1000);
    guarded a = guard((size_t)n_rows * n_blocks * 8), b = guard((size_t)n_rows * n_blocks * 8);
    training_of(kernels)->random(a.start, &stream, row, n_rows, block, n_blocks);
    for (uint32_t r = 0; r < n_rows; ++r)
        binnet_rng_blocks(&stream, row + r, block, n_blocks, b.start + 8 * (size_t)n_blocks * r);
    expect(!memcmp(a.start, b.start, (size_t)n_rows * n_blocks * 8), kernels->name, "random",
           n_rows, n_blocks, 0);
    release(a), release(b);
}

/* Rows of whole words whose bits past the end are 0. */
static guarded random_bits(uint32_t n_rows, uint32_t n_bits) {
    const size_t n_words = binnet_bits_row_words(n_bits);
    guarded g = random_bytes(n_rows * n_words * 8);
    for (uint32_t r = 0; r < n_rows; ++r)
        for (size_t i = n_bits; i < n_words * 64; ++i)
            g.start[r * n_words * 8 + i / 8] &= (uint8_t)~(1u << i % 8);
    return g;
}

/* A bit is +1 or -1; the sum of products, a bit at a time. */
static int32_t plain_xnor(const uint8_t *a, const uint8_t *b, uint32_t n_bits) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < n_bits; ++i) sum += (a[i / 8] ^ b[i / 8]) >> i % 8 & 1 ? -1 : 1;
    return sum;
}

static void test_xnor(const binnet_kernels *kernels, uint32_t n_a, uint32_t n_b, uint32_t n_bits) {
    const binnet_parallel hook = {run_backwards, NULL, 3};
    const binnet_parallel *parallel = draw(2) ? &hook : NULL;
    const size_t row_bytes = binnet_bits_row_words(n_bits) * 8;
    const size_t scratch_bytes = binnet_xnor_scratch_size(n_bits, kernels, parallel);
    guarded a = random_bits(n_a, n_bits), b = random_bits(n_b, n_bits);
    guarded scratch = random_bytes(scratch_bytes);
    guarded out = random_bytes((size_t)n_a * n_b * sizeof(int32_t));
    const int32_t *product = (const int32_t *)(const void *)out.start;
    int equal =
        binnet_xnor_matmul((const uint64_t *)(const void *)a.start, n_a,
                           (const uint64_t *)(const void *)b.start, n_b, n_bits, kernels, parallel,
                           (int32_t *)(void *)out.start, scratch.start, scratch_bytes) == BINNET_OK;
    for (uint32_t i = 0; i < n_a; ++i)
        for (uint32_t j = 0; j < n_b; ++j)
            equal &= product[(size_t)i * n_b + j] ==
                     plain_xnor(a.start + i * row_bytes, b.start + j * row_bytes, n_bits);
    expect(equal, kernels->name, "xnor", n_a, n_b, n_bits);
    release(a), release(b), release(scratch), release(out);
}

/* Planes of signs and zeros at random, without bits beyond the rows' ends. */
typedef struct planes {
    guarded low, high;
    uint32_t n_bits;
} planes;

static planes random_planes(uint32_t n_rows, uint32_t n_bits, int zeros) {
    planes p = {random_bits(n_rows, n_bits), random_bits(n_rows, n_bits), n_bits};
    for (size_t i = 0; i < p.low.n_bytes; ++i)
        p.high.start[i] = (uint8_t)(zeros ? p.high.start[i] | p.low.start[i] : p.low.start[i]);
    return p;
}

static int32_t entry(const planes *p, uint32_t row, uint32_t i) {
    const size_t at = row * binnet_bits_row_words(p->n_bits) * 8 + i / 8;
    return (p->low.start[at] >> i % 8 & 1) + (p->high.start[at] >> i % 8 & 1) - 1;
}

static void test_signs(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_columns,
                       uint32_t n_bits) {
    const binnet_parallel hook = {run_backwards, NULL, 3};
    const int a_zeros = draw(2) != 0, w_zeros = draw(2) != 0, direct = draw(2) != 0;
    const uint32_t n_workers = draw(2) ? 3 : 1;
    const size_t stride = binnet_bits_row_words(n_bits) * 8, offset = draw(2) ? draw(8) : 0;
    const size_t scratch_bytes = binnet_xnor_scratch(kernels, direct ? 0 : n_rows, n_bits);
    planes a = random_planes(n_rows, n_bits, a_zeros),
           w = random_planes(n_columns, n_bits, w_zeros);
    /* Weights may stand anywhere. */
    uint8_t *low = malloc(w.low.n_bytes + 8), *high = malloc(w.low.n_bytes + 8);
    memcpy(low + offset, w.low.start, w.low.n_bytes);
    memcpy(high + offset, w.high.start, w.low.n_bytes);
    guarded scratch = guard((n_workers * scratch_bytes + 63) & ~(size_t)63);
    guarded sums = guard(n_rows * (size_t)binnet_padded(kernels, n_columns) * sizeof(int32_t));
    int32_t *product = malloc((size_t)n_rows * n_columns * sizeof *product);
    store store = {product, n_columns};
    const binnet_gemm gemm = {.kernels = kernels,
                              .parallel = n_workers > 1 ? &hook : NULL,
                              .a = {a.low.start, a_zeros ? a.high.start : NULL, stride},
                              .selector = {low + offset, stride, 1},
                              .high = w_zeros ? high + offset : NULL,
                              .n_rows = n_rows,
                              .n_columns = n_columns,
                              .depth = n_bits,
                              .sums = direct ? (int32_t *)(void *)sums.start : NULL,
                              .epilogue = keep,
                              .context = &store,
                              .scratch = scratch.start,
                              .scratch_bytes = scratch_bytes};
    binnet_xnor_run(&gemm);
    int equal = 1;
    for (uint32_t b = 0; b < n_rows; ++b)
        for (uint32_t c = 0; c < n_columns; ++c) {
            int32_t sum = 0;
            for (uint32_t i = 0; i < n_bits; ++i) sum += entry(&a, b, i) * entry(&w, c, i);
            const size_t row = b * (size_t)kernels->panel_columns;
            equal &= sum == (direct ? gemm.sums[binnet_sum_index(kernels, n_rows, c) + row]
                                    : product[(size_t)b * n_columns + c]);
        }
    expect(equal, kernels->name, "product of signs", n_rows, n_columns, n_bits);
    free(low), free(high), free(product);
    release(a.low), release(a.high), release(w.low), release(w.high);
    release(scratch), release(sums);
}

static void test_xnor_shapes(const binnet_kernels *kernels) {
    static const uint32_t edges[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65};
    enum { N_EDGES = sizeof edges / sizeof *edges };
    for (uint32_t i = 0; i < N_EDGES; ++i) {
        test_xnor(kernels, edges[i], edges[draw(N_EDGES)], edges[draw(N_EDGES)]);
        test_xnor(kernels, edges[draw(N_EDGES)], edges[i], edges[draw(N_EDGES)]);
        for (uint32_t k = 0; k < 4; ++k)
            test_xnor(kernels, edges[draw(N_EDGES)], edges[draw(N_EDGES)], 64 * draw(9) + edges[i]);
    }
    for (uint32_t i = 0; i < 60; ++i) test_xnor(kernels, draw(30), draw(140), draw(2000));
    for (uint32_t words = 127; words <= 257; words += words % 128 == 1 ? 126 : 1)
        test_xnor(kernels, 1 + draw(5), 1 + draw(20), 64 * words - draw(64));
    test_xnor(kernels, 1030, 3, 65);
}

/* Rows of AdaMax with every value at its ends now and then. */
static void test_adamax(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n) {
    const size_t n_weights = (size_t)n_rows * n, bits_stride = (n + 7) / 8;
    guarded gradient = guard(n_weights * sizeof(int32_t)), state[2][3], bits[2];
    const binnet_momentum_rule rule = {(int32_t)draw(81) - 40, (int32_t)draw(20) - 3};
    const int32_t bound = draw(2) ? 32767 : 24576;
    for (size_t i = 0; i < n_weights; ++i) {
        const int32_t g = draw(8) ? (int32_t)(draw(1u << 30) >> draw(31)) : 0;
        ((int32_t *)(void *)gradient.start)[i] = draw(2) ? g : -g;
    }
    for (int a = 0; a < 3; ++a) {
        state[0][a] = random_bytes(2 * n_weights);
        state[1][a] = guard(2 * n_weights);
        int16_t *values = (int16_t *)(void *)state[0][a].start;
        for (size_t i = 0; i < n_weights; ++i) {
            const int32_t limit = a == 0 ? bound : 32767;
            if (draw(4) == 0) values[i] = (int16_t)(draw(2) ? limit : -limit);
            if (a < 2) values[i] = (int16_t)binnet_clamp(values[i], -limit, limit);
            if (a == 2 && draw(4) == 0) values[i] = (int16_t)(512 * ((int32_t)draw(128) - 64));
        }
        memcpy(state[1][a].start, values, 2 * n_weights);
    }
    int equal = 1;
    for (int i = 0; i < 2; ++i) {
        bits[i] = guard(n_rows * bits_stride);
        const binnet_update u = {.momentum_rule = rule,
                                 .limit = bound,
                                 .momentum = (int16_t *)(void *)state[i][1].start,
                                 .log_scale = (int16_t *)(void *)state[i][2].start,
                                 .n_rows = n_rows,
                                 .n_columns = n,
                                 .latent = (int16_t *)(void *)state[i][0].start,
                                 .latent_stride = n,
                                 .bits = bits[i].start,
                                 .bits_stride = bits_stride,
                                 .gradient = (const int32_t *)(const void *)gradient.start,
                                 .gradient_stride = n,
                                 .rng = stream};
        training_of(i ? kernels : NULL)->update(&u);
    }
    for (int a = 0; a < 3; ++a)
        equal &= !memcmp(state[0][a].start, state[1][a].start, 2 * n_weights);
    expect(equal && !memcmp(bits[0].start, bits[1].start, n_rows * bits_stride), kernels->name,
           "adamax", n_rows, n, (uint32_t)rule.shift);
    for (int i = 0; i < 2; ++i) {
        for (int a = 0; a < 3; ++a) release(state[i][a]);
        release(bits[i]);
    }
    release(gradient);
}

/* The chance of every latent weight against its formula. */
static void test_chances(const binnet_kernels *kernels) {
    enum { N = 65535 };
    static int16_t latent[N];
    static uint8_t chance[3][N];
    int equal = 1;
    for (int32_t i = 0; i < N; ++i) latent[i] = (int16_t)(i - 32767);
    for (int of = 0; of < 3; ++of)
        training_of(kernels)->chances(chance[of], latent, N, (binnet_chance)of);
    for (int32_t i = 0; i < N; ++i) {
        const int32_t w = i - 32767, a = w < 0 ? -w : w;
        equal &= chance[BINNET_POSITIVE][i] == (w + 32768 + 256) / 512;
        equal &= chance[BINNET_NONZERO][i] == (a + 128) / 256;
        equal &= chance[BINNET_CERTAIN][i] == (a > 10922 ? 128 : 0);
    }
    expect(equal, kernels->name, "chances", N, 0, 0);
}

static void test_reach(const binnet_kernels *kernels, uint32_t n) {
    guarded sums = guard(n * sizeof(int32_t)), thresholds = guard(n * sizeof(int32_t));
    guarded reached = guard(n);
    int32_t *s = (int32_t *)(void *)sums.start, *t = (int32_t *)(void *)thresholds.start;
    int equal = 1;
    for (uint32_t i = 0; i < n; ++i) {
        s[i] = (int32_t)draw(1u << 25) - (1 << 24);
        t[i] = s[i] + (int32_t)draw(3) - 1;
    }
    kernels->reach(reached.start, s, t, n);
    for (uint32_t i = 0; i < n; ++i) equal &= reached.start[i] == (s[i] >= t[i]);
    expect(equal, kernels->name, "reach", n, 0, 0);
    release(sums), release(thresholds), release(reached);
}

static void test_digits(uint32_t n, uint32_t n_digits) {
    const size_t plane = (n + 7) / 8 + draw(3);
    guarded values = random_bytes(n), planes = guard(plane * (n_digits - 1) + (n + 7) / 8);
    int equal = 1;
    binnet_split_digits(planes.start, plane, values.start, n, n_digits);
    for (uint32_t d = 0; d < n_digits; ++d)
        for (uint32_t i = 0; i < (n + 7) / 8 * 8; ++i)
            equal &= (planes.start[d * plane + i / 8] >> i % 8 & 1) ==
                     (i < n ? values.start[i] >> d & 1 : 0);
    expect(equal, "all", "split_digits", n, n_digits, 0);
    release(values), release(planes);
}

/* Bits that are moved to and from any place of a row. */
static void test_moved_bits(uint32_t at, uint32_t n) {
    const size_t n_bytes = (n + 7) / 8, row_bytes = (at + n + 7) / 8;
    guarded row = random_bytes(row_bytes), bits = random_bytes(n_bytes), back = guard(n_bytes);
    if (n & 7) bits.start[n_bytes - 1] &= (uint8_t)((1u << (n & 7)) - 1);
    guarded before = guard(row_bytes);
    memset(row.start + at / 8 + (at % 8 != 0), 0, row_bytes - at / 8 - (at % 8 != 0));
    if (at & 7) row.start[at / 8] &= (uint8_t)((1u << (at & 7)) - 1);
    memcpy(before.start, row.start, row_bytes);
    binnet_put_bits(row.start, at, bits.start, n);
    int equal = 1;
    for (uint32_t i = 0; i < 8 * row_bytes; ++i) {
        const uint8_t *from = i < at || i >= at + n ? before.start : bits.start;
        const uint32_t place = from == bits.start ? i - at : i;
        equal &= (row.start[i / 8] >> i % 8 & 1) == (from[place / 8] >> place % 8 & 1);
    }
    expect(equal, "all", "put_bits", at, n, 0);
    release(row), release(before);

    row = random_bytes(row_bytes);
    binnet_get_bits(back.start, row.start, at, n);
    equal = 1;
    for (uint32_t i = 0; i < 8 * n_bytes; ++i)
        equal &= (back.start[i / 8] >> i % 8 & 1) ==
                 (i < n ? row.start[(at + i) / 8] >> (at + i) % 8 & 1 : 0);
    expect(equal, "all", "get_bits", at, n, 0);
    release(row), release(bits), release(back);
}

/* The arguments are tables that must be supported here. */
int main(int argc, char **argv) {
    static const char *const names[] = {"portable", "avx2", "avx512", "neon"};
    stream = binnet_rng_stream(7, 64, 0, 0);
    for (size_t t = 0; t < sizeof names / sizeof *names; ++t) {
        const binnet_kernels *kernels = binnet_kernels_find(names[t]);
        if (!kernels) {
            printf("SKIPPED: %s is not supported by this processor or build\n", names[t]);
            continue;
        }
        const int before = failures;
        test_products(kernels);
        for (uint32_t i = 0; i < 40; ++i) test_transpose(kernels, 1 + draw(70), 1 + draw(140));
        for (uint32_t i = 0; i < 100; ++i)
            test_draw_bits(kernels, 1 + draw(200), draw(2) ? 31 : 255);
        for (uint32_t i = 0; i < 100; ++i) test_random(kernels, 1 + draw(9), 1 + draw(20));
        test_chances(kernels);
        for (uint32_t i = 0; i < 50; ++i) test_reach(kernels, 1 + draw(70));
        for (uint32_t i = 0; t == 0 && i < 50; ++i) test_digits(1 + draw(70), 1 + draw(8));
        for (uint32_t at = 0; t == 0 && at < 20; ++at)
            for (uint32_t n = 1; n < 40; ++n) test_moved_bits(at, n);
        test_xnor_shapes(kernels);
        for (uint32_t i = 0; i < 200; ++i)
            test_signs(kernels, 1 + draw(12), 1 + draw(150), 1 + draw(700));
        test_signs(kernels, 3, 66, 64 * 130 - 5);
        test_signs(kernels, 9, 66, 64 * 130 - 5);
        if (t == 0) { /* what follows compares with it; tests/reference.py judges it */
            printf("%s: %s\n", names[t], failures == before ? "equals plain sums" : "DIFFERS");
            continue;
        }
        for (uint32_t i = 0; i < 400; ++i) test_adamax(kernels, 1 + draw(3), 1 + draw(300));
        for (uint32_t i = 0; i < 400; ++i) test_update(kernels, 1 + draw(6), 1 + draw(160));
        for (uint32_t i = 0; i < 300; ++i) test_norm(kernels, 1 + draw(140), 1 + draw(64));
        printf("%s: %s\n", names[t], failures == before ? "equals portable" : "DIFFERS");
    }
    for (int i = 1; i < argc; ++i)
        if (!binnet_kernels_find(argv[i])) {
            ++failures;
            printf("%s is missing\n", argv[i]);
        }
    return failures != 0;
}
