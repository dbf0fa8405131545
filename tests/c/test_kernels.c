/* Every kernel table that this processor can run equals the portable one, exactly, on random shapes, with operands that
 * end at an inaccessible page.
 * SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE
#include "../../libbinnet/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static binnet_rng stream;
static uint32_t drawn;

static uint32_t draw(uint32_t below) {
    uint8_t bytes[8];
    binnet_rng_blocks(&stream, 0, drawn++, 1, bytes);
    return binnet_get32(bytes) % below;
}

/* Memory whose last byte is followed by an inaccessible page. */
typedef struct guarded {
    uint8_t *start, *map;
    size_t map_bytes;
} guarded;

static guarded guard(size_t n_bytes) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded g;
    g.map_bytes = (n_bytes + page - 1) / page * page + page;
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + g.map_bytes - page, page, PROT_NONE) != 0) {
        perror("mmap");
        exit(1);
    }
    g.start = g.map + g.map_bytes - page - n_bytes;
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

static void release(guarded g) { munmap(g.map, g.map_bytes); }

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

/* The sums of a whole product, whatever the table's tiles are: an epilogue that only stores. */
typedef struct store {
    int32_t *sums;
    size_t stride;
} store;

static void keep(void *context, const binnet_result *r) {
    const store *s = context;
    for (uint32_t i = 0; i < r->n_rows; ++i)
        memcpy(s->sums + (r->first_row + i) * s->stride + r->first_column, r->sums + i * r->stride,
               r->n_columns * sizeof *s->sums);
}

typedef struct product {
    int32_t *forward, *backward, *outer;
} product;

typedef struct operands {
    guarded x, bits, delta;
    size_t bits_stride;
    uint32_t batch, fan_in, units, doubling;
} operands;

static product multiply(const binnet_kernels *kernels, const operands *o) {
    const size_t scratch_bytes =
        (size_t)binnet_gemm_scratch(kernels, o->batch, o->fan_in, o->units);
    guarded scratch = guard((scratch_bytes + 63) & ~(size_t)63);
    uint8_t *interleaved =
        malloc((size_t)binnet_gemm_interleaved_bytes(kernels, o->batch, o->units) + 1);
    product p = {malloc(sizeof(int32_t) * o->batch * o->units),
                 malloc(sizeof(int32_t) * o->batch * o->fan_in),
                 malloc(sizeof(int32_t) * o->units * o->fan_in)};
    store s = {p.forward, o->units};
    binnet_gemm gemm = {kernels,
                        NULL,
                        scratch.start,
                        scratch_bytes,
                        o->bits.start,
                        o->bits_stride,
                        o->fan_in,
                        o->units,
                        o->batch,
                        keep,
                        &s};
    const binnet_input input = {o->x.start, o->fan_in, o->doubling};
    const binnet_rng rng = binnet_rng_stream(1, BINNET_RANDOM_OUTER, 0, 0);
    binnet_gemm_forward(&gemm, input);
    s.sums = p.backward;
    s.stride = o->fan_in;
    binnet_gemm_backward(&gemm, (const int8_t *)o->delta.start);
    s.sums = p.outer;
    binnet_gemm_outer(&gemm, (const int8_t *)o->delta.start, interleaved, input, &rng);
    free(interleaved);
    release(scratch);
    return p;
}

static void test_products(const binnet_kernels *kernels, uint32_t batch, uint32_t fan_in,
                          uint32_t units) {
    operands o;
    o.batch = batch;
    o.fan_in = fan_in;
    o.units = units;
    o.doubling = draw(2);
    o.x = random_bytes((size_t)batch * fan_in);
    for (size_t i = 0; o.doubling && i < (size_t)batch * fan_in; ++i) o.x.start[i] &= 127;
    o.delta = random_errors((size_t)batch * units);
    o.bits = random_rows(units, fan_in, &o.bits_stride);
    const product a = multiply(kernels, &o), b = multiply(&binnet_kernels_portable, &o);
    expect(!memcmp(a.forward, b.forward, sizeof(int32_t) * batch * units), kernels->name, "forward",
           batch, fan_in, units);
    expect(!memcmp(a.backward, b.backward, sizeof(int32_t) * batch * fan_in), kernels->name,
           "backward", batch, fan_in, units);
    expect(!memcmp(a.outer, b.outer, sizeof(int32_t) * units * fan_in), kernels->name, "outer",
           batch, fan_in, units);
    free(a.forward), free(a.backward), free(a.outer);
    free(b.forward), free(b.backward), free(b.outer);
    release(o.x), release(o.delta), release(o.bits);
}

