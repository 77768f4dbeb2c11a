/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <coalmine/coap_message.h>

#define HEADER_SIZE 4
#define MARKER	    0xff

static void append(struct coalmine_coap_writer *writer, const void *data, size_t length)
{
	if (writer->full || length > writer->size - writer->used) {
		writer->full = true;
		return;
	}

	if (length > 0) {
		memcpy(&writer->data[writer->used], data, length);
		writer->used += length;
	}
}

static void append_byte(struct coalmine_coap_writer *writer, unsigned int byte)
{
	uint8_t value = (uint8_t)byte;

	append(writer, &value, 1);
}

void coalmine_coap_begin(struct coalmine_coap_writer *writer, uint8_t *data, size_t size,
			 uint8_t code, uint16_t id, uint32_t token)
{
	*writer = (struct coalmine_coap_writer){.data = data, .size = size};
	/* Version 1, confirmable. */
	append_byte(writer, 0x40U | COALMINE_COAP_TOKEN_SIZE);
	append_byte(writer, code);
	append_byte(writer, id >> 8);
	append_byte(writer, id & 0xffU);
	for (int shift = 24; shift >= 0; shift -= 8) {
		append_byte(writer, (token >> shift) & 0xffU);
	}
}

/* The four bits of a delta or a length (section 3.1). */
static unsigned int nibble_of(size_t value)
{
	if (value < 13) {
		return (unsigned int)value;
	}

	return value < 269 ? 13 : 14;
}

static void append_rest(struct coalmine_coap_writer *writer, size_t value)
{
	if (value >= 269) {
		append_byte(writer, (unsigned int)(value - 269) >> 8);
		append_byte(writer, (unsigned int)(value - 269) & 0xffU);
	} else if (value >= 13) {
		append_byte(writer, (unsigned int)(value - 13));
	}
}

void coalmine_coap_put(struct coalmine_coap_writer *writer, uint16_t number, const void *value,
		       size_t length)
{
	size_t delta = (size_t)number - writer->number;

	append_byte(writer, nibble_of(delta) << 4 | nibble_of(length));
	append_rest(writer, delta);
	append_rest(writer, length);
	append(writer, value, length);
	writer->number = number;
}

void coalmine_coap_put_number(struct coalmine_coap_writer *writer, uint16_t number, uint32_t value)
{
	uint8_t bytes[4];
	size_t length = 0;

	for (int shift = 24; shift >= 0; shift -= 8) {
		if (length > 0 || value >> shift != 0) {
			bytes[length++] = (uint8_t)(value >> shift);
		}
	}

	coalmine_coap_put(writer, number, bytes, length);
}

int coalmine_coap_end(struct coalmine_coap_writer *writer, const void *payload, size_t length)
{
	if (length > 0) {
		append_byte(writer, MARKER);
		append(writer, payload, length);
	}

	return writer->full ? -ENOMEM : (int)writer->used;
}

void coalmine_coap_empty(uint8_t data[4], enum coalmine_coap_type type, uint16_t id)
{
	data[0] = (uint8_t)(0x40U | (unsigned int)type << 4);
	data[1] = COALMINE_COAP_EMPTY;
	data[2] = (uint8_t)(id >> 8);
	data[3] = (uint8_t)id;
}

/* Walks over options. `at` is behind the last one; `value` past the end ends with -EBADMSG. */
struct walk {
	const uint8_t *data;
	size_t size;
	size_t at;
	size_t number;
	struct coalmine_span value;
};

static int extend(struct walk *walk, size_t *value)
{
	size_t extra = *value == 13 ? 1 : 2;

	if (*value == 15) {
		return -EBADMSG;
	}

	if (*value < 13) {
		return 0;
	}

	if (extra > walk->size - walk->at) {
		return -EBADMSG;
	}

	*value = extra == 1 ? walk->data[walk->at] + 13U
			    : (walk->data[walk->at] * 256U + walk->data[walk->at + 1]) + 269U;
	walk->at += extra;
	return 0;
}

