/* libbinnet: neural networks that learn with integers, bits and shifts only.
 * SPDX-License-Identifier: BSD-3-Clause
 *
 * The whole public interface. In order of use:
 *
 *     status     every function that can fail returns one
 *     kernels    which instruction set computes; the result never depends on it
 *     threads    optional hook; the result never depends on it
 *     bits       packed ±1 matrices and their product
 *     random     counter-based random bytes, row order, learning rate
 *     images     contrasts as features; images varied from step to step
 *     training   binnet_config -> binnet_net_size -> binnet_net_init -> binnet_net_train_step ...
 *     checkpoint the training state as portable bytes
 *     model      binnet_net_calibrate -> binnet_model_write -> binnet_model_open -> _predict
 *
 * A complete training program:
 *
 *     static uint64_t arena[BINNET_NET_SIZE(32, 64, 32, 10) / 8]; // or ask binnet_net_size
 *     static uint8_t flash[BINNET_MODEL_SIZE(64, 32, 10)]; // or binnet_model_size
 *     const binnet_layer layers[] = {{.kind = BINNET_DENSE, .units = 32},
 *                                    {.kind = BINNET_DENSE, .units = 10}};
 *     const binnet_config config = {.seed = 1, .n_features = 64, .n_layers = 2, .batch_size = 32,
 *                                   .layers = layers, .kernels = binnet_kernels_find("portable")};
 *     binnet_net *net;
 *     if (binnet_net_init(&net, arena, sizeof arena, &config) != BINNET_OK) { ... }
 *     for (uint32_t t = 0; t < 1000; ++t)
 *         binnet_net_train_step(net, next_rows(), next_labels(), 32,
 *                               binnet_rate_exponent(3, 9, t, 1000), NULL);
 *     binnet_net_calibrate(net, some_rows(), 32);
 *     binnet_model_write(net, flash, sizeof flash);
 *
 * And of prediction:
 *
 *     binnet_model model;
 *     uint16_t digit;
 *     if (binnet_model_open(&model, flash, sizeof flash, NULL) != BINNET_OK) { ... }
 *     binnet_model_predict(&model, row, 1, NULL, &digit, scratch, sizeof scratch);
 *
 * Rules that hold everywhere: sizes of buffers are in bytes and are checked; on any error the
 * outputs are untouched; functions that return no status take no null pointer; nothing allocates,
 * prints, locks, or keeps mutable globals; two threads may use two nets, or one opened model, at
 * the same time. All arithmetic is fixed to the bit in docs/algorithm.md: every target, kernel and
 * thread count computes the same bytes.
 */
#ifndef BINNET_H
#define BINNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* cffi: begin (only enums, structs, integer #defines and prototypes until the end marker) */

#define BINNET_VERSION_MAJOR 0
#define BINNET_VERSION_MINOR 1
#define BINNET_VERSION_PATCH 0

/* The version of the library that is linked: major << 16 | minor << 8 | patch. */
uint32_t binnet_version(void);

/* ---- Status ------------------------------------------------------------------------------- */

typedef enum binnet_status {
    BINNET_OK = 0,
    BINNET_ERR_ARGUMENT = -1,    /* a null pointer, or a value outside its documented range */
    BINNET_ERR_LIMIT = -2,       /* sizes beyond the BINNET_MAX_ limits: sums could overflow */
    BINNET_ERR_BUFFER_SIZE = -3, /* the arena, scratch or output buffer is too small */
    BINNET_ERR_ALIGNMENT = -4,   /* the arena or scratch is not aligned to BINNET_ALIGNMENT */
    BINNET_ERR_LABEL = -5, /* a label is not below the number of classes, or a target beyond ±32 */
    BINNET_ERR_STATE = -6, /* a model is asked of a net that was not calibrated since it learned */
    BINNET_ERR_KIND = -7,  /* the bytes are not a file of the wanted kind */
    BINNET_ERR_VERSION = -8,   /* the file's format version is not one that this library reads */
    BINNET_ERR_TRUNCATED = -9, /* the file is shorter or longer than it says */
    BINNET_ERR_CHECKSUM = -10, /* the file's CRC-32 is wrong: damaged */
    BINNET_ERR_CORRUPT = -11,  /* the file's checksum is right, but a value in it is not allowed */
    BINNET_ERR_MISMATCH =
        -12 /* the checkpoint is of a net of another configuration; or, of an exported
                                  model's self-test, another result than in Python */
} binnet_status;

