/* Nets with convolutions in the public interface: shapes, what is refused, and that no buffer may be
 * smaller than it was said to be. The bits are those of test_api.c's golden runs.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "../../libbinnet/internal.h"
#include "expect.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEIGHT = 7, WIDTH = 6, CHANNELS = 2, FEATURES = HEIGHT * WIDTH * CHANNELS, BATCH = 6 };

static const binnet_layer layers[] = {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 2},
                                      {BINNET_CONV2D, 10, 2, 2, BINNET_VALID, 1},
                                      {BINNET_DENSE, 4}};
static uint8_t x[BATCH * FEATURES];
static uint16_t labels[BATCH];

static binnet_config make_config(void) {
    const binnet_config config = {.seed = 5,
                                  .n_features = FEATURES,
                                  .n_layers = 3,
                                  .batch_size = BATCH,
                                  .layers = layers,
                                  .height = HEIGHT,
                                  .width = WIDTH};
    return config;
}

static void make_data(void) {
    const binnet_rng rng = binnet_rng_stream(1, 64, 0, 0);
    binnet_rng_blocks(&rng, 0, 0, sizeof x / 8, x);
    for (uint32_t b = 0; b < BATCH; ++b) labels[b] = (uint16_t)(b % 4);
}

/* A net in an arena of no byte more than it needs. */
static binnet_net *make_net(const binnet_config *config, void **arena) {
    binnet_net *net = NULL;
    size_t n_bytes = 0;
    EXPECT(binnet_net_size(config, &n_bytes) == BINNET_OK);
    *arena = malloc(n_bytes);
    EXPECT(binnet_net_init(&net, *arena, n_bytes, config) == BINNET_OK);
    return net;
}

/* ---- Shapes -------------------------------------------------------------------------------- */

