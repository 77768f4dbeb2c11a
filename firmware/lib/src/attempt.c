/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <coalmine/attempt.h>

static bool is_hash(const uint8_t *hash, const uint8_t target[COALMINE_HASH_SIZE])
{
	return hash != NULL && memcmp(hash, target, COALMINE_HASH_SIZE) == 0;
}

const char *coalmine_reset_cause_name(enum coalmine_reset_cause cause)
{
	static const char *const names[] = {
		"power-on", "pin", "software", "watchdog", "brownout", "fault", "unknown",
	};

	return names[cause];
}

void coalmine_attempt_end(struct coalmine_attempt_record *record, enum coalmine_stage stage,
			  const char *reason)
{
	record->stage = stage;
	record->acknowledged = false;
	(void)snprintf(record->reason, sizeof(record->reason), "%s", reason);
}

static enum coalmine_resolution resolve_running(struct coalmine_attempt_record *record,
						const struct coalmine_boot_view *view)
{
	bool has_run = record->stage == COALMINE_STAGE_TESTING;

	record->ran = true;
	record->reset_cause = view->cause;
	if (record->trial_boots < UINT8_MAX) {
		record->trial_boots++;
	}

	if (has_run && view->confirmed && view->undoes) {
		/* Confirmed, and power was lost before the record said so. */
		coalmine_attempt_end(record, COALMINE_STAGE_CONFIRMED, "");
		return COALMINE_ENDED;
	}

	if (record->trial_boots > COALMINE_TRIAL_BOOTS_MAX) {
		/*
		 * MCUboot before 2.2.0 can be left so; an image that resets itself for ever helps
		 * nobody.
		 */
		coalmine_attempt_end(record, COALMINE_STAGE_FAILED,
				     "runs unconfirmed: the bootloader does not revert it");
		return COALMINE_ENDED;
	}

	record->stage = COALMINE_STAGE_TESTING;
	return COALMINE_ON_TRIAL;
}

enum coalmine_resolution coalmine_attempt_resolve(struct coalmine_attempt_record *record,
						  const struct coalmine_boot_view *view)
{
	char reason[COALMINE_REASON_KEPT + 1];

	if (record == NULL || coalmine_stage_is_final(record->stage)) {
		return COALMINE_NOTHING_OPEN;
	}

	if (is_hash(view->running, record->target)) {
		return resolve_running(record, view);
	}

	if (record->stage == COALMINE_STAGE_APPLYING && is_hash(view->other, record->target)) {
		return COALMINE_REQUEST_AGAIN;
	}

	record->reset_cause = view->cause;
	if (record->stage == COALMINE_STAGE_APPLYING) {
		coalmine_attempt_end(record, COALMINE_STAGE_FAILED,
				     "the image in the other slot is damaged");
	} else if (record->stage == COALMINE_STAGE_REQUESTED &&
		   !is_hash(view->other, record->target)) {
		coalmine_attempt_end(record, COALMINE_STAGE_REFUSED,
				     "the bootloader erased the image instead of starting it");
	} else if (record->ran) {
		(void)snprintf(reason, sizeof(reason), "reverted after a %s reset on trial",
			       coalmine_reset_cause_name(view->cause));
		coalmine_attempt_end(record, COALMINE_STAGE_REVERTED, reason);
	} else {
		/*
		 * A loss of power after the swap is enough: the next start undoes it (MCUboot,
		 * copy_done).
		 */
		coalmine_attempt_end(record, COALMINE_STAGE_REVERTED,
				     "reverted without ever running");
	}

	return COALMINE_ENDED;
}

struct coalmine_attempt coalmine_attempt_tell(const struct coalmine_attempt_record *record)
{
	static const enum coalmine_outcome outcomes[] = {
		[COALMINE_STAGE_APPLYING] = COALMINE_OUTCOME_APPLYING,
		[COALMINE_STAGE_REQUESTED] = COALMINE_OUTCOME_APPLYING,
		[COALMINE_STAGE_TESTING] = COALMINE_OUTCOME_TESTING,
		[COALMINE_STAGE_CONFIRMED] = COALMINE_OUTCOME_CONFIRMED,
		[COALMINE_STAGE_REVERTED] = COALMINE_OUTCOME_REVERTED,
		[COALMINE_STAGE_REFUSED] = COALMINE_OUTCOME_REFUSED,
		[COALMINE_STAGE_FAILED] = COALMINE_OUTCOME_FAILED,
	};

	return (struct coalmine_attempt){
		.offer = record->offer,
		.target = {record->target, sizeof(record->target)},
		.outcome = outcomes[record->stage],
		.ran = record->ran,
		.reset_cause = record->reset_cause,
	};
}

void coalmine_seen_note(struct coalmine_seen_record *seen,
			const struct coalmine_attempt_record *attempt)
{
	size_t at = 0;

	/* To the front; of what was there before, the oldest goes when it is full. */
	while (at < seen->offer_count && seen->offers[at] != attempt->offer) {
		at++;
	}

	if (at == seen->offer_count && at < COALMINE_SEEN_MAX) {
		seen->offer_count++;
	}

	at = at < COALMINE_SEEN_MAX ? at : COALMINE_SEEN_MAX - 1;
	memmove(&seen->offers[1], &seen->offers[0], at * sizeof(seen->offers[0]));
	seen->offers[0] = attempt->offer;

	if (attempt->stage != COALMINE_STAGE_REVERTED || !attempt->ran) {
		return;
	}

	at = 0;
	while (at < seen->quarantine_count &&
	       memcmp(seen->quarantined[at], attempt->target, COALMINE_QUARANTINE) != 0) {
		at++;
	}

	if (at == seen->quarantine_count && at < COALMINE_SEEN_MAX) {
		seen->quarantine_count++;
	}

	at = at < COALMINE_SEEN_MAX ? at : COALMINE_SEEN_MAX - 1;
	memmove(&seen->quarantined[1], &seen->quarantined[0], at * sizeof(seen->quarantined[0]));
	memcpy(seen->quarantined[0], attempt->target, COALMINE_QUARANTINE);
}

bool coalmine_seen_offer(const struct coalmine_seen_record *seen, uint64_t offer)
{
	for (size_t i = 0; i < seen->offer_count; i++) {
		if (seen->offers[i] == offer) {
			return true;
		}
	}

	return false;
}

bool coalmine_seen_quarantined(const struct coalmine_seen_record *seen,
			       const uint8_t image_hash[COALMINE_HASH_SIZE])
{
	for (size_t i = 0; i < seen->quarantine_count; i++) {
		if (memcmp(seen->quarantined[i], image_hash, COALMINE_QUARANTINE) == 0) {
			return true;
		}
	}

	return false;
}
