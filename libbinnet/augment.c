/* Images varied from step to step (docs/algorithm.md, section 12).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

/* floor(r · (2q + 1) / 2^16) - q of a random r, 16 bits: -q to q. r · 255 is below 2^24. */
static int32_t draw_offset(const uint8_t *random, uint32_t q) {
    const uint32_t r = (uint32_t)random[0] | (uint32_t)random[1] << 8;
    uint32_t product = r;
    for (uint32_t i = 0; i < q; ++i) {
        product += r + r;
        BINNET_KEEP(product);
    }
    return (int32_t)(product >> 16) - (int32_t)q;
}

static void augment_image(const binnet_augmentation *how, const uint8_t *random,
                          const uint8_t *image, uint8_t *out) {
    const int32_t height = (int32_t)how->height, width = (int32_t)how->width;
    const int mirrored = how->flip && random[0] < 128;
    const int32_t dy = draw_offset(random + 2, how->crop);
    const int32_t dx = draw_offset(random + 4, how->crop);
    for (int32_t y = 0; y < height; ++y) {
        for (int32_t x = 0; x < width; ++x, out += how->channels) {
            const int32_t from_y = y + dy, moved_x = x + dx;
            const int32_t from_x = mirrored ? width - 1 - moved_x : moved_x;
            if (from_y < 0 || from_y >= height || from_x < 0 || from_x >= width)
                memset(out, 0, how->channels);
            else
                memcpy(out, image + ((size_t)from_y * how->width + (size_t)from_x) * how->channels,
                       how->channels);
        }
    }
}

binnet_status binnet_augment(const binnet_augmentation *how, uint64_t seed, uint32_t step,
                             const uint8_t *x, uint32_t n_rows, uint8_t *out) {
    if (!how || !x || !out || how->flip > 1 || how->crop > BINNET_MAX_CROP)
        return BINNET_ERR_ARGUMENT;
    const uint64_t n_pixels = (uint64_t)how->height * how->width;
    if (n_pixels < 1 || n_pixels > BINNET_MAX_FEATURES || how->channels < 1 ||
        how->channels > BINNET_MAX_FEATURES / n_pixels)
        return BINNET_ERR_ARGUMENT;
    const size_t n_features = (size_t)n_pixels * how->channels;
    const binnet_rng rng = binnet_rng_stream(seed, BINNET_RANDOM_AUGMENTATION, 0, step);
    for (uint32_t b = 0; b < n_rows; ++b) {
        uint8_t random[8];
        binnet_rng_blocks(&rng, b, 0, 1, random);
        augment_image(how, random, x + b * n_features, out + b * n_features);
    }
    return BINNET_OK;
}
