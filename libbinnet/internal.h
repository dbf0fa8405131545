/* What the files of libbinnet share. Nothing here is public.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BINNET_INTERNAL_H
#define BINNET_INTERNAL_H

#include "binnet.h"

#include <string.h>

/* A drop-in calls nothing but memory functions. */
#ifdef BINNET_DEBUG
#include <assert.h>
#define BINNET_ASSERT(condition) assert(condition)
#else
#define BINNET_ASSERT(condition) ((void)0)
#endif

/* ---- Compiler (the only extensions used) --------------------------------------------------- */

#if defined(__GNUC__) || defined(__clang__)
#define BINNET_TARGET(isa) __attribute__((target(isa)))
#define BINNET_INLINE static inline __attribute__((always_inline, unused))
#define BINNET_APART __attribute__((noinline)) /* registers of its own */
#define BINNET_UNROLL _Pragma("GCC unroll 8")
#define BINNET_MAY_ALIAS __attribute__((may_alias))
#if defined(__x86_64__) && !defined(BINNET_PORTABLE_ONLY)
#define BINNET_X86 1
#endif
#if defined(__aarch64__) && defined(__ARM_NEON) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ &&    \
    !defined(BINNET_PORTABLE_ONLY)
#define BINNET_NEON 1
#endif
#else
#define BINNET_TARGET(isa)
#define BINNET_INLINE static inline
#define BINNET_APART
#define BINNET_UNROLL
#define BINNET_MAY_ALIAS
#endif
#ifndef BINNET_X86
#define BINNET_X86 0
#endif
#ifndef BINNET_NEON
#define BINNET_NEON 0
#endif
/* Whether there are other tables than the portable one, which neither packs nor transposes: where
 * there are none, the compiler drops the code for it. */
#define BINNET_VECTORS (BINNET_X86 || BINNET_NEON)
/* BINNET_DENSE_ONLY leaves convolutions out, where flash counts: they are unknown layers then. */
#ifdef BINNET_DENSE_ONLY
#define BINNET_CONVOLUTIONS 0
#else
#define BINNET_CONVOLUTIONS 1
#endif

/* Keeps the compiler from making a multiplication of shifts and additions, which is what it would
 * like. */
#if defined(__GNUC__) || defined(__clang__)
#define BINNET_KEEP(value) __asm__("" : "+r"(value))
#else
#define BINNET_KEEP(value) ((void)0)
#endif

/* ---- Counting ------------------------------------------------------------------------------ */

/* A build with BINNET_COUNT_OPERATIONS counts what the portable kernels do in a training step, on
 * one thread: tests/python/test_operations.py holds pybinnet.count_operations to it. Counted is
 * arithmetic on data: on weights, activations, errors, gradients, their sums and statistics. Not
 * counted are loop counters, addresses and sizes; comparisons and selections (clamps, absolute
 * values, signs, masks); bits moved in and out of bytes; and exponents of units and layers. What is
 * done or left out for a value's sake counts as done, but for lookups in tables of zeros. */
#ifdef BINNET_COUNT_OPERATIONS
enum {
    BINNET_ADDITIONS, /* and subtractions */
    BINNET_SHIFTS,
    BINNET_LOOKUPS,      /* in tables of sums, */
    BINNET_SKIPPED,      /* and those not made, each with an addition: all in the table are 0 */
    BINNET_POPCOUNTS,    /* of 64 bits, with the exclusive or and what counts them */
    BINNET_DIVISIONS,    /* with their rounding */
    BINNET_RANDOM_BYTES, /* Threefry's own additions are in these */
    BINNET_N_COUNTS
};
extern uint64_t binnet_counts[BINNET_N_COUNTS]; /* the only global that changes */
#define BINNET_COUNT(kind, n) ((void)(binnet_counts[BINNET_##kind] += (uint64_t)(n)))
#else
#define BINNET_COUNT(kind, n) ((void)0)
#endif

/* ---- Integer helpers (docs/algorithm.md, section 1) ---------------------------------------- */

/* Number of bits of v. */
BINNET_INLINE int32_t binnet_bitlen(uint32_t v) {
#if defined(__GNUC__) || defined(__clang__)
    return v ? 32 - __builtin_clz(v) : 0;
#else
    int32_t n = 0;
    for (; v; v >>= 1) ++n;
    return n;
#endif
}

/* floor(v / 2^k), 0 <= k < 32: C leaves >> of negative numbers to the compiler, so say it once. */
BINNET_INLINE int32_t binnet_floor_shift(int32_t v, int32_t k) {
    BINNET_COUNT(SHIFTS, 1);
#if defined(__GNUC__) || defined(__clang__)
    return v >> k; /* documented to be arithmetic */
#else
    return v < 0 ? ~(~v >> k) : v >> k;
#endif
}

