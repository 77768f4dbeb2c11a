/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/offer.h>

#include "agent_internal.h"

/* Between the last block and the reboot: time for the report to leave and for a cancel to come. */
#define APPLY_DELAY_MS	   1000
/* How long a battery that is too low waits. */
#define BATTERY_PATIENCE_S (6 * 3600)
/* How long a cancel waits for the offer that it overtook. */
#define CANCEL_WINDOW_MS   60000
#define BUSY_MIN_MS	   60000

static void write_offer(struct coalmine_agent *agent)
{
	uint8_t *data = agent->record;

	if (coalmine_port_record_write(COALMINE_RECORD_OFFER, data,
				       coalmine_offer_pack(&agent->offer, data)) != 0) {
		agent->storage_errors++;
	}
}

void coalmine_agent_forget_offer(struct coalmine_agent *agent)
{
	if (!agent->has_offer) {
		return;
	}

	agent->has_offer = false;
	agent->downloading = false;
	agent->begin_ms = INT64_MAX;
	agent->apply_ms = INT64_MAX;
	if (coalmine_port_record_write(COALMINE_RECORD_OFFER, NULL, 0) != 0) {
		agent->storage_errors++;
	}
}

/* Opens an attempt; nothing is stored yet. */
static void open_attempt(struct coalmine_agent *agent, uint64_t offer,
			 const uint8_t target[COALMINE_HASH_SIZE],
			 const struct coalmine_policy *policy)
{
	agent->has_attempt = true;
	agent->attempt = (struct coalmine_attempt_record){
		.offer = offer,
		.stage = COALMINE_STAGE_APPLYING,
		.reset_cause = agent->start.cause,
		.policy = *policy,
	};
	memcpy(agent->attempt.target, target, sizeof(agent->attempt.target));
}

static void fail_update(struct coalmine_agent *agent, const char *reason)
{
	open_attempt(agent, agent->offer.offer, agent->offer.image_hash, &agent->offer.policy);
	coalmine_agent_forget_offer(agent);
	coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED, reason);
}

static void postpone(struct coalmine_agent *agent, enum coalmine_deferral reason, int64_t until_ms,
		     int64_t now_ms)
{
	agent->begin_ms = until_ms;
	coalmine_agent_tell_deferred(agent, reason, (uint32_t)((until_ms - now_ms + 999) / 1000));
}

static void wait_for_trial(struct coalmine_agent *agent, int64_t now_ms)
{
	int64_t deadline_ms = (int64_t)agent->confirmation.policy.deadline_s * 1000;

	postpone(agent, COALMINE_DEFERRED_BUSY,
		 deadline_ms > now_ms + BUSY_MIN_MS ? deadline_ms : now_ms + BUSY_MIN_MS, now_ms);
}

void coalmine_agent_resume_offer(struct coalmine_agent *agent, int64_t now_ms)
{
	if ((agent->has_attempt && agent->attempt.offer == agent->offer.offer) ||
	    coalmine_seen_offer(&agent->seen, agent->offer.offer)) {
		/*
		 * Past its reboot: the attempt tells the rest, and slot 1 holds the image that ran
		 * before.
		 */
		coalmine_agent_forget_offer(agent);
		return;
	}

	agent->begin_ms = now_ms;
	if (agent->offer.started) {
		coalmine_download_resume(&agent->download, &agent->config->flash, &agent->offer);
	}

	if (coalmine_agent_on_trial(agent)) {
		wait_for_trial(agent, now_ms);
	}
}

