/* Without assertions. SPDX-License-Identifier: BSD-3-Clause */
#define assert(condition) ((void)0)