/* One English sentence about a status; static storage, never NULL. */
const char *binnet_status_text(binnet_status status);

/* ---- Kernels ------------------------------------------------------------------------------ */

/* The inner loops for one instruction set. Every table computes the same bits. */
typedef struct binnet_kernels binnet_kernels;

/* The fastest table that this processor can run. Asks the processor each time: keep the result. */
const binnet_kernels *binnet_kernels_best(void);

/* The table named "portable", "avx2", "avx512" or "neon"; NULL if unknown or not supported here. */
const binnet_kernels *binnet_kernels_find(const char *name);

/* The name of a table; static storage. */
const char *binnet_kernels_name(const binnet_kernels *kernels);

/* ---- Threads ------------------------------------------------------------------------------ */

typedef void (*binnet_task)(void *context, uint32_t task, uint32_t worker);

/* How to run independent tasks. `run` calls task(context, t, w) once for every t in [0, n_tasks),
 * in any order and from any threads, with w in [0, n_workers) and no w used twice at the same time,
 * and returns when all are done. The tasks never fail and never block. */
typedef struct binnet_parallel {
    void (*run)(void *pool, uint32_t n_workers, uint32_t n_tasks, binnet_task task, void *context);
    void *pool;         /* handed to `run` */
    uint32_t n_workers; /* 1 to BINNET_MAX_WORKERS; each costs scratch memory in the arena */
} binnet_parallel;

/* ---- Bits --------------------------------------------------------------------------------- */

/* A ±1 matrix is rows of bits: 1 is +1, 0 is -1. Bit i of a row is bit i & 7 of byte i >> 3. In
 * memory rows are whole 64-bit words, and the bits beyond the row's end are 0. */

/* 64-bit words of a row of n_bits. */
size_t binnet_bits_row_words(size_t n_bits);

/* Packs the signs of int8 rows: a value >= 0 gives 1. `values` is [n_rows][n_bits]; `bits` is
 * [n_rows][binnet_bits_row_words(n_bits)]. */
binnet_status binnet_bits_pack(const int8_t *values, size_t n_rows, size_t n_bits, uint64_t *bits);

/* Scratch bytes that binnet_xnor_matmul needs; at most 64 KiB a worker, and 0 with the portable
 * kernels. `kernels` and `parallel` as there. */
size_t binnet_xnor_scratch_size(size_t n_bits, const binnet_kernels *kernels,
                                const binnet_parallel *parallel);

/* product[i][j] = sum over k of a[i][k] * b[j][k] of ±1 matrices, by exclusive or and bit count.
 * `a` has n_a rows, `b` n_b rows, `product` is [n_a][n_b]. kernels may be NULL: the best; parallel
 * may be NULL: the calling thread only. `product` and `scratch` must not overlap each other or the
 * inputs. LIMIT: n_bits is not below 2^31, or the product has 2^32 or more blocks of 1024 by 64.
 * Source: Courbariaux et al. 2016, section 1.4. */
binnet_status binnet_xnor_matmul(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b,
                                 size_t n_bits, const binnet_kernels *kernels,
                                 const binnet_parallel *parallel, int32_t *product, void *scratch,
                                 size_t scratch_bytes);

/* ---- Random bytes, row order, learning rate ----------------------------------------------- */

/* A stream of random bytes addressed by row and column: Threefry-2x32-13 (Salmon et al. 2011). */
typedef struct binnet_rng {
    uint32_t key[2];
} binnet_rng;

/* Opens the stream of (seed, purpose < 256, layer < 2^24, step). Purposes of the library itself
 * are 0 to 15; others are free for the caller. */
binnet_rng binnet_rng_stream(uint64_t seed, uint32_t purpose, uint32_t layer, uint32_t step);

/* Writes n_blocks blocks of 8 bytes: columns 8 * first_block and following, of a row. */
void binnet_rng_blocks(const binnet_rng *rng, uint32_t row, uint32_t first_block, uint32_t n_blocks,
                       uint8_t *bytes);

/* Fills order[0 .. n_rows) with a permutation of 0 .. n_rows - 1: the row order of an epoch. */
binnet_status binnet_row_order(uint64_t seed, uint32_t epoch, uint32_t n_rows, uint32_t *order);

