/* Any bytes as a configuration: refused without a trace, or a net that trains, is saved and deployed
 * within the memory that it asks for, to the same bytes with any kernels and threads.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "shapes.h"

/* A net of more bytes, or of more products a batch, is only sized. */
enum { MOST_BYTES = 1 << 16, MOST_WORK = 1 << 13 };

/* ---- Bytes to a configuration --------------------------------------------------------------- */

typedef struct input {
    const uint8_t *at, *end;
} input;

static uint32_t byte(input *in) { return in->at < in->end ? *in->at++ : 0; }

/* Mostly 0 to `most`, of which configurations that work are made; else what is near a limit, or
 * anything. */
static uint32_t number(input *in, uint32_t most) {
    static const uint32_t limits[] = {16,    32,    128,     256,     4096,     32768,
                                      65536, 65537, 1 << 23, 1 << 24, 1u << 31, 0};
    const uint32_t value = byte(in);
    if (value < 240) return value % (most + 1);
    if (value < 252) return limits[value - 240] - byte(in) % 2;
    uint32_t any = byte(in);
    for (uint32_t i = 0; i < 3; ++i) any = any << 8 | byte(in);
    return any;
}

/* Tasks from the last to the first, by any workers. */
static void run_backwards(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task,
                          void *context) {
    (void)pool;
    for (uint32_t t = n_tasks; t-- > 0;) task(context, t, (t * 7 + 3) % n_workers);
}

/* A configuration, and what it points to. */
typedef struct subject {
    binnet_config config;
    binnet_layer *layers; /* no more than counts, in memory of its exact size */
    uint32_t *counts;
    binnet_parallel parallel;
    uint32_t threads; /* 0: none */
    uint32_t n_rows, rate_exponent, offset, pattern;
} subject;

static binnet_layer take_layer(input *in) {
    return (binnet_layer){.kind = 1 + number(in, 1),
                          .units = 1 + number(in, 9),
                          .kernel_size = number(in, 3),
                          .stride = number(in, 2),
                          .padding = number(in, 1),
                          .pool = number(in, 2)};
}

static binnet_method take_method(input *in) {
    return (binnet_method){.weights = number(in, 1),
                           .binarization = number(in, 1),
                           .activation = number(in, 1),
                           .solver = number(in, 1),
                           .gradient = number(in, 1),
                           .dropout = number(in, 200),
                           .input_dropout = number(in, 200),
                           .decay = number(in, 15)};
}

static void take_layers(input *in, subject *s) {
    binnet_config *c = &s->config;
    c->n_layers = number(in, 4);
    const uint32_t n = c->n_layers < BINNET_MAX_LAYERS ? c->n_layers : BINNET_MAX_LAYERS;
    s->layers = malloc(n * sizeof *s->layers + !n);
    REQUIRE(s->layers);
    for (uint32_t i = 0; i < n; ++i) s->layers[i] = take_layer(in);
    c->layers = s->layers;
    if (!number(in, 1) || !n || s->layers[n - 1].units > 64) return;
    const uint32_t n_classes = s->layers[n - 1].units;
    s->counts = malloc(n_classes * sizeof *s->counts);
    REQUIRE(s->counts);
    for (uint32_t k = 0; k < n_classes; ++k) s->counts[k] = number(in, 20);
    c->class_counts = s->counts;
}

static subject take_subject(input *in) {
    static const char *const names[] = {"portable", "avx2", "avx512", "neon"};
    subject s = {.config = {.seed = (uint64_t)number(in, 255) << 32 | number(in, 255)}};
    binnet_config *c = &s.config;
    c->height = number(in, 6);
    c->width = number(in, 6);
    const uint32_t channels = number(in, 9);
    c->n_features = channels ? c->height * c->width * channels : number(in, 70);
    c->batch_size = number(in, 5);
    c->method = take_method(in);
    take_layers(in, &s);
    c->n_rows = number(in, 1) ? number(in, 20) : 0;
    c->kernels = binnet_kernels_find(names[byte(in) % 4]);
    s.threads = byte(in) % 4;
    s.parallel = (binnet_parallel){s.threads < 3 ? run_backwards : NULL, NULL, number(in, 3)};
    s.n_rows = byte(in);
    s.rate_exponent = byte(in) % (BINNET_MAX_RATE_EXPONENT + 1);
    s.offset = byte(in) % 8 * BINNET_ALIGNMENT;
    s.pattern = byte(in);
    return s;
}

