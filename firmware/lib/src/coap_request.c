/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coap_internal.h"

#define CBOR_FORMAT 60

int coalmine_coap_szx(uint32_t offset, uint32_t length)
{
	for (unsigned int szx = 0; szx <= COALMINE_COAP_SZX_MAX; szx++) {
		uint32_t size = UINT32_C(16) << szx;

		if (size >= length) {
			return offset % size == 0 && offset / size < UINT32_C(1) << 20 ? (int)szx
										       : -EINVAL;
		}
	}

	return -EINVAL;
}

static void put_path(struct coalmine_coap_writer *writer, const char *first, const char *second,
		     const char *third)
{
	const char *const segments[] = {first, second, third};

	for (size_t i = 0; i < 3 && segments[i] != NULL; i++) {
		coalmine_coap_put(writer, COALMINE_COAP_URI_PATH, segments[i], strlen(segments[i]));
	}
}

/* Who asks, where nothing has to be proved. */
static void put_device(struct coalmine_coap_writer *writer, const struct coalmine_coap *coap)
{
	if (coap->config->key == NULL) {
		char query[2 + 64 + 1];
		int length = snprintf(query, sizeof(query), "d=%s", coap->config->device);
		coalmine_coap_put(writer, COALMINE_COAP_URI_QUERY, query, (size_t)length);
	}
}

static void put_digest(struct coalmine_coap_writer *writer, const struct coalmine_coap *coap)
{
	static const char digits[] = "0123456789abcdef";
	char query[2 + 2 * COALMINE_DIGEST_PREFIX] = {'h', '='};

	for (size_t i = 0; i < COALMINE_DIGEST_PREFIX; i++) {
		query[2 + 2 * i] = digits[coap->block_digest[i] >> 4];
		query[3 + 2 * i] = digits[coap->block_digest[i] & 15U];
	}

	coalmine_coap_put(writer, COALMINE_COAP_URI_QUERY, query, sizeof(query));
}

/* What of the report goes into this message. */
static struct coalmine_span upload_of(const struct coalmine_coap *coap, bool *more)
{
	size_t at = (size_t)coap->upload * COALMINE_COAP_BLOCK_MAX;
	size_t left = coap->report_size - at;

	*more = left > COALMINE_COAP_BLOCK_MAX;
	return (struct coalmine_span){&coap->report[at], *more ? COALMINE_COAP_BLOCK_MAX : left};
}

static struct coalmine_span put_options(struct coalmine_coap_writer *writer,
					const struct coalmine_coap *coap)
{
	struct coalmine_span payload = {NULL, 0};
	uint32_t szx;
	bool more;

	switch (coap->task) {
	case COALMINE_COAP_REPORT:
		payload = upload_of(coap, &more);
		put_path(writer, ".r", NULL, NULL);
		coalmine_coap_put_number(writer, COALMINE_COAP_CONTENT_FORMAT, CBOR_FORMAT);
		put_device(writer, coap);
		if (more || coap->upload > 0) {
			coalmine_coap_put_number(writer, COALMINE_COAP_BLOCK1,
						 coap->upload << 4 | (more ? 8U : 0U) |
							 COALMINE_COAP_SZX_MAX);
		}

		break;
	case COALMINE_COAP_DOWNLOAD:
		szx = (uint32_t)coalmine_coap_szx(coap->block_offset, coap->block_length);
		put_path(writer, ".u", "c", "main@-");
		put_digest(writer, coap);
		put_device(writer, coap);
		coalmine_coap_put_number(writer, COALMINE_COAP_BLOCK2,
					 coap->block_offset >> (4 + szx) << 4 | szx);
		break;
	default:
		if (coap->config->observe) {
			coalmine_coap_put_number(writer, COALMINE_COAP_OBSERVE, 0);
		}

		put_path(writer, ".u", coap->task == COALMINE_COAP_DESIRED ? "desired" : "command",
			 NULL);
		put_device(writer, coap);
		break;
	}

	return payload;
}

int coalmine_coap_compose(struct coalmine_coap *coap)
{
	struct coalmine_coap_writer writer;
	struct coalmine_span payload;
	int size;

	coap->id = coap->next_id++;
	coalmine_coap_begin(&writer, coap->datagram, sizeof(coap->datagram),
			    coap->task == COALMINE_COAP_REPORT ? COALMINE_COAP_POST
							       : COALMINE_COAP_GET,
			    coap->id, coap->token);
	payload = put_options(&writer, coap);
	if (coap->echo_size > 0) {
		coalmine_coap_put(&writer, COALMINE_COAP_ECHO, coap->echo, coap->echo_size);
	}

	coap->task_sequence = coap->sequence;
	if (coap->config->key != NULL) {
		if (coap->sequence >= coap->sequence_end) {
			return -EOVERFLOW;
		}

		coap->sequence++;
		coalmine_coap_seal(&writer, coap->config->key, coap->config->device,
				   coap->task_sequence, payload);
	}

	size = coalmine_coap_end(&writer, payload.data, payload.length);
	if (size < 0) {
		return size;
	}

	coap->size = (size_t)size;
	return 0;
}