/* 1 with the next option, 0 at the end of the options, -EBADMSG for what is none. */
static int next(struct walk *walk)
{
	size_t delta;
	size_t length;

	if (walk->at == walk->size || walk->data[walk->at] == MARKER) {
		return 0;
	}

	delta = walk->data[walk->at] >> 4;
	length = walk->data[walk->at] & 15U;
	walk->at++;
	if (extend(walk, &delta) != 0 || extend(walk, &length) != 0 ||
	    length > walk->size - walk->at || walk->number + delta > UINT16_MAX) {
		return -EBADMSG;
	}

	walk->number += delta;
	walk->value = (struct coalmine_span){&walk->data[walk->at], length};
	walk->at += length;
	return 1;
}

static bool is_known(size_t number)
{
	switch (number) {
	case COALMINE_COAP_URI_PATH:
	case COALMINE_COAP_URI_QUERY:
	case COALMINE_COAP_BLOCK2:
	case COALMINE_COAP_BLOCK1:
	case COALMINE_COAP_MAC:
		return true;
	default:
		/* Odd numbers are critical. */
		return (number & 1U) == 0;
	}
}

static int parse_options(struct coalmine_coap_message *message, const uint8_t *data, size_t size)
{
	struct walk walk = {.data = data, .size = size};
	size_t end = 0;
	int more;

	while ((more = next(&walk)) > 0) {
		if (!is_known(walk.number) || message->mac.data != NULL) {
			return -EBADMSG;
		}

		if (walk.number == COALMINE_COAP_MAC) {
			message->mac = walk.value;
		} else {
			end = walk.at;
		}
	}

	if (more < 0) {
		return more;
	}

	message->options = (struct coalmine_span){data, end};
	if (walk.at == size) {
		return 0;
	}

	/* A marker without a payload is a format error. */
	message->payload = (struct coalmine_span){&data[walk.at + 1], size - walk.at - 1};
	return message->payload.length > 0 ? 0 : -EBADMSG;
}

int coalmine_coap_parse(const uint8_t *data, size_t size, struct coalmine_coap_message *message)
{
	size_t token_size;

	*message = (struct coalmine_coap_message){0};
	if (size < HEADER_SIZE || data[0] >> 6 != 1) {
		return -EBADMSG;
	}

	token_size = data[0] & 15U;
	message->type = (enum coalmine_coap_type)((data[0] >> 4) & 3U);
	message->code = data[1];
	message->id = (uint16_t)(data[2] << 8 | data[3]);
	if (message->code == COALMINE_COAP_EMPTY) {
		return size == HEADER_SIZE && token_size == 0 ? 0 : -EBADMSG;
	}

	if (token_size > 8 || token_size > size - HEADER_SIZE) {
		return -EBADMSG;
	}

	message->has_token = token_size == COALMINE_COAP_TOKEN_SIZE;
	for (size_t i = 0; message->has_token && i < token_size; i++) {
		message->token = message->token << 8 | data[HEADER_SIZE + i];
	}

	return parse_options(message, &data[HEADER_SIZE + token_size],
			     size - HEADER_SIZE - token_size);
}

bool coalmine_coap_find(const struct coalmine_coap_message *message, uint16_t number,
			struct coalmine_span *value)
{
	struct walk walk = {.data = message->options.data, .size = message->options.length};

	while (next(&walk) > 0) {
		if (walk.number == number) {
			*value = walk.value;
			return true;
		}
	}

	return false;
}

bool coalmine_coap_find_number(const struct coalmine_coap_message *message, uint16_t number,
			       uint32_t *value)
{
	struct coalmine_span bytes;

	if (!coalmine_coap_find(message, number, &bytes) || bytes.length > sizeof(*value)) {
		return false;
	}

	*value = 0;
	for (size_t i = 0; i < bytes.length; i++) {
		*value = *value << 8 | bytes.data[i];
	}

	return true;
}
