/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "coap_internal.h"

/* What a separate answer may take once its request was acknowledged. */
#define SEPARATE_MS    30000
#define CHALLENGES_MAX 2
/* Seconds of silence that a host may ask for, and without a word of it (RFC 7252 section 5.10.5).
 */
#define QUIET_MAX_S    3600
#define QUIET_S	       60

static void acknowledge(struct coalmine_coap *coap, const struct coalmine_coap_message *message)
{
	if (message->type == COALMINE_COAP_CON) {
		uint8_t answer[4];

		coalmine_coap_empty(answer, COALMINE_COAP_ACK, message->id);
		coap->config->events->send(coap->config->context, answer, sizeof(answer));
	}
}

static bool is_genuine(const struct coalmine_coap *coap,
		       const struct coalmine_coap_message *message, uint64_t sequence)
{
	return coap->config->key == NULL ||
	       coalmine_coap_is_genuine(message, coap->config->key, sequence);
}

static bool is_acceptable(const struct coalmine_coap *coap,
			  const struct coalmine_coap_message *message)
{
	return (message->code == COALMINE_COAP_UNAUTHORIZED && message->mac.data == NULL) ||
	       (message->code == COALMINE_COAP_CONTENT && coap->task == COALMINE_COAP_DOWNLOAD) ||
	       is_genuine(coap, message, coap->task_sequence);
}

/* Registered, or asked: the offer that stands, or a command. */
static void take_resource(struct coalmine_coap *coap, enum coalmine_coap_task task,
			  const struct coalmine_coap_message *message, int64_t now_ms)
{
	struct coalmine_coap_observation *observation = &coap->observations[task];
	const struct coalmine_coap_config *config = coap->config;
	uint32_t order;

	if (message->code != COALMINE_COAP_CONTENT) {
		coalmine_coap_give_up(coap, now_ms);
		return;
	}

	*observation = (struct coalmine_coap_observation){0};
	if (coalmine_coap_find_number(message, COALMINE_COAP_OBSERVE, &order)) {
		*observation = (struct coalmine_coap_observation){
			.active = true,
			.token = coap->token,
			.sequence = coap->task_sequence,
			.order = order,
		};
	}

	if (task == COALMINE_COAP_COMMAND && !config->observe && message->payload.length > 0) {
		/* Until there are no more. */
		coap->waiting |= 1U << COALMINE_COAP_COMMAND;
	}

	if (!coap->up && (coap->waiting & COALMINE_COAP_BOTH) == 0) {
		coap->up = true;
		coap->backoff_ms = COALMINE_COAP_BACKOFF_MIN_MS;
		coap->refresh_ms = now_ms + (int64_t)config->refresh_s * 1000;
		config->events->link(config->context, true);
	}

	config->events->command(config->context, message->payload.data, message->payload.length);
}

static void take_report_answer(struct coalmine_coap *coap,
			       const struct coalmine_coap_message *message, int64_t now_ms)
{
	const struct coalmine_coap_config *config = coap->config;
	struct coalmine_span renew;
	uint32_t wait_s;

	switch (message->code) {
	case COALMINE_COAP_CHANGED:
		if (!config->observe || coalmine_coap_find(message, COALMINE_COAP_RENEW, &renew)) {
			coap->waiting |= COALMINE_COAP_BOTH;
		}

		config->events->reported(config->context, coap->report_sequence, true);
		break;
	case COALMINE_COAP_BAD_REQUEST:
	case COALMINE_COAP_TOO_LARGE:
	case COALMINE_COAP_UNSUPPORTED_FORMAT:
		config->events->reported(config->context, coap->report_sequence, false);
		break;
	case COALMINE_COAP_TOO_MANY_REQUESTS:
	case COALMINE_COAP_UNAVAILABLE:
		if (!coalmine_coap_find_number(message, COALMINE_COAP_MAX_AGE, &wait_s)) {
			wait_s = QUIET_S;
		}

		wait_s = wait_s > QUIET_MAX_S ? QUIET_MAX_S : wait_s;
		coap->quiet_ms = now_ms + (int64_t)wait_s * 1000;
		break;
	default:
		/* Nothing to learn from it: the report is sent again when it is late. */
		break;
	}
}

