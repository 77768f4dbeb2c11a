/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/crash.h>

#include "agent_internal.h"

static uint32_t bit_of(enum coalmine_kind kind)
{
	return UINT32_C(1) << kind;
}

void coalmine_agent_tell(struct coalmine_agent *agent, enum coalmine_kind kind)
{
	agent->pending |= bit_of(kind);
}

void coalmine_agent_tell_progress(struct coalmine_agent *agent, uint64_t offer,
				  enum coalmine_progress state)
{
	if (agent->told_offer != offer) {
		agent->progress = 0;
	}

	agent->progress |= (uint8_t)(1U << state);
	agent->told_offer = offer;
	coalmine_agent_tell(agent, COALMINE_PROGRESS);
}

void coalmine_agent_tell_deferred(struct coalmine_agent *agent, enum coalmine_deferral reason,
				  uint32_t until_s)
{
	agent->deferral = reason;
	agent->until_s = until_s;
	coalmine_agent_tell(agent, COALMINE_DEFERRED);
}

static struct coalmine_slot slot_of(const struct coalmine_image *image)
{
	return (struct coalmine_slot){
		.image_hash = {image->hash, sizeof(image->hash)},
		.version = coalmine_text_of(image->version),
	};
}

static void fill_hello(struct coalmine_agent *agent)
{
	struct coalmine_hello *hello = &agent->report.hello;
	const struct coalmine_agent_start *start = &agent->start;
	const struct coalmine_agent_config *config = agent->config;

	*hello = (struct coalmine_hello){
		.hardware = config->hardware,
		.running = slot_of(&start->running),
		.build_id = {start->build_id, start->build_id_size},
		.confirmed = start->confirmed,
		.has_slot1 = start->has_other,
		.reset_cause = start->cause,
		.has_attempt = agent->has_attempt,
		.interval_s = config->interval_s,
		.attribute_count = config->attribute_count,
		.storage_schema = config->storage_schema,
		.has_bootloader = config->has_bootloader,
		.bootloader = config->bootloader,
	};
	if (start->has_other) {
		hello->slot1 = slot_of(&start->other);
	}

	if (agent->has_attempt) {
		hello->attempt = coalmine_attempt_tell(&agent->attempt);
	}

	for (size_t i = 0; i < config->attribute_count; i++) {
		hello->attributes[i] = config->attributes[i];
	}
}

static void fill_heartbeat(struct coalmine_agent *agent, int64_t now_ms)
{
	struct coalmine_heartbeat *heartbeat = &agent->report.heartbeat;

	heartbeat->image_hash =
		(struct coalmine_span){agent->start.running.hash, COALMINE_HASH_SIZE};
	heartbeat->confirmed = agent->start.confirmed;
	heartbeat->has_battery = coalmine_port_battery(&heartbeat->battery) == 0;
	coalmine_metrics_take(&agent->metrics, heartbeat, now_ms);
}

/* The oldest crash that nobody has heard of, or NULL. */
static struct coalmine_crash_record *unreported(struct coalmine_agent *agent)
{
	for (size_t i = 0; i < agent->crashes.count; i++) {
		if (!agent->crashes.crashes[i].reported) {
			return &agent->crashes.crashes[i];
		}
	}

	return NULL;
}

static bool fill_crash(struct coalmine_agent *agent, char reason[COALMINE_REASON_MAX])
{
	struct coalmine_crash_record *crash = unreported(agent);

	if (crash == NULL) {
		return false;
	}

	coalmine_reason_write(crash->reason, reason, COALMINE_REASON_MAX);
	agent->report.crash.build_id =
		(struct coalmine_span){crash->build_id, crash->build_id_size};
	agent->report.crash.image_hash =
		(struct coalmine_span){crash->image_hash, sizeof(crash->image_hash)};
	agent->report.crash.reason = coalmine_text_of(reason);
	agent->report.crash.pc = crash->pc;
	agent->report.crash.lr = crash->lr;
	agent->report.crash.uptime_s = crash->uptime_s;
	return true;
}

/* The states come in their order, each with how far the download is now. */
static bool fill_progress(struct coalmine_agent *agent)
{
	enum coalmine_progress state = COALMINE_PROGRESS_ACCEPTED;

	if (agent->progress == 0) {
		return false;
	}

	while ((agent->progress & (1U << state)) == 0) {
		state++;
	}

	agent->progress &= (uint8_t) ~(1U << state);
	if (agent->progress != 0) {
		coalmine_agent_tell(agent, COALMINE_PROGRESS);
	}

	agent->report.progress.offer = agent->told_offer;
	agent->report.progress.state = state;
	agent->report.progress.offset = agent->has_offer ? agent->download.offset : 0;
	return true;
}