static void test_update(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n) {
    enum { STRIDE = 64 };
    const size_t n_weights = (size_t)n_rows * n, n_tile = (n_rows - 1) * (size_t)STRIDE + n;
    const size_t bits_stride = (n + 7) / 8;
    guarded latent[2], bits[2];
    guarded gradient = guard(n_tile * sizeof(int32_t));
    guarded random = random_bytes(n_tile);
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
                                 .n_rows = n_rows,
                                 .n_columns = n,
                                 .latent = (int16_t *)(void *)latent[i].start,
                                 .latent_stride = n,
                                 .bits = bits[i].start,
                                 .bits_stride = bits_stride,
                                 .gradient = (const int32_t *)(const void *)gradient.start,
                                 .random = random.start,
                                 .stride = STRIDE};
        peak_bits[i] = binnet_bitlen((i ? kernels : &binnet_kernels_portable)->update(&u));
    }
    expect(peak_bits[0] == peak_bits[1] &&
               !memcmp(latent[0].start, latent[1].start, 2 * n_weights) &&
               !memcmp(bits[0].start, bits[1].start, n_rows * bits_stride),
           kernels->name, "update", n_rows, n, (uint32_t)rule.shift);
    for (int i = 0; i < 2; ++i) release(latent[i]), release(bits[i]);
    release(gradient), release(random);
}

/* Normalisation of a tile forward and backward and the quantization of its error, with one table. */
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
    binnet_layer_state layer;
    memset(&layer, 0, sizeof layer);
    layer.units = n_units;
    layer.bias = bias;
    layer.bias_gradient = r.bias_gradient;
    layer.target = hidden ? NULL : target;
    layer.scale = r.scale;
    layer.normed = (int8_t *)r.normed.start;
    layer.activation = hidden ? r.activation.start : NULL;
    const binnet_result tile = {
        .sums = z, .stride = n_units, .n_rows = n_rows, .n_columns = n_units};
    binnet_norm_forward(kernels, &layer, &tile, 0);
    memcpy(r.error.start, error, n * sizeof(int16_t));
    r.peak = BINNET_NO_PEAK;
    for (uint32_t u = 0; u < n_units; u += BINNET_UNIT_BLOCK) {
        const uint32_t width = n_units - u < BINNET_UNIT_BLOCK ? n_units - u : BINNET_UNIT_BLOCK;
        const int32_t peak = binnet_norm_backward(kernels, &layer, (int16_t *)(void *)r.error.start,
                                                  n_rows, u, width);
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
        kernels->quantize(&job, n_units - u < BINNET_UNIT_BLOCK ? n_units - u : BINNET_UNIT_BLOCK);
    }
    return r;
}

static void test_norm(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_units) {
    const size_t n = (size_t)n_rows * n_units;
    guarded z = guard(n * sizeof(int32_t)), error = guard(n * sizeof(int16_t));
    guarded random = random_bytes(n);
    int32_t *sums = (int32_t *)(void *)z.start;
    int16_t *errors = (int16_t *)(void *)error.start;
    const int hidden = draw(2) != 0;
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
        (i ? kernels : &binnet_kernels_portable)
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
    kernels->random(a.start, &stream, row, n_rows, block, n_blocks);
    binnet_kernels_portable.random(b.start, &stream, row, n_rows, block, n_blocks);
    expect(!memcmp(a.start, b.start, (size_t)n_rows * n_blocks * 8), kernels->name, "random",
           n_rows, n_blocks, 0);
    release(a), release(b);
}