BINNET_INLINE int32_t binnet_clamp(int32_t v, int32_t lo, int32_t hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

BINNET_INLINE int32_t binnet_abs(int32_t v) { return v < 0 ? -v : v; }

/* v · 2^-k, rounded half up; -25 <= k <= 30. A negative k shifts left. */
BINNET_INLINE int32_t binnet_shift(int32_t v, int32_t k) {
    BINNET_COUNT(ADDITIONS, 1);
    if (k > 0) return binnet_floor_shift(v + (int32_t)(1u << (k - 1)), k);
    BINNET_COUNT(SHIFTS, 1);
    return (int32_t)((uint32_t)v << -k);
}

/* v · 2^-k rounded to one of its neighbours, up with the probability of the fraction (to 8
 * bits). */
BINNET_INLINE int32_t binnet_stochastic(int32_t v, int32_t k, uint8_t random) {
    BINNET_COUNT(ADDITIONS, 1);
    return binnet_floor_shift(binnet_shift(v, k - 8) + random, 8);
}

/* floor(n / d), d > 0. */
uint64_t binnet_quotient(uint64_t n, uint32_t d);
/* n / d rounded half up, 0 < d < 2^31. */
int64_t binnet_divide(int64_t n, uint32_t d);

/* Binary digit d of n values as plane d, a row of bits. */
void binnet_split_digits(uint8_t *planes, size_t plane_bytes, const uint8_t *values, uint32_t n,
                         uint32_t n_digits);

/* A unit's normalisation factor: two signed powers of two. */
typedef struct binnet_scale {
    int8_t shift; /* k */
    int8_t term;  /* sgn · j; 0: the first power alone */
} binnet_scale;

/* The factor nearest to target / (s16 / 16); 1 <= target <= 64, 16 <= s16 < 2^30. */
binnet_scale binnet_two_power(uint32_t target, uint32_t s16);

/* v times the factor's numerator: v·2^j ± v. |v| <= 65536·510. */
BINNET_INLINE int32_t binnet_scaled(int32_t v, int32_t term) {
    BINNET_COUNT(SHIFTS, 1);
    BINNET_COUNT(ADDITIONS, 1);
    if (term == 0) return v;
    return term > 0 ? (int32_t)((uint32_t)v << term) + v : (int32_t)((uint32_t)v << -term) - v;
}

/* A bias in activation units. */
BINNET_INLINE int32_t binnet_bias(int16_t bias) {
    BINNET_COUNT(ADDITIONS, 1);
    return binnet_floor_shift((int32_t)bias + 128, 8);
}

/* ---- Random streams ------------------------------------------------------------------------ */

enum {
    BINNET_RANDOM_WEIGHTS = 0,
    BINNET_RANDOM_BIASES = 1,
    BINNET_RANDOM_OUTER = 2,
    BINNET_RANDOM_ERROR = 3,
    BINNET_RANDOM_UPDATE = 4,
    BINNET_RANDOM_BIAS_UPDATE = 5,
    BINNET_RANDOM_ORDER = 6,
    BINNET_RANDOM_PROPAGATED = 7,
    BINNET_RANDOM_DROPOUT = 8,
    BINNET_RANDOM_INPUT_DROPOUT = 9,
    BINNET_RANDOM_AUGMENTATION = 10
};

void binnet_threefry(const uint32_t key[2], uint32_t counter0, uint32_t counter1, uint32_t out[2]);

/* ---- Kernels: the inner loops of one instruction set --------------------------------------- */

/* Rows of bits that say which values are summed. */
typedef struct binnet_selector {
    const uint8_t *bits;
    size_t stride;
    int by_column; /* row c has those of column c, one a summand; else row k those of summand k */
} binnet_selector;

/* The product of values and bits: sums[i][c] = sum of those values[i][k] whose bit (c, k) is set;
 * or, if bits are signs, twice that less the sum of all. Columns come in panels. */
typedef struct binnet_select {
    int32_t *sums; /* of row i and panel p at p · panel_step + i · row_step: whole panels */
    size_t row_step;
    size_t panel_step;
    const uint8_t *values; /* [n_rows][stride] of uint8, or of int8 in ±127, */
    size_t stride;
    size_t step; /* from one of a row to the next: 1 but for the portable kernels */
    int int8;
    int signs;
    int add; /* to what the sums hold, instead of to 0 or minus the sum of all */
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t depth;           /* of the sums */
    binnet_selector selector; /* for `plain` */
    const uint8_t *panels;    /* for `select`: what `pack` made of it */
    uint8_t *tables;          /* likewise: its scratch, table_bytes; or, for `add_tables`, tables */
    size_t table_step;        /* from those of a row to the next one's */
} binnet_select;

/* Deterministic weights up to it, a third of the range, are 0. */
enum { BINNET_TERNARY_THRESHOLD = 10922 };

/* Of what a latent weight gives the chance, in 1/128. */
typedef enum binnet_chance {
    BINNET_POSITIVE, /* binary +1 */
    BINNET_NONZERO,  /* ternary -1 or 1 */
    BINNET_CERTAIN   /* the same, deterministic: 0 or 128 */
} binnet_chance;

/* How a gradient becomes a step of latent weights or biases (docs/algorithm.md, section 7). */
typedef struct binnet_rule {
    int32_t apply; /* 0: no earlier gradient is known, only measure */
    int32_t limit; /* gradients are clamped to ±limit */
    int32_t shift; /* and scaled by 2^-shift */
} binnet_rule;

/* How AdaMax does. */
typedef struct binnet_momentum_rule {
    int32_t unit;  /* the unit of gradients is 2^unit, */
    int32_t shift; /* a step is momentum · 2^-shift */
} binnet_momentum_rule;

/* Rows of latent weights with their gradients. */
typedef struct binnet_update {
    binnet_rule rule;
    binnet_momentum_rule momentum_rule; /* of AdaMax instead, with these: */
    int16_t *momentum;                  /* like `latent`; NULL: SGD */
    int16_t *log_scale;
    int32_t limit; /* of latent weights or biases */
    uint32_t n_rows;
    uint32_t n_columns;
    int16_t *latent;
    size_t latent_stride;
    uint8_t *bits; /* NULL: of biases */
    size_t bits_stride;
    const int32_t *gradient;
    size_t gradient_stride;
    binnet_rng rng; /* of a random byte for each weight */
    uint32_t first_row;
    uint32_t first_column; /* a multiple of 8 */
} binnet_update;

/* Whether 16 bits suffice for the steps of SGD on weights. A step is floor((g · 2^(8 - shift) +
 * random) / 256), with shift <= 8 (g + (random >> (8 - shift))) >> shift. Gradients beyond 16 bits
 * may saturate: they are beyond the limit anyway. */
BINNET_INLINE int binnet_update_is_narrow(const binnet_update *update) {
    const binnet_rule *rule = &update->rule;
    if (update->momentum || !update->bits) return 0;
    const int32_t exponent = binnet_bitlen((uint32_t)rule->limit) - 1; /* of the limit */
    return !rule->apply || (rule->shift <= 8 && exponent <= 14 && exponent - rule->shift <= 14);
}

/* The loops of norm_inline.h carry so many units side by side, through so many rows at most: 63 ·
 * 2^25, of deviations, still fits an int32 sum. */
enum { BINNET_UNIT_BLOCK = 16, BINNET_ROW_BLOCK = 63 };

/* Up to BINNET_UNIT_BLOCK units in the forward normalisation of a batch. */
typedef struct binnet_norm_job {
    const int32_t *z; /* [n_rows][z_stride] */
    size_t z_stride;
    uint32_t n_rows;
    int32_t *sum;              /* [units], the result of `sums` and `deviations` */
    const int32_t *mean;       /* [units] */
    const int32_t *bias;       /* [units], in activation units */
    const binnet_scale *scale; /* [units] */
    int8_t *normed;            /* [n_rows][stride], or NULL */
    uint8_t *activation;       /* [n_rows][stride], or NULL */
    size_t stride;
} binnet_norm_job;

/* Such units in the backward pass. */
typedef struct binnet_error_job {
    int16_t *error;       /* [n_rows][stride] */
    const int8_t *normed; /* [n_rows][stride] */
    const int32_t *bias;  /* [units], in activation units; NULL: there is no activation */
    int32_t first_open;   /* activations before clamping from here on, */
    uint32_t n_open;      /* so many values, let the error pass */
    size_t stride;
    uint32_t n_rows;
    int32_t *bias_gradient;    /* [units] is added to, by `gradients` */
    int32_t *sum;              /* [units], the result of `gradients` and `centre` */
    const int32_t *slope;      /* [units] */
    const int32_t *mean;       /* [units] */
    int32_t *largest;          /* [units] is raised by `denormalise` */
    const binnet_scale *scale; /* [units] */
    int32_t exponent;          /* shared by the layer's errors */
    const uint8_t *random;     /* [n_rows][random_stride] */
    size_t random_stride;
    int8_t *delta; /* [n_rows][stride]: the result of `quantize` */
} binnet_error_job;

/* The largest of each of BINNET_UNIT_BLOCK columns of a pool's rows. */
typedef struct binnet_pool_job {
    const int32_t *sums; /* [pool], line_step apart, [pool], row_step apart, of columns */
    size_t line_step, row_step;
    uint32_t pool;
    uint32_t n_units; /* of the columns, that have origins */
    int32_t *pooled;
    uint8_t *origins; /* the number of the first row that has it, or NULL */
} binnet_pool_job;

/* 64 bits of a row, where bytes stand in memory too: in a model file, for instance. */
typedef uint64_t BINNET_MAY_ALIAS binnet_word;

/* What words must be aligned to. */
struct binnet_aligned {
    char byte;
    binnet_word word;
};
enum { BINNET_WORD_ALIGNMENT = offsetof(struct binnet_aligned, word) };

BINNET_INLINE size_t binnet_most(size_t a, size_t b) { return a > b ? a : b; }

BINNET_INLINE uint32_t binnet_least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* The size of a block that begins at `first` of n. */
BINNET_INLINE uint32_t binnet_block(uint32_t first, uint32_t n, uint32_t size) {
    return binnet_least(n - first, size);
}

BINNET_INLINE uint32_t binnet_blocks(uint32_t n, uint32_t size) {
    return n / size + (n % size != 0);
}

/* Bytes of a row of bits: whole 64-bit words. */
BINNET_INLINE size_t binnet_row_bytes(size_t n_bits) {
    return (n_bits / 64 + (n_bits % 64 != 0)) * 8;
}

/* Rows of a against a panel of rows of b, over a block of words. */
typedef struct binnet_xnor {
    int32_t *product; /* [n_rows][product_stride] */
    size_t product_stride;
    const binnet_word *a; /* [n_rows][a_stride] */
    size_t a_stride;
    const binnet_word
        *panel; /* [n_words][xnor_columns]: word w of each row of b, 0 if none is left */
    uint32_t n_rows;
    uint32_t n_columns; /* 1 to xnor_columns */
    uint32_t n_words;   /* 1 to BINNET_XNOR_WORDS */
    int32_t n_bits;     /* in these words */
    int32_t add;        /* to what `product` holds; 0: store */
} binnet_xnor;

/* A panel of 16 columns is 16 KiB, and four rows of a 4 KiB: half of a first-level cache. No byte
 * of the counts overflows in kernels that sum bytes: 8 bits · 128 / 8 < 2^8. */
enum { BINNET_XNOR_WORDS = 128 };

struct binnet_gemm;

/* What prediction and training need. */
struct binnet_kernels {
    const char *name;
    uint32_t alignment;  /* of buffers, power of two */
    uint32_t plain_rows; /* products of so many rows at most are `plain` */
    uint32_t row_shift;  /* most rows of a `select` or `plain`: 2^row_shift */
    uint32_t
        panel_columns; /* of sums and of packed bits: a power of two, at least BINNET_UNIT_BLOCK */
    /* Fewest columns of sums that a training step keeps, if there are so many. */
    uint32_t z_columns;
    uint32_t group;        /* summands that an index of packed bits chooses from, */
    uint32_t index_bytes;  /* the bytes of such indices of a panel's columns, */
    uint32_t table_bytes;  /* and the scratch of `select`, a multiple of the alignment */
    uint32_t xnor_columns; /* rows of b in a panel of `xnor` */

    /* A product by bits as they are: no packing. */
    void (*plain)(const binnet_select *product);
    /* Bytes of the packed bits of a product's plane, and how they are made: gemm_pack.c. NULL, as
     * are the next three, if all products are `plain`. */
    size_t (*panels_bytes)(const binnet_kernels *kernels, uint32_t n_columns, uint32_t depth);
    void (*pack)(const struct binnet_gemm *gemm);
    /* Pack the bits of up to panel_columns columns, a selector being by column or not: [ceil(depth
     * / group)][index_bytes]. */
    void (*pack_by_column)(uint8_t *panel, const binnet_selector *selector, uint32_t first_column,
                           uint32_t n_columns, uint32_t depth);
    void (*pack_by_summand)(uint8_t *panel, const binnet_selector *selector, uint32_t first_column,
                            uint32_t n_columns, uint32_t depth);
    /* A product by packed bits, panels standing one after another. */
    void (*select)(const binnet_select *product);
    /* out[n][b] = in[b][n], b < n_rows, n < n_columns. NULL: products walk columns instead. */
    void (*transpose)(int8_t *out, size_t out_stride, const int8_t *in, size_t in_stride,
                      uint32_t n_rows, uint32_t n_columns);
    /* Bit i = (random[i] & mask) < x[i]; bits past n are 0. */
    void (*draw_bits)(uint8_t *bits, const uint8_t *x, const uint8_t *random, uint32_t n,
                      uint32_t mask);
    /* The loops of norm_inline.h, of up to BINNET_UNIT_BLOCK units. */
    void (*normalise)(const binnet_norm_job *job, uint32_t n_units);
    void (*reach)(uint8_t *reached, const int32_t *sums, const int32_t *thresholds, uint32_t n);
    /* product[i] (+)= n_bits - 2 · (differing bits of row i of a and the one column of the panel,
     * whose words stand one after another). */
    void (*xnor_row)(const binnet_xnor *tile);
    /* product[i][j] (+)= the same of column j of a panel. NULL, as is the next, if xnor_row is as
     * good. */
    void (*xnor)(const binnet_xnor *tile);
    /* xnor_pack.c: all rows of a tile against the rows w, which it packs in `operand`. */
    void (*xnor_packed)(const binnet_kernels *kernels, const binnet_xnor *tile, const uint8_t *w,
                        size_t stride, uint8_t *operand);
#if BINNET_CONVOLUTIONS
    void (*pool)(const binnet_pool_job *job); /* of norm_inline.h */
    /* Where rows have values in common, so that tables of these serve several: makes the tables of n
     * values, table_size bytes for each group, and returns their total; adds what groups of packed
     * bits choose from those that follow each row's first one. NULL: every row has its own. */
    int32_t (*make_tables)(uint8_t *tables, const uint8_t *values, uint32_t n, int int8);
    void (*add_tables)(const binnet_select *product, uint32_t first_group, uint32_t n_groups);
    uint32_t table_size;
#endif
};

/* What training needs besides: the loops of training_inline.h. */
typedef struct binnet_training {
    /* bytes[r][8 n_blocks] = the stream's blocks first_block.. of rows row.. */
    void (*random)(uint8_t *bytes, const binnet_rng *rng, uint32_t row, uint32_t n_rows,
                   uint32_t first_block, uint32_t n_blocks);
    void (*chances)(uint8_t *chance, const int16_t *latent, uint32_t n, binnet_chance of);
    /* Applies gradients to latent weights, repacks their signs. Returns a number as long in bits as
     * the largest |gradient|: the bitwise or of all of them will do. */
    uint32_t (*update)(const binnet_update *update);
    /* Of up to BINNET_UNIT_BLOCK units. */
    void (*sums)(const binnet_norm_job *job, uint32_t n_units);
    void (*deviations)(const binnet_norm_job *job, uint32_t n_units);
    void (*gradients)(const binnet_error_job *job, uint32_t n_units);
    void (*centre)(const binnet_error_job *job, uint32_t n_units);
    void (*denormalise)(const binnet_error_job *job, uint32_t n_units);
    void (*quantize)(const binnet_error_job *job, uint32_t n_units);
    void (*round_error)(int16_t *error, const int32_t *sums, int32_t shift, uint32_t n);
} binnet_training;

/* Whether products of so many rows use bits as they are. Tables without `pack` have no other way. */
BINNET_INLINE int binnet_is_plain(const binnet_kernels *kernels, uint32_t n_rows) {
    return !BINNET_VECTORS || !kernels->pack || n_rows <= kernels->plain_rows;
}

BINNET_INLINE int binnet_packs(const binnet_kernels *kernels) {
    return BINNET_VECTORS && kernels->pack;
}

BINNET_INLINE int binnet_packs_xnor(const binnet_kernels *kernels) {
    return BINNET_VECTORS && kernels->xnor_packed;
}

#if BINNET_CONVOLUTIONS
BINNET_INLINE int binnet_shares_tables(const binnet_kernels *kernels) {
    return BINNET_VECTORS && kernels->add_tables;
}
#endif

BINNET_INLINE int binnet_transposes(const binnet_kernels *kernels) {
    return BINNET_VECTORS && kernels->transpose;
}

extern const binnet_kernels binnet_kernels_portable;
extern const binnet_training binnet_training_portable;
#if BINNET_X86
extern const binnet_kernels binnet_kernels_avx2, binnet_kernels_avx512;
extern const binnet_training binnet_training_avx2, binnet_training_avx512;
#endif
#if BINNET_NEON
extern const binnet_kernels binnet_kernels_neon;
extern const binnet_training binnet_training_neon;
#endif

/* training.c: what belongs to a table. */
const binnet_training *binnet_training_of(const binnet_kernels *kernels);

/* A product by bits as they are, in plain C, with panels of any width: for every table's
 * `plain`. */
void binnet_plain(const binnet_select *product, uint32_t panel_columns);
/* The sum of n values, each `step` after the one before. */
int32_t binnet_total(const uint8_t *values, size_t step, int int8, uint32_t n);

/* ---- Threads ------------------------------------------------------------------------------- */

/* parallel.c: runs tasks on the hook's threads, or here if there is no hook. */
void binnet_run(const binnet_parallel *parallel, uint32_t n_tasks, binnet_task task, void *context);

/* ---- gemm.c: the product, in blocks of rows ------------------------------------------------- */

/* Rows of bits, -1 or 1; or, in two planes, of -1, 0, 1: low + high - 1. No bit is set beyond a
 * row's end, in `high` neither. */
typedef struct binnet_signs {
    const uint8_t *low;  /* whole 64-bit words */
    const uint8_t *high; /* NULL: none is 0 */
    size_t stride;
} binnet_signs;

/* Finished sums. */
typedef struct binnet_result {
    const int32_t *sums; /* [n_rows][stride] */
    size_t stride;
    uint32_t first_row, n_rows;
    uint32_t first_column, n_columns;
    uint32_t worker;
} binnet_result;

typedef void (*binnet_epilogue)(void *context, const binnet_result *result);

/* A product of any number of rows: of values that bits select, or of all values and their signs; or
 * of values and ternary weights, low + high - 1 where the selector's plane is the low one; or, with
 * more than one digit, of values and numbers whose binary digits are planes. Its sums go to `sums`,
 * a panel after the other, each [n_rows][panel_columns]; or, if that is NULL, a block of rows at a
 * time to `epilogue`. Or a product of signs: xnor.c. */
typedef struct binnet_gemm {
    const binnet_kernels *kernels;
    const binnet_parallel *parallel;
    binnet_signs a; /* rows of signs; or */
    const uint8_t *values;
    size_t stride;
    size_t step;
    int int8;
    int signs;
    binnet_selector selector;
    const uint8_t *high; /* needs signs; NULL: no weight is 0 */
    uint32_t n_digits;   /* 1 or more; not with signs */
    size_t digit_bytes;  /* from a plane to the next */
    uint32_t n_rows;
    uint32_t n_columns;
    uint32_t depth;
    int32_t *sums;
    binnet_epilogue epilogue;
    void *context;
    uint8_t *panels;  /* binnet_gemm_panels bytes for each plane */
    uint8_t *scratch; /* [n_workers][scratch_bytes], for which binnet_*_scratch asks */
    size_t scratch_bytes;
} binnet_gemm;

/* Columns rounded up to whole panels. */
BINNET_INLINE size_t binnet_padded(const binnet_kernels *kernels, uint32_t n_columns) {
    const uint32_t mask = kernels->panel_columns - 1;
    return (n_columns + mask) & ~mask;
}

/* What a size of more than about a quarter of the address space is counted as. */
#define BINNET_TOO_MUCH (SIZE_MAX / 2)

/* n · bytes, n <= 2^16, rounded up to the alignment; at most TOO_MUCH. */
size_t binnet_area(uint32_t n, size_t bytes, uint32_t alignment);

/* The bytes of an image, so many at each of its positions; at most TOO_MUCH. */
BINNET_INLINE size_t binnet_image_bytes(uint32_t positions, size_t bytes) {
    return positions == 1 ? bytes : binnet_area(positions, bytes, 1);
}

typedef struct binnet_planner {
    uint8_t *base;  /* NULL while only measuring */
    size_t n_bytes; /* so far, at most TOO_MUCH */
    uint32_t alignment;
} binnet_planner;

/* The next piece of an arena: its address, or NULL while measuring. */
void *binnet_plan(binnet_planner *planner, uint32_t n_rows, size_t row_bytes);

/* Bytes of the packed bits of a product (of each plane), and of a worker's scratch; n_columns
 * counts only for an epilogue. */
BINNET_INLINE size_t binnet_gemm_panels(const binnet_kernels *kernels, uint32_t n_rows,
                                        uint32_t n_columns, uint32_t depth) {
    if (binnet_is_plain(kernels, n_rows)) return 0;
    return kernels->panels_bytes(kernels, n_columns, depth);
}
size_t binnet_gemm_scratch(const binnet_kernels *kernels, uint32_t n_columns);

void binnet_gemm_run(const binnet_gemm *gemm);
/* Its two halves, for rows that come in parts: the bits, for no fewer rows than in any part; and
 * the sums, here, not on threads: it is for what tasks do. */
void binnet_gemm_pack(const binnet_gemm *gemm);
void binnet_gemm_rows(const binnet_gemm *gemm);

/* How many planes there are, and the bits of one. */
uint32_t binnet_gemm_planes(const binnet_gemm *gemm);
const uint8_t *binnet_gemm_plane(const binnet_gemm *gemm, uint32_t p);

/* gemm_pack.c, for tables. */
size_t binnet_panels_bytes(const binnet_kernels *kernels, uint32_t n_columns, uint32_t depth);
void binnet_pack(const binnet_gemm *gemm);

/* Where the sums of a column begin, and with them a panel's. */
BINNET_INLINE size_t binnet_sum_index(const binnet_kernels *kernels, uint32_t n_rows,
                                      uint32_t column) {
    const uint32_t mask = kernels->panel_columns - 1;
    return (size_t)(column & ~mask) * n_rows + (column & mask);
}

/* ---- xnor.c: the product of signs ----------------------------------------------------------- */

enum { BINNET_XNOR_COLUMNS = 64 };

/* The product of rows of signs and weights, which are planes of whole 64-bit words of any
 * alignment. The epilogue gets all rows, BINNET_XNOR_COLUMNS at a time. */
void binnet_xnor_run(const binnet_gemm *gemm);
/* The same here, not on threads. */
void binnet_xnor_rows(const binnet_gemm *gemm);

/* Bytes of a worker's scratch; n_rows counts only for an epilogue. */
size_t binnet_xnor_scratch(const binnet_kernels *kernels, uint32_t n_rows, uint32_t n_bits);

/* All rows of a tile against the rows w as they stand; if they are not aligned, copied to `operand`
 * one by one. */
void binnet_xnor_by_row(const binnet_kernels *kernels, const binnet_xnor *tile, const uint8_t *w,
                        size_t stride, uint8_t *operand);
/* xnor_pack.c: the same with packed rows, for tables. */
void binnet_xnor_packed(const binnet_kernels *kernels, const binnet_xnor *tile, const uint8_t *w,
                        size_t stride, uint8_t *operand);

/* ---- image.c, pool.c: convolutions as products of patches (docs/algorithm.md, section 12) ----- */

/* The images that a convolution takes, and what it makes of them. */
typedef struct binnet_image {
    uint32_t height, width, channels; /* of its input */
    uint32_t kernel, stride, pool;
    uint32_t top, left;             /* of a kernel's rows and columns outside the first image's */
    uint32_t out_height, out_width; /* of its output, pooled */
} binnet_image;

/* A layer on the way through a net. */
typedef struct binnet_shape {
    uint32_t fan_in, units;
#if BINNET_CONVOLUTIONS
    uint32_t positions;     /* of its output: 1 unless it is images, */
    uint32_t height, width; /* which are so large; else 0 */
    binnet_image image;     /* of a convolution; of other layers the kernel is 0 */
#endif
} binnet_shape;

#if BINNET_CONVOLUTIONS
/* What stands before the first layer, and from there on the next one. ARGUMENT, LIMIT. */
binnet_status binnet_start_shape(binnet_shape *shape, uint32_t n_features, uint32_t height,
                                 uint32_t width);
binnet_status binnet_next_shape(binnet_shape *shape, const binnet_layer *layer);

/* The numbers of a file: a layer's kind with its geometry, and back. */
uint32_t binnet_put_kind(const binnet_layer *layer);
binnet_layer binnet_get_kind(uint32_t kind, uint32_t units);

BINNET_INLINE uint32_t binnet_positions_of(const binnet_shape *shape) { return shape->positions; }
BINNET_INLINE int binnet_is_image(const binnet_shape *shape) { return shape->height > 0; }
BINNET_INLINE int binnet_is_convolution(const binnet_shape *shape) {
    return shape->image.kernel > 0;
}
#else
BINNET_INLINE binnet_status binnet_start_shape(binnet_shape *shape, uint32_t n_features,
                                               uint32_t height, uint32_t width) {
    shape->units = n_features;
    return height | width ? BINNET_ERR_ARGUMENT : BINNET_OK;
}

BINNET_INLINE binnet_status binnet_next_shape(binnet_shape *shape, const binnet_layer *layer) {
    shape->fan_in = shape->units;
    shape->units = layer->units;
    if (!layer->units || layer->kind != BINNET_DENSE) return BINNET_ERR_ARGUMENT;
    return layer->units > BINNET_MAX_UNITS ? BINNET_ERR_LIMIT : BINNET_OK;
}

BINNET_INLINE uint32_t binnet_put_kind(const binnet_layer *layer) { return layer->kind; }
BINNET_INLINE binnet_layer binnet_get_kind(uint32_t kind, uint32_t units) {
    const binnet_layer layer = {.kind = kind, .units = units};
    return layer;
}

BINNET_INLINE uint32_t binnet_positions_of(const binnet_shape *shape) {
    (void)shape;
    return 1;
}
BINNET_INLINE int binnet_is_image(const binnet_shape *shape) {
    (void)shape;
    return 0;
}
BINNET_INLINE int binnet_is_convolution(const binnet_shape *shape) {
    (void)shape;
    return 0;
}
#endif

/* How many layers, and the height and width of images, as a file has them. */
BINNET_INLINE uint32_t binnet_put_shape(uint32_t n_layers, uint32_t height, uint32_t width) {
    return n_layers | height << 8 | width << 20;
}

/* Positions of an image in the pooled output. */
BINNET_INLINE uint32_t binnet_positions(const binnet_image *image) {
    return image->out_height * image->out_width;
}

/* Weights of a filter. */
BINNET_INLINE uint32_t binnet_window(const binnet_image *image) {
    return image->kernel * image->kernel * image->channels;
}

/* Bits [0, n) of `from` to bits [at, at + n) of `to`. Before, bits of `to` from `at` on are 0; so
 * are those beyond n in the last byte of `from`. */
void binnet_put_bits(uint8_t *to, size_t at, const uint8_t *from, size_t n);
/* Bits [at, at + n) of `from` to bits [0, n) of `to`, and 0 up to a whole byte. */
void binnet_get_bits(uint8_t *to, const uint8_t *from, size_t at, size_t n);

/* Pixels of rows of bits, whole words, to one such row of all of them. */
void binnet_flatten(uint8_t *to, const uint8_t *pixels, uint32_t channels, uint32_t n_pixels);

/* What stands under the kernel at row y and column x of what it reaches, [kernel][kernel][channels]
 * of bytes, with zeros outside the image; */
void binnet_take_patch(const binnet_image *image, const uint8_t *pixels, int32_t y, int32_t x,
                       uint8_t *patch);
/* or of bits, each pixel having a row of pixel_bytes, to bits of a patch that are 0. */
void binnet_take_bits(const binnet_image *image, const uint8_t *pixels, size_t pixel_bytes,
                      int32_t y, int32_t x, uint8_t *patch);

/* lines.c: sums of positions by tables that they share. */
typedef struct binnet_lines {
    const binnet_gemm *gemm;          /* columns of bits and their panels */
    uint32_t height, width, channels; /* of the images whose pixels are summed */
    uint32_t kernel, stride;
    size_t place_bytes; /* from the bits of a place of the kernel to those of the next */
    /* n pixels of a line of an image: where they stand, or in the buffer. */
    const uint8_t *(*take)(const void *context, uint32_t image, uint32_t y, uint32_t x, uint32_t n,
                           uint8_t *buffer);
    const void *context;
} binnet_lines;

/* What counts as depth: a place of the kernel begins with a new group. */
uint32_t binnet_lines_depth(const binnet_lines *lines);
/* Lines and columns of positions to do at a time, no more than they are, in multiples of a step. */
void binnet_lines_tile(const binnet_lines *lines, uint32_t step, uint32_t *n_lines,
                       uint32_t *n_columns);
size_t binnet_lines_scratch(const binnet_lines *lines, uint32_t n_lines, uint32_t n_columns);
void binnet_lines_pack(const binnet_lines *lines);
/* Sums of the positions that reach from (y, x) on, to panels of [n_lines][n_columns] rows, panel_step
 * apart. */
void binnet_lines_sums(const binnet_lines *lines, uint32_t image, int32_t y, int32_t x,
                       uint32_t n_lines, uint32_t n_columns, int32_t *sums, size_t panel_step,
                       uint8_t *scratch);

/* Sums of all positions of images by filters: a product whose rows are patches. */
typedef struct binnet_convolution {
    const binnet_image *image;
    /* Of columns of filters; its values, or signs, are those of images, pixel by pixel. */
    binnet_gemm gemm;
    binnet_lines lines;          /* if there are any */
    uint32_t n_lines, n_columns; /* pooled positions of a tile; or, without lines, */
    uint32_t n_positions;        /* so many, one after another */
    uint8_t *origins; /* where of its pool a sum is from: [positions][origin_stride], or NULL */
    size_t origin_stride;
} binnet_convolution;

/* Some pooled positions, one after another, counted through all images. */
typedef struct binnet_tile {
    uint32_t first, n;
} binnet_tile;

/* Decides how to do it, of an image and a gemm. */
void binnet_plan_convolution(binnet_convolution *c);
/* Bytes of packed bits, of all planes; and of a worker's scratch. */
size_t binnet_convolution_panels(const binnet_convolution *c);
size_t binnet_convolution_scratch(const binnet_convolution *c);
void binnet_convolution_pack(const binnet_convolution *c);
uint32_t binnet_n_tiles(const binnet_convolution *c, uint32_t n_images);
binnet_tile binnet_tile_of(const binnet_convolution *c, uint32_t n_images, uint32_t task);
/* Most positions of a tile. */
uint32_t binnet_tile_positions(const binnet_convolution *c);
/* Pooled sums of a tile, to panels of positions, panel_step apart. */
void binnet_convolve(const binnet_convolution *c, const binnet_tile *tile, int32_t *sums,
                     size_t panel_step, uint8_t *scratch);

/* The largest of each pool of sums, and which it was: of n positions, `run` of them side by side on
 * pooled lines of [pool][run · pool] rows, in panels of n · pool². */
void binnet_pool(const binnet_convolution *c, const int32_t *sums, uint32_t n, uint32_t run,
                 int32_t *pooled, size_t panel_step, uint8_t *origins);
/* Errors of a position's units where their sums are from that number of its pool, 0 elsewhere; all of
 * them if nothing is pooled, origins being NULL. */
void binnet_unpool(int8_t *to, const int8_t *error, const uint8_t *origins, uint32_t origin,
                   uint32_t n);

/* ---- Layers -------------------------------------------------------------------------------- */

typedef struct binnet_layer_state binnet_layer_state;

/* Rows of inputs of a layer: uint8, or signs; of a convolution, pixels. */
typedef struct binnet_input {
    const uint8_t *data; /* NULL: signs */
    size_t stride;
    uint32_t n_columns;
    uint32_t n_rows;
    uint32_t mask; /* of the random byte that makes a bit of a value: 255 for features, else 31 */
    uint32_t n_digits; /* of values: 8 or 7 */
    binnet_signs signs;
} binnet_input;

typedef struct binnet_pass binnet_pass;

/* The linear map of a kind of layer: layer.c does what is around it. */
typedef struct binnet_layer_type {
    /* Sums of the pass's columns, to net->z. */
    void (*forward)(binnet_pass *pass);
    /* The error at the layer's input, but for the first layer, and the weights' update, each by
     * layer.c's epilogue. */
    void (*backward)(binnet_pass *pass);
} binnet_layer_type;

struct binnet_layer_state {
    const binnet_layer_type *type;
    uint32_t kind; /* as a file has it */
    uint32_t index;
    uint32_t fan_in;
    uint32_t units;
    uint32_t positions;        /* rows of an image: 1 but for convolutions */
    uint32_t z_columns;        /* of sums at a time, forward: whole panels, or all */
    const binnet_image *image; /* of a convolution, else NULL */
    uint8_t *origins;          /* [rows][units], where sums are pooled, else NULL */
    int32_t weight_exponent;
    int32_t bias_exponent;
    int16_t *latent;        /* [units][fan_in] */
    uint8_t *bits;          /* [units][bits_stride]: their signs */
    size_t bits_stride;     /* whole 64-bit words */
    uint8_t *low, *high;    /* the propagated weights, planes like `bits`: it, or drawn from it */
    int16_t *bias;          /* [units] */
    int16_t *momentum;      /* [units][fan_in]; NULL but for AdaMax, as the next three */
    int16_t *log_scale;     /* [units][fan_in] */
    int16_t *bias_momentum; /* [units] */
    int16_t *bias_log_scale;
    int32_t *bias_gradient; /* [units], of this step */
    const uint8_t *target;  /* [units] in the output layer; NULL elsewhere: 32 */
    binnet_scale *scale;    /* [units], of this step */
    int8_t *normed;         /* [rows][units]; the quantised error takes its place in backward */
    uint8_t *activation;    /* [rows][units]; NULL in the output layer. SIGN: y + 64, in 0 to 127 */
    int16_t *error;         /* [rows][units], at the output: in the place of activations and sums */
    uint8_t *low_signs;     /* [rows][signs_stride]: the planes of these; NULL but for SIGN, */
    uint8_t *high_signs;
    size_t signs_stride; /* and the high one but for dropout */
    int64_t *mean_sum;   /* [units]: calibration sums, in net->calibration */
    int64_t *spread_sum; /* [units] */
};

/* Rows of its output for an image. */
BINNET_INLINE uint32_t binnet_layer_positions(const binnet_layer_state *layer) {
    return BINNET_CONVOLUTIONS ? layer->positions : 1;
}

struct binnet_net {
    uint64_t seed;
    uint32_t n_features;
    uint32_t n_layers;
    uint32_t batch_size;
    uint32_t step;
    uint32_t n_calibrations;
    uint32_t shape;     /* layers, height and width of images, as a file has them */
    int32_t error_unit; /* AdaMax: the unit of errors is 2^error_unit */
    binnet_method method;
    const binnet_kernels *kernels;
    const binnet_training *training;
    binnet_parallel parallel;
    binnet_layer_state *layers; /* [n_layers] */
    uint8_t *targets;           /* [n_classes] */
    uint8_t *kept_features;     /* [batch][n_features], with input dropout, else NULL */
    int32_t *z;                 /* [panels of z_columns][rows][panel_columns] */
    int64_t
        *calibration;    /* two sums of each unit of all layers, in the place of what is `normed` */
    int8_t *transposed;  /* [widest layer's units][batch]: the quantised error; or NULL */
    uint8_t *input_bits; /* [batch][widest fan-in]: random bits of a layer's input, or 8 digits */
    int32_t *peaks;      /* [n_workers], to reduce a maximum over tasks */
    uint8_t *panels;     /* packed bits of a product */
    uint8_t *scratch;    /* [n_workers][scratch_bytes] */
    size_t scratch_bytes;
    struct binnet_workplace *workplace; /* NULL: there is no convolution */
};

/* What convolutions need besides. */
typedef struct binnet_workplace {
    uint8_t *flat[2]; /* [batch][flat_stride]: signs of the last one's outputs, planes */
    size_t flat_stride;
    /* Weights as the error at the input wants them, [kernel²][units] rows of channels, the kernel's
     * last row and column first; a plane or two. */
    uint8_t *turned;
    size_t turned_bytes; /* of a plane */
    int8_t *unpooled;    /* errors of some images, where they are from */
    uint8_t *patches;    /* bits of the input of these: [planes][positions][row of bits] */
    int32_t *gradient;   /* [units][fan_in, whole panels] */
} binnet_workplace;

/* Rows of up to 64 columns from a multiple of 64 on. */
typedef struct binnet_strip {
    uint32_t row, n_rows, column, n_columns;
    const uint8_t *random; /* [n_rows][64], or NULL */
} binnet_strip;

/* What tasks and epilogues of a layer need to know. */
struct binnet_pass {
    binnet_net *net;
    binnet_layer_state *layer;
    binnet_input input;
    uint32_t n_images; /* of the batch, whatever its rows are */
    uint32_t n_rows;   /* of the layer's output */
    int calibrate;
    uint32_t first_column; /* forward: of the sums that are kept */
    uint32_t n_columns;
    void (*use)(const binnet_pass *, const binnet_strip *);
    uint32_t strip_rows, strip_columns;
    int draw;
    binnet_rng rng;
    int32_t exponent;
    int32_t delta_unit;  /* of the quantised error: 2^delta_unit */
    int32_t input_shift; /* from sums to int16 errors */
    size_t input_bits_stride;
    binnet_rule rule;
    binnet_momentum_rule momentum_rule;
};

extern const binnet_layer_type binnet_layer_dense, binnet_layer_conv2d;

/* layer.c. Buffers of any layer; then weights, in an arena of zeros. */
void binnet_plan_layer(binnet_net *net, binnet_layer_state *layer, binnet_planner *planner);
void binnet_init_layer(binnet_net *net, binnet_layer_state *layer);
/* Input rows to activations (hidden) or scores; adds to the calibration sums if told to. */
void binnet_layer_forward(binnet_net *net, binnet_layer_state *layer, const binnet_input *input,
                          uint32_t n_images, int calibrate);
/* The error at this layer's output to parameter updates and, but for the first layer, to the error
 * at the output of the layer before. */
void binnet_layer_backward(binnet_net *net, binnet_layer_state *layer, const binnet_input *input,
                           uint32_t n_images, uint32_t rate_exponent);
/* What a layer's products have in common; those of errors; and of the weights forward. */
binnet_gemm binnet_product(const binnet_pass *pass);
binnet_gemm binnet_product_forward(const binnet_pass *pass);
/* Epilogues of a pass: sums of rows to the errors of the layer before, and to an update. */
void binnet_store_errors(void *context, const binnet_result *sums);
void binnet_update_rows(void *context, const binnet_result *gradient);

/* The largest of what layers need one after another, in bytes; of z, in numbers. */
typedef struct binnet_needs {
    size_t z, panels, scratch, transposed, input_bits;
    size_t flat, turned, unpooled, patches, gradient; /* of a workplace */
} binnet_needs;

BINNET_INLINE void binnet_need(size_t *most, size_t n) {
    if (n > *most) *most = n;
}

/* conv2d.c: what a convolution needs, and where that of all is. */
void binnet_measure_convolution(const binnet_net *net, const binnet_layer_state *layer,
                                binnet_needs *needs);
void binnet_plan_workplace(binnet_net *net, const binnet_needs *needs, binnet_planner *planner);

/* Whether propagated weights are other than the signs of latent ones, all of whose range then
 * matters. */
BINNET_INLINE int binnet_draws(const binnet_net *net) {
    return net->method.weights == BINNET_TERNARY || net->method.binarization == BINNET_STOCHASTIC;
}

/* propagate.c */
/* Packs the signs of n latent weights, */
void binnet_pack_signs(uint8_t *bits, const int16_t *latent, uint32_t n);
/* and of a layer's: initially, and when a checkpoint was read. */
void binnet_pack_latent(binnet_layer_state *layer);
/* Places the planes that a method draws. */
void binnet_plan_weights(const binnet_net *net, binnet_layer_state *layer, binnet_planner *planner);
/* Draws a step's weights, or makes the deployed ones. */
void binnet_propagate(const binnet_net *net, binnet_layer_state *layer, int deploy);

/* activation.c */
/* Places the signs of activations, for SIGN. */
void binnet_plan_signs(const binnet_net *net, binnet_layer_state *layer, binnet_planner *planner);
/* Copies features, with 0 where they are left out. */
void binnet_drop_features(const binnet_net *net, const uint8_t *x, const binnet_strip *strip);
/* Leaves activations out, if there are random bytes, and packs signs. */
void binnet_finish_activations(const binnet_net *net, binnet_layer_state *layer,
                               const binnet_strip *strip);
/* Leaves the errors of the same units out. */
void binnet_drop_errors(const binnet_net *net, binnet_layer_state *layer,
                        const binnet_strip *strip);

BINNET_INLINE binnet_layer_state *binnet_output_layer(const binnet_net *net) {
    return &net->layers[net->n_layers - 1];
}

/* ---- norm.c, loss.c, quantize.c, solver.c -------------------------------------------------- */

enum { BINNET_NO_PEAK = -1000000 }; /* below the exponent of any error */

/* Normalises units [first, first + n), n <= BINNET_UNIT_BLOCK, whose z are [n_rows][z_stride]. */
void binnet_norm_forward(const binnet_net *net, binnet_layer_state *layer, const int32_t *z,
                         uint32_t n_rows, uint32_t first, uint32_t n, int calibrate);

/* Error at the output of units [first, first + n), n <= BINNET_UNIT_BLOCK, to the error at their
 * z before its scale, in place. Returns the largest exponent of the scaled error, or
 * BINNET_NO_PEAK. */
int32_t binnet_norm_backward(const binnet_net *net, binnet_layer_state *layer, uint32_t n_rows,
                             uint32_t first, uint32_t n);

/* What is wanted of the output layer to its error; the sum of squares. The step takes it as an
 * argument, so that a program that has only labels has only theirs. */
typedef uint64_t binnet_loss(binnet_net *net, const void *wanted, uint32_t n_rows);
binnet_loss binnet_loss_of_labels;  /* of uint16: [n_rows], */
binnet_loss binnet_loss_of_targets; /* of int8: [n_rows][units] */

/* The rule of a step given the exponent of the previous gradient and of a full step: 15 for
 * weights. */
binnet_rule binnet_sgd_rule(int32_t exponent, uint32_t rate_exponent, int32_t full_step);
/* The rule of AdaMax for gradients of a unit; shift is 0 for weights, more for
 * biases. */
binnet_momentum_rule binnet_adamax_rule(const binnet_net *net, int32_t unit, uint32_t rate_exponent,
                                        int32_t shift);
/* Gradients of biases are divided by 2 so often, where a sum of so many rows needs it. */
BINNET_INLINE int32_t binnet_bias_halvings(uint32_t n_rows) {
    return BINNET_CONVOLUTIONS && n_rows > BINNET_MAX_BATCH ? binnet_bitlen(n_rows - 1) - 15 : 0;
}

/* Updates the biases of a layer from its bias_gradient, of so many rows. */
void binnet_update_biases(const binnet_net *net, binnet_layer_state *layer, uint32_t n_rows,
                          uint32_t rate_exponent);

/* ---- model.c, deploy.c: a model file -------------------------------------------------------- */

#define BINNET_MODEL_MAGIC "BINNETMD"
enum { BINNET_MODEL_FIXED = 32 }; /* bytes before the layers' records */

/* A layer: where its parts begin, counted from the file's first byte. */
typedef struct binnet_view {
    binnet_shape shape;
    size_t records, low, high, end;
    uint32_t record_bytes;          /* of a unit */
    size_t row_bytes;               /* of the planes */
    uint32_t from_signs, to_signs;  /* activations before and after */
    uint32_t index, ternary, signs; /* of its layer; of the model */
    uint32_t n_layers;
} binnet_view;

/* What stands before the first layer, and from there on the next one. ARGUMENT and LIMIT: there is
 * no such layer. */
binnet_status binnet_view_start(binnet_view *view, uint32_t n_features, uint32_t shape,
                                uint32_t method);
binnet_status binnet_view_next(binnet_view *view, uint32_t kind, uint32_t units);

/* What a unit's record says. */
typedef struct binnet_unit {
    int32_t mean;
    int16_t bias;
    binnet_scale scale;
} binnet_unit;

/* ---- wire.c, wire_write.c: little-endian bytes ---------------------------------------------- */

uint32_t binnet_crc32(const uint8_t *bytes, size_t n_bytes);
uint32_t binnet_get32(const uint8_t *p);
int32_t binnet_get_signed(const uint8_t *p); /* 32 bits */
int16_t binnet_get16(const uint8_t *p);
uint8_t *binnet_put16(uint8_t *p, int16_t v);
uint8_t *binnet_put32(uint8_t *p, uint32_t v);

/* Whether the bytes from p up to end are 0. */
int binnet_all_zero(const uint8_t *p, const uint8_t *end);

/* Magic, version, method, n_bytes: the first 24 bytes of both formats. */
enum { BINNET_FILE_HEADER = 24, BINNET_FORMAT_VERSION = 1 };
uint8_t *binnet_put_header(uint8_t *p, const char *magic, uint32_t method, uint64_t n_bytes);
/* Checks the header, but for the method, and the CRC-32 at the end. */
binnet_status binnet_check_file(const uint8_t *bytes, size_t n_bytes, const char *magic);
/* A method as a file has it. Of it a model keeps only: */
enum { BINNET_METHOD_TERNARY = 1, BINNET_METHOD_SIGN = 4 };
uint32_t binnet_put_method(const binnet_method *method);

#endif