static void take_block(struct coalmine_coap *coap, const struct coalmine_coap_message *message)
{
	struct coalmine_block_answer answer = {
		.kind = COALMINE_BLOCK_REFUSED,
		.request = coap->block_request,
	};
	struct coalmine_span etag;
	uint32_t block;

	switch (message->code) {
	case COALMINE_COAP_CONTENT:
		if (!coalmine_coap_find(message, COALMINE_COAP_ETAG, &etag) ||
		    !coalmine_coap_find_number(message, COALMINE_COAP_BLOCK2, &block) ||
		    (block & 7U) > COALMINE_COAP_SZX_MAX || etag.length != COALMINE_DIGEST_PREFIX ||
		    memcmp(etag.data, coap->block_digest, COALMINE_DIGEST_PREFIX) != 0) {
			/* Of another artifact, or of none. */
			return;
		}

		answer.kind = COALMINE_BLOCK;
		answer.offset = block >> 4 << (4 + (block & 7U));
		if (answer.offset != coap->block_offset) {
			/* The answer to a question that was given up. */
			return;
		}

		answer.data = message->payload;
		break;
	case COALMINE_COAP_FORBIDDEN:
		answer.reason = COALMINE_REFUSAL_NOT_OFFERED;
		break;
	case COALMINE_COAP_NOT_FOUND:
		answer.reason = COALMINE_REFUSAL_UNKNOWN;
		break;
	case COALMINE_COAP_BAD_REQUEST:
		answer.reason = COALMINE_REFUSAL_RANGE;
		break;
	default:
		/* Asked again when it is late. */
		return;
	}

	coap->config->events->block(coap->config->context, &answer);
}

#define SEQUENCE_SIZE_MAX 7
#define SEQUENCE_MAX	  ((UINT64_C(1) << 53) - 1)

/* True when the host has signed that it saw higher numbers than ours: it goes on above them. */
static bool take_numbering(struct coalmine_coap *coap, const struct coalmine_coap_message *message)
{
	struct coalmine_span bytes;
	uint64_t used = 0;

	if (coap->config->key == NULL || message->mac.data == NULL ||
	    !coalmine_coap_find(message, COALMINE_COAP_RENEW, &bytes) ||
	    bytes.length > SEQUENCE_SIZE_MAX) {
		return false;
	}

	for (size_t i = 0; i < bytes.length; i++) {
		used = used << 8 | bytes.data[i];
	}

	if (used < coap->task_sequence || used >= SEQUENCE_MAX) {
		return false;
	}

	coap->sequence = used + 1;
	coap->sequence_end = ((coap->sequence >> COALMINE_COAP_COUNT_BITS) + 1)
			     << COALMINE_COAP_COUNT_BITS;
	return true;
}

/* The host wants to see that this address and this moment are real (RFC 9175 section 2.3). */
static void take_challenge(struct coalmine_coap *coap, const struct coalmine_coap_message *message,
			   int64_t now_ms)
{
	struct coalmine_span echo;

	if (coap->challenges < CHALLENGES_MAX && take_numbering(coap, message)) {
		coap->challenges++;
		coalmine_coap_launch(coap, now_ms);
		return;
	}

	if (!coalmine_coap_find(message, COALMINE_COAP_ECHO, &echo) || echo.length == 0 ||
	    echo.length > sizeof(coap->echo) || coap->challenges >= CHALLENGES_MAX) {
		/* It does not know this device. Later, perhaps. */
		coap->backoff_ms = COALMINE_COAP_BACKOFF_MAX_MS;
		coalmine_coap_give_up(coap, now_ms);
		return;
	}

	coap->challenges++;
	memcpy(coap->echo, echo.data, echo.length);
	coap->echo_size = echo.length;
	coalmine_coap_launch(coap, now_ms);
}

