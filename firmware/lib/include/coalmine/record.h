/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_RECORD_H_
#define COALMINE_RECORD_H_

#include <coalmine/message.h>

/*
 * What a device keeps across resets, and the bytes it keeps it in (numbers little endian).
 *
 * Two images share these records: the one that was replaced must be able to read what its successor
 * wrote. So each begins with the number of its format, a format never changes, and one that is not
 * known counts as no record.
 */

enum coalmine_record {
	COALMINE_RECORD_BOOT = 1,
	COALMINE_RECORD_ATTEMPT = 2,
	COALMINE_RECORD_OFFER = 3,
	COALMINE_RECORD_CHECKPOINT = 4,
	COALMINE_RECORD_SEEN = 5,
	COALMINE_RECORD_CRASHES = 6,
	COALMINE_RECORD_SCHEMA = 7,
	COALMINE_RECORD_DUMP = 8,
};

#define COALMINE_REASON_KEPT 64
#define COALMINE_SEEN_MAX    4
#define COALMINE_CRASHES_MAX 3
#define COALMINE_QUARANTINE  8
#define COALMINE_RECORD_MAX  512
#define COALMINE_NUMBER_SIZE 5
#define COALMINE_DUMP_SIZE   9

/*
 * How far an attempt got. Applying: recorded, the swap not yet requested. Requested: MCUboot will
 * swap at the next reset. Testing: the new image has run. The others are final.
 */
enum coalmine_stage {
	COALMINE_STAGE_APPLYING,
	COALMINE_STAGE_REQUESTED,
	COALMINE_STAGE_TESTING,
	COALMINE_STAGE_CONFIRMED,
	COALMINE_STAGE_REVERTED,
	COALMINE_STAGE_REFUSED,
	COALMINE_STAGE_FAILED,
};

/* The attempt record: written before the reboot, kept until its end is acknowledged. */
struct coalmine_attempt_record {
	uint64_t offer;
	uint8_t target[COALMINE_HASH_SIZE];
	enum coalmine_stage stage;
	bool ran;
	bool acknowledged;
	enum coalmine_reset_cause reset_cause;
	/* Starts of the target so far. */
	uint8_t trial_boots;
	struct coalmine_policy policy;
	char reason[COALMINE_REASON_KEPT + 1];
};

/* An accepted offer, kept so that a download goes on after a reset. */
struct coalmine_offer_record {
	uint64_t offer;
	uint8_t digest[COALMINE_HASH_SIZE];
	uint8_t image_hash[COALMINE_HASH_SIZE];
	uint32_t size;
	struct coalmine_policy policy;
	/* Slot 1 is being written for it. */
	bool started;
};

/* Offers that ended, and images that this device will not try again. Newest first. */
struct coalmine_seen_record {
	uint8_t offer_count;
	uint64_t offers[COALMINE_SEEN_MAX];
	uint8_t quarantine_count;
	uint8_t quarantined[COALMINE_SEEN_MAX][COALMINE_QUARANTINE];
};

/* A crash, with the build that crashed: after a revert another build reports it. */
struct coalmine_crash_record {
	uint8_t build_id_size;
	uint8_t build_id[COALMINE_BUILD_ID_MAX];
	uint8_t image_hash[COALMINE_HASH_SIZE];
	/* Zephyr's fatal error number, see coalmine_reason_name(). */
	uint32_t reason;
	uint32_t pc;
	uint32_t lr;
	uint32_t uptime_s;
	/* The coredump partition holds a dump of it. */
	bool has_dump;
	/* Acknowledged; kept because its dump is still to be sent. */
	bool reported;
};

struct coalmine_crashes_record {
	uint8_t count;
	struct coalmine_crash_record crashes[COALMINE_CRASHES_MAX];
};

/* How much of which dump has arrived. */
struct coalmine_dump_record {
	uint32_t id;
	uint32_t offset;
};

bool coalmine_stage_is_final(enum coalmine_stage stage);

/*
 * To bytes and back. Packing answers the length, at most COALMINE_RECORD_MAX. Unpacking answers 0,
 * or -EBADMSG for bytes that are no such record, and then `record` is all zero.
 */
size_t coalmine_attempt_pack(const struct coalmine_attempt_record *record,
			     uint8_t data[COALMINE_RECORD_MAX]);
int coalmine_attempt_unpack(struct coalmine_attempt_record *record, const uint8_t *data,
			    size_t size);
size_t coalmine_offer_pack(const struct coalmine_offer_record *record,
			   uint8_t data[COALMINE_RECORD_MAX]);
int coalmine_offer_unpack(struct coalmine_offer_record *record, const uint8_t *data, size_t size);
size_t coalmine_seen_pack(const struct coalmine_seen_record *record,
			  uint8_t data[COALMINE_RECORD_MAX]);
int coalmine_seen_unpack(struct coalmine_seen_record *record, const uint8_t *data, size_t size);
size_t coalmine_crashes_pack(const struct coalmine_crashes_record *record,
			     uint8_t data[COALMINE_RECORD_MAX]);
int coalmine_crashes_unpack(struct coalmine_crashes_record *record, const uint8_t *data,
			    size_t size);
size_t coalmine_dump_pack(const struct coalmine_dump_record *record,
			  uint8_t data[COALMINE_DUMP_SIZE]);
int coalmine_dump_unpack(struct coalmine_dump_record *record, const uint8_t *data, size_t size);
size_t coalmine_number_pack(uint32_t number, uint8_t data[COALMINE_NUMBER_SIZE]);
int coalmine_number_unpack(uint32_t *number, const uint8_t *data, size_t size);

#endif /* COALMINE_RECORD_H_ */
