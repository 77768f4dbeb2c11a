/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/download.h>
#include <coalmine/image.h>
#include <coalmine/port.h>
#include <coalmine/sha256.h>

static uint32_t up(uint32_t value, uint32_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static uint32_t down(uint32_t value, uint32_t unit)
{
	return value / unit * unit;
}

static int save_checkpoint(uint32_t offset)
{
	uint8_t data[COALMINE_NUMBER_SIZE];

	return coalmine_port_record_write(COALMINE_RECORD_CHECKPOINT, data,
					  coalmine_number_pack(offset, data));
}

uint32_t coalmine_download_size_max(const struct coalmine_flash_shape *shape)
{
	uint32_t reserved = up(shape->trailer_size, shape->page_size) + shape->upload_offset;

	return shape->slot_size > reserved ? shape->slot_size - reserved : 0;
}

static void begin(struct coalmine_download *download, const struct coalmine_flash_shape *shape,
		  const struct coalmine_offer_record *offer)
{
	download->shape = shape;
	download->offer = offer;
	download->offset = 0;
	download->erased = 0;
	download->checkpoint = 0;
	download->waiting = false;
	download->reason[0] = '\0';
}

int coalmine_download_start(struct coalmine_download *download,
			    const struct coalmine_flash_shape *shape,
			    const struct coalmine_offer_record *offer)
{
	uint32_t trailer = up(shape->trailer_size, shape->page_size);
	int result;

	begin(download, shape, offer);
	/* An old checkpoint must not speak for the new bytes. */
	result = save_checkpoint(0);
	if (result != 0) {
		return result;
	}

	/* The old header goes first: a mixture of two images is none. Then MCUboot's trailer. */
	result = coalmine_port_slot_erase(0, shape->upload_offset + shape->page_size);
	if (result != 0) {
		return result;
	}

	download->erased = shape->page_size;
	return coalmine_port_slot_erase(shape->slot_size - trailer, trailer);
}

void coalmine_download_resume(struct coalmine_download *download,
			      const struct coalmine_flash_shape *shape,
			      const struct coalmine_offer_record *offer)
{
	uint8_t data[COALMINE_NUMBER_SIZE];
	uint32_t checkpoint = 0;
	int size;

	begin(download, shape, offer);
	size = coalmine_port_record_read(COALMINE_RECORD_CHECKPOINT, data, sizeof(data));
	if (size > 0 && coalmine_number_unpack(&checkpoint, data, (size_t)size) == 0 &&
	    checkpoint <= offer->size) {
		download->checkpoint = down(checkpoint, shape->page_size);
	}

	/* Pages from here on may be half written: they are erased again before use. */
	download->offset = download->checkpoint;
	download->erased = download->checkpoint;
}

bool coalmine_download_ask(struct coalmine_download *download, int64_t now_ms, int64_t patience_ms,
			   struct coalmine_block_request *request)
{
	uint32_t left = download->offer->size - download->offset;
	/* Whole blocks from the beginning on: a page may be smaller than a block. */
	uint32_t whole = CONFIG_COALMINE_BLOCK_SIZE - download->offset % CONFIG_COALMINE_BLOCK_SIZE;
	uint32_t length = left < whole ? left : whole;

	if (left == 0 || (download->waiting && now_ms - download->asked_ms < patience_ms)) {
		return false;
	}

	/* A new number: an answer to the question that was given up is not taken any more. */
	download->request++;
	download->asked = length;
	download->asked_ms = now_ms;
	download->waiting = true;
	*request = (struct coalmine_block_request){
		.request = download->request,
		.digest = {download->offer->digest, COALMINE_DIGEST_PREFIX},
		.offset = download->offset,
		.length = length,
	};
	return true;
}

static enum coalmine_download_event failed(struct coalmine_download *download, const char *reason)
{
	(void)snprintf(download->reason, sizeof(download->reason), "%s", reason);
	return COALMINE_DOWNLOAD_FAILED;
}

/* Erases pages ahead, writes, and pads the end of the artifact to a whole write unit. */
static int write_block(struct coalmine_download *download, struct coalmine_span data)
{
	const struct coalmine_flash_shape *shape = download->shape;
	uint32_t whole = down((uint32_t)data.length, shape->write_unit);
	uint32_t at = shape->upload_offset + download->offset;
	uint32_t end = download->offset + (uint32_t)data.length;
	int result = 0;

	if (end > download->erased) {
		uint32_t length = up(end, shape->page_size) - download->erased;

		result = coalmine_port_slot_erase(shape->upload_offset + download->erased, length);
		if (result != 0) {
			return result;
		}

		download->erased += length;
	}

	if (whole > 0) {
		result = coalmine_port_slot_write(at, data.data, whole);
	}

	if (result == 0 && whole < data.length) {
		uint8_t tail[CONFIG_COALMINE_WRITE_UNIT_MAX];

		memset(tail, 0xff, sizeof(tail));
		memcpy(tail, &data.data[whole], data.length - whole);
		result = coalmine_port_slot_write(at + whole, tail, shape->write_unit);
	}

	return result;
}

static int advance(struct coalmine_download *download, uint32_t length)
{
	uint32_t page;

	download->offset += length;
	page = down(download->offset, download->shape->page_size);
	if (page - download->checkpoint < download->shape->checkpoint_bytes ||
	    page == download->checkpoint) {
		return 0;
	}

	download->checkpoint = page;
	return save_checkpoint(page);
}

enum coalmine_download_event coalmine_download_take(struct coalmine_download *download,
						    const struct coalmine_block_answer *answer)
{
	if (!download->waiting || answer->request != download->request) {
		return COALMINE_DOWNLOAD_IGNORED;
	}

	download->waiting = false;
	if (answer->kind == COALMINE_BLOCK_REFUSED) {
		switch (answer->reason) {
		case COALMINE_REFUSAL_NOT_OFFERED:
			return COALMINE_DOWNLOAD_TAKEN_BACK;
		case COALMINE_REFUSAL_RANGE:
			return failed(download, "the host has fewer bytes than it offered");
		default:
			return failed(download, "the host does not have the artifact");
		}
	}

	if (answer->offset != download->offset || answer->data.length != download->asked) {
		return failed(download, "a block of another place or length than asked for");
	}

	if (write_block(download, answer->data) != 0 ||
	    advance(download, (uint32_t)answer->data.length) != 0) {
		return failed(download, "flash could not be written");
	}

	return download->offset == download->offer->size ? COALMINE_DOWNLOAD_COMPLETE
							 : COALMINE_DOWNLOAD_ADVANCED;
}

static int read_upload(void *context, uint32_t offset, void *data, size_t length)
{
	const struct coalmine_download *download = context;

	return coalmine_port_slot_read(download->shape->upload_offset + offset, data, length);
}

int coalmine_download_verify(struct coalmine_download *download)
{
	const struct coalmine_offer_record *offer = download->offer;
	uint8_t chunk[CONFIG_COALMINE_HASH_CHUNK];
	uint8_t digest[COALMINE_SHA256_SIZE];
	struct coalmine_sha256 sha;
	struct coalmine_image image;
	int result;

	coalmine_sha256_init(&sha);
	for (uint32_t at = 0; at < offer->size;) {
		uint32_t part = offer->size - at < sizeof(chunk) ? offer->size - at : sizeof(chunk);

		result = read_upload(download, at, chunk, part);
		if (result != 0) {
			(void)failed(download, "flash could not be read back");
			return result;
		}

		coalmine_sha256_update(&sha, chunk, part);
		at += part;
	}

	coalmine_sha256_final(&sha, digest);
	if (memcmp(digest, offer->digest, sizeof(digest)) != 0) {
		(void)failed(download, "the SHA-256 of what was received is not the offer's");
		return -EBADMSG;
	}

	result = coalmine_image_read(read_upload, download, offer->size, true, &image);
	if (result != 0 || memcmp(image.hash, offer->image_hash, sizeof(image.hash)) != 0) {
		(void)failed(download, "the artifact does not hold the image that was offered");
		return result != 0 ? result : -EBADMSG;
	}

	return 0;
}
