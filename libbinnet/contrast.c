/* Images as contrasts of each pixel to those around it and to the whole image (docs/algorithm.md,
 * section 13).
 * SPDX-License-Identifier: BSD-3-Clause */
#include "internal.h"

enum {
    TARGET = 64, /* one standard deviation of contrasts, in units of the output */
    NEAR_GREY_LEVEL = 9,
    FAR_GREY_LEVEL = 16 /* in units of these contrasts */
};

typedef struct picture {
    const uint8_t *pixels;
    uint32_t height, width, channels;
} picture;

/* What is done with a contrast: its size is summed, or it is stored as two halves at its place. */
typedef struct sink {
    uint8_t *out; /* NULL: sum */
    uint32_t sum; /* at most 65536 · 4080 < 2^28 */
    binnet_scale scale;
} sink;

static void take(sink *s, size_t at, int32_t contrast) {
    const int32_t size = binnet_abs(contrast); /* at most 4080 */
    if (!s->out) {
        s->sum += (uint32_t)size;
        return;
    }
    /* 33 · 4080 < 2^18; a scale is at most 64 / 9, so the shift is not below -2. */
    const int32_t scaled = binnet_shift(binnet_scaled(size, s->scale.term), s->scale.shift);
    const uint8_t half = (uint8_t)binnet_clamp(scaled, 0, 255);
    s->out[at * BINNET_CONTRASTS] = contrast > 0 ? half : 0;
    s->out[at * BINNET_CONTRASTS + 1] = contrast < 0 ? half : 0;
}

/* To the mean of 3 x 3 pixels, of which those outside are as the nearest inside. */
static void near_contrasts(const picture *p, sink *s) {
    const size_t channels = p->channels, line = p->width * channels;
    for (uint32_t y = 0; y < p->height; ++y) {
        const size_t up = y > 0 ? line : 0, down = y + 1 < p->height ? line : 0;
        for (uint32_t x = 0; x < p->width; ++x) {
            const size_t left = x > 0 ? channels : 0, right = x + 1 < p->width ? channels : 0;
            for (size_t c = 0; c < channels; ++c) {
                const size_t at = y * line + x * channels + c;
                const uint8_t *middle = p->pixels + at;
                const uint8_t *above = middle - up, *below = middle + down;
                const int32_t around = (above - left)[0] + above[0] + above[right] +
                                       (middle - left)[0] + middle[right] + (below - left)[0] +
                                       below[0] + below[right];
                take(s, at, (int32_t)((uint32_t)middle[0] << 3) - around);
            }
        }
    }
}

/* To the mean of a channel. */
static void far_contrasts(const picture *p, sink *s) {
    const uint32_t n = p->height * p->width;
    for (size_t c = 0; c < p->channels; ++c) {
        uint32_t sum = 0; /* 65536 · 255 < 2^24 */
        for (uint32_t i = 0; i < n; ++i) sum += p->pixels[i * p->channels + c];
        const int32_t mean = (int32_t)binnet_divide(sum << 4, n);
        for (uint32_t i = 0; i < n; ++i) {
            const size_t at = i * p->channels + c;
            take(s, at, (int32_t)((uint32_t)p->pixels[at] << 4) - mean);
        }
    }
}

/* As a unit of a layer is normalised, here over an image. One of less contrast than a grey level
 * counts as having that, so that its noise is not amplified. */
static void normalised(const picture *p, void (*contrasts)(const picture *, sink *),
                       uint32_t grey_level, uint8_t *out) {
    sink s = {.out = NULL};
    contrasts(p, &s);
    const int64_t two = (int64_t)s.sum + s.sum, four = two + two, eight = four + four;
    int64_t sixteen = eight + eight;
    BINNET_KEEP(sixteen);
    const uint32_t n = p->height * p->width * p->channels;
    const uint32_t s16 = (uint32_t)binnet_divide(sixteen + four, n), least = grey_level << 4;
    s.scale = binnet_two_power(TARGET, s16 < least ? least : s16);
    s.out = out;
    contrasts(p, &s);
}

binnet_status binnet_contrasts(uint32_t height, uint32_t width, uint32_t channels, const uint8_t *x,
                               uint32_t n_rows, uint8_t *out) {
    const uint64_t n_pixels = (uint64_t)height * width;
    if (!x || !out || n_pixels < 1 || n_pixels > BINNET_MAX_FEATURES || channels < 1 ||
        channels > BINNET_MAX_FEATURES / (uint32_t)n_pixels)
        return BINNET_ERR_ARGUMENT;
    const size_t n = (size_t)n_pixels * channels;
    for (uint32_t b = 0; b < n_rows; ++b, out += n * BINNET_CONTRASTS) {
        const picture p = {x + b * n, height, width, channels};
        normalised(&p, near_contrasts, NEAR_GREY_LEVEL, out);
        normalised(&p, far_contrasts, FAR_GREY_LEVEL, out + 2);
    }
    return BINNET_OK;
}
