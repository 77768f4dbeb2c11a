/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_HMAC_H_
#define COALMINE_HMAC_H_

#include <coalmine/sha256.h>

/* HMAC-SHA-256 (RFC 2104), fed piece by piece. Keys of more than 64 bytes are hashed first. */
struct coalmine_hmac {
	struct coalmine_sha256 sha;
	uint8_t outer[64];
};

void coalmine_hmac_init(struct coalmine_hmac *hmac, const uint8_t *key, size_t size);
void coalmine_hmac_update(struct coalmine_hmac *hmac, const void *data, size_t length);
void coalmine_hmac_final(struct coalmine_hmac *hmac, uint8_t tag[COALMINE_SHA256_SIZE]);

#endif /* COALMINE_HMAC_H_ */
