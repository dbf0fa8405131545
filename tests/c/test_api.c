/* The public interface as a C program uses it: training, checkpoint, model, and what is refused.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "binnet.h"
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 20, HIDDEN = 24, CLASSES = 3, BATCH = 32, ROWS = 96, STEPS = 150 };

static const binnet_layer layers[] = {{BINNET_DENSE, HIDDEN}, {BINNET_DENSE, CLASSES}};
static uint64_t arena[1 << 16], other_arena[1 << 16];
static uint8_t x[ROWS * FEATURES];
static uint16_t labels[ROWS];

static binnet_config make_config(void) {
    binnet_config config;
    memset(&config, 0, sizeof config);
    config.seed = 5;
    config.n_features = FEATURES;
    config.n_layers = 2;
    config.batch_size = BATCH;
    config.layers = layers;
    return config;
}

/* Three classes of rows, told apart by which third of the columns is brighter. */
static void make_data(void) {
    const binnet_rng rng = binnet_rng_stream(1, 64, 0, 0);
    for (uint32_t r = 0; r < ROWS; ++r) {
        uint8_t bytes[24];
        binnet_rng_blocks(&rng, r, 0, 3, bytes);
        labels[r] = (uint16_t)(r % CLASSES);
        for (uint32_t c = 0; c < FEATURES; ++c)
            x[r * FEATURES + c] = (uint8_t)(bytes[c] / 2 + (c % CLASSES == r % CLASSES ? 127 : 0));
    }
}

static void train(binnet_net *net, uint32_t first, uint32_t last) {
    for (uint32_t t = first; t < last; ++t) {
        const size_t row = (t % 3) * BATCH;
        EXPECT(binnet_net_train_step(net, x + row * FEATURES, labels + row, BATCH,
                                     binnet_rate_exponent(3, 9, t, STEPS), NULL) == BINNET_OK);
    }
}

static void calibrate(binnet_net *net) {
    for (size_t row = 0; row < ROWS; row += BATCH)
        EXPECT(binnet_net_calibrate(net, x + row * FEATURES, BATCH) == BINNET_OK);
}

static void *checkpoint_of(const binnet_net *net, size_t *n_bytes) {
    *n_bytes = binnet_checkpoint_size(net);
    void *bytes = malloc(*n_bytes);
    EXPECT(binnet_checkpoint_write(net, bytes, *n_bytes - 1) == BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_checkpoint_write(net, bytes, *n_bytes) == BINNET_OK);
    return bytes;
}

/* A second thread's worth of tasks, in the least convenient order. */
static void run_backwards(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                          void *context) {
    ++*(int *)pool;
    while (n_tasks-- > 0) task(context, n_tasks, n_tasks % n_workers);
}

static void test_training(void) {
    binnet_config config = make_config();
    binnet_net *net, *other;
    size_t needed, n_bytes, n_other;
    EXPECT(binnet_net_size(&config, &needed) == BINNET_OK && needed <= sizeof arena);
    EXPECT(binnet_net_init(&net, arena, needed, &config) == BINNET_OK);
    uint64_t first_loss, loss;
    EXPECT(binnet_net_train_step(net, x, labels, BATCH, 3, &first_loss) == BINNET_OK);
    train(net, 1, STEPS);
    EXPECT(binnet_net_step(net) == STEPS);
    uint8_t *whole = checkpoint_of(net, &n_bytes);

    /* Stopped half way, saved, restored elsewhere, run by other workers: the same bytes. */
    int calls = 0;
    const binnet_parallel parallel = {run_backwards, &calls, 3};
    config.parallel = &parallel;
    EXPECT(binnet_net_init(&other, other_arena, sizeof other_arena, &config) == BINNET_OK);
    EXPECT(binnet_net_train_step(other, x, labels, BATCH, 3, NULL) == BINNET_OK);
    train(other, 1, STEPS / 2);
    uint8_t *half = checkpoint_of(other, &n_other);
    EXPECT(binnet_net_init(&other, other_arena, sizeof other_arena, &config) == BINNET_OK);
    EXPECT(binnet_checkpoint_read(other, half, n_other) == BINNET_OK);
    train(other, STEPS / 2, STEPS);
    uint8_t *resumed = checkpoint_of(other, &n_other);
    EXPECT(n_other == n_bytes && memcmp(whole, resumed, n_bytes) == 0);
    EXPECT(calls > 0);

    EXPECT(binnet_net_train_step(net, x, labels, BATCH, 9, &loss) == BINNET_OK);
    EXPECT(loss < first_loss / 4);
    free(whole), free(half), free(resumed);
}

/* The runs of tests/golden.py; the values are those of tests/vectors/golden.json. */
typedef struct golden {
    const char *name;
    binnet_method method;
    uint32_t checkpoint_crc32, model_crc32;
    uint32_t height, width, channels; /* of images; else 0, of rows of 100 numbers */
    uint32_t n_layers;
    binnet_layer layers[4];
} golden;

#define ROWS_OF_100                                                                                \
    0, 0, 100, 3, { {BINNET_DENSE, 70}, {BINNET_DENSE, 33}, {BINNET_DENSE, 26} }
