/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_COAP_MESSAGE_H_
#define COALMINE_COAP_MESSAGE_H_

#include <coalmine/cbor.h>

/* CoAP messages (RFC 7252 section 3), written straight down and read where they lie. */

enum coalmine_coap_type {
	COALMINE_COAP_CON,
	COALMINE_COAP_NON,
	COALMINE_COAP_ACK,
	COALMINE_COAP_RST,
};

/* Class and detail as one byte, c.dd */
enum coalmine_coap_code {
	COALMINE_COAP_EMPTY = 0x00,
	COALMINE_COAP_GET = 0x01,
	COALMINE_COAP_POST = 0x02,
	COALMINE_COAP_CHANGED = 0x44,
	COALMINE_COAP_CONTENT = 0x45,
	COALMINE_COAP_CONTINUE = 0x5f,
	COALMINE_COAP_BAD_REQUEST = 0x80,
	COALMINE_COAP_UNAUTHORIZED = 0x81,
	COALMINE_COAP_FORBIDDEN = 0x83,
	COALMINE_COAP_NOT_FOUND = 0x84,
	COALMINE_COAP_TOO_LARGE = 0x8d,
	COALMINE_COAP_UNSUPPORTED_FORMAT = 0x8f,
	COALMINE_COAP_TOO_MANY_REQUESTS = 0x9d, /* RFC 8516 */
	COALMINE_COAP_UNAVAILABLE = 0xa3,
};

/* RFC 7252 section 12.2, RFC 7641, 7959, 9175, and two of coalmine's. */
enum coalmine_coap_option {
	COALMINE_COAP_ETAG = 4,
	COALMINE_COAP_OBSERVE = 6,
	COALMINE_COAP_URI_PATH = 11,
	COALMINE_COAP_CONTENT_FORMAT = 12,
	COALMINE_COAP_MAX_AGE = 14,
	COALMINE_COAP_URI_QUERY = 15,
	COALMINE_COAP_BLOCK2 = 23,
	COALMINE_COAP_BLOCK1 = 27,
	COALMINE_COAP_ECHO = 252,
	/*
	 * Elective. The server knows no observation of this device; in a signed 4.01: the highest
	 * sequence number that was used.
	 */
	COALMINE_COAP_RENEW = 65000,
	/* Critical, and last: the COSE_Mac0 of the message. */
	COALMINE_COAP_MAC = 65001,
};

#define COALMINE_COAP_TOKEN_SIZE 4

struct coalmine_coap_writer {
	uint8_t *data;
	size_t size;
	size_t used;
	uint16_t number;
	bool full;
};

/* A message with a token of COALMINE_COAP_TOKEN_SIZE bytes. */
void coalmine_coap_begin(struct coalmine_coap_writer *writer, uint8_t *data, size_t size,
			 uint8_t code, uint16_t id, uint32_t token);
/* Options come in the order of their numbers. */
void coalmine_coap_put(struct coalmine_coap_writer *writer, uint16_t number, const void *value,
		       size_t length);
/* A number without leading zeros; 0 is empty (section 3.2). */
void coalmine_coap_put_number(struct coalmine_coap_writer *writer, uint16_t number, uint32_t value);
/* Ends the message. Its length, or -ENOMEM. */
int coalmine_coap_end(struct coalmine_coap_writer *writer, const void *payload, size_t length);
/* An acknowledgement or a reset, 4 bytes. */
void coalmine_coap_empty(uint8_t data[4], enum coalmine_coap_type type, uint16_t id);

struct coalmine_coap_message {
	enum coalmine_coap_type type;
	uint8_t code;
	uint16_t id;
	/* Of COALMINE_COAP_TOKEN_SIZE bytes; a token of another length is nobody's. */
	bool has_token;
	uint32_t token;
	/* All but the MAC, as they are in the message. */
	struct coalmine_span options;
	/* The value of the MAC option; no data without one. */
	struct coalmine_span mac;
	struct coalmine_span payload;
};

/*
 * Reads a datagram. 0, or -EBADMSG for what is no CoAP of this version, runs past its end, or
 * carries a critical option that is not known here (section 5.4.1).
 */
int coalmine_coap_parse(const uint8_t *data, size_t size, struct coalmine_coap_message *message);
/* The first option with this number. */
bool coalmine_coap_find(const struct coalmine_coap_message *message, uint16_t number,
			struct coalmine_span *value);
/* An option that is a number of at most 4 bytes. */
bool coalmine_coap_find_number(const struct coalmine_coap_message *message, uint16_t number,
			       uint32_t *value);

#endif /* COALMINE_COAP_MESSAGE_H_ */
