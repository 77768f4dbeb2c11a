/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "agent_internal.h"

static void read_records(struct coalmine_agent *agent)
{
	uint8_t *data = agent->record;
	int size;

	size = coalmine_port_record_read(COALMINE_RECORD_BOOT, data, sizeof(agent->record));
	if (size <= 0 || coalmine_number_unpack(&agent->boot, data, (size_t)size) != 0) {
		agent->boot = 0;
	}

	size = coalmine_port_record_read(COALMINE_RECORD_ATTEMPT, data, sizeof(agent->record));
	agent->has_attempt =
		size > 0 && coalmine_attempt_unpack(&agent->attempt, data, (size_t)size) == 0;
	size = coalmine_port_record_read(COALMINE_RECORD_SEEN, data, sizeof(agent->record));
	if (size > 0) {
		(void)coalmine_seen_unpack(&agent->seen, data, (size_t)size);
	}

	size = coalmine_port_record_read(COALMINE_RECORD_CRASHES, data, sizeof(agent->record));
	if (size > 0) {
		(void)coalmine_crashes_unpack(&agent->crashes, data, (size_t)size);
	}

	size = coalmine_port_record_read(COALMINE_RECORD_OFFER, data, sizeof(agent->record));
	agent->has_offer =
		size > 0 && coalmine_offer_unpack(&agent->offer, data, (size_t)size) == 0;
}

bool coalmine_agent_on_trial(const struct coalmine_agent *agent)
{
	return agent->confirmation.trial != COALMINE_TRIAL_NONE;
}

static void count_boot(struct coalmine_agent *agent, uint32_t boot)
{
	uint8_t *data = agent->record;

	agent->boot = boot;
	if (coalmine_port_record_write(COALMINE_RECORD_BOOT, data,
				       coalmine_number_pack(boot, data)) != 0) {
		agent->storage_errors++;
	}
}

/*
 * The settings were erased, and the host remembers higher boots: what this one says looks old to
 * it. An order that comes late finds the counter above it already.
 */
static void renumber(struct coalmine_agent *agent, uint32_t boot)
{
	if (agent->boot < boot && boot < UINT32_MAX) {
		count_boot(agent, boot + 1);
		coalmine_agent_tell(agent, COALMINE_HELLO);
		coalmine_agent_tell(agent, COALMINE_RESULT);
	}
}

int coalmine_agent_begin(struct coalmine_agent *agent, const struct coalmine_agent_config *config,
			 const struct coalmine_agent_start *start, int64_t now_ms)
{
	enum coalmine_resolution resolution;

	if (config->attribute_count > COALMINE_ENTRIES_MAX || config->flash.write_unit == 0 ||
	    config->flash.write_unit > CONFIG_COALMINE_WRITE_UNIT_MAX ||
	    CONFIG_COALMINE_BLOCK_SIZE % config->flash.write_unit != 0 ||
	    config->flash.page_size == 0 || start->build_id_size < COALMINE_BUILD_ID_MIN ||
	    start->build_id_size > COALMINE_BUILD_ID_MAX) {
		return -EINVAL;
	}

	agent->config = config;
	agent->start = *start;
	agent->begin_ms = INT64_MAX;
	agent->apply_ms = INT64_MAX;
	agent->heartbeat_ms = now_ms + (int64_t)config->interval_s * 1000;
	read_records(agent);
	count_boot(agent, agent->boot + 1);
	coalmine_agent_tell(agent, COALMINE_HELLO);
	resolution = coalmine_agent_settle_attempt(agent);
	if (agent->stopped) {
		return 0;
	}

	/* Asked for in any case: what was acknowledged has nothing to say. */
	coalmine_agent_tell(agent, COALMINE_RESULT);
	coalmine_agent_take_crash(agent, resolution);
	if (agent->has_offer) {
		coalmine_agent_resume_offer(agent, now_ms);
	}

	return 0;
}

void coalmine_agent_decide(struct coalmine_agent *agent, enum coalmine_decision decision,
			   int64_t now_ms)
{
	bool accepted;

	if (decision == COALMINE_RESET) {
		agent->stopped = true;
		coalmine_port_reset(COALMINE_MARK_DEADLINE);
		return;
	}

	if (decision != COALMINE_CONFIRM_IMAGE) {
		return;
	}

	accepted = coalmine_port_image_confirm() == 0;
	coalmine_confirmation_done(&agent->confirmation, accepted);
	if (!accepted) {
		return;
	}

	agent->start.confirmed = true;
	if (agent->has_attempt && agent->attempt.stage == COALMINE_STAGE_TESTING) {
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_CONFIRMED, "");
	}

	if (agent->has_offer && agent->begin_ms > now_ms && agent->begin_ms != INT64_MAX) {
		/* An offer waited for the end of the trial. */
		agent->begin_ms = now_ms;
	}
}

