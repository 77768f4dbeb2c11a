/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "coap_internal.h"

/* RFC 7252 section 4.8 */
#define ACK_TIMEOUT_MS 2000
#define MAX_RETRANSMIT 4

/* xorshift32: spreads devices in time; nothing secret depends on it. */
static uint32_t draw(struct coalmine_coap *coap, uint32_t below)
{
	coap->random ^= coap->random << 13;
	coap->random ^= coap->random >> 17;
	coap->random ^= coap->random << 5;
	return coap->random % below;
}

void coalmine_coap_init(struct coalmine_coap *coap, const struct coalmine_coap_config *config,
			uint32_t boot, uint32_t seed)
{
	*coap = (struct coalmine_coap){
		.config = config,
		.sequence = (uint64_t)boot << COALMINE_COAP_COUNT_BITS,
		.sequence_end = ((uint64_t)boot + 1) << COALMINE_COAP_COUNT_BITS,
		.random = seed == 0 ? 1 : seed,
		.waiting = COALMINE_COAP_BOTH,
		.task = COALMINE_COAP_IDLE,
		.backoff_ms = COALMINE_COAP_BACKOFF_MIN_MS,
		.retry_ms = INT64_MIN,
	};
	coap->token = draw(coap, UINT32_MAX);
	coap->next_id = (uint16_t)draw(coap, UINT16_MAX);
}

static void transmit(struct coalmine_coap *coap, int64_t now_ms)
{
	coap->sendings++;
	coap->due_ms = now_ms + coap->timeout_ms;
	coap->config->events->send(coap->config->context, coap->datagram, coap->size);
}

void coalmine_coap_give_up(struct coalmine_coap *coap, int64_t now_ms)
{
	bool was_up = coap->up;

	coap->task = COALMINE_COAP_IDLE;
	coap->up = false;
	coap->waiting = COALMINE_COAP_BOTH;
	coap->retry_ms = now_ms + coap->backoff_ms / 2 + draw(coap, coap->backoff_ms / 2 + 1);
	coap->backoff_ms = coap->backoff_ms < COALMINE_COAP_BACKOFF_MAX_MS / 2
				   ? 2 * coap->backoff_ms
				   : COALMINE_COAP_BACKOFF_MAX_MS;
	if (was_up) {
		coap->config->events->link(coap->config->context, false);
	}
}

void coalmine_coap_launch(struct coalmine_coap *coap, int64_t now_ms)
{
	if (coalmine_coap_compose(coap) != 0) {
		coalmine_coap_give_up(coap, now_ms);
		return;
	}

	coap->sendings = 0;
	coap->acknowledged = false;
	coap->timeout_ms = ACK_TIMEOUT_MS + draw(coap, ACK_TIMEOUT_MS / 2);
	transmit(coap, now_ms);
}

/* True when the task may begin now. */
static bool is_due(const struct coalmine_coap *coap, enum coalmine_coap_task task, int64_t now_ms)
{
	if ((coap->waiting & 1U << task) == 0) {
		return false;
	}

	return task <= COALMINE_COAP_COMMAND ||
	       (coap->up && (task != COALMINE_COAP_REPORT || now_ms >= coap->quiet_ms));
}

static void begin_next(struct coalmine_coap *coap, int64_t now_ms)
{
	if (coap->task != COALMINE_COAP_IDLE || (!coap->up && now_ms < coap->retry_ms)) {
		return;
	}

	for (enum coalmine_coap_task task = COALMINE_COAP_DESIRED; task < COALMINE_COAP_IDLE;
	     task++) {
		if (is_due(coap, task, now_ms)) {
			coap->waiting &= (uint8_t) ~(1U << task);
			coap->task = task;
			coap->token++;
			coap->upload = 0;
			coap->echo_size = 0;
			coap->challenges = 0;
			coalmine_coap_launch(coap, now_ms);
			return;
		}
	}
}

int coalmine_coap_report(struct coalmine_coap *coap, const uint8_t *data, size_t size,
			 uint32_t sequence, int64_t now_ms)
{
	if (!coap->up) {
		return -ENOTCONN;
	}

	if (now_ms < coap->quiet_ms) {
		return -EAGAIN;
	}

	if (coap->task == COALMINE_COAP_REPORT && coap->report_sequence == sequence) {
		/* On its way. */
		return 0;
	}

	coap->report = data;
	coap->report_size = size;
	coap->report_sequence = sequence;
	coap->waiting |= 1U << COALMINE_COAP_REPORT;
	return 0;
}

int coalmine_coap_download(struct coalmine_coap *coap, const struct coalmine_block_request *request)
{
	bool same = coap->task == COALMINE_COAP_DOWNLOAD && coap->block_offset == request->offset &&
		    coap->block_length == request->length;

	if (request->digest.length != COALMINE_DIGEST_PREFIX ||
	    coalmine_coap_szx(request->offset, request->length) < 0) {
		return -EINVAL;
	}

	if (!coap->up) {
		return -ENOTCONN;
	}

	same = same &&
	       memcmp(coap->block_digest, request->digest.data, COALMINE_DIGEST_PREFIX) == 0;
	coap->block_request = request->request;
	coap->block_offset = request->offset;
	coap->block_length = request->length;
	memcpy(coap->block_digest, request->digest.data, COALMINE_DIGEST_PREFIX);
	if (!same) {
		coap->waiting |= 1U << COALMINE_COAP_DOWNLOAD;
	}

	return 0;
}

int64_t coalmine_coap_poll(struct coalmine_coap *coap, int64_t now_ms)
{
	int64_t next;

	if (coap->task != COALMINE_COAP_IDLE && now_ms >= coap->due_ms) {
		if (coap->acknowledged || coap->sendings > MAX_RETRANSMIT) {
			coalmine_coap_give_up(coap, now_ms);
		} else {
			coap->timeout_ms *= 2;
			transmit(coap, now_ms);
		}
	}

	if (coap->up && coap->config->observe && now_ms >= coap->refresh_ms) {
		coap->refresh_ms = now_ms + (int64_t)coap->config->refresh_s * 1000;
		coap->waiting |= COALMINE_COAP_BOTH;
	}

	begin_next(coap, now_ms);
	if (coap->task != COALMINE_COAP_IDLE) {
		return coap->due_ms;
	}

	if (!coap->up) {
		return coap->retry_ms;
	}

	next = coap->config->observe ? coap->refresh_ms : INT64_MAX;
	if ((coap->waiting & 1U << COALMINE_COAP_REPORT) != 0 && coap->quiet_ms < next) {
		next = coap->quiet_ms;
	}

	return next;
}