void coalmine_agent_take_offer(struct coalmine_agent *agent, const struct coalmine_offer *offer,
			       int64_t now_ms)
{
	const struct coalmine_offer_view view = {
		.hardware = &agent->config->hardware,
		.size_max = coalmine_download_size_max(&agent->config->flash),
		.running = agent->start.running.hash,
		.on_trial = coalmine_agent_on_trial(agent),
		.current = agent->has_offer ? &agent->offer : NULL,
		.attempt = agent->has_attempt ? &agent->attempt : NULL,
		.seen = &agent->seen,
		.cancelled = now_ms < agent->cancelled_until_ms ? agent->cancelled : 0,
	};
	char reason[COALMINE_REASON_KEPT + 1];

	switch (coalmine_offer_check(offer, &view, reason)) {
	case COALMINE_OFFER_KNOWN:
		return;
	case COALMINE_OFFER_REFUSE:
		open_attempt(agent, offer->offer, offer->image_hash.data, &offer->confirm);
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED, reason);
		return;
	case COALMINE_OFFER_RUNS_ALREADY:
		open_attempt(agent, offer->offer, offer->image_hash.data, &offer->confirm);
		agent->attempt.ran = true;
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_CONFIRMED,
					   "this image runs already");
		return;
	case COALMINE_OFFER_TAKE:
		break;
	}

	/* The newer offer counts. */
	coalmine_agent_forget_offer(agent);
	agent->has_offer = true;
	agent->offer = (struct coalmine_offer_record){
		.offer = offer->offer,
		.size = offer->size,
		.policy = offer->confirm,
	};
	memcpy(agent->offer.digest, offer->digest.data, sizeof(agent->offer.digest));
	memcpy(agent->offer.image_hash, offer->image_hash.data, sizeof(agent->offer.image_hash));
	write_offer(agent);
	agent->download.offset = 0;
	agent->begin_ms = now_ms + coalmine_offer_delay_ms(agent->config->device, offer->version,
							   offer->jitter_s);
	coalmine_agent_tell_progress(agent, offer->offer, COALMINE_PROGRESS_ACCEPTED);
	if (view.on_trial) {
		wait_for_trial(agent, now_ms);
	}
}

void coalmine_agent_cancel(struct coalmine_agent *agent, uint64_t offer, int64_t now_ms)
{
	if (agent->has_offer && agent->offer.offer == offer) {
		coalmine_agent_forget_offer(agent);
	} else if (!agent->has_attempt || agent->attempt.offer != offer) {
		/* It may have overtaken its offer. */
		agent->cancelled = offer;
		agent->cancelled_until_ms = now_ms + CANCEL_WINDOW_MS;
	}
}

void coalmine_agent_swap_back(struct coalmine_agent *agent, uint64_t offer,
			      const uint8_t image_hash[COALMINE_HASH_SIZE], int64_t now_ms)
{
	if ((agent->has_attempt && agent->attempt.offer == offer) ||
	    coalmine_seen_offer(&agent->seen, offer)) {
		return;
	}

	if (coalmine_agent_on_trial(agent) && agent->has_attempt &&
	    !coalmine_stage_is_final(agent->attempt.stage)) {
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED,
					   "ordered back while on trial");
	}

	open_attempt(agent, offer, image_hash, &agent->config->policy);
	if (memcmp(agent->start.running.hash, image_hash, COALMINE_HASH_SIZE) == 0) {
		agent->attempt.ran = true;
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_CONFIRMED,
					   "this image runs already");
	} else if (agent->config->hardware.mode == COALMINE_OVERWRITE) {
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED,
					   "this bootloader keeps no image to go back to");
	} else if (!agent->start.has_other || (agent->has_offer && agent->offer.started) ||
		   memcmp(agent->start.other.hash, image_hash, COALMINE_HASH_SIZE) != 0) {
		coalmine_agent_end_attempt(agent, COALMINE_STAGE_FAILED,
					   "the other slot does not hold that image");
	} else {
		coalmine_agent_forget_offer(agent);
		/* Best effort: the reset does not wait for anybody. */
		coalmine_agent_tell_progress(agent, offer, COALMINE_PROGRESS_APPLYING);
		coalmine_agent_send(agent, now_ms);
		coalmine_agent_request_swap(agent);
	}
}

