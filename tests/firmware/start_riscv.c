/* RISC-V in machine mode: reset, faults.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"

#define ZICSR ".option arch, +zicsr\n" /* as an -march it would not find its libgcc */

uintptr_t semihost(uintptr_t operation, const void *argument) {
    register uintptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n"
                     ".option norvc\n"
                     ".balign 16\n" /* these three must stand in one page */
                     "slli x0, x0, 0x1f\n"
                     "ebreak\n"
                     "srai x0, x0, 7\n"
                     ".option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

/* No interrupt is enabled: every trap is a fault. */
__attribute__((aligned(4), used)) static void trap(void) {
    uintptr_t address;
    __asm__ volatile(ZICSR "csrr %0, mepc" : "=r"(address));
    fault(address);
}

__attribute__((naked, section(".start"), used)) void reset(void) {
    __asm__ volatile(ZICSR "la sp, stack_top\n"
                           "la t0, trap\n"
                           "csrw mtvec, t0\n"
                           "j boot");
}