/* The learning-rate exponent h of a step when the rate 2^-h goes exponentially from 2^-first to
 * 2^-last in n_steps steps; `last` from there on. Needs first <= last. */
uint32_t binnet_rate_exponent(uint32_t first, uint32_t last, uint32_t step, uint32_t n_steps);

/* ---- Images ------------------------------------------------------------------------------- */

#define BINNET_MAX_CROP 127

/* How images are varied from step to step. Source: Lee et al. 2015 (deeply-supervised nets) and many
 * since. */
typedef struct binnet_augmentation {
    uint32_t height, width, channels; /* of images [height][width][channels] */
    uint32_t flip; /* 1: half of the images are mirrored, left to right; else 0 */
    uint32_t crop; /* images are moved by up to so many pixels in either direction, at most
                      BINNET_MAX_CROP; zeros come in from outside */
} binnet_augmentation;

/* Writes the images x, [n_rows], as a training step of a net with this seed takes them: the same
 * step of the same seed always alike, whatever machine. `out` must not overlap `x`. ARGUMENT also: an
 * image of more than BINNET_MAX_FEATURES numbers. */
binnet_status binnet_augment(const binnet_augmentation *how, uint64_t seed, uint32_t step,
                             const uint8_t *x, uint32_t n_rows, uint8_t *out);

#define BINNET_CONTRASTS 4 /* features of each number of an image */

/* Writes what is in images rather than how bright they are: of each number of x,
 * [n_rows][height][width][channels], how much it is above and how much below the mean of the 3 x 3
 * pixels around and with it, then how much above and how much below the mean of its channel. `out`
 * is x's shape with [BINNET_CONTRASTS] behind; 64 is one standard deviation of the image, 255 the
 * most. Weights of -1 and 1 cannot cancel what is common to all pixels: with these features
 * convolutions learn photographs much better. 0 is no contrast, so zeros that come in from outside
 * are a plain surface. `out` must not overlap `x`. ARGUMENT also: an image of no numbers, or of more
 * than BINNET_MAX_FEATURES (a net takes the contrasts of a quarter as many). */
binnet_status binnet_contrasts(uint32_t height, uint32_t width, uint32_t channels, const uint8_t *x,
                               uint32_t n_rows, uint8_t *out);

/* ---- Training ----------------------------------------------------------------------------- */

#define BINNET_ALIGNMENT 8        /* of arenas and scratch; 64 is faster with SIMD kernels */
#define BINNET_MAX_FEATURES 65536 /* docs/algorithm.md, section 10, has the arithmetic */
#define BINNET_MAX_UNITS 65536
#define BINNET_MAX_BATCH 32768
#define BINNET_MAX_LAYERS 32
#define BINNET_MAX_WORKERS 256
#define BINNET_MAX_RATE_EXPONENT 15 /* the rate 2^-15 is one step of the int16 latent weights */
#define BINNET_MAX_KERNEL_SIZE 31   /* of a convolution, and its largest stride */
#define BINNET_MAX_POOL 15
#define BINNET_MAX_SIZE 4095         /* of an image, its height and its width */
#define BINNET_MAX_POSITIONS 8388608 /* of a convolution's pooled outputs, all images of a batch */
#define BINNET_MAX_OUTPUTS 16777216  /* of a convolution, pooled, of all filters, one image */

typedef enum binnet_layer_kind {
    BINNET_DENSE = 1, /* fully connected, L1 batch norm, activation (last layer: none) */
    BINNET_CONV2D = 2 /* convolution, max-pooling, L1 batch norm by filter, activation; not last */
} binnet_layer_kind;

typedef enum binnet_padding {
    BINNET_SAME = 0, /* ceil(size / stride) outputs; outside the image are zeros (bits of 0) */
    BINNET_VALID = 1 /* floor((size - kernel_size) / stride) + 1 outputs, all inside */
} binnet_padding;