static const golden golden_runs[] = {
    {"binary", {0, 0, 0, 0, 0, 0, 0, 0}, 0x050395d5, 0x6d981ef6, ROWS_OF_100},
    {"binary-stochastic", {0, 1, 0, 0, 0, 0, 0, 0}, 0xa91ae2e6, 0x392fb703, ROWS_OF_100},
    {"ternary", {1, 0, 0, 0, 0, 0, 0, 0}, 0xd5bbe380, 0xe1c615e4, ROWS_OF_100},
    {"ternary-stochastic", {1, 1, 0, 0, 0, 0, 0, 0}, 0x16e970fc, 0x96b25fd1, ROWS_OF_100},
    {"sign", {0, 0, 1, 0, 0, 0, 0, 0}, 0xced8ec8e, 0xb9da3b02, ROWS_OF_100},
    {"adamax", {0, 0, 0, 1, 0, 0, 0, 0}, 0xe2d350ff, 0x84f2893f, ROWS_OF_100},
    {"exact", {0, 0, 0, 0, 1, 0, 0, 0}, 0xffee20f8, 0xe576b630, ROWS_OF_100},
    {"dropout", {0, 0, 0, 0, 0, 128, 0, 0}, 0xd7e8f83d, 0x0a915a37, ROWS_OF_100},
    {"input-dropout", {.input_dropout = 51}, 0xcb65476b, 0xe1222cd9, ROWS_OF_100},
    {"decay", {.decay = 2}, 0x457b7155, 0xa138efbc, ROWS_OF_100},
    {"all", {1, 1, 1, 1, 1, 77, 50, 3}, 0xd33aac99, 0xdf2dc499, ROWS_OF_100},
    {"sign-dropout", {0, 0, 1, 0, 0, 64, 0, 0}, 0xd0b4823a, 0x32befdb2, ROWS_OF_100},
    {"convolution",
     {0, 0, 0, 0, 0, 0, 0, 0},
     0x8f731402,
     0x1ccab39d,
     11,
     9,
     3,
     4,
     {{BINNET_CONV2D, 10, 3, 1, BINNET_SAME, 2},
      {BINNET_CONV2D, 13, 2, 1, BINNET_VALID, 1},
      {BINNET_DENSE, 21},
      {BINNET_DENSE, 5}}},
    {"convolution-ternary-stochastic",
     {1, 1, 0, 0, 0, 0, 0, 0},
     0x08375217,
     0x14c5fe31,
     13,
     11,
     1,
     3,
     {{BINNET_CONV2D, 16, 5, 1, BINNET_SAME, 3},
      {BINNET_CONV2D, 9, 3, 1, BINNET_VALID, 1},
      {BINNET_DENSE, 6}}},
    {"convolution-sign-dropout",
     {0, 0, 1, 0, 0, 64, 0, 0},
     0xe28ab680,
     0x0b444881,
     11,
     10,
     2,
     4,
     {{BINNET_CONV2D, 67, 3, 2, BINNET_VALID, 1},
      {BINNET_CONV2D, 33, 3, 1, BINNET_SAME, 2},
      {BINNET_DENSE, 20},
      {BINNET_DENSE, 4}}},
    {"convolution-adamax-exact",
     {0, 0, 0, 1, 1, 0, 0, 0},
     0xbc896885,
     0xcb6c238b,
     9,
     8,
     3,
     3,
     {{BINNET_CONV2D, 8, 4, 2, BINNET_SAME, 2},
      {BINNET_CONV2D, 12, 2, 1, BINNET_SAME, 1},
      {BINNET_DENSE, 5}}},
    {"convolution-all",
     {1, 1, 1, 1, 1, 77, 50, 3},
     0x53d75fb6,
     0xfad392d9,
     10,
     7,
     2,
     3,
     {{BINNET_CONV2D, 11, 2, 1, BINNET_SAME, 3},
      {BINNET_CONV2D, 70, 1, 1, BINNET_SAME, 1},
      {BINNET_DENSE, 3}}},
};
enum { N_GOLDEN = sizeof golden_runs / sizeof *golden_runs };

/* A small net of the kind of a golden run: of its method, and with convolutions if that has them. */
static binnet_config small_config(const golden *run) {
    static const binnet_layer convolutions[] = {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 2},
                                                {BINNET_CONV2D, 6, 2, 2},
                                                {BINNET_DENSE, CLASSES}};
    binnet_config config = make_config();
    config.method = run->method;
    if (!run->height) return config;
    config.height = 5;
    config.width = 4;
    config.n_layers = 3;
    config.layers = convolutions;
    return config;
}

