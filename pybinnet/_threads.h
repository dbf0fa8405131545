/* What _parallel.c needs of an operating system's threads: POSIX, and Windows.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef PYBINNET_THREADS_H
#define PYBINNET_THREADS_H

#ifdef _WIN32

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
typedef HANDLE thread;
typedef DWORD thread_result;
#define THREAD_CALL WINAPI

/* Neither holds anything that would have to be given back. */
static void mutex_init(mutex *m) { InitializeSRWLock(m); }
static void mutex_free(mutex *m) { (void)m; }
static void mutex_lock(mutex *m) { AcquireSRWLockExclusive(m); }
static void mutex_unlock(mutex *m) { ReleaseSRWLockExclusive(m); }

static void condition_init(condition *c) { InitializeConditionVariable(c); }
static void condition_free(condition *c) { (void)c; }
static void condition_wait(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static void condition_wake_one(condition *c) { WakeConditionVariable(c); }
static void condition_wake_all(condition *c) { WakeAllConditionVariable(c); }

/* Returns whether there is one. */
static int thread_start(thread *t, thread_result(THREAD_CALL *run)(void *), void *argument) {
    *t = CreateThread(NULL, 0, run, argument, 0, NULL);
    return *t != NULL;
}

static void thread_join(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

static long process_id(void) { return (long)GetCurrentProcessId(); }

#else

#include <pthread.h>
#include <unistd.h>

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
typedef pthread_t thread;
typedef void *thread_result;
#define THREAD_CALL

static void mutex_init(mutex *m) { pthread_mutex_init(m, NULL); }
static void mutex_free(mutex *m) { pthread_mutex_destroy(m); }
static void mutex_lock(mutex *m) { pthread_mutex_lock(m); }
static void mutex_unlock(mutex *m) { pthread_mutex_unlock(m); }

static void condition_init(condition *c) { pthread_cond_init(c, NULL); }
static void condition_free(condition *c) { pthread_cond_destroy(c); }
static void condition_wait(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static void condition_wake_one(condition *c) { pthread_cond_signal(c); }
static void condition_wake_all(condition *c) { pthread_cond_broadcast(c); }

/* Returns whether there is one. */
static int thread_start(thread *t, thread_result(THREAD_CALL *run)(void *), void *argument) {
    return pthread_create(t, NULL, run, argument) == 0;
}

static void thread_join(thread t) { pthread_join(t, NULL); }

static long process_id(void) { return (long)getpid(); }

#endif

#endif
