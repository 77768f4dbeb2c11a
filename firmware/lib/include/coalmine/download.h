/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_DOWNLOAD_H_
#define COALMINE_DOWNLOAD_H_

#include <coalmine/config.h>
#include <coalmine/record.h>

/*
 * An artifact on its way into slot 1, block by block.
 *
 * D1. A block counts once it is in flash. What is asked for next begins where flash ends.
 * D2. After a reset the download goes on at the last checkpoint, a page boundary; at most
 *     `checkpoint_bytes` and one page are fetched again.
 * D3. It is complete when flash, read back, has the SHA-256 of the offer and holds the image that
 * was offered. Nothing else leads to a reboot.
 */

struct coalmine_flash_shape {
	uint32_t slot_size;
	uint32_t page_size;
	uint32_t write_unit;
	/* Bytes at the end of slot 1 that belong to the bootloader: its trailer, in whole pages. */
	uint32_t trailer_size;
	/* Bytes at the beginning that are left out (MCUboot's swap-offset mode: one page). */
	uint32_t upload_offset;
	/* Between two checkpoints: fewer wear storage less, more lose less. */
	uint32_t checkpoint_bytes;
};

enum coalmine_download_event {
	/* An answer to no question of ours: of an earlier boot, or a duplicate. */
	COALMINE_DOWNLOAD_IGNORED,
	COALMINE_DOWNLOAD_ADVANCED,
	/* Everything is in flash; coalmine_download_verify() comes next. */
	COALMINE_DOWNLOAD_COMPLETE,
	/* The host does not offer it any more. */
	COALMINE_DOWNLOAD_TAKEN_BACK,
	COALMINE_DOWNLOAD_FAILED,
};

struct coalmine_download {
	const struct coalmine_flash_shape *shape;
	const struct coalmine_offer_record *offer;
	/* Bytes in flash, without gaps. */
	uint32_t offset;
	/* End of the erased pages. */
	uint32_t erased;
	uint32_t checkpoint;
	/* Numbers of requests rise over the whole life of this value. */
	uint32_t request;
	uint32_t asked;
	bool waiting;
	int64_t asked_ms;
	/* Why it failed. */
	char reason[COALMINE_REASON_KEPT + 1];
};

/* Most bytes that an artifact may have. */
uint32_t coalmine_download_size_max(const struct coalmine_flash_shape *shape);

/* Begins at the beginning: slot 1 holds no image from here on. `offer` must stay where it is. */
int coalmine_download_start(struct coalmine_download *download,
			    const struct coalmine_flash_shape *shape,
			    const struct coalmine_offer_record *offer);
/* Goes on where an earlier boot left off. */
void coalmine_download_resume(struct coalmine_download *download,
			      const struct coalmine_flash_shape *shape,
			      const struct coalmine_offer_record *offer);
/*
 * Fills the next question, or the same again when its answer is `patience_ms` late. False when
 * there is nothing to ask.
 */
bool coalmine_download_ask(struct coalmine_download *download, int64_t now_ms, int64_t patience_ms,
			   struct coalmine_block_request *request);
enum coalmine_download_event coalmine_download_take(struct coalmine_download *download,
						    const struct coalmine_block_answer *answer);
/* Reads flash back. 0, or -EBADMSG with `reason`, or an error of the port. */
int coalmine_download_verify(struct coalmine_download *download);

#endif /* COALMINE_DOWNLOAD_H_ */