static uint32_t last_word(const uint8_t *bytes, size_t n) {
    const uint8_t *p = bytes + n - 4;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void test_golden(const golden *run) {
    enum { MOST_FEATURES = 300, MOST_BATCH = 50 };
    static uint8_t rows[3][MOST_BATCH * MOST_FEATURES], record[1 << 17];
    const uint32_t area = run->height ? run->height * run->width : 1, N = area * run->channels;
    const uint32_t B = run->height ? 12 : MOST_BATCH, T = run->height ? 8 : 20;
    const uint32_t n_classes = run->layers[run->n_layers - 1].units;
    uint32_t counts[26];
    size_t n_bytes = 0;
    binnet_config config = make_config();
    binnet_net *net;
    EXPECT(N <= MOST_FEATURES);
    for (int k = 0; k < 26; ++k) counts[k] = k == 0 ? 5 : k == 1 ? 100 : 20;
    config.seed = ((uint64_t)1 << 40) + 5;
    config.n_features = N;
    config.n_layers = run->n_layers;
    config.batch_size = B;
    config.layers = run->layers;
    config.class_counts = counts;
    config.method = run->method;
    config.height = run->height;
    config.width = run->width;
    EXPECT(binnet_net_size(&config, &n_bytes) == BINNET_OK);
    void *exact = malloc(n_bytes); /* sanitizers see what is unwritten, and what is beyond it */
    EXPECT(binnet_net_init(&net, exact, n_bytes, &config) == BINNET_OK);
    for (uint32_t t = 0; t < T; ++t) {
        const binnet_rng pixels = binnet_rng_stream(1, 64, 0, t);
        const binnet_rng classes = binnet_rng_stream(1, 65, 0, t);
        uint8_t *batch = rows[t < 2 ? t : 2]; /* keeps the first two batches */
        uint16_t targets[MOST_BATCH];
        for (uint32_t b = 0; b < B; ++b) {
            uint8_t bytes[MOST_FEATURES + 7];
            binnet_rng_blocks(&pixels, b, 0, (N + 7) / 8, bytes);
            memcpy(batch + b * N, bytes, N);
            binnet_rng_blocks(&classes, b, 0, 1, bytes);
            targets[b] = (uint16_t)(bytes[0] % n_classes);
        }
        EXPECT(binnet_net_train_step(net, batch, targets, t == T - 1 ? B / 3 + 1 : B,
                                     binnet_rate_exponent(3, 9, t, T), NULL) == BINNET_OK);
    }
    EXPECT(binnet_checkpoint_write(net, record, sizeof record) == BINNET_OK);
    const uint32_t checkpoint_crc32 = last_word(record, binnet_checkpoint_size(net));
    EXPECT(binnet_net_calibrate(net, rows[0], B) == BINNET_OK);
    EXPECT(binnet_net_calibrate(net, rows[1], B) == BINNET_OK);
    EXPECT(binnet_model_write(net, record, sizeof record) == BINNET_OK);
    const uint32_t model_crc32 = last_word(record, binnet_model_size(net));
    if (checkpoint_crc32 != run->checkpoint_crc32 || model_crc32 != run->model_crc32)
        printf("golden run %s: checkpoint %08lx, model %08lx\n", run->name,
               (unsigned long)checkpoint_crc32, (unsigned long)model_crc32);
    EXPECT(checkpoint_crc32 == run->checkpoint_crc32 && model_crc32 == run->model_crc32);
    free(exact);
}

/* Targets of a class against the rest train to the same bytes as labels, and what is refused leaves
 * the net as it was. */
static void test_targets(const golden *run) {
    int8_t targets[ROWS * CLASSES];
    const binnet_config config = small_config(run);
    binnet_net *net, *other;
    size_t n_bytes, n_other;
    uint64_t loss, loss_of_labels;
    for (uint32_t i = 0; i < ROWS * CLASSES; ++i)
        targets[i] = labels[i / CLASSES] == i % CLASSES ? 32 : -32;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    EXPECT(binnet_net_init(&other, other_arena, sizeof other_arena, &config) == BINNET_OK);
    for (uint32_t t = 0; t < 5; ++t) {
        const size_t row = t % 3 * BATCH;
        EXPECT(binnet_net_train_step(net, x + row * FEATURES, labels + row, BATCH, 3,
                                     &loss_of_labels) == BINNET_OK);
        EXPECT(binnet_net_train_step_targets(other, x + row * FEATURES, targets + row * CLASSES,
                                             BATCH, 3, &loss) == BINNET_OK);
        EXPECT(loss == loss_of_labels);
    }
    uint8_t *of_labels = checkpoint_of(net, &n_bytes), *of_targets = checkpoint_of(other, &n_other);
    EXPECT(n_other == n_bytes && memcmp(of_labels, of_targets, n_bytes) == 0);

    loss = 77;
    targets[BATCH * CLASSES - 1] = 33;
    EXPECT(binnet_net_train_step_targets(net, x, targets, BATCH, 3, &loss) == BINNET_ERR_LABEL);
    targets[BATCH * CLASSES - 1] = -128;
    EXPECT(binnet_net_train_step_targets(net, x, targets, BATCH, 3, &loss) == BINNET_ERR_LABEL);
    targets[BATCH * CLASSES - 1] = 0;
    EXPECT(binnet_net_train_step_targets(net, x, targets, 0, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step_targets(net, x, targets, BATCH + 1, 3, &loss) ==
           BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step_targets(net, x, targets, 2, 16, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step_targets(net, NULL, targets, 2, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step_targets(net, x, NULL, 2, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step_targets(NULL, x, targets, 2, 3, &loss) == BINNET_ERR_ARGUMENT);
    free(of_targets);
    of_targets = checkpoint_of(net, &n_other);
    EXPECT(loss == 77 && memcmp(of_labels, of_targets, n_bytes) == 0);
    free(of_labels), free(of_targets);
}

/* Numbers are learned, here one of -20, 0, 20 by all outputs. */
static void test_targets_between(void) {
    int8_t targets[ROWS * CLASSES];
    const binnet_config config = make_config();
    binnet_net *net;
    uint64_t loss = 0, first = 0;
    for (uint32_t i = 0; i < ROWS * CLASSES; ++i)
        targets[i] = (int8_t)(20 * labels[i / CLASSES] - 20);
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    for (uint32_t t = 0; t < STEPS; ++t) {
        const size_t row = t % 3 * BATCH;
        EXPECT(binnet_net_train_step_targets(net, x + row * FEATURES, targets + row * CLASSES,
                                             BATCH, binnet_rate_exponent(3, 9, t, STEPS),
                                             &loss) == BINNET_OK);
        if (t == 0) first = loss;
    }
    EXPECT(loss < first / 4);
}

/* A checkpoint of one kind of net is refused by a net of another, and neither net nor bytes change. */
static void test_nets_do_not_mix(void) {
    for (size_t i = 0; i < N_GOLDEN; ++i)
        for (size_t j = 0; j < N_GOLDEN; ++j) {
            binnet_config config = small_config(&golden_runs[i]);
            binnet_net *net, *other;
            size_t n_bytes, n_before;
            EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
            uint8_t *bytes = checkpoint_of(net, &n_bytes);
            config = small_config(&golden_runs[j]);
            EXPECT(binnet_net_init(&other, other_arena, sizeof other_arena, &config) == BINNET_OK);
            train(other, 0, 2);
            uint8_t *before = checkpoint_of(other, &n_before);
            EXPECT(binnet_checkpoint_read(other, bytes, n_bytes) ==
                   (i == j ? BINNET_OK : BINNET_ERR_MISMATCH));
            uint8_t *after = checkpoint_of(other, &n_before);
            EXPECT((memcmp(before, after, n_before) == 0) == (i != j));
            free(bytes), free(before), free(after);
        }
}

/* Models of all kinds from any address, by one row and by all, and no flipped bit is let pass. */
static void test_models_of_nets(void) {
    static uint64_t bytes[1 << 10], moved[1 << 10], scratch[1 << 16];
    for (size_t i = 0; i < N_GOLDEN; ++i) {
        const binnet_config config = small_config(&golden_runs[i]);
        binnet_net *net;
        binnet_model model;
        int32_t scores[ROWS * CLASSES], again[ROWS * CLASSES];
        EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
        train(net, 0, 20);
        calibrate(net);
        const size_t n = binnet_model_size(net);
        EXPECT(binnet_model_write(net, bytes, sizeof bytes) == BINNET_OK);
        EXPECT(binnet_model_open(&model, bytes, n, NULL) == BINNET_OK);
        EXPECT(model.weights == config.method.weights &&
               model.activation == config.method.activation);
        EXPECT(model.height == config.height && model.width == config.width);
        EXPECT(binnet_model_predict(&model, x, ROWS, scores, NULL, scratch, sizeof scratch) ==
               BINNET_OK);
        const char *const names[] = {"portable", "avx2", "avx512", "neon"};
        for (int k = 0; k < 4; ++k)
            for (size_t offset = 0; offset < 8; offset += 5) {
                const binnet_kernels *kernels = binnet_kernels_find(names[k]);
                uint8_t *at = (uint8_t *)moved + offset;
                if (!kernels) continue;
                memcpy(at, bytes, n);
                EXPECT(binnet_model_open(&model, at, n, kernels) == BINNET_OK);
                EXPECT(binnet_model_predict(&model, x, ROWS, again, NULL, scratch,
                                            binnet_model_scratch_size(&model, 1)) == BINNET_OK);
                EXPECT(memcmp(scores, again, sizeof scores) == 0);
                EXPECT(binnet_model_predict(&model, x, ROWS, again, NULL, scratch,
                                            binnet_model_scratch_size(&model, 7)) == BINNET_OK);
                EXPECT(memcmp(scores, again, sizeof scores) == 0);
            }
        for (size_t k = 0; k < n; ++k) {
            memcpy(moved, bytes, n);
            ((uint8_t *)moved)[k] ^= (uint8_t)(1u << k % 8);
            EXPECT(binnet_model_open(&model, moved, n, NULL) != BINNET_OK);
        }
    }
}

static void test_checkpoint_refusals(void) {
    binnet_config config = make_config();
    binnet_net *net;
    size_t n_bytes, n_after;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    train(net, 0, 3);
    uint8_t *good = checkpoint_of(net, &n_bytes);
    uint8_t *bad = malloc(n_bytes + 1);
    train(net, 3, 5);
    uint8_t *before = checkpoint_of(net, &n_after);
    for (size_t i = 0; i < n_bytes; ++i) {
        memcpy(bad, good, n_bytes);
        bad[i] ^= (uint8_t)(1u << i % 8);
        const binnet_status status = binnet_checkpoint_read(net, bad, n_bytes);
        EXPECT(status == (i < 8                   ? BINNET_ERR_KIND
                          : i < 12                ? BINNET_ERR_VERSION
                          : i >= 16 && i < 16 + 8 ? BINNET_ERR_TRUNCATED
                                                  : BINNET_ERR_CHECKSUM));
    }
    memcpy(bad, good, n_bytes);
    for (size_t n = 0; n <= n_bytes + 1; ++n)
        if (n != n_bytes)
            EXPECT(binnet_checkpoint_read(net, bad, n) ==
                   (n < 8 ? BINNET_ERR_KIND : BINNET_ERR_TRUNCATED));
    EXPECT(binnet_checkpoint_read(net, NULL, n_bytes) == BINNET_ERR_ARGUMENT);
    uint8_t *after = checkpoint_of(net, &n_after);
    EXPECT(memcmp(before, after, n_after) == 0); /* a refused checkpoint changes nothing */
    config.seed = 6;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    EXPECT(binnet_checkpoint_read(net, good, n_bytes) == BINNET_ERR_MISMATCH);
    /* A wider net's checkpoint, which is longer, is not one with an appendix. */
    const binnet_layer wider[] = {{BINNET_DENSE, HIDDEN + 1}, {BINNET_DENSE, CLASSES}};
    config.layers = wider;
    EXPECT(binnet_net_init(&net, other_arena, sizeof other_arena, &config) == BINNET_OK);
    size_t n_wider;
    uint8_t *longer = checkpoint_of(net, &n_wider);
    config.layers = layers;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    EXPECT(binnet_checkpoint_read(net, longer, n_wider) == BINNET_ERR_MISMATCH);
    free(good), free(bad), free(before), free(after), free(longer);
}

/* Reads a file as a checkpoint of a net, or as a model. */
static binnet_status read_file(binnet_net *net, const uint8_t *bytes, size_t n_bytes) {
    binnet_model model;
    return net ? binnet_checkpoint_read(net, bytes, n_bytes)
               : binnet_model_open(&model, bytes, n_bytes, NULL);
}

static void put(uint8_t *p, uint64_t v, int n_bytes) {
    for (int i = 0; i < n_bytes; ++i, v >>= 8) p[i] = (uint8_t)v;
}

/* zlib's, bit by bit. */
static uint32_t crc32(const uint8_t *bytes, size_t n_bytes) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n_bytes; ++i) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

/* A file with the length that it says and the right checksum. */
static void seal(uint8_t *bytes, size_t n_bytes) {
    put(bytes + 16, n_bytes, 8);
    put(bytes + n_bytes - 4, crc32(bytes, n_bytes - 4), 4);
}

/* An appendix of bytes in fours is read over, and nothing else behind the layers; `shorter` is what
 * a file is that ends before them. */
static void check_appendix(binnet_net *net, const uint8_t *file, size_t n_bytes,
                           binnet_status shorter) {
    enum { MOST = 64 };
    uint8_t *bytes = malloc(n_bytes + MOST);
    for (size_t n = 0; n < MOST; ++n) {
        memcpy(bytes, file, n_bytes);
        memset(bytes + n_bytes - 4, 0xa5, n + 4);
        seal(bytes, n_bytes + n);
        EXPECT(read_file(net, bytes, n_bytes + n) == (n % 4 ? BINNET_ERR_CORRUPT : BINNET_OK));
        EXPECT(read_file(net, bytes, n_bytes + n - 1) == BINNET_ERR_TRUNCATED);
        if (n < 4) continue;
        bytes[n_bytes - 4] ^= 1;
        EXPECT(read_file(net, bytes, n_bytes + n) == BINNET_ERR_CHECKSUM);
        put(bytes + 16, n_bytes, 8); /* an appendix that the header does not count */
        EXPECT(read_file(net, bytes, n_bytes + n) == BINNET_ERR_TRUNCATED);
    }
    for (size_t n = 1; n <= n_bytes - 28; ++n) {
        memcpy(bytes, file, n_bytes);
        seal(bytes, n_bytes - n);
        EXPECT(read_file(net, bytes, n_bytes - n) == shorter);
    }
    free(bytes);
}

static void test_appendix(const golden *run) {
    static uint64_t scratch[1 << 16];
    const binnet_config config = small_config(run);
    binnet_net *net;
    binnet_model model;
    uint8_t file[4096];
    int32_t scores[ROWS * CLASSES], again[ROWS * CLASSES];
    size_t n_bytes;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    train(net, 0, 5);
    uint8_t *before = checkpoint_of(net, &n_bytes);
    check_appendix(net, before, n_bytes, BINNET_ERR_MISMATCH);
    uint8_t *after = checkpoint_of(net, &n_bytes);
    EXPECT(memcmp(before, after, n_bytes) == 0);
    free(before), free(after);

    calibrate(net);
    n_bytes = binnet_model_size(net);
    EXPECT(binnet_model_write(net, file, sizeof file - 40) == BINNET_OK);
    check_appendix(NULL, file, n_bytes, BINNET_ERR_CORRUPT);
    EXPECT(binnet_model_open(&model, file, n_bytes, NULL) == BINNET_OK);
    EXPECT(model.n_bytes == n_bytes && model.bare_bytes == n_bytes);
    EXPECT(binnet_model_predict(&model, x, ROWS, scores, NULL, scratch, sizeof scratch) ==
           BINNET_OK);
    memset(file + n_bytes - 4, 0xff, 40);
    seal(file, n_bytes + 40);
    EXPECT(binnet_model_open(&model, file, n_bytes + 40, NULL) == BINNET_OK);
    EXPECT(model.n_bytes == n_bytes + 40 && model.bare_bytes == n_bytes);
    EXPECT(binnet_model_predict(&model, x, ROWS, again, NULL, scratch, sizeof scratch) ==
           BINNET_OK);
    EXPECT(memcmp(scores, again, sizeof scores) == 0);
}

static void test_model(void) {
    const binnet_config config = make_config();
    binnet_net *net;
    binnet_model model;
    uint8_t bytes[2048], bad[2048];
    static uint64_t scratch[1 << 16];
    uint16_t classes[ROWS], classes_by_one[ROWS];
    int32_t scores[ROWS * CLASSES];
    size_t n_errors = ROWS;
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_OK);
    train(net, 0, STEPS);
    const size_t n_bytes = binnet_model_size(net);
    EXPECT(n_bytes <= sizeof bytes);
    EXPECT(binnet_model_write(net, bytes, sizeof bytes) == BINNET_ERR_STATE);
    calibrate(net);
    EXPECT(binnet_model_write(net, bytes, n_bytes - 1) == BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_model_write(net, bytes, sizeof bytes) == BINNET_OK);
    train(net, 0, 1);
    EXPECT(binnet_model_write(net, bad, sizeof bad) == BINNET_ERR_STATE); /* stale statistics */

    EXPECT(binnet_model_open(&model, bytes, n_bytes, NULL) == BINNET_OK);
    EXPECT(model.n_features == FEATURES && model.n_classes == CLASSES && model.n_layers == 2);
    EXPECT(binnet_model_evaluate(&model, x, labels, ROWS, &n_errors, scratch, sizeof scratch) ==
           BINNET_OK);
    EXPECT(n_errors == 0);
    EXPECT(binnet_model_predict(&model, x, ROWS, scores, classes, scratch, sizeof scratch) ==
           BINNET_OK);
    const size_t one_row = binnet_model_scratch_size(&model, 1);
    EXPECT(binnet_model_predict(&model, x, ROWS, NULL, classes_by_one, scratch, one_row) ==
           BINNET_OK);
    EXPECT(memcmp(classes, classes_by_one, sizeof classes) == 0);
    for (uint32_t r = 0; r < ROWS; ++r)
        for (uint32_t k = 0; k < CLASSES; ++k)
            EXPECT(scores[r * CLASSES + k] <= scores[r * CLASSES + classes[r]]);

    /* An opened model may stand at any address. */
    memcpy(bad + 1, bytes, n_bytes);
    EXPECT(binnet_model_open(&model, bad + 1, n_bytes, binnet_kernels_find("portable")) ==
           BINNET_OK);
    EXPECT(binnet_model_predict(&model, x, ROWS, NULL, classes_by_one, scratch, sizeof scratch) ==
           BINNET_OK);
    EXPECT(memcmp(classes, classes_by_one, sizeof classes) == 0);

    EXPECT(binnet_model_predict(&model, x, 1, NULL, classes, scratch, 16) ==
           BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_model_predict(&model, x, 1, NULL, classes, (uint8_t *)scratch + 1,
                                sizeof scratch - 8) == BINNET_ERR_ALIGNMENT);
    EXPECT(binnet_model_predict(&model, NULL, 1, NULL, classes, scratch, sizeof scratch) ==
           BINNET_ERR_ARGUMENT);
    EXPECT(binnet_model_predict(&model, NULL, 0, NULL, NULL, scratch, sizeof scratch) == BINNET_OK);
    labels[ROWS - 1] = CLASSES;
    n_errors = 77;
    EXPECT(binnet_model_evaluate(&model, x, labels, ROWS, &n_errors, scratch, sizeof scratch) ==
           BINNET_ERR_LABEL);
    EXPECT(n_errors == 77);
    labels[ROWS - 1] = (ROWS - 1) % CLASSES;

    binnet_model untouched;
    memset(&untouched, 1, sizeof untouched);
    for (size_t i = 0; i < n_bytes; ++i) {
        memcpy(bad, bytes, n_bytes);
        bad[i] ^= (uint8_t)(1u << i % 8);
        EXPECT(binnet_model_open(&untouched, bad, n_bytes, NULL) != BINNET_OK);
    }
    for (size_t n = 0; n < n_bytes; ++n)
        EXPECT(binnet_model_open(&untouched, bytes, n, NULL) ==
               (n < 8 ? BINNET_ERR_KIND : BINNET_ERR_TRUNCATED));
    memcpy(bad, "BINNETCK", 8);
    EXPECT(binnet_model_open(&untouched, bad, n_bytes, NULL) == BINNET_ERR_KIND);
    EXPECT(untouched.n_features == 0x01010101u);
}

/* The arena of the program at the top of binnet.h. */
/* Sizes that the compiler computes, which is why they can be those of arrays. */
static void test_constant_sizes(void) {
    /* clang-format off */
#define SHAPE(n, batch, features, ...)                                                             \
    {BINNET_NET_SIZE(batch, features, __VA_ARGS__),                                                \
     BINNET_CHECKPOINT_SIZE(features, __VA_ARGS__),                                                \
     BINNET_MODEL_SIZE(features, __VA_ARGS__), n, batch, features, {__VA_ARGS__}}
    /* clang-format on */
    static const struct {
        size_t n_bytes, checkpoint_bytes, model_bytes;
        uint32_t n_layers, batch_size, n_features, units[4];
    } shapes[] = {SHAPE(2, 32, 64, 32, 10),
                  SHAPE(3, 32, 64, 64, 32, 10),
                  SHAPE(1, 1, 1, 2),
                  SHAPE(1, 7, 300, 5),
                  SHAPE(2, 1, 784, 128, 10),
                  SHAPE(2, 128, 784, 128, 10),
                  SHAPE(2, 32, 5, 200, 3),
                  SHAPE(2, 33, 1000, 3, 2),
                  SHAPE(3, 8, 10, 7, 90, 100),
                  SHAPE(3, 100, 63, 65, 129, 9),
                  SHAPE(4, 16, 30, 64, 32, 16, 4),
                  SHAPE(4, 5, 784, 100, 90, 300, 26),
                  SHAPE(4, 64, 8, 8, 24, 8, 40),
                  SHAPE(4, 3, 4000, 1, 1, 1, 2),
                  SHAPE(4, 500, 11, 16, 80, 500, 7)};
    uint32_t n_made = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        binnet_layer units[4];
        for (uint32_t k = 0; k < 4; ++k) {
            units[k].kind = BINNET_DENSE;
            units[k].units = shapes[i].units[k];
        }
        const binnet_config config = {.n_features = shapes[i].n_features,
                                      .n_layers = shapes[i].n_layers,
                                      .batch_size = shapes[i].batch_size,
                                      .layers = units,
                                      .kernels = binnet_kernels_find("portable")};
        size_t n = 0;
        binnet_net *net;
        EXPECT(binnet_net_size(&config, &n) == BINNET_OK && n == shapes[i].n_bytes);
        if (binnet_net_init(&net, arena, sizeof arena, &config) != BINNET_OK) continue; /* large */
        EXPECT(binnet_checkpoint_size(net) == shapes[i].checkpoint_bytes);
        EXPECT(binnet_model_size(net) == shapes[i].model_bytes);
        ++n_made;
    }
    EXPECT(n_made > 10);
}

static void test_config_refusals(void) {
    binnet_layer wide[] = {{BINNET_DENSE, BINNET_MAX_UNITS + 1}, {BINNET_DENSE, 2}};
    const binnet_layer unknown[] = {{99, 4}, {BINNET_DENSE, 2}};
    const binnet_layer one_class[] = {{BINNET_DENSE, 4}, {BINNET_DENSE, 1}};
    const binnet_config good = make_config();
    binnet_config config = good;
    binnet_net *net = NULL;
    size_t n = 77, needed;
    EXPECT(binnet_net_size(NULL, &n) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_size(&good, NULL) == BINNET_ERR_ARGUMENT);
#define REFUSED(member, value, status)                                                             \
    config = good;                                                                                 \
    config.member = value;                                                                         \
    EXPECT(binnet_net_size(&config, &n) == status && n == 77);                                     \
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == status && net == NULL)
    REFUSED(n_features, 0, BINNET_ERR_ARGUMENT);
    REFUSED(n_features, BINNET_MAX_FEATURES + 1, BINNET_ERR_LIMIT);
    REFUSED(n_layers, 0, BINNET_ERR_ARGUMENT);
    REFUSED(n_layers, BINNET_MAX_LAYERS + 1, BINNET_ERR_LIMIT);
    REFUSED(batch_size, 0, BINNET_ERR_ARGUMENT);
    REFUSED(batch_size, BINNET_MAX_BATCH + 1, BINNET_ERR_LIMIT);
    REFUSED(layers, NULL, BINNET_ERR_ARGUMENT);
    REFUSED(layers, wide, BINNET_ERR_LIMIT);
    REFUSED(layers, unknown, BINNET_ERR_ARGUMENT);
    REFUSED(layers, one_class, BINNET_ERR_ARGUMENT);
    REFUSED(method.weights, 2, BINNET_ERR_ARGUMENT);
    REFUSED(method.binarization, 2, BINNET_ERR_ARGUMENT);
    REFUSED(method.activation, 2, BINNET_ERR_ARGUMENT);
    REFUSED(method.solver, 2, BINNET_ERR_ARGUMENT);
    REFUSED(method.gradient, 2, BINNET_ERR_ARGUMENT);
    REFUSED(method.dropout, 256, BINNET_ERR_ARGUMENT);
    REFUSED(method.input_dropout, 256, BINNET_ERR_ARGUMENT);
    REFUSED(method.decay, BINNET_MAX_DECAY + 1, BINNET_ERR_ARGUMENT);
    const uint32_t counts[CLASSES] = {0, 5, 10};
    REFUSED(n_rows, 10, BINNET_ERR_ARGUMENT); /* that no counts are of */
    config.class_counts = counts;
    EXPECT(binnet_net_size(&config, &needed) == BINNET_OK);
    config.n_rows = 9;
    EXPECT(binnet_net_size(&config, &n) == BINNET_ERR_ARGUMENT && n == 77);
    EXPECT(binnet_net_init(&net, arena, sizeof arena, &config) == BINNET_ERR_ARGUMENT && !net);
    config = good;
    config.n_layers = 1;
    config.layers = wide + 1;
    config.method.activation = BINNET_SIGN; /* of no hidden layer */
    EXPECT(binnet_net_size(&config, &n) == BINNET_ERR_ARGUMENT && n == 77);
    config.method.activation = BINNET_RELU;
    config.method.dropout = 1;
    EXPECT(binnet_net_size(&config, &n) == BINNET_ERR_ARGUMENT && n == 77);
    binnet_parallel parallel = {NULL, NULL, 1};
    REFUSED(parallel, &parallel, BINNET_ERR_ARGUMENT);
    parallel.run = run_backwards;
    parallel.n_workers = BINNET_MAX_WORKERS + 1;
    REFUSED(parallel, &parallel, BINNET_ERR_ARGUMENT);
#undef REFUSED
    EXPECT(binnet_net_size(&good, &needed) == BINNET_OK);
    EXPECT(binnet_net_init(&net, arena, needed - 1, &good) == BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_net_init(&net, (uint8_t *)arena + 4, sizeof arena - 8, &good) ==
           BINNET_ERR_ALIGNMENT);
    EXPECT(binnet_net_init(&net, NULL, sizeof arena, &good) == BINNET_ERR_ARGUMENT && net == NULL);

    EXPECT(binnet_net_init(&net, arena, needed, &good) == BINNET_OK);
    size_t n_bytes;
    uint8_t *before = checkpoint_of(net, &n_bytes);
    uint64_t loss = 77;
    const uint16_t wrong[2] = {0, CLASSES};
    EXPECT(binnet_net_train_step(net, x, wrong, 2, 3, &loss) == BINNET_ERR_LABEL);
    EXPECT(binnet_net_train_step(net, x, labels, 0, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step(net, x, labels, BATCH + 1, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step(net, x, labels, 2, 16, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_train_step(net, NULL, labels, 2, 3, &loss) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_net_calibrate(net, x, 1) == BINNET_ERR_ARGUMENT);
    uint8_t *after = checkpoint_of(net, &n_bytes);
    EXPECT(loss == 77 && memcmp(before, after, n_bytes) == 0);
    free(before), free(after);
    /* 1.6 GB of weights: too much where addresses have 32 bits. */
    const binnet_layer large[] = {{BINNET_DENSE, 12000}, {BINNET_DENSE, 2}};
    config = make_config();
    config.n_features = BINNET_MAX_FEATURES;
    config.layers = large;
    EXPECT(binnet_net_size(&config, &n) == (SIZE_MAX > 0xffffffffu ? BINNET_OK : BINNET_ERR_LIMIT));
}

static void test_bits(void) {
    enum { N = 3, BITS = 131 };
    static const uint32_t sizes[] = {1, 63, 64, 65, 128, BITS};
    const binnet_rng rng = binnet_rng_stream(3, 64, 0, 0);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
        const uint32_t n_bits = sizes[s];
        int8_t a[N * BITS], b[N * BITS];
        uint64_t packed_a[N * 3], packed_b[N * 3];
        int32_t product[N * N];
        uint8_t random[8];
        for (uint32_t i = 0; i < N * n_bits; ++i) {
            binnet_rng_blocks(&rng, 0, i, 1, random);
            a[i] = (int8_t)(random[0] - 128);
            b[i] = (int8_t)(random[1] - 128);
        }
        EXPECT(binnet_bits_pack(a, N, n_bits, packed_a) == BINNET_OK);
        EXPECT(binnet_bits_pack(b, N, n_bits, packed_b) == BINNET_OK);
        EXPECT(binnet_xnor_scratch_size(n_bits, NULL, NULL) <= sizeof arena);
        EXPECT(binnet_xnor_matmul(packed_a, N, packed_b, N, n_bits, NULL, NULL, product, arena,
                                  sizeof arena) == BINNET_OK);
        for (uint32_t i = 0; i < N; ++i)
            for (uint32_t j = 0; j < N; ++j) {
                int32_t sum = 0;
                for (uint32_t k = 0; k < n_bits; ++k)
                    sum += (a[i * n_bits + k] >= 0) == (b[j * n_bits + k] >= 0) ? 1 : -1;
                EXPECT(product[i * N + j] == sum);
            }
    }
    EXPECT(binnet_bits_row_words(0) == 0 && binnet_bits_row_words(65) == 2);
    EXPECT(binnet_bits_pack(NULL, 1, 1, NULL) == BINNET_ERR_ARGUMENT);
}

static void test_xnor_refusals(void) {
    const uint64_t one = 1;
    int32_t product = 7;
    int calls = 0;
    const binnet_kernels *portable = binnet_kernels_find("portable");
    const binnet_parallel none = {run_backwards, &calls, 0}, null = {NULL, &calls, 1};
    const binnet_parallel many = {run_backwards, &calls, BINNET_MAX_WORKERS + 1};
#define XNOR(a, n_a, b, n_bits, kernels, parallel, product, scratch, n_bytes)                      \
    binnet_xnor_matmul(a, n_a, b, 1, n_bits, kernels, parallel, product, scratch, n_bytes)
    EXPECT(XNOR(NULL, 1, &one, 1, portable, NULL, &product, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, NULL, 1, portable, NULL, &product, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, &one, 1, portable, NULL, NULL, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, &one, 1, portable, &none, &product, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, &one, 1, portable, &null, &product, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, &one, 1, portable, &many, &product, NULL, 0) == BINNET_ERR_ARGUMENT);
    EXPECT(XNOR(&one, 1, &one, 0x80000000u, portable, NULL, &product, NULL, 0) == BINNET_ERR_LIMIT);
    EXPECT(XNOR(&one, 1, &one, 1, portable, NULL, &product, (uint8_t *)arena + 1, 8) ==
           BINNET_ERR_ALIGNMENT);
    const size_t needed = binnet_xnor_scratch_size(1, NULL, NULL);
    if (needed) {
        EXPECT(XNOR(&one, 1, &one, 1, NULL, NULL, &product, NULL, needed) == BINNET_ERR_ARGUMENT);
        EXPECT(XNOR(&one, 1, &one, 1, NULL, NULL, &product, arena, needed - 1) ==
               BINNET_ERR_BUFFER_SIZE);
    }
    EXPECT(product == 7);
    EXPECT(XNOR(NULL, 0, NULL, 1, NULL, NULL, NULL, NULL, 0) == BINNET_OK);
    EXPECT(XNOR(&one, 1, &one, 1, portable, NULL, &product, NULL, 0) == BINNET_OK && product == 1);
    EXPECT(XNOR(NULL, 1, NULL, 0, NULL, NULL, &product, NULL, 0) == BINNET_OK && product == 0);
#undef XNOR
}

/* Pixel by pixel as docs/algorithm.md, section 12, says it. */
static void check_augmentation(const binnet_augmentation *how) {
    enum { MOST = 40, STEP = 7 };
    const uint32_t height = how->height, width = how->width, channels = how->channels;
    static uint8_t out[MOST * 60];
    const binnet_rng rng = binnet_rng_stream(5, 10, 0, STEP);
    const size_t n = (size_t)height * width * channels;
    uint32_t mirrored = 0, first_row = 0, last_row = 0;
    EXPECT(n <= 60 && MOST * n <= sizeof x);
    EXPECT(binnet_augment(how, 5, STEP, x, MOST, out) == BINNET_OK);
    for (uint32_t b = 0; b < MOST; ++b) {
        uint8_t r[8];
        binnet_rng_blocks(&rng, b, 0, 1, r);
        const uint32_t q = how->crop, flip = how->flip && r[0] < 128;
        const uint32_t down = ((r[2] + 256u * r[3]) * (2 * q + 1)) >> 16;
        const uint32_t right = ((r[4] + 256u * r[5]) * (2 * q + 1)) >> 16;
        mirrored += flip, first_row += down == 0, last_row += down == 2 * q;
        for (uint32_t i = 0; i < n; ++i) {
            /* Offsets are q too large, so below q is outside. */
            const uint32_t Y = i / channels / width + down, X = i / channels % width + right;
            uint8_t wanted = 0;
            if (Y >= q && Y < height + q && X >= q && X < width + q) {
                const uint32_t from = flip ? width - 1 - (X - q) : X - q;
                wanted = x[b * n + ((Y - q) * width + from) * channels + i % channels];
            }
            EXPECT(out[b * n + i] == wanted);
        }
    }
    EXPECT(how->flip ? mirrored > MOST / 4 && mirrored < 3 * MOST / 4 : mirrored == 0);
    if (how->crop < 4) EXPECT(first_row > 0 && last_row > 0);
}

static void test_augmentation(void) {
    static const binnet_augmentation hows[] = {{4, 6, 2, 0, 0},  {4, 6, 2, 1, 0}, {4, 6, 2, 0, 2},
                                               {4, 6, 2, 1, 2},  {3, 5, 3, 1, 1}, {1, 1, 1, 1, 1},
                                               {3, 5, 3, 1, 127}};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; ++i) check_augmentation(&hows[i]);

    static const binnet_augmentation refused[] = {
        {0, 6, 2, 0, 0},   {4, 0, 2, 0, 0},     {4, 6, 0, 0, 0},         {4, 6, 2, 2, 0},
        {4, 6, 2, 0, 128}, {256, 256, 2, 0, 0}, {65536, 65536, 1, 0, 0}, {1, 1, 65537, 0, 0}};
    uint8_t out = 7;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i)
        EXPECT(binnet_augment(&refused[i], 1, 0, x, 1, &out) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_augment(NULL, 1, 0, x, 1, &out) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_augment(hows, 1, 0, NULL, 1, &out) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_augment(hows, 1, 0, x, 1, NULL) == BINNET_ERR_ARGUMENT);
    EXPECT(out == 7);
}

/* By hand, of docs/algorithm.md, section 13: 3 x 2 pixels of two channels, the second one flat. */
static void test_contrasts(void) {
    static const uint8_t image[] = {0, 9, 60, 9, 0, 9, 60, 9, 0, 9, 120, 9};
    /* The first one's near contrasts are -180, 180, -240, 60, -300, 480; 20 · 1440 / 12 = 2400, and
     * 64 · 16 / 2400 is nearest to 7/16. Its mean is 40, so the far ones are -640, 320, -640, 320,
     * -640, 1280; 20 · 3840 / 12 = 6400 makes 5/32. */
    static const uint8_t wanted[][BINNET_CONTRASTS] = {{0, 79, 0, 100},  {79, 0, 50, 0},
                                                       {0, 105, 0, 100}, {26, 0, 50, 0},
                                                       {0, 131, 0, 100}, {210, 0, 200, 0}};
    static const uint8_t none[BINNET_CONTRASTS] = {0};
    uint8_t two[2 * sizeof image], out[sizeof two][BINNET_CONTRASTS];
    memcpy(two, image, sizeof image);
    memcpy(two + sizeof image, image, sizeof image);
    EXPECT(binnet_contrasts(3, 2, 2, two, 2, out[0]) == BINNET_OK);
    for (size_t i = 0; i < sizeof two; ++i)
        EXPECT(memcmp(out[i], i & 1 ? none : wanted[i / 2 % 6], BINNET_CONTRASTS) == 0);
    EXPECT(binnet_contrasts(1, 1, 1, image + 2, 1, out[0]) == BINNET_OK);
    EXPECT(memcmp(out[0], none, sizeof none) == 0);

    static const uint32_t refused[][3] = {{0, 2, 2},     {3, 0, 2},         {3, 2, 0},
                                          {256, 256, 2}, {65536, 65536, 1}, {1, 1, 65537}};
    uint8_t kept = 7;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i)
        EXPECT(binnet_contrasts(refused[i][0], refused[i][1], refused[i][2], image, 1, &kept) ==
               BINNET_ERR_ARGUMENT);
    EXPECT(binnet_contrasts(3, 2, 2, NULL, 1, &kept) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_contrasts(3, 2, 2, image, 1, NULL) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_contrasts(3, 2, 2, image, 0, &kept) == BINNET_OK && kept == 7);
}

