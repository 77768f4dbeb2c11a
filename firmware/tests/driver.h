/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_DRIVER_H_
#define COALMINE_DRIVER_H_

#include <stddef.h>
#include <stdint.h>

/* Longest line: a message larger than any that is accepted, in hex. */
#define DRIVER_LINE (2 * 70000 + 64)

/* Reads hex digits up to a space or the end. Answers the number of bytes. */
size_t driver_bytes(const char *hex, uint8_t *data, size_t size);

void driver_codec(const char *arguments);
void driver_confirm(char *arguments);
void driver_crash(const char *arguments);
void driver_dump(const char *arguments);

#endif /* COALMINE_DRIVER_H_ */