/* Fills the report of one kind; false when it has nothing to say any more. */
static bool fill(struct coalmine_agent *agent, enum coalmine_kind kind,
		 char reason[COALMINE_REASON_MAX], int64_t now_ms)
{
	agent->report.kind = kind;
	switch (kind) {
	case COALMINE_HELLO:
		fill_hello(agent);
		return true;
	case COALMINE_RESULT:
		agent->report.result.attempt = coalmine_attempt_tell(&agent->attempt);
		agent->report.result.reason = coalmine_text_of(agent->attempt.reason);
		return agent->has_attempt && coalmine_stage_is_final(agent->attempt.stage) &&
		       !agent->attempt.acknowledged;
	case COALMINE_CRASH:
		return fill_crash(agent, reason);
	case COALMINE_PROGRESS:
		return fill_progress(agent);
	case COALMINE_DEFERRED:
		agent->report.deferred.offer = agent->offer.offer;
		agent->report.deferred.reason = agent->deferral;
		agent->report.deferred.until_s = agent->until_s;
		return agent->has_offer;
	case COALMINE_HEARTBEAT:
		fill_heartbeat(agent, now_ms);
		return true;
	default:
		/* What was said before a crash is short and comes before the dump. */
		return coalmine_agent_fill_log(agent) || coalmine_agent_fill_dump(agent);
	}
}

/* Makes the next report that waits. False when there is none. */
static bool make_report(struct coalmine_agent *agent, int64_t now_ms)
{
	/*
	 * Who it is comes first, then how the last attempt ended: the host must not wait for the
	 * rest.
	 */
	static const enum coalmine_kind order[] = {
		COALMINE_HELLO,	   COALMINE_RESULT,    COALMINE_CRASH, COALMINE_PROGRESS,
		COALMINE_DEFERRED, COALMINE_HEARTBEAT, COALMINE_LOG,
	};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		char reason[COALMINE_REASON_MAX];
		int size;

		if ((agent->pending & bit_of(order[i])) == 0) {
			continue;
		}

		agent->pending &= ~bit_of(order[i]);
		if (!fill(agent, order[i], reason, now_ms)) {
			continue;
		}

		agent->report.boot = agent->boot;
		agent->report.sequence = agent->sequence;
		agent->report.uptime_s = (uint32_t)(now_ms / 1000);
		size = coalmine_report_encode(&agent->report, agent->flight, sizeof(agent->flight));
		if (size < 0) {
			/*
			 * A configuration that does not fit its own bounds; the device lives on
			 * without.
			 */
			continue;
		}

		agent->flight_kind = order[i];
		if (order[i] == COALMINE_LOG) {
			agent->flight_stream = agent->report.log.stream;
		}

		agent->flight_sequence = agent->sequence++;
		agent->flight_size = (size_t)size;
		agent->in_flight = true;
		return true;
	}

	return false;
}

void coalmine_agent_send(struct coalmine_agent *agent, int64_t now_ms)
{
	if (agent->stopped || !agent->connected) {
		return;
	}

	if (agent->in_flight) {
		if (now_ms - agent->flight_ms < COALMINE_PATIENCE_MS) {
			return;
		}
	} else if (!make_report(agent, now_ms)) {
		return;
	}

	agent->flight_ms = now_ms;
	(void)coalmine_port_send(COALMINE_CHANNEL_REPORT, agent->flight, agent->flight_size,
				 agent->flight_sequence);
}

/* What a report led to once it has arrived. */
static void settle(struct coalmine_agent *agent)
{
	struct coalmine_crash_record *crash;

	switch (agent->flight_kind) {
	case COALMINE_RESULT:
		if (agent->has_attempt && coalmine_stage_is_final(agent->attempt.stage)) {
			agent->attempt.acknowledged = true;
			(void)coalmine_agent_save_attempt(agent);
		}

		break;
	case COALMINE_CRASH:
		crash = unreported(agent);
		if (crash != NULL && crash->has_dump) {
			crash->reported = true;
		} else if (crash != NULL) {
			coalmine_crashes_drop(&agent->crashes,
					      (size_t)(crash - agent->crashes.crashes));
		}

		(void)coalmine_agent_save_crashes(agent);
		coalmine_agent_tell(agent, COALMINE_CRASH);
		coalmine_agent_tell(agent, COALMINE_LOG);
		break;
	case COALMINE_LOG:
		if (agent->flight_stream == COALMINE_STREAM_LOG) {
			coalmine_agent_advance_log(agent);
		} else {
			coalmine_agent_advance_dump(agent);
		}

		break;
	default:
		break;
	}
}

bool coalmine_agent_take_ack(struct coalmine_agent *agent, uint32_t sequence)
{
	if (!agent->in_flight || sequence != agent->flight_sequence) {
		return sequence < agent->sequence;
	}

	agent->in_flight = false;
	settle(agent);
	return true;
}
