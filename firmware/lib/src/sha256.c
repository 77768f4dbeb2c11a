/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/sha256.h>

/* FIPS 180-4 section 4.2.2 */
static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static uint32_t rotate(uint32_t value, unsigned int count)
{
	return (value >> count) | (value << (32 - count));
}

static void compress(uint32_t state[8], const uint8_t block[64])
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t schedule[16];

	for (size_t i = 0; i < 64; i++) {
		uint32_t *word = &schedule[i % 16];
		uint32_t first;
		uint32_t second;

		if (i < 16) {
			*word = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
				(uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
		} else {
			uint32_t before15 = schedule[(i - 15) % 16];
			uint32_t before2 = schedule[(i - 2) % 16];

			*word += (rotate(before15, 7) ^ rotate(before15, 18) ^ (before15 >> 3)) +
				 schedule[(i - 7) % 16] +
				 (rotate(before2, 17) ^ rotate(before2, 19) ^ (before2 >> 10));
		}

		first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
			constants[i] + *word;
		second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
			 ((a & b) ^ (a & c) ^ (b & c));
		h = g;
		g = f;
		f = e;
		e = d + first;
		d = c;
		c = b;
		b = a;
		a = first + second;
	}

	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

void coalmine_sha256_init(struct coalmine_sha256 *sha)
{
	/* FIPS 180-4 section 5.3.3 */
	static const uint32_t initial[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memset(sha, 0, sizeof(*sha));
	memcpy(sha->state, initial, sizeof(initial));
}

void coalmine_sha256_update(struct coalmine_sha256 *sha, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	size_t filled = sha->length % sizeof(sha->block);

	sha->length += length;
	while (length > 0) {
		size_t part = sizeof(sha->block) - filled;

		if (part > length) {
			part = length;
		}

		memcpy(&sha->block[filled], bytes, part);
		filled += part;
		bytes += part;
		length -= part;
		if (filled == sizeof(sha->block)) {
			compress(sha->state, sha->block);
			filled = 0;
		}
	}
}

void coalmine_sha256_final(struct coalmine_sha256 *sha, uint8_t digest[COALMINE_SHA256_SIZE])
{
	static const uint8_t padding[64] = {0x80};
	uint64_t bits = sha->length * 8;
	size_t filled = sha->length % sizeof(sha->block);
	uint8_t tail[8];

	for (size_t i = 0; i < sizeof(tail); i++) {
		tail[i] = (uint8_t)(bits >> (56 - 8 * i));
	}

	coalmine_sha256_update(sha, padding, filled < 56 ? 56 - filled : 120 - filled);
	coalmine_sha256_update(sha, tail, sizeof(tail));
	for (size_t i = 0; i < COALMINE_SHA256_SIZE; i++) {
		digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
	}
}
