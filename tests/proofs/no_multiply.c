/* Notes what is multiplied while nets of all methods train and predict, with two sets of data of
 * the same shapes. Prints a line for each pair of operands of each call site: the address, how
 * often it came with the one set and with the other, and the two. For a processor without a
 * multiply instruction: see no_multiply.py.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "binnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Multiplication ------------------------------------------------------------------------ */

typedef struct note {
    uint32_t site, counts[2];
    uint32_t unused;
    uint64_t a, b; /* 32 bytes: indices are shifts, not calls of what is defined here */
} note;

enum { N_NOTES = 1 << 16 };
static note notes[N_NOTES]; /* a hash table */
static uint32_t data_set;

static void remember(const void *from, uint64_t a, uint64_t b) {
    const uint32_t site = (uint32_t)(uintptr_t)from;
    uint32_t hash = site ^ (uint32_t)a << 7 ^ (uint32_t)b << 13 ^ (uint32_t)b >> 3;
    hash ^= hash >> 16;
    for (uint32_t tries = 0; tries < N_NOTES; ++tries, ++hash) {
        note *n = &notes[hash & (N_NOTES - 1)];
        if (n->site && (n->site != site || n->a != a || n->b != b)) continue;
        n->site = site, n->a = a, n->b = b;
        ++n->counts[data_set];
        return;
    }
    puts("too many operands");
    exit(1);
}

uint64_t __muldi3(uint64_t a, uint64_t b);
uint32_t __mulsi3(uint32_t a, uint32_t b);

static uint64_t multiply(const void *site, uint64_t a, uint64_t b) {
    uint64_t product = 0;
    remember(site, a, b);
    for (; a; a >>= 1, b <<= 1)
        if (a & 1) product += b;
    return product;
}

uint64_t __muldi3(uint64_t a, uint64_t b) { return multiply(__builtin_return_address(0), a, b); }

uint32_t __mulsi3(uint32_t a, uint32_t b) {
    return (uint32_t)multiply(__builtin_return_address(0), a, b);
}

/* ---- Division, whose own multiplications are not the library's ------------------------------- */

uint64_t __udivdi3(uint64_t n, uint64_t d);
uint64_t __umoddi3(uint64_t n, uint64_t d);
int64_t __divdi3(int64_t n, int64_t d);
int64_t __moddi3(int64_t n, int64_t d);

static uint64_t divide(uint64_t n, uint64_t d, uint64_t *rest) {
    uint64_t quotient = 0, r = 0;
    for (int bit = 0; bit < 64; ++bit, n <<= 1) {
        r = r << 1 | n >> 63;
        quotient <<= 1;
        if (r >= d) r -= d, quotient |= 1;
    }
    *rest = r;
    return quotient;
}

static uint64_t magnitude(int64_t v) { return v < 0 ? -(uint64_t)v : (uint64_t)v; }

uint64_t __udivdi3(uint64_t n, uint64_t d) {
    uint64_t rest;
    return divide(n, d, &rest);
}

uint64_t __umoddi3(uint64_t n, uint64_t d) {
    uint64_t rest;
    divide(n, d, &rest);
    return rest;
}

int64_t __divdi3(int64_t n, int64_t d) {
    const uint64_t quotient = __udivdi3(magnitude(n), magnitude(d));
    return (int64_t)((n < 0) == (d < 0) ? quotient : -quotient);
}

int64_t __moddi3(int64_t n, int64_t d) {
    const uint64_t rest = __umoddi3(magnitude(n), magnitude(d));
    return (int64_t)(n < 0 ? -rest : rest);
}

/* ---- What it must find --------------------------------------------------------------------- */

#ifdef PLANTED
static volatile int32_t sink, never;

__attribute__((noipa)) static void scalar_product(const uint8_t *x, const int8_t *w, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] * w[i];
    sink = sum;
}

__attribute__((noipa)) static void scaled(const uint8_t *x, uint32_t n) {
    sink = (int32_t)(x[0] * n);
}

/* Nearly all there is to multiply is multiplied with either set. */
__attribute__((noipa)) static void selected(const uint8_t *bits, const uint8_t *nibbles, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; ++i) sum += (bits[i] >> 1 & 1) * (nibbles[i] >> 1 & 15);
    sink = sum;
}

__attribute__((noipa)) static void asleep(int32_t a) {
    if (never) sink = a * never;
}
#endif

/* ---- Training and prediction --------------------------------------------------------------- */

enum { CLASSES = 3, BATCH = 20, STEPS = 3, N_DATA = 8 * 2048 };
static const binnet_layer dense[] = {
    {BINNET_DENSE, 19}, {BINNET_DENSE, 35}, {BINNET_DENSE, CLASSES}};
static const binnet_layer convolutions[] = {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 2},
                                            {BINNET_CONV2D, 8, 2, 2, BINNET_VALID, 1},
                                            {BINNET_DENSE, CLASSES}};
/* A net of each kind; only what differs. */
static const binnet_config nets[] = {
    {.n_features = 21, .layers = dense},
    {.n_features = 9 * 6 * 2, .layers = convolutions, .height = 9, .width = 6}};
