/* Nets trained, calibrated and run by the threads of the Python package have the bytes of one thread,
 * with every kernel table; and threads may share an opened model. test_pool.c has the pool itself.
 * `make sanitize` runs this under ThreadSanitizer.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "../../pybinnet/_parallel.h"
#include "expect.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE = 12, FEATURES = SIZE * SIZE * 2, CLASSES = 5, BATCH = 40, STEPS = 3, WORKERS = 4 };
/* Of products of bits: two blocks of 1024 by 64 each way. */
enum { LONG = 1030, WIDE = 70, BITS = 130, WORDS = (BITS + 63) / 64 };

static const binnet_layer dense[] = {
    {BINNET_DENSE, 150}, {BINNET_DENSE, 70}, {BINNET_DENSE, CLASSES}};
static const binnet_layer convolutions[] = {{BINNET_CONV2D, 70, 3, 1, BINNET_SAME, 2},
                                            {BINNET_CONV2D, 33, 2, 1, BINNET_VALID, 1},
                                            {BINNET_DENSE, CLASSES}};
static const binnet_method methods[] = {{.weights = BINNET_BINARY},
                                        {.activation = BINNET_SIGN, .dropout = 64},
                                        {.weights = BINNET_TERNARY,
                                         .binarization = BINNET_STOCHASTIC,
                                         .solver = BINNET_ADAMAX,
                                         .gradient = BINNET_EXACT,
                                         .input_dropout = 50,
                                         .decay = 3}};

static uint8_t x[BATCH * FEATURES];
static uint16_t labels[BATCH];
static uint64_t a[LONG * WORDS], b[WIDE * WORDS];

static void fill(uint32_t purpose, void *bytes, size_t n_bytes) {
    const binnet_rng rng = binnet_rng_stream(1, purpose, 0, 0);
    binnet_rng_blocks(&rng, 0, 0, (uint32_t)(n_bytes / 8), bytes);
}

/* Memory that says so if there is none. */
static void *take(size_t n_bytes) {
    void *bytes = malloc(n_bytes ? n_bytes : 1);
    if (!bytes) {
        printf("no memory for %lu bytes\n", (unsigned long)n_bytes);
        exit(1);
    }
    return bytes;
}

/* What training makes: of these bytes each is the same on any threads. */
typedef struct made {
    uint8_t *checkpoint, *model;
    size_t checkpoint_bytes, model_bytes;
} made;

static made train(const binnet_config *config) {
    binnet_net *net = NULL;
    size_t n_bytes = 0;
    made m;
    EXPECT(binnet_net_size(config, &n_bytes) == BINNET_OK);
    void *arena = take(n_bytes);
    EXPECT(binnet_net_init(&net, arena, n_bytes, config) == BINNET_OK);
    for (uint32_t step = 0; step < STEPS; ++step)
        EXPECT(binnet_net_train_step(net, x, labels, BATCH - step, 3, NULL) == BINNET_OK);
    m.checkpoint_bytes = binnet_checkpoint_size(net);
    m.checkpoint = take(m.checkpoint_bytes);
    EXPECT(binnet_checkpoint_write(net, m.checkpoint, m.checkpoint_bytes) == BINNET_OK);
    EXPECT(binnet_net_calibrate(net, x, BATCH) == BINNET_OK);
    m.model_bytes = binnet_model_size(net);
    m.model = take(m.model_bytes);
    EXPECT(binnet_model_write(net, m.model, m.model_bytes) == BINNET_OK);
    free(arena);
    return m;
}

static int same(const void *one, const void *other, size_t n_bytes, size_t n_other) {
    return n_bytes == n_other && memcmp(one, other, n_bytes) == 0;
}

/* Rows of one opened model, by any worker with a scratch of its own. */
typedef struct reading {
    binnet_model model;
    uint8_t *scratch[WORKERS];
    size_t scratch_bytes;
    int32_t scores[BATCH * CLASSES];
    binnet_status status[BATCH];
} reading;

static void predict_row(void *context, uint32_t row, uint32_t worker) {
    reading *r = context;
    r->status[row] = binnet_model_predict(&r->model, x + row * (size_t)FEATURES, 1,
                                          r->scores + row * (size_t)CLASSES, NULL,
                                          r->scratch[worker], r->scratch_bytes);
}

