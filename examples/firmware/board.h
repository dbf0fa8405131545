/* All that main.c wants of a board. For yours, write another board.c.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Turns the light on or off, for long enough to be seen. */
void led(int on);

/* Reads the sensors into inputs, and returns which class it was: for a device that learns, somebody
 * has to say so. Here it looks up number i of the rows that make_model.py set aside. */
uint16_t reading(uint32_t i, uint8_t *inputs);

/* For the demonstration: from now on the pad is a quarter turn off. */
void turn_the_pad(void);

/* Prints a text, "<before><n><after>", on whatever there is: a serial port, a debugger, nothing. */
void say(const char *text);
void say_number(const char *before, uint32_t n, const char *after);

/* The end: 0 if all went well. Does not return: a product would sleep, or reset itself. */
void stop(int code);

#endif
