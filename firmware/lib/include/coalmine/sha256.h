/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_SHA256_H_
#define COALMINE_SHA256_H_

#include <stddef.h>
#include <stdint.h>

/*
 * SHA-256 (FIPS 180-4). Our own, because it hashes public data only and an application may have no
 * cryptography at all; MCUboot checks the signature by itself.
 */

#define COALMINE_SHA256_SIZE 32

struct coalmine_sha256 {
	uint32_t state[8];
	uint64_t length;
	uint8_t block[64];
};

void coalmine_sha256_init(struct coalmine_sha256 *sha);
void coalmine_sha256_update(struct coalmine_sha256 *sha, const void *data, size_t length);
void coalmine_sha256_final(struct coalmine_sha256 *sha, uint8_t digest[COALMINE_SHA256_SIZE]);

#endif /* COALMINE_SHA256_H_ */
