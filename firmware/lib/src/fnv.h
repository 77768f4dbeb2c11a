/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_FNV_H_
#define COALMINE_FNV_H_

#include <stddef.h>
#include <stdint.h>

/*
 * FNV-1a with 32 bits (draft-eastlake-fnv): tells pieces of data apart, keeps nobody out. Begin
 * with the basis; the hash of one piece continued with another is that of both.
 */
#define COALMINE_FNV_BASIS UINT32_C(2166136261)

static inline uint32_t coalmine_fnv(uint32_t hash, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		hash = (hash ^ data[i]) * UINT32_C(16777619);
	}

	return hash;
}

#endif /* COALMINE_FNV_H_ */