typedef struct binnet_layer {
    uint32_t kind; /* a binnet_layer_kind */
    uint32_t
        units; /* or filters: 1 to BINNET_MAX_UNITS; the last layer: a class each, at least 2 */
    /* Only of a convolution, whose input is images: those of the configuration, or what a
     * convolution before it put out. All layers after a fully connected one are that too. */
    uint32_t kernel_size; /* 1 to BINNET_MAX_KERNEL_SIZE, no more than an image's height or width */
    uint32_t stride;      /* 1 to BINNET_MAX_KERNEL_SIZE; 0: 1 */
    uint32_t padding;     /* a binnet_padding */
    uint32_t pool; /* the largest sum of each pool x pool outputs goes on: 1 to BINNET_MAX_POOL and
                      no more than there are; 0: 1, all. What is left of a height or width that is
                      no multiple of it is not computed. */
} binnet_layer;

typedef enum binnet_weights {
    BINNET_BINARY = 0, /* -1, +1 (Courbariaux et al. 2015) */
    BINNET_TERNARY = 1 /* -1, 0, +1 (Lin et al. 2015, section 3.1) */
} binnet_weights;

typedef enum binnet_binarization {
    BINNET_DETERMINISTIC = 0, /* by sign, or by threshold */
    BINNET_STOCHASTIC =
        1 /* in training, drawn anew in each step; deployed are deterministic ones */
} binnet_binarization;

typedef enum binnet_activation {
    BINNET_RELU = 0,
    BINNET_SIGN =
        1 /* Binarized Neural Networks (Courbariaux et al. 2016): bits, products by XNOR */
} binnet_activation;

typedef enum binnet_solver {
    BINNET_SGD = 0,
    BINNET_ADAMAX = 1 /* by shifts (same source, algorithm 4); 4 more bytes a weight and bias */
} binnet_solver;

typedef enum binnet_gradient {
    BINNET_QUANTIZED = 0, /* a layer's input counts as random bits (Lin et al. 2015, section 3.2) */
    BINNET_EXACT = 1      /* as it is, which takes up to eight products, not one: for comparison */
} binnet_gradient;

#define BINNET_MAX_DECAY 15

/* How a net learns. All zero: BinaryConnect with quantized backprop. */
typedef struct binnet_method {
    uint32_t weights;      /* a binnet_weights, */
    uint32_t binarization; /* a binnet_binarization, */
    uint32_t activation;   /* a binnet_activation: not SIGN where no layer is hidden, */
    uint32_t solver;       /* a binnet_solver, */
    uint32_t gradient;     /* a binnet_gradient */
    /* Shares that are left out of each row in a training step, in 1/256: 0 to 255, */
    uint32_t dropout;       /* of hidden units: 0 where no layer is hidden, */
    uint32_t input_dropout; /* of features; takes a copy of a batch in the arena */
    /* Weight decay: latent weights lose 2^-decay of the learning rate in each step, so that they
     * forget old gradients. 1 to BINNET_MAX_DECAY; 0: none. (Decoupled: Loshchilov, Hutter 2019.) */
    uint32_t decay;
} binnet_method;

/* What to train. Copied by binnet_net_init, except the hook that `parallel` names. Zero the struct
 * first: members to come mean "default" when 0. */
typedef struct binnet_config {
    uint64_t seed;              /* the same seed gives the same bytes, everywhere */
    uint32_t n_features;        /* columns of x: 1 to BINNET_MAX_FEATURES */
    uint32_t n_layers;          /* 1 to BINNET_MAX_LAYERS */
    uint32_t batch_size;        /* most rows of a step: 1 to BINNET_MAX_BATCH */
    const binnet_layer *layers; /* [n_layers] */
    binnet_method method;
    const uint32_t *class_counts; /* training rows of each class; NULL: equally many */
    uint32_t n_rows; /* that class_counts is of; 0: their sum, as classes exclude each other */
    /* Where a row of x is an image, [height][width][channels], as a convolution wants it; channels
     * is n_features / (height * width). 0, 0: it is none. Else 1 to BINNET_MAX_SIZE. */
    uint32_t height;
    uint32_t width;
    const binnet_kernels *kernels;   /* NULL: the best */
    const binnet_parallel *parallel; /* NULL: the calling thread only */
} binnet_config;

/* A net in training. Lives in the caller's arena, which must not move; there is nothing to free. */
typedef struct binnet_net binnet_net;

/* Arena bytes that a configuration needs. LIMIT where its sums could overflow: of a convolution,
 * where kernel_size^2 times the channels before or after it are more than 65536, where an image has
 * more than BINNET_MAX_OUTPUTS pooled outputs, or where a batch has more than BINNET_MAX_POSITIONS
 * of a filter, 32768 with the exact gradient. */
