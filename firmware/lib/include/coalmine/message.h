/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_MESSAGE_H_
#define COALMINE_MESSAGE_H_

#include <coalmine/cbor.h>
#include <coalmine/limits.h>

/*
 * The messages of coalmine.cddl, version 1. Texts and byte strings are slices: a decoded message
 * points into the bytes it came from. Numbers of words are their order in the format; append, never
 * reorder.
 */

enum coalmine_kind {
	COALMINE_HELLO = 1,
	COALMINE_HEARTBEAT = 2,
	COALMINE_PROGRESS = 3,
	COALMINE_DEFERRED = 4,
	COALMINE_RESULT = 5,
	COALMINE_CRASH = 6,
	COALMINE_LOG = 7,
	COALMINE_OFFER = 10,
	COALMINE_CANCEL = 11,
	COALMINE_SWAP_BACK = 12,
	COALMINE_CONFIRM = 13,
	COALMINE_IDENTIFY = 14,
	COALMINE_RENUMBER = 15,
	COALMINE_BLOCK_REQUEST = 20,
	COALMINE_BLOCK = 21,
	COALMINE_BLOCK_REFUSED = 22,
};

enum coalmine_reset_cause {
	COALMINE_RESET_POWER_ON,
	COALMINE_RESET_PIN,
	COALMINE_RESET_SOFTWARE,
	COALMINE_RESET_WATCHDOG,
	COALMINE_RESET_BROWNOUT,
	COALMINE_RESET_FAULT,
	COALMINE_RESET_UNKNOWN,
};

enum coalmine_swap_mode {
	COALMINE_SWAP_MOVE,
	COALMINE_SWAP_OFFSET,
	COALMINE_SWAP_SCRATCH,
	COALMINE_OVERWRITE,
	COALMINE_DIRECT_XIP,
};

enum coalmine_outcome {
	COALMINE_OUTCOME_APPLYING,
	COALMINE_OUTCOME_TESTING,
	COALMINE_OUTCOME_CONFIRMED,
	COALMINE_OUTCOME_REVERTED,
	COALMINE_OUTCOME_REFUSED,
	COALMINE_OUTCOME_FAILED,
};

enum coalmine_progress {
	COALMINE_PROGRESS_ACCEPTED,
	COALMINE_PROGRESS_DOWNLOADING,
	COALMINE_PROGRESS_DOWNLOADED,
	COALMINE_PROGRESS_APPLYING,
	COALMINE_PROGRESS_TESTING,
};

enum coalmine_deferral {
	COALMINE_DEFERRED_BATTERY,
	COALMINE_DEFERRED_BUSY,
	COALMINE_DEFERRED_LINK,
	COALMINE_DEFERRED_OPERATOR,
};

enum coalmine_stream {
	COALMINE_STREAM_LOG,
	COALMINE_STREAM_COREDUMP,
};

enum coalmine_refusal {
	COALMINE_REFUSAL_NOT_OFFERED,
	COALMINE_REFUSAL_UNKNOWN,
	COALMINE_REFUSAL_RANGE,
};

struct coalmine_slot {
	/* COALMINE_HASH_SIZE bytes: MCUboot's SHA-256 of the image. */
	struct coalmine_span image_hash;
	/* 1.2.3+4 */
	struct coalmine_text version;
};

struct coalmine_hardware {
	struct coalmine_text board;
	struct coalmine_text revision;
	/* Fingerprint of the flash layout. */
	struct coalmine_text partition_map;
	enum coalmine_swap_mode mode;
	/* Bytes of slot 1. */
	uint32_t slot_size;
};

/* What the bootloader does with an image that is older than the one that runs. */
enum coalmine_downgrade {
	COALMINE_DOWNGRADE_NONE,
	COALMINE_DOWNGRADE_VERSION,
	COALMINE_DOWNGRADE_VERSION_BUILD,
	COALMINE_DOWNGRADE_COUNTER,
};

/* How the bootloader was built, as far as the firmware knows. */
struct coalmine_bootloader {
	enum coalmine_downgrade downgrade;
	/* Sectors of slot 1, and its write alignment in bytes; 0: not told. */
	uint32_t sectors;
	uint32_t write_align;
};

struct coalmine_attempt {
	uint64_t offer;
	struct coalmine_span target;
	enum coalmine_outcome outcome;
	/* The new image ran at least once. */
	bool ran;
	enum coalmine_reset_cause reset_cause;
};

struct coalmine_attribute {
	struct coalmine_text name;
	struct coalmine_text value;
};

struct coalmine_metric {
	struct coalmine_text name;
	double value;
};

