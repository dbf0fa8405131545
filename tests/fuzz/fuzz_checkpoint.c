/* Any bytes as the checkpoint of a small net: refused without a trace, or restored to the byte, and
 * then trained on.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz.h"

#include "small_net.h"

enum { FIXED = 48, LAYER = 16 };

size_t fuzz_file_size(const uint8_t *header) {
    const size_t arrays = header[FUZZ_METHOD] >> 3 & 1 ? 3 : 1; /* AdaMax keeps three */
    const uint32_t n_layers = fuzz_get32(header + 44);
    size_t inputs = fuzz_get32(header + 40), end = 0, units = 0;
    if (n_layers < 1 || n_layers > FUZZ_LAYERS || inputs > BINNET_MAX_FEATURES) return 0;
    for (uint32_t i = 0; i < n_layers; ++i) {
        units = fuzz_get32(header + FIXED + i * LAYER + 4);
        if (units > BINNET_MAX_UNITS) return 0;
        end = (end + 2 * arrays * units * (1 + inputs) + 3) & ~(size_t)3;
        inputs = units;
    }
    return FIXED + n_layers * (size_t)LAYER + ((units + 3) & ~(size_t)3) + end + 4;
}

/* A net that has learned a little, and its state then. */
typedef struct subject {
    binnet_net *net;
    void *arena;
    uint8_t *state;
    size_t n_bytes;
} subject;

static uint8_t *state_of(const binnet_net *net, size_t n_bytes) {
    uint8_t *state = malloc(n_bytes);
    REQUIRE(state && binnet_checkpoint_write(net, state, n_bytes) == BINNET_OK);
    return state;
}

static subject make_subject(const binnet_method *method) {
    subject s;
    s.net = small_net(method, 2, &s.arena);
    for (uint32_t step = 0; step < 2; ++step) small_step(s.net);
    s.n_bytes = binnet_checkpoint_size(s.net);
    s.state = state_of(s.net, s.n_bytes);
    return s;
}

/* Whether a file has this state: but for its length, its appendix and its checksum, the same. */
static int same_state(const uint8_t *state, const uint8_t *file, size_t n_state, size_t n_file) {
    enum { AFTER = FUZZ_N_BYTES + 8, CRC = 4 };
    return n_file >= n_state && n_file % 4 == 0 && memcmp(state, file, FUZZ_N_BYTES) == 0 &&
           memcmp(state + AFTER, file + AFTER, n_state - CRC - AFTER) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const binnet_method methods[2] = {{0}, {.weights = 1, .activation = 1, .solver = 1}};
    static subject subjects[2];
    if (!subjects[0].net)
        for (int i = 0; i < 2; ++i) subjects[i] = make_subject(&methods[i]);
    const subject s = subjects[size > FUZZ_METHOD ? data[FUZZ_METHOD] >> 3 & 1 : 0];
    uint8_t *bytes = fuzz_copy(data, size, 1);
    const binnet_status status = binnet_checkpoint_read(s.net, bytes, size);
    uint8_t *after = state_of(s.net, s.n_bytes);
    if (status == BINNET_OK) {
        REQUIRE(same_state(after, data, s.n_bytes, size));
        small_step(s.net);
        REQUIRE(binnet_checkpoint_read(s.net, s.state, s.n_bytes) == BINNET_OK);
    } else {
        REQUIRE(memcmp(after, s.state, s.n_bytes) == 0);
    }
    free(after);
    free(bytes - 1);
    return 0;
}
