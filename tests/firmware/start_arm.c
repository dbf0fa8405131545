/* Cortex-M: the vector table, reset, faults.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

extern uint8_t stack_top[]; /* from mcu.ld */

uintptr_t semihost(uintptr_t operation, const void *argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void reset(void) {
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    /* The vector registers, which compilers use for integers too, are off until CPACR says so. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    boot();
}

/* The processor has pushed eight words: r0 to r3, r12, lr, pc, psr. */
__attribute__((used)) static void stacked_fault(const uint32_t *frame) { fault(frame[6]); }

__attribute__((naked)) static void trap(void) {
    __asm__ volatile("mov r0, sp\n"
                     "ldr r1, =stacked_fault\n"
                     "bx r1");
}

/* No interrupt is enabled: every exception is a fault. */
__attribute__((section(".start"), used)) static const struct {
    const uint8_t *stack;
    void (*handlers[15])(void);
} vectors = {
    stack_top,
    {reset, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap, trap}};