static void test_reading(const made *m, const binnet_kernels *kernels, pybinnet_pool *pool) {
    static reading r;
    int32_t scores[BATCH * CLASSES];
    EXPECT(binnet_model_open(&r.model, m->model, m->model_bytes, kernels) == BINNET_OK);
    r.scratch_bytes = binnet_model_scratch_size(&r.model, 1);
    for (uint32_t w = 0; w < WORKERS; ++w) r.scratch[w] = take(r.scratch_bytes);
    pybinnet_pool_run(pool, WORKERS, BATCH, predict_row, &r);
    for (uint32_t row = 0; row < BATCH; ++row) EXPECT(r.status[row] == BINNET_OK);
    for (uint32_t w = 0; w < WORKERS; ++w) free(r.scratch[w]);

    const size_t n_bytes = binnet_model_scratch_size(&r.model, BATCH);
    uint8_t *scratch = take(n_bytes);
    EXPECT(binnet_model_predict(&r.model, x, BATCH, scores, NULL, scratch, n_bytes) == BINNET_OK);
    EXPECT(memcmp(scores, r.scores, sizeof scores) == 0);
    free(scratch);
}

static void test_net(const binnet_kernels *kernels, const binnet_layer *layers,
                     const binnet_method *method, const binnet_parallel *parallel) {
    binnet_config config = {.seed = 5,
                            .n_features = FEATURES,
                            .n_layers = 3,
                            .batch_size = BATCH,
                            .layers = layers,
                            .method = *method,
                            .height = SIZE,
                            .width = SIZE,
                            .kernels = kernels};
    const made alone = train(&config);
    config.parallel = parallel;
    const made together = train(&config);
    EXPECT(same(alone.checkpoint, together.checkpoint, alone.checkpoint_bytes,
                together.checkpoint_bytes));
    EXPECT(same(alone.model, together.model, alone.model_bytes, together.model_bytes));
    test_reading(&together, kernels, parallel->pool);
    free(alone.checkpoint), free(alone.model);
    free(together.checkpoint), free(together.model);
}

static void test_products(const binnet_kernels *kernels, const binnet_parallel *parallel) {
    static int32_t product[2][LONG * WIDE];
    for (int i = 0; i < 2; ++i) {
        const binnet_parallel *threads = i ? parallel : NULL;
        const size_t n_bytes = binnet_xnor_scratch_size(BITS, kernels, threads);
        void *scratch = take(n_bytes);
        EXPECT(binnet_xnor_matmul(a, LONG, b, WIDE, BITS, kernels, threads, product[i], scratch,
                                  n_bytes) == BINNET_OK);
        free(scratch);
    }
    EXPECT(memcmp(product[0], product[1], sizeof product[0]) == 0);
}

int main(void) {
    static const char *const names[] = {"portable", "avx2", "avx512", "neon"};
    const binnet_parallel parallel = {pybinnet_pool_run, pybinnet_pool_new(WORKERS), WORKERS};
    if (!parallel.pool) {
        printf("no threads\n");
        return 1;
    }
    fill(64, x, sizeof x);
    fill(65, a, sizeof a);
    fill(66, b, sizeof b);
    for (uint32_t i = 0; i < LONG; ++i) a[i * WORDS + WORDS - 1] &= ((uint64_t)1 << BITS % 64) - 1;
    for (uint32_t i = 0; i < WIDE; ++i) b[i * WORDS + WORDS - 1] &= ((uint64_t)1 << BITS % 64) - 1;
    for (uint32_t i = 0; i < BATCH; ++i) labels[i] = (uint16_t)(i % CLASSES);
    for (size_t t = 0; t < sizeof names / sizeof *names; ++t) {
        const binnet_kernels *kernels = binnet_kernels_find(names[t]);
        if (!kernels) {
            printf("SKIPPED: %s is not supported by this processor or build\n", names[t]);
            continue;
        }
        for (size_t m = 0; m < sizeof methods / sizeof *methods; ++m) {
            test_net(kernels, dense, &methods[m], &parallel);
            test_net(kernels, convolutions, &methods[m], &parallel);
        }
        test_products(kernels, &parallel);
    }
    pybinnet_pool_free(parallel.pool);
    printf("%s\n", failures ? "FAILED" : "the same bytes on threads as on one");
    return failures != 0;
}