static void test_rest(void) {
    uint32_t order[100];
    int seen[100] = {0};
    EXPECT(binnet_row_order(1, 2, 100, order) == BINNET_OK);
    for (int i = 0; i < 100; ++i) seen[order[i]] = 1;
    for (int i = 0; i < 100; ++i) EXPECT(seen[i]);
    EXPECT(binnet_row_order(1, 2, 1, NULL) == BINNET_ERR_ARGUMENT);
    EXPECT(binnet_rate_exponent(3, 11, 0, 90) == 3 && binnet_rate_exponent(3, 11, 9, 90) == 3);
    EXPECT(binnet_rate_exponent(3, 11, 10, 90) == 4 && binnet_rate_exponent(3, 11, 89, 90) == 11);
    EXPECT(binnet_rate_exponent(3, 11, 90, 90) == 11 && binnet_rate_exponent(3, 11, 0, 0) == 11);
    EXPECT(binnet_rate_exponent(0, UINT32_MAX, 0, 1) == 0);
    EXPECT(binnet_kernels_find("portable") != NULL && binnet_kernels_find("sse9") == NULL);
    EXPECT(binnet_kernels_find(NULL) == NULL);
    EXPECT(strlen(binnet_kernels_name(binnet_kernels_best())) > 0);
    for (int s = 0; s >= -12; --s)
        EXPECT(strcmp(binnet_status_text((binnet_status)s), "unknown status") != 0);
    EXPECT(binnet_version() ==
           (BINNET_VERSION_MAJOR << 16 | BINNET_VERSION_MINOR << 8 | BINNET_VERSION_PATCH));
}

int main(void) {
    make_data();
    test_training();
    for (size_t i = 0; i < N_GOLDEN; ++i)
        test_golden(&golden_runs[i]), test_targets(&golden_runs[i]), test_appendix(&golden_runs[i]);
    test_targets_between();
    test_nets_do_not_mix();
    test_models_of_nets();
    test_checkpoint_refusals();
    test_model();
    test_constant_sizes();
    test_config_refusals();
    test_bits();
    test_xnor_refusals();
    test_augmentation();
    test_contrasts();
    test_rest();
    printf("%s, with the %s kernels\n", failures ? "FAILED" : "all passed",
           binnet_kernels_name(binnet_kernels_best()));
    return failures != 0;
}
