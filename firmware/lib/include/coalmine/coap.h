/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_COAP_H_
#define COALMINE_COAP_H_

#include <coalmine/coap_envelope.h>
#include <coalmine/message.h>

/*
 * The device's side of docs/coap.md, without a socket: datagrams and time go in, datagrams and what
 * the host said come out. It is to CoAP what an MQTT client is to MQTT; the agent is above it.
 *
 * K1. One request at a time (RFC 7252 section 4.7), and it ends once: with an answer, or the link
 * is down. K2. With a key, an answer that the host did not sign for this request is none, but for
 * blocks of an artifact, whose digest is in a signed offer, and a 4.01 without a signature. K3. A
 * sequence number is used once in the life of the key: the number of the boot, then a count, or,
 * when the host says under its signature that it has seen higher ones (settings were erased), above
 * those. K4. A command is acknowledged when it was handed on.
 *
 * Times are milliseconds and never fall.
 */

#define COALMINE_COAP_BLOCK_MAX	   1024
/* The largest block, its options and the envelope. */
#define COALMINE_COAP_DATAGRAM_MAX (COALMINE_COAP_BLOCK_MAX + 256)
#define COALMINE_COAP_ECHO_MAX	   40
/* Bits of a sequence number below the boot's. */
#define COALMINE_COAP_COUNT_BITS   24

struct coalmine_coap_events {
	/* Sends a datagram to the host. */
	void (*send)(void *context, const uint8_t *data, size_t size);
	/* The host answers, or does not any more. */
	void (*link)(void *context, bool up);
	void (*command)(void *context, const uint8_t *data, size_t size);
	void (*block)(void *context, const struct coalmine_block_answer *answer);
	/* A report is durable; or it means nothing to the host, and must not be sent again. */
	void (*reported)(void *context, uint32_t sequence, bool taken);
};

struct coalmine_coap_config {
	const char *device;
	/* Of COALMINE_COAP_KEY_SIZE bytes; NULL where the host takes a device's word. */
	const uint8_t *key;
	/*
	 * True to be told of commands when they come. False to ask for them after each report: for
	 * devices that sleep in between.
	 */
	bool observe;
	/* Seconds after which a device registers again, so that nothing on the way forgets it. */
	uint32_t refresh_s;
	const struct coalmine_coap_events *events;
	void *context;
};

enum coalmine_coap_task {
	COALMINE_COAP_DESIRED,
	COALMINE_COAP_COMMAND,
	COALMINE_COAP_REPORT,
	COALMINE_COAP_DOWNLOAD,
	COALMINE_COAP_IDLE,
};

struct coalmine_coap_observation {
	bool active;
	uint32_t token;
	/* Of the registration. */
	uint64_t sequence;
	/* The value of Observe that was heard last. */
	uint32_t order;
};

struct coalmine_coap {
	const struct coalmine_coap_config *config;
	uint64_t sequence;
	uint64_t sequence_end;
	uint32_t random;
	uint16_t next_id;
	bool up;
	int64_t retry_ms;
	uint32_t backoff_ms;
	int64_t refresh_ms;
	/* Tasks that wait for their turn, one bit each. */
	uint8_t waiting;
	struct coalmine_coap_observation observations[2];

	const uint8_t *report;
	size_t report_size;
	uint32_t report_sequence;
	/* The host asked for silence until then. */
	int64_t quiet_ms;

	uint32_t block_request;
	uint32_t block_offset;
	uint32_t block_length;
	uint8_t block_digest[COALMINE_DIGEST_PREFIX];

	/* The request that is on its way. */
	enum coalmine_coap_task task;
	uint16_t id;
	uint32_t token;
	uint64_t task_sequence;
	/* The block of an upload (RFC 7959). */
	uint32_t upload;
	uint8_t echo[COALMINE_COAP_ECHO_MAX];
	size_t echo_size;
	unsigned int challenges;
	unsigned int sendings;
	bool acknowledged;
	uint32_t timeout_ms;
	int64_t due_ms;
	size_t size;
	uint8_t datagram[COALMINE_COAP_DATAGRAM_MAX];
};

/*
 * `boot` is the number of this boot, below 2^29 and never the same again; `seed` should differ
 * between devices and boots. `config` must stay where it is.
 */
void coalmine_coap_init(struct coalmine_coap *coap, const struct coalmine_coap_config *config,
			uint32_t boot, uint32_t seed);
/*
 * Sends a report; `data` must stay until it is reported. -ENOTCONN while the link is down, -EAGAIN
 * while the host wants no reports.
 */
int coalmine_coap_report(struct coalmine_coap *coap, const uint8_t *data, size_t size,
			 uint32_t sequence, int64_t now_ms);
/*
 * Asks for a block: its length is at most COALMINE_COAP_BLOCK_MAX, and a power of two but at the
 * end of the artifact, its offset a multiple of that. -EINVAL for another, -ENOTCONN while the link
 * is down.
 */
int coalmine_coap_download(struct coalmine_coap *coap,
			   const struct coalmine_block_request *request);
/* A datagram came from the host's address. */
void coalmine_coap_receive(struct coalmine_coap *coap, const uint8_t *data, size_t size,
			   int64_t now_ms);
/* Sends what waits and again what is late. Answers when to poll next, at the latest. */
int64_t coalmine_coap_poll(struct coalmine_coap *coap, int64_t now_ms);

#endif /* COALMINE_COAP_H_ */
