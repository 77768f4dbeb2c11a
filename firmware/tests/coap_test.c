/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include <coalmine/coap.h>

#include "test.h"

#define SECRET "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* The worked example of docs/coap.md, which a test of the host reads, too. */
#define REGISTRATION                                                                               \
	"440112340102030460522e750764657369726564edfcd10f844fa3010404456465762d310643100001a0f648" \
	"b058052443d21075"
#define REGISTERED                                                                                 \
	"644512340102030444811c9dc52105edfcd6088448a201040643100001a0f648d42979f320a8a7a4"
/* A 4.01 to it that says where the numbers stood. */
#define BEHIND "6481123401020304e4fcdb020000051d088448a201040643100001a0f648bf39654f83c60f6f"

static uint8_t sent[8][COALMINE_COAP_DATAGRAM_MAX];
static size_t sent_sizes[8];
static size_t sent_count;
static unsigned int ups;
static unsigned int downs;
static unsigned int commands;
static size_t command_size;
static unsigned int taken;
static unsigned int refused;
static struct coalmine_block_answer block;
static unsigned int block_count;
static struct coalmine_coap coap;
static int64_t now_ms;

static size_t bytes_of(const char *hex, uint8_t *data, size_t size)
{
	size_t count = 0;
	unsigned int byte;

	while (count < size && sscanf(&hex[2 * count], "%2x", &byte) == 1) {
		data[count++] = (uint8_t)byte;
	}

	return count;
}

static void on_send(void *context, const uint8_t *data, size_t size)
{
	(void)context;
	CHECK(sent_count < 8);
	memcpy(sent[sent_count], data, size);
	sent_sizes[sent_count++] = size;
}

static void on_link(void *context, bool up)
{
	(void)context;
	ups += up ? 1 : 0;
	downs += up ? 0 : 1;
}

static void on_command(void *context, const uint8_t *data, size_t size)
{
	(void)context;
	(void)data;
	commands++;
	command_size = size;
}

static void on_block(void *context, const struct coalmine_block_answer *answer)
{
	(void)context;
	block = *answer;
	block_count++;
}

static void on_reported(void *context, uint32_t sequence, bool is_taken)
{
	(void)context;
	(void)sequence;
	taken += is_taken ? 1 : 0;
	refused += is_taken ? 0 : 1;
}

static const struct coalmine_coap_events events = {
	.send = on_send,
	.link = on_link,
	.command = on_command,
	.block = on_block,
	.reported = on_reported,
};

static const struct coalmine_coap_config open_config = {
	.device = "dev-1",
	.observe = true,
	.refresh_s = 3600,
	.events = &events,
};

static void begin(const struct coalmine_coap_config *config)
{
	sent_count = 0;
	ups = downs = commands = taken = refused = block_count = 0;
	now_ms = 1000;
	coalmine_coap_init(&coap, config, 1, 7);
	(void)coalmine_coap_poll(&coap, now_ms);
}

/* The last request that was sent. */
static struct coalmine_coap_message last(void)
{
	struct coalmine_coap_message message;

	CHECK(sent_count > 0);
	CHECK_NUMBER(
		coalmine_coap_parse(sent[sent_count - 1], sent_sizes[sent_count - 1], &message), 0);
	sent_count = 0;
	return message;
}