binnet_status binnet_net_size(const binnet_config *config, size_t *n_bytes);

/* Makes a net with random weights in the arena. */
binnet_status binnet_net_init(binnet_net **net, void *arena, size_t n_bytes,
                              const binnet_config *config);

/* One step of the method: forward with the propagated weights, backward, update of the latent ones.
 * x is [n_rows][n_features], labels [n_rows]; 1 <= n_rows <= batch_size; the learning rate is
 * 2^-rate_exponent of the weight range. *loss (may be NULL) gets the sum of squared hinges, 1024
 * being a margin squared. Errors: ARGUMENT, LABEL. */
binnet_status binnet_net_train_step(binnet_net *net, const uint8_t *x, const uint16_t *labels,
                                    uint32_t n_rows, uint32_t rate_exponent, uint64_t *loss);

/* As binnet_net_train_step, of targets instead of classes, for outputs that do not exclude each
 * other or that are numbers: targets is [n_rows][units of the last layer], each -32 to 32, 32 being
 * the margin 1. An output beyond a target of 32 or -32 is no error (squared hinge); of one between
 * them the loss is the square of the difference. Targets of 32 for a row's class and -32 for the
 * others train to the same bytes as its label. LABEL: a target is not -32 to 32. */
binnet_status binnet_net_train_step_targets(binnet_net *net, const uint8_t *x,
                                            const int8_t *targets, uint32_t n_rows,
                                            uint32_t rate_exponent, uint64_t *loss);

/* Steps trained so far. */
uint32_t binnet_net_step(const binnet_net *net);

/* ---- Checkpoint --------------------------------------------------------------------------- */

/* Bytes of a net's checkpoint (libbinnet/FORMAT.md), without an appendix. */
size_t binnet_checkpoint_size(const binnet_net *net);

/* Writes the training state. n_bytes is the size of the buffer. */
binnet_status binnet_checkpoint_write(const binnet_net *net, void *bytes, size_t n_bytes);

/* Restores a state, of n_bytes exactly, into a net of the same configuration: training goes on as
 * if never stopped. An appendix is ignored. All is checked before the net is touched. Errors: KIND,
 * VERSION, TRUNCATED, CHECKSUM, CORRUPT, MISMATCH. */
binnet_status binnet_checkpoint_read(binnet_net *net, const void *bytes, size_t n_bytes);

/* ---- Model: the deployed network ---------------------------------------------------------- */

/* Measures the normalisation statistics of the present weights on n_rows more rows, 2 <= n_rows <=
 * batch_size. Call it with one or more batches of training rows after the last training step:
 * statistics are averaged over the batches since then. At most 65535 batches. A batch must be a
 * sample of all rows: shuffled, for instance by binnet_row_order of epoch UINT32_MAX, which no
 * training comes to; and where binnet_augment varied the rows of training, varied by it too, in step
 * UINT32_MAX. */
binnet_status binnet_net_calibrate(binnet_net *net, const uint8_t *x, uint32_t n_rows);

/* Bytes of the model that binnet_model_write makes of this net. */
size_t binnet_model_size(const binnet_net *net);

/* Writes the deployed model: 1 bit a weight, 2 if ternary; 8 bytes a unit, 4 a hidden one with sign
 * activation. STATE if not calibrated. */
binnet_status binnet_model_write(const binnet_net *net, void *bytes, size_t n_bytes);

/* An opened model: a checked view of the caller's bytes, which must stay. Any alignment will do. */
typedef struct binnet_model {
    const uint8_t *bytes;
    size_t n_bytes;
    size_t bare_bytes; /* n_bytes, had the file no appendix; one begins at bare_bytes - 4 */
    uint32_t n_features;
    uint32_t height; /* of images, 0 if features are none */
    uint32_t width;
    uint32_t n_layers;
    uint32_t n_classes;
    uint32_t weights;    /* a binnet_weights */
    uint32_t activation; /* a binnet_activation */
    const binnet_kernels *kernels;
} binnet_model;

/* Checks all of a model file and opens it in place; n_bytes is the file's length, not that of the
 * memory it stands in. Of an appendix (libbinnet/FORMAT.md) only the length and the checksum count.
 * kernels may be NULL: the best. Errors: KIND, VERSION, TRUNCATED, CHECKSUM, CORRUPT. */
