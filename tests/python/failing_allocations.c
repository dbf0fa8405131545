/* Memory that fails: loaded before the C library (LD_PRELOAD), which is glibc. Between two calls of
 * fail_at, in the thread that called it, one or all allocations from a number on return NULL, and
 * threads cannot be started.
 * SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

void *__libc_malloc(size_t n_bytes);
void *__libc_calloc(size_t n, size_t n_bytes);
void *__libc_realloc(void *p, size_t n_bytes);

static __thread long n_seen, first = 0, last = 0; /* 0: none */

/* Counts from now on, and fails from `begin` to `end`, from 1. Returns the count before. */
long fail_at(long begin, long end) {
    const long before = n_seen;
    n_seen = 0;
    first = begin;
    last = end;
    return before;
}

static int fails(void) {
    if (!first) return 0;
    ++n_seen;
    return n_seen >= first && n_seen <= last;
}

static void *none(void) {
    errno = ENOMEM;
    return NULL;
}

void *malloc(size_t n_bytes) { return fails() ? none() : __libc_malloc(n_bytes); }
void *calloc(size_t n, size_t n_bytes) { return fails() ? none() : __libc_calloc(n, n_bytes); }
void *realloc(void *p, size_t n_bytes) { return fails() ? none() : __libc_realloc(p, n_bytes); }

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (fails()) return EAGAIN;
    *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    return create(thread, attributes, run, argument);
}