static void take_answer(struct coalmine_coap *coap, const struct coalmine_coap_message *message,
			int64_t now_ms)
{
	enum coalmine_coap_task task = coap->task;
	uint32_t block;

	if (message->code == COALMINE_COAP_UNAUTHORIZED) {
		take_challenge(coap, message, now_ms);
		return;
	}

	if (message->code == COALMINE_COAP_CONTINUE && task == COALMINE_COAP_REPORT &&
	    coalmine_coap_find_number(message, COALMINE_COAP_BLOCK1, &block) &&
	    block >> 4 == coap->upload &&
	    (size_t)(coap->upload + 1) * COALMINE_COAP_BLOCK_MAX < coap->report_size) {
		coap->upload++;
		coap->echo_size = 0;
		coalmine_coap_launch(coap, now_ms);
		return;
	}

	coap->task = COALMINE_COAP_IDLE;
	switch (task) {
	case COALMINE_COAP_REPORT:
		take_report_answer(coap, message, now_ms);
		break;
	case COALMINE_COAP_DOWNLOAD:
		take_block(coap, message);
		break;
	default:
		take_resource(coap, task, message, now_ms);
		break;
	}
}

/* Order of two values of Observe (RFC 7641 section 3.4); the host's rise by one. */
static bool is_newer(uint32_t value, uint32_t than)
{
	return value != than && ((value - than) & 0xffffffU) < 0x800000U;
}

static void take_notification(struct coalmine_coap *coap,
			      const struct coalmine_coap_message *message)
{
	struct coalmine_coap_observation *observation = NULL;
	uint32_t order;

	for (size_t i = 0; message->has_token && i < 2; i++) {
		if (coap->observations[i].active && coap->observations[i].token == message->token) {
			observation = &coap->observations[i];
		}
	}

	if (observation == NULL) {
		if (message->type == COALMINE_COAP_CON) {
			uint8_t answer[4];

			coalmine_coap_empty(answer, COALMINE_COAP_RST, message->id);
			coap->config->events->send(coap->config->context, answer, sizeof(answer));
		}

		return;
	}

	if (!is_genuine(coap, message, observation->sequence)) {
		return;
	}

	if (message->code != COALMINE_COAP_CONTENT ||
	    !coalmine_coap_find_number(message, COALMINE_COAP_OBSERVE, &order)) {
		/* The last one: registered again at the next occasion. */
		observation->active = false;
		coap->waiting |= COALMINE_COAP_BOTH;
	} else if (is_newer(order, observation->order)) {
		observation->order = order;
		coap->config->events->command(coap->config->context, message->payload.data,
					      message->payload.length);
	}

	acknowledge(coap, message);
}

void coalmine_coap_receive(struct coalmine_coap *coap, const uint8_t *data, size_t size,
			   int64_t now_ms)
{
	struct coalmine_coap_message message;
	bool running = coap->task != COALMINE_COAP_IDLE;

	if (coalmine_coap_parse(data, size, &message) != 0) {
		return;
	}

	if (message.type == COALMINE_COAP_RST) {
		if (running && message.id == coap->id) {
			coalmine_coap_give_up(coap, now_ms);
		}
	} else if (message.code == COALMINE_COAP_EMPTY) {
		if (message.type == COALMINE_COAP_ACK && running && message.id == coap->id &&
		    !coap->acknowledged) {
			coap->acknowledged = true;
			coap->due_ms = now_ms + SEPARATE_MS;
		}
	} else if (running && message.has_token && message.token == coap->token &&
		   (message.type != COALMINE_COAP_ACK || message.id == coap->id)) {
		if (is_acceptable(coap, &message)) {
			acknowledge(coap, &message);
			take_answer(coap, &message, now_ms);
		}
	} else if (message.type != COALMINE_COAP_ACK) {
		take_notification(coap, &message);
	}
}