struct coalmine_hello {
	struct coalmine_hardware hardware;
	struct coalmine_slot running;
	struct coalmine_span build_id;
	bool confirmed;
	/* False: the other slot holds no valid image, and `slot1` is not looked at. */
	bool has_slot1;
	struct coalmine_slot slot1;
	enum coalmine_reset_cause reset_cause;
	bool has_attempt;
	struct coalmine_attempt attempt;
	/* Expected seconds between reports. */
	uint32_t interval_s;
	/* Names in the order of coalmine_name_order(). */
	size_t attribute_count;
	struct coalmine_attribute attributes[COALMINE_ENTRIES_MAX];
	uint32_t storage_schema;
	/* False: nothing is known of it, and `bootloader` is not looked at. */
	bool has_bootloader;
	struct coalmine_bootloader bootloader;
};

struct coalmine_heartbeat {
	struct coalmine_span image_hash;
	bool confirmed;
	bool has_battery;
	/* 0 to 100 */
	double battery;
	/* Share of the time since the last heartbeat with a working link, 0 to 1. */
	double link_uptime;
	size_t metric_count;
	struct coalmine_metric metrics[COALMINE_ENTRIES_MAX];
};

struct coalmine_report {
	uint32_t boot;
	uint32_t sequence;
	uint32_t uptime_s;
	enum coalmine_kind kind;
	union {
		struct coalmine_hello hello;
		struct coalmine_heartbeat heartbeat;
		struct {
			uint64_t offer;
			enum coalmine_progress state;
			uint32_t offset;
		} progress;
		struct {
			uint64_t offer;
			enum coalmine_deferral reason;
			uint32_t until_s;
		} deferred;
		struct {
			struct coalmine_attempt attempt;
			struct coalmine_text reason;
		} result;
		struct {
			struct coalmine_span build_id;
			struct coalmine_span image_hash;
			struct coalmine_text reason;
			uint64_t pc;
			uint64_t lr;
			uint32_t uptime_s;
		} crash;
		struct {
			enum coalmine_stream stream;
			struct coalmine_span build_id;
			uint32_t id;
			uint32_t offset;
			/* 0 while unknown */
			uint32_t total;
			struct coalmine_span data;
		} log;
	};
};

/* How the new image earns its confirmation. */
struct coalmine_policy {
	uint32_t min_uptime_s;
	uint32_t deadline_s;
	bool server_contact;
};

struct coalmine_offer {
	uint64_t offer;
	struct coalmine_text release;
	struct coalmine_text version;
	struct coalmine_text board;
	struct coalmine_text revision;
	struct coalmine_text partition_map;
	/* SHA-256 of the artifact file. */
	struct coalmine_span digest;
	struct coalmine_span image_hash;
	uint32_t size;
	uint32_t jitter_s;
	struct coalmine_policy confirm;
};

struct coalmine_command {
	enum coalmine_kind kind;
	union {
		struct coalmine_offer offer;
		struct {
			uint64_t offer;
		} cancel;
		struct {
			uint64_t offer;
			struct coalmine_span image_hash;
		} swap_back;
		struct {
			uint64_t offer;
			struct coalmine_policy policy;
		} confirm;
		struct {
			/* Boots up to this one were counted before. */
			uint32_t boot;
		} renumber;
	};
};

struct coalmine_block_request {
	uint32_t request;
	/* First COALMINE_DIGEST_PREFIX bytes of the artifact's digest. */
	struct coalmine_span digest;
	uint32_t offset;
	uint32_t length;
};

struct coalmine_block_answer {
	enum coalmine_kind kind;
	uint32_t request;
	uint32_t offset;
	struct coalmine_span data;
	enum coalmine_refusal reason;
};

/*
 * Encoders answer the length written, -EINVAL for a value that the format cannot carry, -ENOMEM
 * when the buffer is too small. Decoders answer 0 or -EBADMSG; `trouble` may be NULL. A device
 * needs the first four; the others are there for gateways and for tests, and cost nothing unless
 * they are called.
 */
int coalmine_report_encode(const struct coalmine_report *report, uint8_t *data, size_t size);
int coalmine_block_request_encode(const struct coalmine_block_request *request, uint8_t *data,
				  size_t size);
int coalmine_command_decode(const uint8_t *data, size_t size, struct coalmine_command *command,
			    struct coalmine_trouble *trouble);
int coalmine_block_answer_decode(const uint8_t *data, size_t size,
				 struct coalmine_block_answer *answer,
				 struct coalmine_trouble *trouble);

int coalmine_report_decode(const uint8_t *data, size_t size, struct coalmine_report *report,
			   struct coalmine_trouble *trouble);
int coalmine_block_request_decode(const uint8_t *data, size_t size,
				  struct coalmine_block_request *request,
				  struct coalmine_trouble *trouble);
int coalmine_command_encode(const struct coalmine_command *command, uint8_t *data, size_t size);
int coalmine_block_answer_encode(const struct coalmine_block_answer *answer, uint8_t *data,
				 size_t size);

#endif /* COALMINE_MESSAGE_H_ */
