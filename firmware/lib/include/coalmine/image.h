/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_IMAGE_H_
#define COALMINE_IMAGE_H_

#include <coalmine/message.h>

/* Reads `length` bytes at `offset` of a slot. 0 or -errno. */
typedef int (*coalmine_image_read_fn)(void *context, uint32_t offset, void *data, size_t length);

struct coalmine_image {
	uint8_t hash[COALMINE_HASH_SIZE];
	/* 1.2.3+4, terminated */
	char version[COALMINE_VERSION_MAX + 1];
	/* From the header to the end of the TLVs. */
	uint32_t size;
};

/*
 * Reads the image in a slot: MCUboot's header, TLV areas and SHA-256 (docs/design.md, "Image
 * format"). With `check`, the hash is computed over header, payload and protected TLVs and
 * compared. The signature is MCUboot's business.
 *
 * 0; -ENOENT when there is no image; -EBADMSG when it is damaged; an error of `read`.
 */
int coalmine_image_read(coalmine_image_read_fn read, void *context, uint32_t slot_size, bool check,
			struct coalmine_image *image);

#endif /* COALMINE_IMAGE_H_ */