static void test_power_of_two(const binnet_kernels *kernels, uint32_t n, uint32_t doubling) {
    guarded x = random_bytes(n), random = random_bytes(n), a = guard(n), b = guard(n);
    for (uint32_t i = 0; i < n; ++i) x.start[i] = (uint8_t)(x.start[i] >> (draw(9) + doubling));
    kernels->power_of_two(a.start, x.start, random.start, n, doubling);
    binnet_kernels_portable.power_of_two(b.start, x.start, random.start, n, doubling);
    expect(!memcmp(a.start, b.start, n), kernels->name, "power_of_two", n, doubling, 0);
    release(x), release(random), release(a), release(b);
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

/* Tasks from the last to the first, on alternating workers. */
static void run_backwards(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                          void *context) {
    (void)pool;
    while (n_tasks-- > 0) task(context, n_tasks, n_tasks % n_workers);
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

/* The portable table against plain sums, so that the others are not compared with an error. */
static void test_portable(uint32_t batch, uint32_t fan_in, uint32_t units) {
    operands o;
    o.batch = batch;
    o.fan_in = fan_in;
    o.units = units;
    o.doubling = 0;
    o.x = random_bytes((size_t)batch * fan_in);
    o.delta = random_errors((size_t)batch * units);
    o.bits = random_rows(units, fan_in, &o.bits_stride);
    const product p = multiply(&binnet_kernels_portable, &o);
    const int8_t *delta = (const int8_t *)o.delta.start;
    const binnet_rng rng = binnet_rng_stream(1, BINNET_RANDOM_OUTER, 0, 0);
#define WEIGHT(m, n) ((o.bits.start[(m) * o.bits_stride + (n) / 8] >> (n) % 8 & 1) * 2 - 1)
    for (uint32_t b = 0; b < batch; ++b)
        for (uint32_t m = 0; m < units; ++m) {
            int32_t sum = 0;
            for (uint32_t n = 0; n < fan_in; ++n) sum += WEIGHT(m, n) * o.x.start[b * fan_in + n];
            expect(sum == p.forward[b * units + m], "portable", "forward", b, m, 0);
        }
    for (uint32_t b = 0; b < batch; ++b)
        for (uint32_t n = 0; n < fan_in; ++n) {
            int32_t sum = 0;
            for (uint32_t m = 0; m < units; ++m) sum += WEIGHT(m, n) * delta[b * units + m];
            expect(sum == p.backward[b * fan_in + n], "portable", "backward", b, n, 0);
        }
    for (uint32_t m = 0; m < units; ++m)
        for (uint32_t n = 0; n < fan_in; ++n) {
            int32_t sum = 0;
            for (uint32_t b = 0; b < batch; ++b) {
                uint8_t random[8];
                binnet_rng_blocks(&rng, b, n / 8, 1, random);
                const uint32_t code = binnet_power_code(o.x.start[b * fan_in + n], random[n % 8]);
                sum += delta[b * units + m] * (code ? 1 << (code - 1) : 0);
            }
            expect(sum == p.outer[m * fan_in + n], "portable", "outer", m, n, 0);
        }
#undef WEIGHT
    free(p.forward), free(p.backward), free(p.outer);
    release(o.x), release(o.delta), release(o.bits);
}

int main(void) {
    static const uint32_t edges[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 130};
    static const char *const names[] = {"avx2", "avx512", "neon"};
    enum { N_EDGES = sizeof edges / sizeof *edges };
    stream = binnet_rng_stream(7, 64, 0, 0);
    test_portable(5, 37, 19);
    test_portable(33, 16, 3);
    test_xnor_shapes(&binnet_kernels_portable);
    for (size_t t = 0; t < sizeof names / sizeof *names; ++t) {
        const binnet_kernels *kernels = binnet_kernels_find(names[t]);
        if (!kernels) {
            printf("SKIPPED: %s is not supported by this processor or build\n", names[t]);
            continue;
        }
        const int before = failures;
        for (uint32_t i = 0; i < N_EDGES; ++i) {
            test_products(kernels, edges[i], edges[draw(N_EDGES)], edges[draw(N_EDGES)]);
            test_products(kernels, edges[draw(N_EDGES)], edges[i], edges[draw(N_EDGES)]);
            test_products(kernels, edges[draw(N_EDGES)], edges[draw(N_EDGES)], edges[i]);
        }
        for (uint32_t i = 0; i < 40; ++i)
            test_products(kernels, 1 + draw(140), 1 + draw(300), 1 + draw(300));
        for (uint32_t i = 0; i < 400; ++i) test_update(kernels, 1 + draw(6), 1 + draw(64));
        for (uint32_t i = 0; i < 300; ++i) test_norm(kernels, 1 + draw(140), 1 + draw(64));
        for (uint32_t i = 0; i < 100; ++i) test_random(kernels, 1 + draw(9), 1 + draw(20));
        for (uint32_t i = 0; i < 200; ++i) test_power_of_two(kernels, draw(200), draw(2));
        test_xnor_shapes(kernels);
        printf("%s: %s\n", names[t], failures == before ? "equals portable" : "DIFFERS");
    }
    return failures != 0;
}
