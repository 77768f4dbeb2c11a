/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_ATTEMPT_H_
#define COALMINE_ATTEMPT_H_

#include <coalmine/record.h>

/*
 * What a device knows of its last update across resets. MCUboot cannot tell an application that it
 * reverted; the record written before the reboot and the hash that runs now can.
 *
 * A1. The record is written before the swap is requested, and its end before it is reported.
 * A2. Every attempt has exactly one end: confirmed, reverted, refused or failed.
 * A3. An end is reported by every boot until one report of it is acknowledged, and repeated in
 * every hello.
 */

/* Starts of an unconfirmed image after which it counts as kept by its bootloader. */
#define COALMINE_TRIAL_BOOTS_MAX 3

struct coalmine_boot_view {
	/* Hash of the running image, COALMINE_HASH_SIZE bytes. */
	const uint8_t *running;
	bool confirmed;
	/* This bootloader undoes an unconfirmed image, so that `confirmed` means a confirmation. */
	bool undoes;
	/* Hash of the valid image in the other slot; NULL when there is none. */
	const uint8_t *other;
	enum coalmine_reset_cause cause;
};

enum coalmine_resolution {
	COALMINE_NOTHING_OPEN,
	/* Recorded, but the swap was never requested: power was lost in between. */
	COALMINE_REQUEST_AGAIN,
	/* The target runs, on trial. */
	COALMINE_ON_TRIAL,
	/* It is over; the record has the stage and the reason. */
	COALMINE_ENDED,
};

/*
 * Compares the record with what runs now and what lies in the other slot, and brings the record up
 * to date. The caller stores it. `record` may be NULL when there is none.
 */
enum coalmine_resolution coalmine_attempt_resolve(struct coalmine_attempt_record *record,
						  const struct coalmine_boot_view *view);
/* Ends an attempt: stage and reason, not yet acknowledged. */
void coalmine_attempt_end(struct coalmine_attempt_record *record, enum coalmine_stage stage,
			  const char *reason);
/* The attempt as the protocol tells it; points into the record. */
struct coalmine_attempt coalmine_attempt_tell(const struct coalmine_attempt_record *record);
/* The word for a reset cause, as in packages/protocol. */
const char *coalmine_reset_cause_name(enum coalmine_reset_cause cause);

/* Notes an ended attempt: its offer, and its image too when it ran and was undone. */
void coalmine_seen_note(struct coalmine_seen_record *seen,
			const struct coalmine_attempt_record *attempt);
bool coalmine_seen_offer(const struct coalmine_seen_record *seen, uint64_t offer);
bool coalmine_seen_quarantined(const struct coalmine_seen_record *seen,
			       const uint8_t image_hash[COALMINE_HASH_SIZE]);

#endif /* COALMINE_ATTEMPT_H_ */