binnet_status binnet_model_open(binnet_model *model, const void *bytes, size_t n_bytes,
                                const binnet_kernels *kernels);

/* Scratch bytes with which binnet_model_predict takes n_rows rows at a time, n_rows >= 1. */
size_t binnet_model_scratch_size(const binnet_model *model, uint32_t n_rows);

/* Predicts. x is [n_rows][n_features]. scores (may be NULL) is [n_rows][n_classes], 8192 being the
 * margin 1. classes (may be NULL) is [n_rows]: the first class of largest score. The scratch may be
 * of any size from binnet_model_scratch_size(model, 1); more rows at a time are faster. */
binnet_status binnet_model_predict(const binnet_model *model, const uint8_t *x, size_t n_rows,
                                   int32_t *scores, uint16_t *classes, void *scratch,
                                   size_t scratch_bytes);

/* Counts the rows whose predicted class is not their label. */
binnet_status binnet_model_evaluate(const binnet_model *model, const uint8_t *x,
                                    const uint16_t *labels, size_t n_rows, size_t *n_errors,
                                    void *scratch, size_t scratch_bytes);

/* cffi: end */

/* ---- Buffers sized by the compiler --------------------------------------------------------- */

/* binnet_net_size, binnet_checkpoint_size and binnet_model_size as constants, of the default method
 * (all zero), the first with the portable kernels on the calling thread. `units...` are those of
 * one to four layers.
 *
 *     static uint64_t arena[BINNET_NET_SIZE(32, 64, 32, 10) / 8]; // 64-32-10, batches of 32
 *     static uint8_t checkpoint[BINNET_CHECKPOINT_SIZE(64, 32, 10)];
 *     static uint8_t model[BINNET_MODEL_SIZE(64, 32, 10)];
 *
 * More layers, other methods: ask the functions. What is in them: docs/firmware.md. */
#define BINNET_NET_SIZE(batch_size, n_features, ...)                                               \
    BINNET_PICK_(BINNET_NET, __VA_ARGS__)((size_t)(batch_size), n_features, __VA_ARGS__)
#define BINNET_CHECKPOINT_SIZE(n_features, ...)                                                    \
    (52 + BINNET_UP_(BINNET_PICK_(BINNET_LAST, __VA_ARGS__)(__VA_ARGS__), 4) +                     \
     BINNET_SUM_(BINNET_CHECKPOINT_LAYER_, n_features, __VA_ARGS__))
#define BINNET_MODEL_SIZE(n_features, ...)                                                         \
    (36 + BINNET_SUM_(BINNET_MODEL_LAYER_, n_features, __VA_ARGS__))

