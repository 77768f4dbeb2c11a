/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_LIMITS_H_
#define COALMINE_LIMITS_H_

/*
 * The bounds of the wire format, the same numbers as packages/protocol/coalmine.cddl. They are part
 * of the format: a message outside them is refused, and an encoder does not write one.
 */

#define COALMINE_WIRE_VERSION 1

/* Bytes of any message but a block answer, of a report that is no log chunk, of a block answer. */
#define COALMINE_MESSAGE_MAX	  8192
#define COALMINE_REPORT_MAX	  4096
#define COALMINE_BLOCK_ANSWER_MAX (16384 + 64)

#define COALMINE_BLOCK_DATA_MAX 16384
#define COALMINE_LOG_DATA_MAX	4096
#define COALMINE_HASH_SIZE	32
#define COALMINE_BUILD_ID_MIN	4
#define COALMINE_BUILD_ID_MAX	32
#define COALMINE_DIGEST_PREFIX	8
#define COALMINE_ENTRIES_MAX	16
#define COALMINE_NAME_MAX	32
#define COALMINE_VALUE_MAX	64
#define COALMINE_HARDWARE_MAX	64
#define COALMINE_VERSION_MAX	32
#define COALMINE_RELEASE_MAX	64
#define COALMINE_REASON_MAX	128

/* Offers and addresses: 2^53 - 1, what the host counts exactly. */
#define COALMINE_SAFE_MAX 9007199254740991ULL

#endif /* COALMINE_LIMITS_H_ */