/* ---- What it comes to ----------------------------------------------------------------------- */

/* Memory whose every byte is known, of which no more than n_bytes may be touched. */
static void *take_bytes(size_t n_bytes) {
    void *bytes = malloc(n_bytes + !n_bytes);
    REQUIRE(bytes);
    memset(bytes, 0x5a, n_bytes);
    return bytes;
}

/* A net in an arena of its exact size that begins anywhere. */
typedef struct net_of {
    binnet_net *net;
    uint8_t *memory;
} net_of;

static net_of make_net(const binnet_config *config, uint32_t offset) {
    net_of n = {NULL, NULL};
    size_t n_bytes = 0;
    REQUIRE(binnet_net_size(config, &n_bytes) == BINNET_OK);
    n.memory = take_bytes(offset + n_bytes);
    REQUIRE(binnet_net_init(&n.net, n.memory + offset, n_bytes, config) == BINNET_OK);
    return n;
}

/* Rows, and what is wanted of them. */
typedef struct rows {
    uint8_t *x;
    uint16_t *labels;
    int8_t *targets;
    uint32_t n;
} rows;

static uint32_t hash(size_t i) { return (uint32_t)i * 2654435761u >> 11; }

static rows make_rows(const subject *s) {
    static const uint8_t masks[] = {255, 1, 128, 0};
    const size_t n_classes = s->layers[s->config.n_layers - 1].units;
    const size_t n = s->config.batch_size, n_x = n * s->config.n_features;
    const uint8_t mask = masks[s->pattern % 4], ones = s->pattern & 4 ? 255 : 0;
    rows r = {take_bytes(n_x), take_bytes(n * sizeof *r.labels), take_bytes(n * n_classes),
              1 + s->n_rows % s->config.batch_size};
    for (size_t i = 0; i < n_x; ++i) r.x[i] = (uint8_t)((hash(i) & mask) ^ ones);
    for (size_t i = 0; i < n; ++i) r.labels[i] = (uint16_t)(hash(i) % n_classes);
    for (size_t i = 0; i < n * n_classes; ++i) r.targets[i] = (int8_t)((int)(hash(i) % 65) - 32);
    return r;
}

/* Bytes that must be the same whatever computes them. */
typedef struct bytes {
    uint8_t *at;
    size_t n;
} bytes;

static void require_same(bytes a, bytes b) {
    REQUIRE(a.n == b.n && memcmp(a.at, b.at, a.n) == 0);
    free(a.at), free(b.at);
}

typedef binnet_status (*writer)(const binnet_net *, void *, size_t);

static bytes written(const binnet_net *net, size_t n_bytes, writer write) {
    const bytes b = {take_bytes(n_bytes), n_bytes};
    REQUIRE(write(net, b.at, b.n - 1) == BINNET_ERR_BUFFER_SIZE);
    REQUIRE(b.at[0] == 0x5a && b.at[b.n - 1] == 0x5a);
    REQUIRE(write(net, b.at, b.n) == BINNET_OK);
    return b;
}

static bytes checkpoint_of(const binnet_net *net) {
    return written(net, binnet_checkpoint_size(net), binnet_checkpoint_write);
}

static bytes model_of(const binnet_net *net) {
    return written(net, binnet_model_size(net), binnet_model_write);
}

static bytes scores_of(bytes file, const binnet_kernels *kernels, const rows *r, uint32_t at_once) {
    binnet_model model;
    REQUIRE(binnet_model_open(&model, file.at, file.n, kernels) == BINNET_OK);
    REQUIRE(model.bare_bytes == file.n);
    const size_t n_scratch = binnet_model_scratch_size(&model, at_once);
    const size_t least = binnet_model_scratch_size(&model, 1);
    bytes b = {NULL, r->n * (size_t)model.n_classes * sizeof(int32_t)};
    b.at = take_bytes(b.n);
    void *scratch = take_bytes(n_scratch);
    int32_t *scores = (int32_t *)(void *)b.at;
    REQUIRE(binnet_model_predict(&model, r->x, r->n, scores, NULL, scratch, least - 1) ==
            BINNET_ERR_BUFFER_SIZE);
    REQUIRE(binnet_model_predict(&model, r->x, r->n, scores, NULL, scratch, n_scratch) ==
            BINNET_OK);
    free(scratch);
    return b;
}