/* The rest is not for use. By how many units there are: */
#define BINNET_PICK_(name, ...)                                                                    \
    BINNET_FIFTH_(__VA_ARGS__, name##_4_, name##_3_, name##_2_, name##_1_, 0)
#define BINNET_FIFTH_(a, b, c, d, fifth, ...) fifth
#define BINNET_LAST_1_(o) o
#define BINNET_LAST_2_(a, o) o
#define BINNET_LAST_3_(a, b, o) o
#define BINNET_LAST_4_(a, b, c, o) o
#define BINNET_SUM_(of, F, ...) BINNET_PICK_(BINNET_SUM, __VA_ARGS__)(of, F, __VA_ARGS__)
#define BINNET_SUM_1_(of, F, o) of((size_t)(F), (size_t)(o))
#define BINNET_SUM_2_(of, F, a, o) (of((size_t)(F), (size_t)(a)) + BINNET_SUM_1_(of, a, o))
#define BINNET_SUM_3_(of, F, a, b, o) (of((size_t)(F), (size_t)(a)) + BINNET_SUM_2_(of, a, b, o))
#define BINNET_SUM_4_(of, F, a, b, c, o)                                                           \
    (of((size_t)(F), (size_t)(a)) + BINNET_SUM_3_(of, a, b, c, o))

#define BINNET_MAX_(x, y) ((size_t)(x) > (size_t)(y) ? (size_t)(x) : (size_t)(y))
#define BINNET_UP_(x, to) (((size_t)(x) + (to) - 1) / (to) * (to))
#define BINNET_WEIGHTS_(N, M) (N * M)
#define BINNET_CHECKPOINT_LAYER_(N, M) (16 + BINNET_UP_(2 * M + 2 * N * M, 4))
#define BINNET_MODEL_LAYER_(N, M) (8 + 8 * M + BINNET_UP_(M * (BINNET_UP_(N, 8) / 8), 4))
/* In the arena: pointers and numbers; latent weights; their signs; biases and scales; gradients of
 * biases. */
#define BINNET_NET_LAYER_(N, M)                                                                    \
    (32 + 24 * sizeof(void *) + BINNET_UP_(2 * N * M, 8) + BINNET_UP_(N, 64) / 8 * M +             \
     2 * BINNET_UP_(2 * M, 8) + BINNET_UP_(4 * M, 8))
#define BINNET_NET_1_(B, F, o)                                                                     \
    (BINNET_SUM_1_(BINNET_NET_LAYER_, F, o) +                                                      \
     BINNET_NET_REST_(B, F, 0, 0, 0, o, BINNET_SUM_1_(BINNET_WEIGHTS_, F, o)))
#define BINNET_NET_2_(B, F, a, o)                                                                  \
    (BINNET_SUM_2_(BINNET_NET_LAYER_, F, a, o) +                                                   \
     BINNET_NET_REST_(B, F, a, 0, 0, o, BINNET_SUM_2_(BINNET_WEIGHTS_, F, a, o)))
#define BINNET_NET_3_(B, F, a, b, o)                                                               \
    (BINNET_SUM_3_(BINNET_NET_LAYER_, F, a, b, o) +                                                \
     BINNET_NET_REST_(B, F, a, b, 0, o, BINNET_SUM_3_(BINNET_WEIGHTS_, F, a, b, o)))
#define BINNET_NET_4_(B, F, a, b, c, o)                                                            \
    (BINNET_SUM_4_(BINNET_NET_LAYER_, F, a, b, c, o) +                                             \
     BINNET_NET_REST_(B, F, a, b, c, o, BINNET_SUM_4_(BINNET_WEIGHTS_, F, a, b, c, o)))
/* The net; its targets; what is normed; activations with sums or errors; bits of an input; a number
 * for the thread; a row of sums. a, b, c are hidden units or 0. */
#define BINNET_NET_REST_(B, F, a, b, c, o, weights)                                                \
    (BINNET_UP_(68 + 17 * sizeof(void *), 8) + BINNET_UP_(o, 8) +                                  \
     BINNET_MAX_(BINNET_BYTES_(B, a, b, c) + BINNET_UP_(B * (o), 8),                               \
                 (size_t)16 * ((a) + (b) + (c) + (o))) +                                           \
     BINNET_MAX_(                                                                                  \
         BINNET_BYTES_(B, a, b, c) +                                                               \
             BINNET_MAX_(4 * B * BINNET_UP_(BINNET_SUMS_(B, a, b, c, o, weights), 16),             \
                         BINNET_UP_(2 * B * (o), 8)),                                              \
         BINNET_MAX_(BINNET_UP_(2 * B * (a), 8),                                                   \
                     BINNET_MAX_(BINNET_BYTES_(B, a, 0, 0) + BINNET_UP_(2 * B * (b), 8),           \
                                 BINNET_BYTES_(B, a, b, 0) + BINNET_UP_(2 * B * (c), 8)))) +       \
     BINNET_UP_(B * (BINNET_UP_(BINNET_DEEPEST_(F, a, b, c), 8) / 8), 8) + 8 +                     \
     4 * BINNET_UP_(BINNET_DEEPEST_(F, a, b, c), 16))
#define BINNET_BYTES_(B, a, b, c)                                                                  \
    (BINNET_UP_(B * (a), 8) + BINNET_UP_(B * (b), 8) + BINNET_UP_(B * (c), 8))
#define BINNET_DEEPEST_(F, a, b, c) BINNET_MAX_(BINNET_MAX_(F, a), BINNET_MAX_(b, c))
/* Columns of sums at a time. */
#define BINNET_SUMS_(B, a, b, c, o, weights)                                                       \
    BINNET_MIN_(BINNET_DEEPEST_(o, a, b, c), BINNET_MAX_(16, (weights) / (16 * B) / 16 * 16))
#define BINNET_MIN_(x, y) ((x) < (y) ? (x) : (y))

#ifdef __cplusplus
}
#endif

#endif
