/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_OFFER_H_
#define COALMINE_OFFER_H_

#include <coalmine/attempt.h>

/* What a device knows when an offer comes. */
struct coalmine_offer_view {
	const struct coalmine_hardware *hardware;
	/* Bytes that an artifact may have: slot 1 without what the bootloader keeps there. */
	uint32_t size_max;
	/* Hash of the running image. */
	const uint8_t *running;
	bool on_trial;
	/* Each may be NULL. */
	const struct coalmine_offer_record *current;
	const struct coalmine_attempt_record *attempt;
	const struct coalmine_seen_record *seen;
	/* A cancel that came before its offer; 0 for none. */
	uint64_t cancelled;
};

enum coalmine_offer_answer {
	COALMINE_OFFER_TAKE,
	/* The same offer again, or one that ended here: nothing to do. */
	COALMINE_OFFER_KNOWN,
	COALMINE_OFFER_RUNS_ALREADY,
	/* This device will never install that; the reason says why. */
	COALMINE_OFFER_REFUSE,
};

enum coalmine_offer_answer coalmine_offer_check(const struct coalmine_offer *offer,
						const struct coalmine_offer_view *view,
						char reason[COALMINE_REASON_KEPT + 1]);

/*
 * Milliseconds to wait before an offer is taken up: a share of jitter_s that depends on the device
 * and the version alone, so that a herd spreads and a device that restarts waits no other time.
 */
uint32_t coalmine_offer_delay_ms(const char *device, struct coalmine_text version,
				 uint32_t jitter_s);

#endif /* COALMINE_OFFER_H_ */