/* A step from the same state with the configured kernels and threads as with the portable ones on
 * the calling thread; then the model of it, and its scores. */
static void require_same_nets(const subject *s) {
    const binnet_kernels *portable = binnet_kernels_find("portable");
    binnet_config plain = s->config;
    plain.kernels = portable;
    plain.parallel = NULL;
    const net_of a = make_net(&plain, 0), b = make_net(&s->config, s->offset);
    const rows r = make_rows(s);
    require_same(checkpoint_of(a.net), checkpoint_of(b.net));

    uint64_t losses[2] = {0, 0};
    REQUIRE(binnet_net_train_step(a.net, r.x, r.labels, r.n, s->rate_exponent, NULL) == BINNET_OK);
    const bytes state = checkpoint_of(a.net);
    REQUIRE(binnet_checkpoint_read(b.net, state.at, state.n) == BINNET_OK);
    free(state.at);
    const binnet_net *const nets[2] = {a.net, b.net};
    for (int i = 0; i < 2; ++i)
        REQUIRE(binnet_net_train_step_targets((binnet_net *)(uintptr_t)nets[i], r.x, r.targets, r.n,
                                              s->rate_exponent, &losses[i]) == BINNET_OK);
    REQUIRE(losses[0] == losses[1]);
    require_same(checkpoint_of(a.net), checkpoint_of(b.net));

    const binnet_status wanted = r.n < 2 ? BINNET_ERR_ARGUMENT : BINNET_OK;
    REQUIRE(binnet_net_calibrate(a.net, r.x, r.n) == wanted);
    REQUIRE(binnet_net_calibrate(b.net, r.x, r.n) == wanted);
    if (wanted == BINNET_OK) {
        const bytes model = model_of(a.net);
        require_same(scores_of(model, portable, &r, 1),
                     scores_of(model, s->config.kernels, &r, 1 + s->n_rows % 3));
        require_same(model, model_of(b.net));
    }
    free(r.x), free(r.labels), free(r.targets);
    free(a.memory), free(b.memory);
}

/* ---- Sizes ---------------------------------------------------------------------------------- */

/* What no arena can do without; the products of a step. */
static uint64_t measure(const binnet_config *c, uint64_t *work) {
    const int images = c->layers[0].kind == BINNET_CONV2D;
    fuzz_shape shape = fuzz_start(c->n_features, images ? c->height : 0, images ? c->width : 0);
    uint64_t least = 0;
    for (uint32_t i = 0; i < c->n_layers; ++i) {
        REQUIRE(fuzz_next(&shape, &c->layers[i]));
        least += (2 * shape.fan_in + 2) * shape.units; /* latent weights, biases */
        if (i + 1 < c->n_layers) least += c->batch_size * shape.height * shape.width * shape.units;
    }
    *work = shape.work * c->batch_size;
    if (c->method.gradient == BINNET_EXACT) *work *= 4;
    return least;
}

/* Nothing is touched by an init that is refused. */
static void require_refused(const subject *s, uint32_t offset, size_t n_bytes,
                            binnet_status status) {
    uint64_t arena[2] = {1, 2};
    binnet_net *net = NULL;
    REQUIRE(binnet_net_init(&net, (uint8_t *)arena + offset, n_bytes, &s->config) == status);
    REQUIRE(!net && arena[0] == 1 && arena[1] == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, data + size};
    subject s = take_subject(&in);
    if (s.threads) s.config.parallel = &s.parallel;
    const size_t untouched = 0x5a5a;
    size_t n_bytes = untouched;
    const binnet_status status = binnet_net_size(&s.config, &n_bytes);
    if (status != BINNET_OK) {
        REQUIRE(status == BINNET_ERR_ARGUMENT || status == BINNET_ERR_LIMIT);
        REQUIRE(n_bytes == untouched);
        require_refused(&s, 0, SIZE_MAX, status);
    } else {
        uint64_t work;
        REQUIRE(measure(&s.config, &work) <= n_bytes);
        require_refused(&s, 0, n_bytes - 1, BINNET_ERR_BUFFER_SIZE);
        require_refused(&s, 1 + s.pattern % 7, n_bytes, BINNET_ERR_ALIGNMENT);
        if (n_bytes <= MOST_BYTES && work <= MOST_WORK) require_same_nets(&s);
    }
    free(s.layers), free(s.counts);
    return 0;
}