/* Answers a request with a piggybacked response, then lets the client go on. */
static void answer(const struct coalmine_coap_message *request, uint8_t code, uint16_t option,
		   uint32_t value, const void *payload, size_t length)
{
	struct coalmine_coap_writer writer;
	uint8_t data[COALMINE_COAP_DATAGRAM_MAX];
	int size;

	coalmine_coap_begin(&writer, data, sizeof(data), code, request->id, request->token);
	data[0] = (uint8_t)(data[0] | COALMINE_COAP_ACK << 4);
	if (option != 0) {
		coalmine_coap_put_number(&writer, option, value);
	}

	size = coalmine_coap_end(&writer, payload, length);
	CHECK(size > 0);
	coalmine_coap_receive(&coap, data, (size_t)size, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
}

static struct coalmine_coap_message registered(void)
{
	struct coalmine_coap_message desired = last();
	struct coalmine_coap_message command;
	unsigned int before = ups;

	answer(&desired, COALMINE_COAP_CONTENT, COALMINE_COAP_OBSERVE, 5, NULL, 0);
	command = last();
	answer(&command, COALMINE_COAP_CONTENT, COALMINE_COAP_OBSERVE, 6, NULL, 0);
	CHECK_NUMBER(ups, before + 1);
	return desired;
}

TEST(coap_example, "the worked example of the documentation is written and believed byte for byte")
{
	static const uint8_t token[] = {0x01, 0x02, 0x03, 0x04};
	struct coalmine_coap_message message;
	struct coalmine_coap_writer writer;
	uint8_t key[COALMINE_COAP_KEY_SIZE];
	uint8_t expected[128];
	uint8_t data[128];
	size_t size = bytes_of(REGISTRATION, expected, sizeof(expected));

	coalmine_coap_key(SECRET, key);
	coalmine_coap_begin(&writer, data, sizeof(data), COALMINE_COAP_GET, 0x1234, 0x01020304);
	coalmine_coap_put_number(&writer, COALMINE_COAP_OBSERVE, 0);
	coalmine_coap_put(&writer, COALMINE_COAP_URI_PATH, ".u", 2);
	coalmine_coap_put(&writer, COALMINE_COAP_URI_PATH, "desired", 7);
	coalmine_coap_seal(&writer, key, "dev-1", 0x100001, (struct coalmine_span){NULL, 0});
	CHECK_NUMBER(coalmine_coap_end(&writer, NULL, 0), size);
	CHECK(memcmp(data, expected, size) == 0);
	CHECK(memcmp(&data[4], token, sizeof(token)) == 0);
	size = bytes_of(REGISTERED, data, sizeof(data));
	CHECK_NUMBER(coalmine_coap_parse(data, size, &message), 0);
	CHECK(coalmine_coap_is_genuine(&message, key, 0x100001));
	CHECK(!coalmine_coap_is_genuine(&message, key, 0x100002));
	/* Whatever bit is changed: not believed, or the header that nobody signs. */
	for (size_t bit = 8 * 8; bit < 8 * size; bit++) {
		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
		if (coalmine_coap_parse(data, size, &message) == 0) {
			CHECK(!coalmine_coap_is_genuine(&message, key, 0x100001));
		}

		data[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}

TEST(coap_hmac, "HMAC agrees with RFC 4231, short key and long")
{
	static const char data1[] = "what do ya want for nothing?";
	static const char data2[] = "Test Using Larger Than Block-Size Key - Hash Key First";
	uint8_t key[131];
	uint8_t expected[COALMINE_SHA256_SIZE];
	uint8_t tag[COALMINE_SHA256_SIZE];
	struct coalmine_hmac hmac;

	coalmine_hmac_init(&hmac, (const uint8_t *)"Jefe", 4);
	coalmine_hmac_update(&hmac, data1, sizeof(data1) - 1);
	coalmine_hmac_final(&hmac, tag);
	bytes_of("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", expected,
		 sizeof(expected));
	CHECK(memcmp(tag, expected, sizeof(tag)) == 0);
	memset(key, 0xaa, sizeof(key));
	coalmine_hmac_init(&hmac, key, sizeof(key));
	coalmine_hmac_update(&hmac, data2, sizeof(data2) - 1);
	coalmine_hmac_final(&hmac, tag);
	bytes_of("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", expected,
		 sizeof(expected));
	CHECK(memcmp(tag, expected, sizeof(tag)) == 0);
}

TEST(coap_damaged, "damaged datagrams are refused or read within their bounds, and break nothing")
{
	uint8_t whole[256];
	size_t size = bytes_of(REGISTERED, whole, sizeof(whole));
	unsigned int read = 0;

	begin(&open_config);
	srand(7);
	for (unsigned int n = 0; n < 20000; n++) {
		size_t length = (size_t)rand() % (size + 1);
		/* Of exactly that size, so that the sanitizer sees a step past its end. */
		uint8_t *data = malloc(length == 0 ? 1 : length);
		struct coalmine_coap_message message;

		memcpy(data, whole, length);
		for (int flips = rand() % 4; length > 0 && flips > 0; flips--) {
			data[(size_t)rand() % length] = (uint8_t)rand();
		}

		if (coalmine_coap_parse(data, length, &message) == 0) {
			struct coalmine_span value;

			read++;
			(void)coalmine_coap_find(&message, COALMINE_COAP_ETAG, &value);
		}

		coalmine_coap_receive(&coap, data, length, now_ms);
		sent_count = 0;
		free(data);
	}

	CHECK(read > 100);
}

TEST(coap_lost,
     "a request is sent five times, ever more slowly, then the link is down and tried again")
{
	int64_t last_ms = 0;
	int64_t gap = 0;
	unsigned int count = 1;

	begin(&open_config);
	(void)registered();
	coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 1, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	last_ms = now_ms;
	sent_count = 0;
	while (downs == 0) {
		now_ms = coalmine_coap_poll(&coap, now_ms);
		(void)coalmine_coap_poll(&coap, now_ms);
		if (sent_count > 0) {
			CHECK(gap == 0 || now_ms - last_ms == 2 * gap);
			gap = now_ms - last_ms;
			last_ms = now_ms;
			sent_count = 0;
			count++;
		}
	}

	CHECK_NUMBER(count, 5);
	CHECK_NUMBER(coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 1, now_ms), -ENOTCONN);
	now_ms = coalmine_coap_poll(&coap, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	(void)registered();
	CHECK_NUMBER(downs, 1);
}

TEST(coap_challenge, "a challenge is answered at once with the same request and the value")
{
	struct coalmine_coap_message request;
	struct coalmine_span value;

	begin(&open_config);
	request = last();
	answer(&request, COALMINE_COAP_UNAUTHORIZED, COALMINE_COAP_ECHO, 0x31323334, NULL, 0);
	request = last();
	CHECK(coalmine_coap_find(&request, COALMINE_COAP_ECHO, &value));
	CHECK(value.length == 4 && memcmp(value.data, "1234", 4) == 0);
	CHECK_NUMBER(downs, 0);
	answer(&request, COALMINE_COAP_UNAUTHORIZED, 0, 0, NULL, 0);
	CHECK(coalmine_coap_poll(&coap, now_ms) >= now_ms + 30000);
}

TEST(coap_notified, "a notification is acknowledged, handed on once, and never after a newer one")
{
	struct coalmine_coap_message registration;
	struct coalmine_coap_writer writer;
	uint8_t data[128];
	static const uint8_t orders[] = {8, 8, 7, 9};
	static const unsigned int heard[] = {1, 1, 1, 2};

	begin(&open_config);
	registration = registered();
	commands = 0;
	for (size_t i = 0; i < sizeof(orders); i++) {
		int size;

		coalmine_coap_begin(&writer, data, sizeof(data), COALMINE_COAP_CONTENT,
				    (uint16_t)(90 + i), registration.token);
		coalmine_coap_put_number(&writer, COALMINE_COAP_OBSERVE, orders[i]);
		size = coalmine_coap_end(&writer, "abc", 3);
		sent_count = 0;
		coalmine_coap_receive(&coap, data, (size_t)size, now_ms);
		CHECK_NUMBER(commands, heard[i]);
		CHECK_NUMBER(sent_count, 1);
		CHECK_NUMBER(sent[0][0], 0x60);
		CHECK_NUMBER(sent[0][3], 90 + i);
	}

	/* Of an observation that was forgotten: a reset, so that the host forgets it, too. */
	coalmine_coap_begin(&writer, data, sizeof(data), COALMINE_COAP_CONTENT, 99,
			    registration.token + 77);
	coalmine_coap_receive(&coap, data, (size_t)coalmine_coap_end(&writer, "abc", 3), now_ms);
	CHECK_NUMBER(commands, 2);
	CHECK_NUMBER(sent[sent_count - 1][0], 0x70);
}

TEST(coap_report, "a report is kept, given up or held back as the host says")
{
	struct coalmine_coap_message request;

	begin(&open_config);
	(void)registered();
	CHECK_NUMBER(coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 1, now_ms), 0);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	answer(&request, COALMINE_COAP_CHANGED, 0, 0, NULL, 0);
	CHECK_NUMBER(taken, 1);
	(void)coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 2, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	answer(&request, COALMINE_COAP_BAD_REQUEST, 0, 0, "no", 2);
	CHECK_NUMBER(refused, 1);
	(void)coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 3, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	answer(&request, COALMINE_COAP_UNAVAILABLE, COALMINE_COAP_MAX_AGE, 5, NULL, 0);
	CHECK_NUMBER(coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 3, now_ms + 4999),
		     -EAGAIN);
	CHECK_NUMBER(coalmine_coap_report(&coap, (const uint8_t *)"abcd", 4, 3, now_ms + 5000), 0);
	now_ms += 5000;
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	sent_count = 0;
	/* It forgot us: registered again, at once. */
	answer(&request, COALMINE_COAP_CHANGED, COALMINE_COAP_RENEW, 0, NULL, 0);
	request = last();
	CHECK_NUMBER(request.code, COALMINE_COAP_GET);
	CHECK_NUMBER(taken, 2);
}

TEST(coap_upload, "a report larger than a block goes up in blocks")
{
	static uint8_t report[2500];
	struct coalmine_coap_message request;
	uint32_t value;

	begin(&open_config);
	(void)registered();
	(void)coalmine_coap_report(&coap, report, sizeof(report), 1, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	for (uint32_t num = 0; num < 3; num++) {
		request = last();
		CHECK(coalmine_coap_find_number(&request, COALMINE_COAP_BLOCK1, &value));
		CHECK_NUMBER(value, num << 4 | (num < 2 ? 8 : 0) | 6);
		CHECK_NUMBER(request.payload.length, num < 2 ? 1024 : 452);
		answer(&request, num < 2 ? COALMINE_COAP_CONTINUE : COALMINE_COAP_CHANGED,
		       COALMINE_COAP_BLOCK1, value, NULL, 0);
	}

	CHECK_NUMBER(taken, 1);
}

TEST(coap_block, "a block of another artifact, place or shape is not taken for the one asked for")
{
	static const uint8_t digest[] = {1, 2, 3, 4, 5, 6, 7, 8};
	struct coalmine_block_request ask = {
		.request = 3,
		.digest = {digest, sizeof(digest)},
		.offset = 1024,
		.length = 300,
	};
	struct coalmine_coap_message request;
	uint32_t value;

	begin(&open_config);
	(void)registered();
	CHECK_NUMBER(coalmine_coap_download(&coap, &ask), 0);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	CHECK(coalmine_coap_find_number(&request, COALMINE_COAP_BLOCK2, &value));
	CHECK_NUMBER(value, 2 << 4 | 5);
	/* No ETag: of nothing that we know. */
	answer(&request, COALMINE_COAP_CONTENT, COALMINE_COAP_BLOCK2, value, "abc", 3);
	CHECK_NUMBER(block_count, 0);
	(void)coalmine_coap_download(&coap, &ask);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = last();
	answer(&request, COALMINE_COAP_FORBIDDEN, 0, 0, NULL, 0);
	CHECK_NUMBER(block_count, 1);
	CHECK_NUMBER(block.reason, COALMINE_REFUSAL_NOT_OFFERED);
	CHECK_NUMBER(block.request, 3);
	ask.offset = 1000;
	CHECK_NUMBER(coalmine_coap_download(&coap, &ask), -EINVAL);
	ask.offset = 0;
	ask.length = 2048;
	CHECK_NUMBER(coalmine_coap_download(&coap, &ask), -EINVAL);
}

/* Hands in the documented 4.01 as the answer to the request that is on its way. */
static struct coalmine_coap_message answer_behind(size_t flipped)
{
	struct coalmine_coap_message request = last();
	uint8_t data[64];
	size_t size = bytes_of(BEHIND, data, sizeof(data));

	data[2] = (uint8_t)(request.id >> 8);
	data[3] = (uint8_t)request.id;
	for (size_t i = 0; i < 4; i++) {
		data[4 + i] = (uint8_t)(request.token >> (24 - 8 * i));
	}

	if (flipped > 0) {
		data[flipped] ^= 1;
	}

	coalmine_coap_receive(&coap, data, size, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	return request;
}

TEST(coap_erased, "a device whose settings were erased goes on above the numbers that the host has "
		  "signed for, and believes nobody else")
{
	static uint8_t key[COALMINE_COAP_KEY_SIZE];
	struct coalmine_coap_config config = open_config;
	struct coalmine_coap_message request;

	coalmine_coap_key(SECRET, key);
	config.key = key;
	sent_count = 0;
	ups = downs = 0;
	now_ms = 1000;
	coalmine_coap_init(&coap, &config, 0, 7);
	coap.sequence = 0x100001;
	(void)coalmine_coap_poll(&coap, now_ms);
	/* Another number than the host's: not believed, and nothing is sent. */
	(void)answer_behind(14);
	CHECK_NUMBER(sent_count, 0);
	CHECK_NUMBER(coap.sequence, 0x100002);
	/* What was sent again is the same request. */
	now_ms = coalmine_coap_poll(&coap, now_ms);
	(void)coalmine_coap_poll(&coap, now_ms);
	request = answer_behind(0);
	CHECK_NUMBER(coap.task_sequence, 0x2000006);
	CHECK_NUMBER(coap.sequence, 0x2000007);
	CHECK_NUMBER(coap.sequence_end, 0x3000000);
	/* At once, under a new message id, signed with the new number. */
	CHECK_NUMBER(sent_count, 1);
	CHECK(last().id != request.id);
	CHECK(coalmine_coap_parse(coap.datagram, coap.size, &request) == 0);
	CHECK(request.mac.data != NULL);
	CHECK_NUMBER(downs, 0);
}
