/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_CRASH_H_
#define COALMINE_CRASH_H_

#include <coalmine/record.h>

/* Longest text of coalmine_crash_signature(), with its end. */
#define COALMINE_SIGNATURE_SIZE 96

/*
 * A fatal error number of Zephyr in words: the kernel's below 16, Cortex-M's from 16 on. The same
 * words as packages/coredump, so that a report and a decoded dump name a crash alike. NULL for an
 * unknown number.
 */
const char *coalmine_reason_name(uint32_t reason);

/*
 * The reason in words, also for a number that is not known. Writes at most `size` bytes,
 * terminated.
 */
void coalmine_reason_write(uint32_t reason, char *text, size_t size);

/*
 * What makes two crashes of one build one issue: reason, pc, call site. Same text as `signature()`
 * of packages/coredump without symbols.
 */
void coalmine_crash_signature(const struct coalmine_crash_record *crash,
			      char text[COALMINE_SIGNATURE_SIZE]);

/*
 * Facts of a stored Zephyr coredump (file header and Cortex-M registers), for a crash that left a
 * dump but no retained RAM. `data` is the beginning of the dump. 0, or -EBADMSG for anything else.
 */
int coalmine_coredump_facts(const uint8_t *data, size_t size, struct coalmine_crash_record *crash);

/* Adds the newest crash; when full, the oldest goes. */
void coalmine_crashes_add(struct coalmine_crashes_record *crashes,
			  const struct coalmine_crash_record *crash);
/* Removes the crash at `index`. */
void coalmine_crashes_drop(struct coalmine_crashes_record *crashes, size_t index);

#endif /* COALMINE_CRASH_H_ */