static void test_shapes(void) {
    static const struct {
        uint32_t height, width, channels;
        binnet_layer layer;
        uint32_t top, left, out_height, out_width;
    } cases[] = {
        {28, 28, 1, {BINNET_CONV2D, 6, 5, 0, BINNET_SAME, 2}, 2, 2, 14, 14},
        {28, 28, 1, {BINNET_CONV2D, 6, 5, 0, BINNET_VALID, 2}, 0, 0, 12, 12},
        {7, 6, 2, {BINNET_CONV2D, 9, 2, 1, BINNET_SAME, 0}, 0, 0, 7, 6},
        {7, 6, 2, {BINNET_CONV2D, 9, 3, 2, BINNET_SAME, 1}, 1, 0, 4, 3},
        {7, 6, 2, {BINNET_CONV2D, 9, 3, 2, BINNET_VALID, 1}, 0, 0, 3, 2},
        {7, 6, 2, {BINNET_CONV2D, 9, 1, 4, BINNET_SAME, 1}, 0, 0, 2, 2},
        {7, 6, 2, {BINNET_CONV2D, 9, 6, 31, BINNET_SAME, 1}, 0, 0, 1, 1},
        {31, 31, 1, {BINNET_CONV2D, 1, 31, 1, BINNET_SAME, 15}, 15, 15, 2, 2},
        {4095, 1, 1, {BINNET_CONV2D, 3, 1, 1, BINNET_SAME, 1}, 0, 0, 4095, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const binnet_layer dense = {BINNET_DENSE, 3};
        const uint32_t n = cases[i].height * cases[i].width * cases[i].channels;
        const uint32_t positions = cases[i].out_height * cases[i].out_width;
        binnet_shape shape;
        EXPECT(binnet_start_shape(&shape, n, cases[i].height, cases[i].width) == BINNET_OK);
        EXPECT(shape.units == cases[i].channels);
        EXPECT(binnet_next_shape(&shape, &cases[i].layer) == BINNET_OK);
        EXPECT(shape.image.top == cases[i].top && shape.image.left == cases[i].left);
        EXPECT(shape.height == cases[i].out_height && shape.width == cases[i].out_width);
        EXPECT(shape.positions == positions && shape.units == cases[i].layer.units);
        EXPECT(shape.fan_in ==
               cases[i].layer.kernel_size * cases[i].layer.kernel_size * cases[i].channels);
        EXPECT(binnet_next_shape(&shape, &dense) == BINNET_OK);
        EXPECT(shape.fan_in == positions * cases[i].layer.units && shape.positions == 1);
        EXPECT(!shape.height && !shape.width && shape.units == 3);
        /* In a file a layer has one number. */
        const uint32_t kind = binnet_put_kind(&cases[i].layer);
        const binnet_layer got = binnet_get_kind(kind, cases[i].layer.units);
        EXPECT(got.kernel_size == cases[i].layer.kernel_size &&
               got.padding == cases[i].layer.padding && got.units == cases[i].layer.units);
        EXPECT(got.stride == binnet_most(cases[i].layer.stride, 1) &&
               got.pool == binnet_most(cases[i].layer.pool, 1) && binnet_put_kind(&got) == kind);
    }
}

static void refused(const binnet_config *config, binnet_status status) {
    static uint64_t arena[1 << 10];
    binnet_net *net = NULL;
    size_t n_bytes = 77;
    EXPECT(binnet_net_size(config, &n_bytes) == status && n_bytes == 77);
    EXPECT(binnet_net_init(&net, arena, sizeof arena, config) == status && net == NULL);
}

/* One layer before two classes. */
static void refused_layer(binnet_layer layer, binnet_status status) {
    const binnet_layer two[] = {layer, {BINNET_DENSE, 2}};
    binnet_config config = make_config();
    config.layers = two;
    config.n_layers = 2;
    refused(&config, status);
}

static void test_config_refusals(void) {
    static const binnet_layer bad[] = {{BINNET_CONV2D, 9},
                                       {BINNET_CONV2D, 0, 3},
                                       {BINNET_CONV2D, 9, 7}, /* wider than the images */
                                       {BINNET_CONV2D, 9, 32},
                                       {BINNET_CONV2D, 9, 3, 32},
                                       {BINNET_CONV2D, 9, 3, 1, 2},
                                       {BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 7},
                                       {BINNET_CONV2D, 9, 3, 1, BINNET_VALID, 5},
                                       {BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 16},
                                       {3, 9, 3}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        refused_layer(bad[i], BINNET_ERR_ARGUMENT);
    refused_layer((binnet_layer){BINNET_CONV2D, BINNET_MAX_UNITS + 1, 1}, BINNET_ERR_LIMIT);
    refused_layer((binnet_layer){BINNET_CONV2D, 65536 / 25 + 1, 5}, BINNET_ERR_LIMIT);

    const binnet_layer after[] = {{BINNET_DENSE, 84}, {BINNET_CONV2D, 3, 1}, {BINNET_DENSE, 2}};
    binnet_config config = make_config();
    config.layers = after;
    refused(&config, BINNET_ERR_ARGUMENT);
    config = make_config();
    config.n_layers = 2; /* the last of which puts out images */
    refused(&config, BINNET_ERR_ARGUMENT);

    static const struct {
        uint32_t n_features, height, width;
        binnet_status status;
    } images[] = {{FEATURES, 0, 0, BINNET_ERR_ARGUMENT},
                  {FEATURES, HEIGHT, 0, BINNET_ERR_ARGUMENT},
                  {FEATURES, 0, WIDTH, BINNET_ERR_ARGUMENT},
                  {FEATURES + 1, HEIGHT, WIDTH, BINNET_ERR_ARGUMENT},
                  {FEATURES, 16, 16, BINNET_ERR_ARGUMENT}, /* no channel is left */
                  {4096, 4096, 1, BINNET_ERR_LIMIT},
                  {4096, 1, 4096, BINNET_ERR_LIMIT},
                  {65536, 65536, 65536, BINNET_ERR_LIMIT}}; /* 2^32 pixels */
    for (size_t i = 0; i < sizeof images / sizeof *images; ++i) {
        config = make_config();
        config.n_features = images[i].n_features;
        config.height = images[i].height;
        config.width = images[i].width;
        refused(&config, images[i].status);
    }
}

static void test_limits(void) {
    const binnet_status large = SIZE_MAX > 0xffffffffu ? BINNET_OK : BINNET_ERR_LIMIT;
    const struct {
        uint32_t height, width, batch_size, gradient;
        binnet_layer first, second;
        binnet_status status;
    } cases[] = {
        {8, 8, 1, 0, {BINNET_CONV2D, 1024, 1}, {BINNET_CONV2D, 2, 8}, BINNET_OK},
        {8, 8, 1, 0, {BINNET_CONV2D, 1025, 1}, {BINNET_CONV2D, 2, 8}, BINNET_ERR_LIMIT},
        {8, 8, 1, 0, {BINNET_CONV2D, 1024, 1}, {BINNET_DENSE, 2}, BINNET_OK},
        {8, 8, 1, 0, {BINNET_CONV2D, 1025, 1}, {BINNET_DENSE, 2}, BINNET_ERR_LIMIT},
        {256, 256, 1, 0, {BINNET_CONV2D, 256, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_OK},
        {256, 256, 1, 0, {BINNET_CONV2D, 257, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_ERR_LIMIT},
        {256, 256, 1, 0, {BINNET_CONV2D, 65536, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_ERR_LIMIT},
        {64, 64, 2048, 0, {BINNET_CONV2D, 1, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_OK},
        {64, 64, 2049, 0, {BINNET_CONV2D, 1, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_ERR_LIMIT},
        {64, 64, 2049, 0, {BINNET_CONV2D, 1, 1, 31}, {BINNET_CONV2D, 1, 1}, BINNET_OK},
        {64, 64, 8, 1, {BINNET_CONV2D, 1, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_OK},
        {64, 64, 9, 1, {BINNET_CONV2D, 1, 1}, {BINNET_CONV2D, 1, 1, 31}, BINNET_ERR_LIMIT},
        /* 17 GB of activations. */
        {256, 256, 128, 0, {BINNET_CONV2D, 256, 1}, {BINNET_CONV2D, 1, 1, 31}, large},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const binnet_layer three[] = {cases[i].first, cases[i].second, {BINNET_DENSE, 2}};
        binnet_config config = make_config();
        size_t n_bytes;
        config.n_features = cases[i].height * cases[i].width;
        config.height = cases[i].height;
        config.width = cases[i].width;
        config.batch_size = cases[i].batch_size;
        config.method.gradient = cases[i].gradient;
        config.layers = three;
        if (cases[i].status == BINNET_OK)
            EXPECT(binnet_net_size(&config, &n_bytes) == BINNET_OK);
        else
            refused(&config, cases[i].status);
    }
}

/* ---- Buffers ------------------------------------------------------------------------------- */

static void test_buffers(const binnet_method *method) {
    binnet_config config = make_config();
    config.method = *method;
    void *arena, *again;
    binnet_net *net = make_net(&config, &arena), *other = NULL;
    size_t needed = 0;
    EXPECT(binnet_net_size(&config, &needed) == BINNET_OK);
    again = malloc(needed + 8);
    EXPECT(binnet_net_init(&other, again, needed - 1, &config) == BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_net_init(&other, (uint8_t *)again + 4, needed, &config) == BINNET_ERR_ALIGNMENT);
    EXPECT(other == NULL);
    free(again);

    for (uint32_t step = 0; step < 3; ++step)
        EXPECT(binnet_net_train_step(net, x, labels, BATCH - step, 3, NULL) == BINNET_OK);
    EXPECT(binnet_net_calibrate(net, x, BATCH) == BINNET_OK);
    const size_t n_bytes = binnet_model_size(net);
    uint8_t *bytes = malloc(n_bytes);
    EXPECT(binnet_model_write(net, bytes, n_bytes - 1) == BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_model_write(net, bytes, n_bytes) == BINNET_OK);

    binnet_model model;
    int32_t scores[BATCH * 4], by_one[BATCH * 4];
    EXPECT(binnet_model_open(&model, bytes, n_bytes, NULL) == BINNET_OK);
    EXPECT(model.height == HEIGHT && model.width == WIDTH && model.n_features == FEATURES);
    const size_t one = binnet_model_scratch_size(&model, 1);
    const size_t all = binnet_model_scratch_size(&model, BATCH);
    uint8_t *scratch = malloc(one);
    EXPECT(binnet_model_predict(&model, x, BATCH, by_one, NULL, scratch, one - 1) ==
           BINNET_ERR_BUFFER_SIZE);
    EXPECT(binnet_model_predict(&model, x, BATCH, by_one, NULL, scratch + 4, one - 4) ==
           BINNET_ERR_ALIGNMENT);
    EXPECT(binnet_model_predict(&model, x, BATCH, by_one, NULL, scratch, one) == BINNET_OK);
    free(scratch);
    scratch = malloc(all);
    EXPECT(binnet_model_predict(&model, x, BATCH, scores, NULL, scratch, all) == BINNET_OK);
    EXPECT(memcmp(scores, by_one, sizeof scores) == 0);
    free(scratch), free(bytes), free(arena);
}

/* The sums of a layer are whole panels, also where those of another one left room for all its
 * columns, but not for what pads them: of 46 columns here. */
static void test_sums_fit(const char *name) {
    static const binnet_layer wide[] = {
        {BINNET_CONV2D, 32, 1}, {BINNET_CONV2D, 46, 2, 1, BINNET_VALID}, {BINNET_DENSE, 2}};
    binnet_config config = make_config();
    config.n_features = 36;
    config.height = config.width = 6;
    config.layers = wide;
    config.kernels = binnet_kernels_find(name);
    if (!config.kernels) return; /* not on this machine */
    void *arena;
    const binnet_net *net = make_net(&config, &arena);
    for (uint32_t i = 0; i < config.n_layers; ++i) {
        const binnet_layer_state *layer = &net->layers[i];
        const size_t columns = binnet_padded(config.kernels, layer->z_columns);
        const int32_t *end = net->z + columns * layer->positions * BATCH;
        EXPECT((const uint8_t *)end <= net->input_bits); /* which come next */
    }
    free(arena);
}

/* ---- Files --------------------------------------------------------------------------------- */

static void *checkpoint_of(const binnet_net *net, size_t *n_bytes) {
    *n_bytes = binnet_checkpoint_size(net);
    void *bytes = malloc(*n_bytes);
    EXPECT(binnet_checkpoint_write(net, bytes, *n_bytes) == BINNET_OK);
    return bytes;
}

/* Nets whose weights are as many, or nearly. */
static void test_checkpoints_of_other_shapes(void) {
    static const binnet_layer others[][3] = {
        {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 3}, {BINNET_CONV2D, 10, 2}, {BINNET_DENSE, 4}},
        {{BINNET_CONV2D, 9, 3, 1, BINNET_VALID, 2},
         {BINNET_CONV2D, 10, 2, 2, BINNET_VALID, 1},
         {BINNET_DENSE, 4}},
        {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 2},
         {BINNET_CONV2D, 10, 2, 3, BINNET_VALID, 1},
         {BINNET_DENSE, 4}},
        {{BINNET_CONV2D, 9, 3, 1, BINNET_SAME, 2},
         {BINNET_CONV2D, 10, 2, 2, BINNET_VALID, 1},
         {BINNET_DENSE, 5}},
    };
    const binnet_config config = make_config();
    void *arena, *other_arena;
    size_t n_bytes, n_after, n_other;
    binnet_net *net = make_net(&config, &arena);
    EXPECT(binnet_net_train_step(net, x, labels, BATCH, 3, NULL) == BINNET_OK);
    uint8_t *before = checkpoint_of(net, &n_bytes);
    for (size_t i = 0; i <= sizeof others / sizeof *others; ++i) {
        binnet_config different = config;
        if (i < sizeof others / sizeof *others) {
            different.layers = others[i];
        } else { /* the last is of images turned on their side */
            different.height = WIDTH;
            different.width = HEIGHT;
        }
        binnet_net *other = make_net(&different, &other_arena);
        uint8_t *bytes = checkpoint_of(other, &n_other);
        EXPECT(binnet_checkpoint_read(net, bytes, n_other) == BINNET_ERR_MISMATCH);
        EXPECT(binnet_checkpoint_read(other, before, n_bytes) == BINNET_ERR_MISMATCH);
        free(bytes), free(other_arena);
    }
    uint8_t *after = checkpoint_of(net, &n_after);
    EXPECT(n_after == n_bytes && memcmp(before, after, n_bytes) == 0);
    free(before), free(after), free(arena);
}

/* A model with one number of its header changed, and the checksum made right. */
static void test_corrupt_models(void) {
    enum { SHAPE = 28, FIRST = 32, SECOND = 40, LAST = 48 };
    static const struct {
        uint32_t at, value;
    } changes[] = {
        {24, FEATURES + 1},
        {24, 0},
        {24, 2 * FEATURES},                           /* more channels than weights for */
        {SHAPE, 3},                                   /* no images for a convolution */
        {SHAPE, 3 | HEIGHT << 8},                     /* of width 0 */
        {SHAPE, 3 | WIDTH << 20},                     /* of height 0 */
        {SHAPE, 3 | HEIGHT << 8 | (WIDTH + 1) << 20}, /* not of so many features */
        {SHAPE, 2 | HEIGHT << 8 | WIDTH << 20},       /* the last layer a convolution */
        {SHAPE, 0 | HEIGHT << 8 | WIDTH << 20},       /* no layer */
        {FIRST, 2},                                   /* kernel, stride and pool 0 */
        {FIRST, 2 | 3 << 8 | 0 << 16 | 2 << 24},      /* stride 0 */
        {FIRST, 2 | 3 << 8 | 32 << 16 | 2 << 24},     /* stride 32 */
        {FIRST, 2 | 0 << 8 | 1 << 16 | 2 << 24},      /* kernel 0 */
        {FIRST, 2 | 7 << 8 | 1 << 16 | 2 << 24},      /* kernel wider than the images */
        {FIRST, 2 | 3 << 8 | 1 << 16 | 0 << 24},      /* pool 0 */
        {FIRST, 2 | 3 << 8 | 1 << 16 | 7 << 24},      /* pool wider than the sums */
        {FIRST, 2u | 3u << 8 | 1u << 16 | 16u << 24}, /* pool 16 */
        {FIRST, 3 | 3 << 8 | 1 << 16 | 2 << 24},      /* no such kind */
        {FIRST, 0},                                   /* nor this one */
        {FIRST, 1},                                   /* images, but no convolution */
        {FIRST, 1 | 3 << 8},                          /* a kernel, but no convolution */
        {SECOND, 1},                                  /* other weights than there are */
        {SECOND, 2 | 2 << 8 | 1 << 16 | 1 << 24},     /* likewise the layer after it */
        {FIRST + 4, 0},                               /* no filters */
        {FIRST + 4, 7282},                            /* of more than 65536 weights */
        {LAST, 2 | 1 << 8 | 1 << 16 | 1 << 24},       /* the last layer a convolution */
        {LAST + 4, 1},                                /* one class */
    };
    const binnet_config config = make_config();
    void *arena;
    binnet_net *net = make_net(&config, &arena);
    EXPECT(binnet_net_calibrate(net, x, BATCH) == BINNET_OK);
    const size_t n_bytes = binnet_model_size(net);
    uint8_t *good = malloc(n_bytes), *bad = malloc(n_bytes);
    EXPECT(binnet_model_write(net, good, n_bytes) == BINNET_OK);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; ++i) {
        binnet_model model;
        memcpy(bad, good, n_bytes);
        EXPECT(binnet_get32(bad + changes[i].at) != changes[i].value);
        binnet_put32(bad + changes[i].at, changes[i].value);
        binnet_put32(bad + n_bytes - 4, binnet_crc32(bad, n_bytes - 4));
        const binnet_status status = binnet_model_open(&model, bad, n_bytes, NULL);
        if (status != BINNET_ERR_CORRUPT)
            printf("change %u: %s\n", (unsigned)i, binnet_status_text(status));
        EXPECT(status == BINNET_ERR_CORRUPT);
    }
    free(good), free(bad), free(arena);
}

int main(void) {
    static const binnet_method methods[] = {{0, 0, 0, 0, 0, 0, 0},
                                            {1, 1, 0, 0, 0, 0, 0},
                                            {0, 0, 1, 0, 0, 64, 0},
                                            {1, 1, 1, 1, 1, 9, 9}};
    make_data();
    test_shapes();
    test_config_refusals();
    test_limits();
    for (size_t i = 0; i < sizeof methods / sizeof *methods; ++i) test_buffers(&methods[i]);
    test_sums_fit("portable");
    test_sums_fit("avx2");
    test_sums_fit("avx512");
    test_sums_fit("neon");
    test_checkpoints_of_other_shapes();
    test_corrupt_models();
    printf("%s\n", failures ? "FAILED" : "all passed");
    return failures != 0;
}