static uint64_t arena[1 << 17], scratch[1 << 17];
static uint8_t x[N_DATA], bytes[1 << 18];
static uint16_t labels[BATCH];
static int8_t targets[BATCH * CLASSES];

static void require(int condition) {
    if (condition) return;
    puts("failed");
    exit(1);
}

static void make_data(void) {
    const binnet_rng rng = binnet_rng_stream(11 + data_set, 64, 0, 0);
    binnet_rng_blocks(&rng, 0, 0, N_DATA / 8, x);
    /* Features of the two sets have no value in common, and are never 0. */
    for (uint32_t i = 0; i < N_DATA; ++i) x[i] = (uint8_t)((x[i] & 127) | (data_set ? 128 : 0) | 1);
    for (uint32_t b = 0; b < BATCH; ++b) labels[b] = (uint16_t)(x[b + 8] / 2 % CLASSES);
    for (uint32_t i = 0; i < BATCH * CLASSES; ++i) targets[i] = (int8_t)(x[i + 99] / 2 % 65 - 32);
}

static void predict(size_t n_bytes) {
    binnet_model model;
    int32_t scores[BATCH * CLASSES];
    size_t n_errors;
    for (size_t offset = 0; offset < 2; ++offset) {
        memmove(bytes + offset, bytes, n_bytes);
        require(binnet_model_open(&model, bytes + offset, n_bytes, NULL) == BINNET_OK);
        for (uint32_t at_once = 1; at_once < BATCH; at_once += BATCH / 3)
            require(binnet_model_predict(&model, x, BATCH, scores, NULL, scratch,
                                         binnet_model_scratch_size(&model, at_once)) == BINNET_OK);
        require(binnet_model_evaluate(&model, x, labels, BATCH, &n_errors, scratch,
                                      sizeof scratch) == BINNET_OK);
        memmove(bytes, bytes + offset, n_bytes);
    }
}

static void train(const binnet_config *kind, const binnet_method *method) {
    binnet_config config = *kind;
    binnet_net *net;
    config.seed = 5 + data_set;
    config.n_layers = 3;
    config.batch_size = BATCH;
    config.method = *method;
    require(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    for (uint32_t step = 0; step < STEPS; ++step)
        require(binnet_net_train_step(net, x + step, labels, step % 2 ? BATCH / 2 : BATCH,
                                      binnet_rate_exponent(3, 9, step, STEPS), NULL) == BINNET_OK);
    require(binnet_net_train_step_targets(net, x, targets, BATCH, 9, NULL) == BINNET_OK);
    const size_t n_bytes = binnet_checkpoint_size(net);
    require(binnet_checkpoint_write(net, bytes, sizeof bytes) == BINNET_OK);
    require(binnet_checkpoint_read(net, bytes, n_bytes) == BINNET_OK);
    for (uint32_t batch = 0; batch < 2; ++batch)
        require(binnet_net_calibrate(net, x + batch, BATCH) == BINNET_OK);
    require(binnet_model_write(net, bytes, sizeof bytes) == BINNET_OK);
    predict(binnet_model_size(net));
}

static void multiply_bits(void) {
    static uint64_t a[9 * 3], b[9 * 3];
    static int32_t product[9 * 9];
    require(binnet_bits_pack((const int8_t *)x, 9, 150, a) == BINNET_OK);
    require(binnet_bits_pack((const int8_t *)x + 999, 9, 150, b) == BINNET_OK);
    require(binnet_xnor_matmul(a, 9, b, 9, 150, NULL, NULL, product, scratch, sizeof scratch) ==
            BINNET_OK);
}

/* Images of either set are moved alike: by how much is no data, but an index. */
static void vary_images(void) {
    static uint8_t out[BATCH * 60 * BINNET_CONTRASTS];
    const binnet_augmentation how = {4, 5, 3, 1, 2};
    require(binnet_augment(&how, 7, 1, x, BATCH, out) == BINNET_OK);
    require(binnet_contrasts(4, 5, 3, x, BATCH, out) == BINNET_OK);
}

int main(void) {
    for (data_set = 0; data_set < 2; ++data_set) {
        make_data();
#ifdef PLANTED
        scalar_product(x, (const int8_t *)x + 99, 99);
        scaled(x, 77);
        selected(x, x + 99, 5000);
        asleep(3);
#endif
        for (uint32_t choice = 0; choice < 32; ++choice) {
            const binnet_method method = {.weights = choice & 1,
                                          .binarization = choice >> 1 & 1,
                                          .activation = choice >> 2 & 1,
                                          .solver = choice >> 3 & 1,
                                          .gradient = choice >> 4 & 1,
                                          .dropout = choice & 2 ? 77 : 0,
                                          .input_dropout = choice & 5 ? 50 : 0,
                                          .decay = choice & 1 ? 3 : 0};
            for (uint32_t kind = 0; kind < 2; ++kind) train(&nets[kind], &method);
        }
        multiply_bits();
        vary_images();
    }
    for (uint32_t i = 0; i < N_NOTES; ++i)
        if (notes[i].site)
            printf("%lx %lx %lx %llx %llx\n", (unsigned long)notes[i].site,
                   (unsigned long)notes[i].counts[0], (unsigned long)notes[i].counts[1],
                   (unsigned long long)notes[i].a, (unsigned long long)notes[i].b);
    return 0;
}
