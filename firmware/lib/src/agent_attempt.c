/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "agent_internal.h"

int coalmine_agent_save_attempt(struct coalmine_agent *agent)
{
	uint8_t *data = agent->record;
	int result = coalmine_port_record_write(COALMINE_RECORD_ATTEMPT, data,
						coalmine_attempt_pack(&agent->attempt, data));

	if (result != 0) {
		agent->storage_errors++;
	}

	return result;
}

/*
 * Stores how the attempt ended. First that the offer is over, then the attempt: a cut in between is
 * repeated by the next start, the other way round it would not be.
 */
static void store_end(struct coalmine_agent *agent)
{
	uint8_t *data = agent->record;

	coalmine_seen_note(&agent->seen, &agent->attempt);
	if (coalmine_port_record_write(COALMINE_RECORD_SEEN, data,
				       coalmine_seen_pack(&agent->seen, data)) != 0) {
		agent->storage_errors++;
	}

	(void)coalmine_agent_save_attempt(agent);
}

void coalmine_agent_end_attempt(struct coalmine_agent *agent, enum coalmine_stage stage,
				const char *reason)
{
	coalmine_attempt_end(&agent->attempt, stage, reason);
	store_end(agent);
	coalmine_agent_tell(agent, COALMINE_RESULT);
}

void coalmine_agent_request_swap(struct coalmine_agent *agent)
{
	if (coalmine_agent_save_attempt(agent) != 0) {
		/* Without the record nobody would know how it ended (A1). */
		coalmine_agent_forget_offer(agent);
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED,
					   "the attempt could not be recorded");
		return;
	}

	if (coalmine_port_upgrade_request() != 0) {
		coalmine_agent_forget_offer(agent);
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED,
					   "the bootloader's trailer could not be written");
		return;
	}

	agent->attempt.stage = COALMINE_STAGE_REQUESTED;
	(void)coalmine_agent_save_attempt(agent);
	coalmine_agent_forget_offer(agent);
	agent->stopped = true;
	coalmine_port_reset(COALMINE_MARK_SOFTWARE);
}

/* An image that its attempt gave up on runs on unconfirmed; it does not reset itself for ever. */
static bool is_kept_by_bootloader(const struct coalmine_agent *agent)
{
	return agent->has_attempt && agent->attempt.stage == COALMINE_STAGE_FAILED &&
	       agent->attempt.ran &&
	       memcmp(agent->attempt.target, agent->start.running.hash, COALMINE_HASH_SIZE) == 0;
}

enum coalmine_resolution coalmine_agent_settle_attempt(struct coalmine_agent *agent)
{
	const struct coalmine_agent_start *start = &agent->start;
	const struct coalmine_boot_view view = {
		.running = start->running.hash,
		.confirmed = start->confirmed,
		.undoes = agent->config->hardware.mode != COALMINE_OVERWRITE,
		.other = start->has_other ? start->other.hash : NULL,
		.cause = start->cause,
	};
	enum coalmine_resolution resolution =
		coalmine_attempt_resolve(agent->has_attempt ? &agent->attempt : NULL, &view);

	switch (resolution) {
	case COALMINE_ON_TRIAL:
		(void)coalmine_agent_save_attempt(agent);
		coalmine_confirmation_start(&agent->confirmation, &agent->attempt.policy);
		coalmine_agent_tell_progress(agent, agent->attempt.offer,
					     COALMINE_PROGRESS_TESTING);
		break;
	case COALMINE_ENDED:
		store_end(agent);
		break;
	case COALMINE_REQUEST_AGAIN:
		coalmine_agent_request_swap(agent);
		break;
	case COALMINE_NOTHING_OPEN:
		if (!start->confirmed && view.undoes && !is_kept_by_bootloader(agent)) {
			coalmine_confirmation_start(&agent->confirmation, &agent->config->policy);
		}

		break;
	}

	return resolution;
}