static void complete(struct coalmine_agent *agent, int64_t now_ms)
{
	if (coalmine_download_verify(&agent->download) != 0) {
		fail_update(agent, agent->download.reason);
		return;
	}

	agent->downloading = false;
	agent->apply_ms = now_ms + APPLY_DELAY_MS;
	coalmine_agent_tell_progress(agent, agent->offer.offer, COALMINE_PROGRESS_DOWNLOADED);
}

static void begin_download(struct coalmine_agent *agent, int64_t now_ms)
{
	double battery;

	if (coalmine_agent_on_trial(agent)) {
		wait_for_trial(agent, now_ms);
		return;
	}

	if (coalmine_port_battery(&battery) == 0 && battery < agent->config->battery_min) {
		postpone(agent, COALMINE_DEFERRED_BATTERY,
			 now_ms + (int64_t)BATTERY_PATIENCE_S * 1000, now_ms);
		return;
	}

	agent->begin_ms = INT64_MAX;
	if (!agent->offer.started) {
		/* Slot 1 is given up from here on, so it is nothing to swap back to. */
		agent->offer.started = true;
		agent->start.has_other = false;
		if (coalmine_download_start(&agent->download, &agent->config->flash,
					    &agent->offer) != 0) {
			fail_update(agent, "slot 1 could not be erased");
			return;
		}

		write_offer(agent);
	}

	agent->downloading = true;
	coalmine_agent_tell_progress(agent, agent->offer.offer, COALMINE_PROGRESS_DOWNLOADING);
	if (agent->download.offset >= agent->offer.size) {
		complete(agent, now_ms);
	}
}

static void ask(struct coalmine_agent *agent, int64_t now_ms)
{
	uint8_t data[64];
	struct coalmine_block_request request;

	if (!agent->connected ||
	    !coalmine_download_ask(&agent->download, now_ms, COALMINE_PATIENCE_MS, &request)) {
		return;
	}

	(void)coalmine_port_send(
		COALMINE_CHANNEL_BLOCK_REQUEST, data,
		(size_t)coalmine_block_request_encode(&request, data, sizeof(data)), 0);
}

void coalmine_agent_take_answer(struct coalmine_agent *agent,
				const struct coalmine_block_answer *answer, int64_t now_ms)
{
	uint32_t before = agent->download.offset;

	if (!agent->has_offer || !agent->downloading) {
		return;
	}

	switch (coalmine_download_take(&agent->download, answer)) {
	case COALMINE_DOWNLOAD_IGNORED:
		break;
	case COALMINE_DOWNLOAD_ADVANCED:
		/* Every eighth. */
		if ((uint64_t)agent->download.offset * 8 / agent->offer.size >
		    (uint64_t)before * 8 / agent->offer.size) {
			coalmine_agent_tell_progress(agent, agent->offer.offer,
						     COALMINE_PROGRESS_DOWNLOADING);
		}

		break;
	case COALMINE_DOWNLOAD_COMPLETE:
		complete(agent, now_ms);
		break;
	case COALMINE_DOWNLOAD_TAKEN_BACK:
		coalmine_agent_forget_offer(agent);
		break;
	case COALMINE_DOWNLOAD_FAILED:
		fail_update(agent, agent->download.reason);
		break;
	}
}

void coalmine_agent_update(struct coalmine_agent *agent, int64_t now_ms)
{
	if (!agent->has_offer || agent->stopped) {
		return;
	}

	if (now_ms >= agent->begin_ms) {
		begin_download(agent, now_ms);
	}

	if (agent->has_offer && agent->downloading) {
		ask(agent, now_ms);
	}

	if (agent->has_offer && now_ms >= agent->apply_ms) {
		/* Best effort: the reset does not wait for anybody. */
		coalmine_agent_tell_progress(agent, agent->offer.offer, COALMINE_PROGRESS_APPLYING);
		coalmine_agent_send(agent, now_ms);
		open_attempt(agent, agent->offer.offer, agent->offer.image_hash,
			     &agent->offer.policy);
		coalmine_agent_request_swap(agent);
	}
}
