/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/hmac.h>

void coalmine_hmac_init(struct coalmine_hmac *hmac, const uint8_t *key, size_t size)
{
	uint8_t inner[64] = {0};

	if (size > sizeof(inner)) {
		coalmine_sha256_init(&hmac->sha);
		coalmine_sha256_update(&hmac->sha, key, size);
		coalmine_sha256_final(&hmac->sha, inner);
	} else {
		memcpy(inner, key, size);
	}

	for (size_t i = 0; i < sizeof(inner); i++) {
		hmac->outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}

	coalmine_sha256_init(&hmac->sha);
	coalmine_sha256_update(&hmac->sha, inner, sizeof(inner));
}

void coalmine_hmac_update(struct coalmine_hmac *hmac, const void *data, size_t length)
{
	coalmine_sha256_update(&hmac->sha, data, length);
}

void coalmine_hmac_final(struct coalmine_hmac *hmac, uint8_t tag[COALMINE_SHA256_SIZE])
{
	coalmine_sha256_final(&hmac->sha, tag);
	coalmine_sha256_init(&hmac->sha);
	coalmine_sha256_update(&hmac->sha, hmac->outer, sizeof(hmac->outer));
	coalmine_sha256_update(&hmac->sha, tag, COALMINE_SHA256_SIZE);
	coalmine_sha256_final(&hmac->sha, tag);
}
