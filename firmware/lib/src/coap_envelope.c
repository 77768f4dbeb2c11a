/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/coap_envelope.h>
#include <coalmine/limits.h>

#define HMAC256_64 4
#define HMAC256	   5
#define TAG_SHORT  8
#define ID_MAX	   64
/* Map head, algorithm, key id of 64 bytes, sequence of 7. */
#define HEADER_MAX (3 + 3 + ID_MAX + 2 + 7)

static const char upward[] = "coalmine/1 up";
static const char downward[] = "coalmine/1 down";

void coalmine_coap_key(const char *secret, uint8_t key[COALMINE_COAP_KEY_SIZE])
{
	static const char label[] = "coalmine/1 coap key";
	struct coalmine_hmac hmac;

	coalmine_hmac_init(&hmac, (const uint8_t *)secret, strlen(secret));
	coalmine_hmac_update(&hmac, label, sizeof(label) - 1);
	coalmine_hmac_final(&hmac, key);
}

/* The head of a byte string (RFC 8949 section 3), as short as it can be. */
static size_t put_head(uint8_t *data, size_t length)
{
	if (length < 24) {
		data[0] = (uint8_t)(0x40U | length);
		return 1;
	}

	if (length < 256) {
		data[0] = 0x58;
		data[1] = (uint8_t)length;
		return 2;
	}

	data[0] = 0x59;
	data[1] = (uint8_t)(length >> 8);
	data[2] = (uint8_t)length;
	return 3;
}

static void add_string(struct coalmine_hmac *hmac, size_t length)
{
	uint8_t head[3];

	coalmine_hmac_update(hmac, head, put_head(head, length));
}

/* HMAC over the MAC_structure (RFC 9052 section 6.3). The context's end is its terminating zero. */
static void tag_of(const uint8_t key[COALMINE_COAP_KEY_SIZE], const char *context,
		   size_t context_size, struct coalmine_span header, uint8_t code,
		   struct coalmine_span options, struct coalmine_span payload,
		   uint8_t tag[COALMINE_SHA256_SIZE])
{
	static const uint8_t start[] = {0x84, 0x64, 'M', 'A', 'C', '0'};
	struct coalmine_hmac hmac;

	coalmine_hmac_init(&hmac, key, COALMINE_COAP_KEY_SIZE);
	coalmine_hmac_update(&hmac, start, sizeof(start));
	add_string(&hmac, header.length);
	coalmine_hmac_update(&hmac, header.data, header.length);
	add_string(&hmac, context_size + 1 + options.length);
	coalmine_hmac_update(&hmac, context, context_size);
	coalmine_hmac_update(&hmac, &code, 1);
	coalmine_hmac_update(&hmac, options.data, options.length);
	add_string(&hmac, payload.length);
	coalmine_hmac_update(&hmac, payload.data, payload.length);
	coalmine_hmac_final(&hmac, tag);
}

static size_t put_sequence(uint8_t *data, uint64_t sequence)
{
	size_t count = 1;

	while (count < 7 && sequence >> (8 * count) != 0) {
		count++;
	}

	data[0] = (uint8_t)(0x40U | count);
	for (size_t i = 0; i < count; i++) {
		data[1 + i] = (uint8_t)(sequence >> (8 * (count - 1 - i)));
	}

	return 1 + count;
}

void coalmine_coap_seal(struct coalmine_coap_writer *writer,
			const uint8_t key[COALMINE_COAP_KEY_SIZE], const char *device,
			uint64_t sequence, struct coalmine_span payload)
{
	static const size_t options_at = 4 + COALMINE_COAP_TOKEN_SIZE;
	uint8_t mac[COALMINE_COAP_MAC_MAX];
	uint8_t header[HEADER_MAX];
	uint8_t tag[COALMINE_SHA256_SIZE];
	struct coalmine_text id = coalmine_text_of(device);
	size_t size = 0;
	size_t used = 0;

	if (writer->full || id.length > ID_MAX) {
		writer->full = true;
		return;
	}

	header[size++] = 0xa3;
	header[size++] = 1;
	header[size++] = HMAC256_64;
	header[size++] = 4;
	size += put_head(&header[size], id.length);
	memcpy(&header[size], id.data, id.length);
	size += id.length;
	header[size++] = 6;
	size += put_sequence(&header[size], sequence);
	tag_of(key, upward, sizeof(upward), (struct coalmine_span){header, size}, writer->data[1],
	       (struct coalmine_span){&writer->data[options_at], writer->used - options_at},
	       payload, tag);
	mac[used++] = 0x84;
	used += put_head(&mac[used], size);
	memcpy(&mac[used], header, size);
	used += size;
	mac[used++] = 0xa0;
	mac[used++] = 0xf6;
	used += put_head(&mac[used], TAG_SHORT);
	memcpy(&mac[used], tag, TAG_SHORT);
	coalmine_coap_put(writer, COALMINE_COAP_MAC, mac, used + TAG_SHORT);
}

/* A byte string of less than 24 bytes, or of up to 32 in the longer form. */
static bool take_string(struct coalmine_span *rest, struct coalmine_span *value)
{
	size_t head = 1;
	size_t length;

	if (rest->length == 0) {
		return false;
	}

	length = rest->data[0] - 0x40U;
	if (rest->data[0] == 0x58 && rest->length > 1) {
		head = 2;
		length = rest->data[1];
		if (length < 24) {
			return false;
		}
	} else if (length >= 24) {
		return false;
	}

	if (length > rest->length - head) {
		return false;
	}

	*value = (struct coalmine_span){&rest->data[head], length};
	rest->data += head + length;
	rest->length -= head + length;
	return true;
}

static bool take_byte(struct coalmine_span *rest, uint8_t byte)
{
	if (rest->length == 0 || rest->data[0] != byte) {
		return false;
	}

	rest->data++;
	rest->length--;
	return true;
}

/* The host's header has no key id, and exactly the sequence that was asked with. */
static bool take_header(struct coalmine_span header, uint64_t sequence, size_t *tag_size)
{
	uint8_t expected[8];
	size_t size = put_sequence(expected, sequence);

	if (!take_byte(&header, 0xa2) || !take_byte(&header, 1) || header.length == 0 ||
	    (header.data[0] != HMAC256_64 && header.data[0] != HMAC256)) {
		return false;
	}

	*tag_size = header.data[0] == HMAC256 ? COALMINE_SHA256_SIZE : TAG_SHORT;
	header.data++;
	header.length--;
	return take_byte(&header, 6) && header.length == size &&
	       memcmp(header.data, expected, size) == 0;
}

bool coalmine_coap_is_genuine(const struct coalmine_coap_message *message,
			      const uint8_t key[COALMINE_COAP_KEY_SIZE], uint64_t sequence)
{
	struct coalmine_span rest = message->mac;
	struct coalmine_span header;
	struct coalmine_span given;
	uint8_t tag[COALMINE_SHA256_SIZE];
	uint8_t difference = 0;
	size_t size;

	if (!take_byte(&rest, 0x84) || !take_string(&rest, &header) || !take_byte(&rest, 0xa0) ||
	    !take_byte(&rest, 0xf6) || !take_string(&rest, &given) || rest.length != 0 ||
	    !take_header(header, sequence, &size) || given.length != size) {
		return false;
	}

	tag_of(key, downward, sizeof(downward), header, message->code, message->options,
	       message->payload, tag);
	/* As long whatever the tag is. */
	for (size_t i = 0; i < size; i++) {
		difference |= tag[i] ^ given.data[i];
	}

	return difference == 0;
}
