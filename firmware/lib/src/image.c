/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/config.h>
#include <coalmine/image.h>
#include <coalmine/sha256.h>

#define IMAGE_MAGIC UINT32_C(0x96f3b83d)
#define HEADER_SIZE 32

#define TLV_MAGIC	    0x6907
#define TLV_PROTECTED_MAGIC 0x6908
#define TLV_HEAD_SIZE	    4
#define TLV_SHA256	    0x10

static uint16_t half_at(const uint8_t *data)
{
	return (uint16_t)(data[0] | data[1] << 8);
}

static uint32_t word_at(const uint8_t *data)
{
	return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
	       (uint32_t)data[3] << 24;
}

struct slot {
	coalmine_image_read_fn read;
	void *context;
	uint32_t size;
};

static int read_slot(const struct slot *slot, uint32_t offset, void *data, uint32_t length)
{
	if (offset > slot->size || length > slot->size - offset) {
		return -EBADMSG;
	}

	return slot->read(slot->context, offset, data, length);
}

/* Finds the hash in the unprotected TLV area at `offset`; `end` gets the end of that area. */
static int find_hash(const struct slot *slot, uint32_t offset, uint8_t hash[COALMINE_HASH_SIZE],
		     uint32_t *end)
{
	uint8_t head[TLV_HEAD_SIZE];
	bool found = false;
	uint32_t limit;
	int result = read_slot(slot, offset, head, sizeof(head));

	if (result != 0) {
		return result;
	}

	if (half_at(head) != TLV_MAGIC || half_at(&head[2]) < TLV_HEAD_SIZE) {
		return -EBADMSG;
	}

	limit = offset + half_at(&head[2]);
	*end = limit;
	/* To the end also when the hash is found: an area that does not add up is a damaged one. */
	for (uint32_t at = offset + TLV_HEAD_SIZE; at < limit;) {
		uint32_t length;

		result = limit - at < TLV_HEAD_SIZE ? -EBADMSG
						    : read_slot(slot, at, head, sizeof(head));
		if (result != 0) {
			return result;
		}

		at += TLV_HEAD_SIZE;
		length = half_at(&head[2]);
		if (length > limit - at) {
			return -EBADMSG;
		}

		if (half_at(head) == TLV_SHA256) {
			result = length == COALMINE_HASH_SIZE && !found
					 ? read_slot(slot, at, hash, COALMINE_HASH_SIZE)
					 : -EBADMSG;
			if (result != 0) {
				return result;
			}

			found = true;
		}

		at += length;
	}

	return found ? 0 : -EBADMSG;
}

static int compare_hash(const struct slot *slot, uint32_t length,
			const uint8_t expected[COALMINE_HASH_SIZE])
{
	uint8_t chunk[CONFIG_COALMINE_HASH_CHUNK];
	uint8_t digest[COALMINE_SHA256_SIZE];
	struct coalmine_sha256 sha;

	coalmine_sha256_init(&sha);
	for (uint32_t at = 0; at < length;) {
		uint32_t part = length - at < sizeof(chunk) ? length - at : sizeof(chunk);
		int result = read_slot(slot, at, chunk, part);

		if (result != 0) {
			return result;
		}

		coalmine_sha256_update(&sha, chunk, part);
		at += part;
	}

	coalmine_sha256_final(&sha, digest);
	return memcmp(digest, expected, sizeof(digest)) == 0 ? 0 : -EBADMSG;
}

int coalmine_image_read(coalmine_image_read_fn read, void *context, uint32_t slot_size, bool check,
			struct coalmine_image *image)
{
	const struct slot slot = {read, context, slot_size};
	uint8_t header[HEADER_SIZE];
	uint32_t protected_size;
	uint32_t header_size;
	uint64_t hashed;
	int result = read_slot(&slot, 0, header, sizeof(header));

	if (result != 0) {
		return result;
	}

	if (word_at(header) != IMAGE_MAGIC) {
		return -ENOENT;
	}

	header_size = half_at(&header[8]);
	protected_size = half_at(&header[10]);
	hashed = (uint64_t)header_size + word_at(&header[12]) + protected_size;
	if (header_size < HEADER_SIZE || hashed > slot_size) {
		return -EBADMSG;
	}

	result = find_hash(&slot, (uint32_t)hashed, image->hash, &image->size);
	if (result == 0 && check) {
		result = compare_hash(&slot, (uint32_t)hashed, image->hash);
	}

	(void)snprintf(image->version, sizeof(image->version), "%u.%u.%u+%" PRIu32, header[20],
		       header[21], half_at(&header[22]), word_at(&header[24]));
	return result;
}
