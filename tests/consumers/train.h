/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TRAIN_H
#define TRAIN_H

#include <binnet.h>

/* Trains a net; the CRC-32 of its checkpoint, or a small number for what went wrong. */
uint32_t trained_crc32(void);

#endif
