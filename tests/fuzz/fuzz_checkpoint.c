/* Any bytes as the checkpoint of a small net: refused without a trace, or restored to the byte, and
 * then trained on, which comes to the same with all kernels.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "shapes.h"
#include "small_net.h"

enum { FIXED = 48, LAYER = 16, SEED = 24, TABLES = 4, MOST_BYTES = 4096 };

size_t fuzz_file_size(const uint8_t *header) {
    const size_t arrays = header[FUZZ_METHOD] >> 3 & 1 ? 3 : 1; /* AdaMax keeps three */
    const uint32_t n_layers = header[44], n_features = fuzz_get32(header + 40);
    size_t end = 0;
    fuzz_shape shape = fuzz_get_start(header + 40, header + 44);
    if (n_layers < 1 || n_layers > FUZZ_LAYERS || n_features > BINNET_MAX_FEATURES) return 0;
    for (uint32_t i = 0; i < n_layers; ++i) {
        const binnet_layer layer = fuzz_get_layer(header + FIXED + i * LAYER);
        if (!fuzz_next(&shape, &layer) || shape.fan_in > BINNET_MAX_FEATURES) return 0;
        end = (end + 2 * arrays * layer.units * (1 + (size_t)shape.fan_in) + 3) & ~(size_t)3;
    }
    return FIXED + n_layers * (size_t)LAYER + (((size_t)shape.units + 3) & ~(size_t)3) + end + 4;
}

/* What a net has learned, and what it is deployed as. */
typedef struct outcome {
    uint8_t state[MOST_BYTES], model[MOST_BYTES];
} outcome;

static void save(const binnet_net *net, uint8_t *state) {
    memset(state, 0, MOST_BYTES);
    REQUIRE(binnet_checkpoint_write(net, state, MOST_BYTES) == BINNET_OK);
}

/* One step more. */
static void go_on(binnet_net *net, outcome *o) {
    binnet_model model;
    small_step(net);
    save(net, o->state);
    memset(o->model, 0, sizeof o->model);
    const size_t n_bytes = small_model(net, o->model, sizeof o->model);
    REQUIRE(binnet_model_open(&model, o->model, n_bytes, NULL) == BINNET_OK);
}

/* A net with each of the kernels that there are; and the state of all after some steps. */
typedef struct subject {
    binnet_net *nets[TABLES];
    uint32_t n_nets;
    uint8_t state[MOST_BYTES];
    size_t n_bytes;
} subject;

static const subject *find_subject(uint32_t number) {
    static const char *const names[TABLES] = {"portable", "avx2", "avx512", "neon"};
    static subject subjects[SMALL_NETS];
    static void *arenas[SMALL_NETS][TABLES]; /* never freed */
    subject *s = &subjects[number];
    if (s->n_bytes) return s;
    for (uint32_t k = 0; k < TABLES; ++k) {
        const binnet_kernels *kernels = binnet_kernels_find(names[k]);
        if (kernels) s->nets[s->n_nets++] = small_net(number, kernels, &arenas[number][k]);
    }
    for (uint32_t step = 0; step < 2; ++step) small_step(s->nets[0]);
    save(s->nets[0], s->state);
    s->n_bytes = binnet_checkpoint_size(s->nets[0]);
    return s;
}

/* Whether a file has this state: but for its length, its appendix and its checksum, the same. */
static int same_state(const uint8_t *state, const uint8_t *file, size_t n_state, size_t n_file) {
    enum { AFTER = FUZZ_N_BYTES + 8, CRC = 4 };
    return n_file >= n_state && n_file % 4 == 0 && memcmp(state, file, FUZZ_N_BYTES) == 0 &&
           memcmp(state + AFTER, file + AFTER, n_state - CRC - AFTER) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static outcome first, again;
    const subject *s = find_subject(size > SEED ? data[SEED] % SMALL_NETS : 0);
    uint8_t *bytes = fuzz_copy(data, size, 1);
    REQUIRE(binnet_checkpoint_read(s->nets[0], s->state, s->n_bytes) == BINNET_OK);
    const binnet_status status = binnet_checkpoint_read(s->nets[0], bytes, size);
    save(s->nets[0], first.state);
    if (status != BINNET_OK) {
        REQUIRE(memcmp(first.state, s->state, s->n_bytes) == 0);
    } else {
        REQUIRE(same_state(first.state, data, s->n_bytes, size));
        go_on(s->nets[0], &first);
    }
    if (status == BINNET_OK && s->n_nets > 1) {
        /* The other kernels take turns: all of them would take long. */
        const uint32_t k = 1 + binnet_net_step(s->nets[0]) % (s->n_nets - 1);
        REQUIRE(binnet_checkpoint_read(s->nets[k], bytes, size) == BINNET_OK);
        go_on(s->nets[k], &again);
        REQUIRE(memcmp(&first, &again, sizeof first) == 0);
    }
    free(bytes - 1);
    return 0;
}