void coalmine_agent_link(struct coalmine_agent *agent, bool up, int64_t now_ms)
{
	if (agent->connected == up) {
		return;
	}

	agent->connected = up;
	coalmine_metrics_link(&agent->metrics, up, now_ms);
	if (up) {
		/* What was on its way when the link broke is sent again at once. */
		agent->flight_ms = now_ms - COALMINE_PATIENCE_MS;
		agent->download.asked_ms = now_ms - COALMINE_PATIENCE_MS;
		(void)coalmine_agent_poll(agent, now_ms);
	}
}

void coalmine_agent_command(struct coalmine_agent *agent, const uint8_t *data, size_t size,
			    int64_t now_ms)
{
	struct coalmine_command command;

	if (agent->stopped || size == 0) {
		return;
	}

	if (coalmine_command_decode(data, size, &command, NULL) != 0) {
		agent->undecodable++;
		return;
	}

	switch (command.kind) {
	case COALMINE_OFFER:
		coalmine_agent_take_offer(agent, &command.offer, now_ms);
		break;
	case COALMINE_CANCEL:
		coalmine_agent_cancel(agent, command.cancel.offer, now_ms);
		break;
	case COALMINE_SWAP_BACK:
		coalmine_agent_swap_back(agent, command.swap_back.offer,
					 command.swap_back.image_hash.data, now_ms);
		break;
	case COALMINE_CONFIRM:
		if (coalmine_agent_on_trial(agent) && agent->has_attempt &&
		    agent->attempt.offer == command.confirm.offer &&
		    !coalmine_stage_is_final(agent->attempt.stage)) {
			agent->attempt.policy = command.confirm.policy;
			(void)coalmine_agent_save_attempt(agent);
			coalmine_agent_decide(agent,
					      coalmine_confirmation_policy(&agent->confirmation,
									   &command.confirm.policy,
									   now_ms),
					      now_ms);
		}

		break;
	case COALMINE_RENUMBER:
		renumber(agent, command.renumber.boot);
		break;
	default:
		coalmine_agent_tell(agent, COALMINE_HELLO);
		break;
	}

	(void)coalmine_agent_poll(agent, now_ms);
}

void coalmine_agent_block(struct coalmine_agent *agent, const uint8_t *data, size_t size,
			  int64_t now_ms)
{
	struct coalmine_block_answer answer;

	if (agent->stopped) {
		return;
	}

	if (coalmine_block_answer_decode(data, size, &answer, NULL) != 0) {
		agent->undecodable++;
		return;
	}

	coalmine_agent_answer(agent, &answer, now_ms);
}

void coalmine_agent_answer(struct coalmine_agent *agent, const struct coalmine_block_answer *answer,
			   int64_t now_ms)
{
	if (agent->stopped) {
		return;
	}

	coalmine_agent_take_answer(agent, answer, now_ms);
	(void)coalmine_agent_poll(agent, now_ms);
}

void coalmine_agent_acknowledged(struct coalmine_agent *agent, uint32_t sequence, int64_t now_ms)
{
	if (agent->stopped) {
		return;
	}

	if (coalmine_agent_take_ack(agent, sequence)) {
		coalmine_agent_decide(
			agent, coalmine_confirmation_contact(&agent->confirmation, now_ms), now_ms);
	}

	(void)coalmine_agent_poll(agent, now_ms);
}

void coalmine_agent_refused(struct coalmine_agent *agent, uint32_t sequence, int64_t now_ms)
{
	if (!agent->stopped && agent->in_flight && sequence == agent->flight_sequence) {
		agent->in_flight = false;
		(void)coalmine_agent_poll(agent, now_ms);
	}
}

void coalmine_agent_self_test(struct coalmine_agent *agent, unsigned int bit, bool passed,
			      int64_t now_ms)
{
	enum coalmine_decision decision =
		coalmine_confirmation_test(&agent->confirmation, bit, passed, now_ms);

	if (!agent->stopped) {
		coalmine_agent_decide(agent, decision, now_ms);
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t coalmine_agent_poll(struct coalmine_agent *agent, int64_t now_ms)
{
	int64_t next;

	if (agent->stopped) {
		return INT64_MAX;
	}

	coalmine_agent_decide(agent, coalmine_confirmation_poll(&agent->confirmation, now_ms),
			      now_ms);
	coalmine_agent_update(agent, now_ms);
	if (agent->stopped) {
		return INT64_MAX;
	}

	if (now_ms >= agent->heartbeat_ms) {
		agent->heartbeat_ms = now_ms + (int64_t)agent->config->interval_s * 1000;
		coalmine_agent_tell(agent, COALMINE_HEARTBEAT);
	}

	coalmine_agent_send(agent, now_ms);
	next = earlier(agent->heartbeat_ms, coalmine_confirmation_next(&agent->confirmation));
	if (agent->has_offer) {
		next = earlier(next, earlier(agent->begin_ms, agent->apply_ms));
	}

	if (agent->connected && (agent->in_flight || agent->downloading)) {
		next = earlier(next, now_ms + COALMINE_PATIENCE_MS);
	}

	return next;
}
