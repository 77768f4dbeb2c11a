/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/offer.h>
#include <coalmine/sha256.h>

static bool is_known(const struct coalmine_offer *offer, const struct coalmine_offer_view *view)
{
	return (view->current != NULL && view->current->offer == offer->offer) ||
	       (view->attempt != NULL && view->attempt->offer == offer->offer) ||
	       (view->seen != NULL && coalmine_seen_offer(view->seen, offer->offer)) ||
	       (view->cancelled != 0 && view->cancelled == offer->offer);
}

static bool fits(const struct coalmine_offer *offer, const struct coalmine_hardware *hardware)
{
	return coalmine_text_equal(offer->board, hardware->board) &&
	       coalmine_text_equal(offer->revision, hardware->revision) &&
	       coalmine_text_equal(offer->partition_map, hardware->partition_map);
}

enum coalmine_offer_answer coalmine_offer_check(const struct coalmine_offer *offer,
						const struct coalmine_offer_view *view,
						char reason[COALMINE_REASON_KEPT + 1])
{
	reason[0] = '\0';
	if (is_known(offer, view)) {
		return COALMINE_OFFER_KNOWN;
	}

	if (!fits(offer, view->hardware)) {
		/* The variant's texts can be longer than a reason; the host has them. */
		(void)snprintf(reason, COALMINE_REASON_KEPT + 1,
			       "the artifact is for another board, revision or flash layout");
		return COALMINE_OFFER_REFUSE;
	}

	if (offer->size == 0 || offer->size > view->size_max) {
		(void)snprintf(reason, COALMINE_REASON_KEPT + 1,
			       "%" PRIu32 " bytes do not fit slot 1", offer->size);
		return COALMINE_OFFER_REFUSE;
	}

	if (view->seen != NULL && coalmine_seen_quarantined(view->seen, offer->image_hash.data)) {
		(void)snprintf(reason, COALMINE_REASON_KEPT + 1,
			       "this board reverted that image before");
		return COALMINE_OFFER_REFUSE;
	}

	if (!view->on_trial &&
	    memcmp(offer->image_hash.data, view->running, COALMINE_HASH_SIZE) == 0) {
		return COALMINE_OFFER_RUNS_ALREADY;
	}

	return COALMINE_OFFER_TAKE;
}

uint32_t coalmine_offer_delay_ms(const char *device, struct coalmine_text version,
				 uint32_t jitter_s)
{
	uint8_t digest[COALMINE_SHA256_SIZE];
	struct coalmine_sha256 sha;
	uint64_t draw;
	uint64_t delay;

	coalmine_sha256_init(&sha);
	coalmine_sha256_update(&sha, device, strlen(device) + 1);
	coalmine_sha256_update(&sha, version.data, version.length);
	coalmine_sha256_final(&sha, digest);
	draw = (uint64_t)digest[0] << 24 | (uint64_t)digest[1] << 16 | (uint64_t)digest[2] << 8 |
	       digest[3];
	delay = (draw * jitter_s >> 32) * 1000;
	return delay > UINT32_MAX ? UINT32_MAX : (uint32_t)delay;
}
