/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <coalmine/record.h>

#define FORMAT 1

struct packer {
	uint8_t *data;
	size_t used;
};

struct unpacker {
	const uint8_t *data;
	size_t size;
	size_t at;
	bool failed;
};

static void pack_number(struct packer *packer, uint64_t value, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		packer->data[packer->used++] = (uint8_t)(value >> (8 * i));
	}
}

static void pack_bytes(struct packer *packer, const void *data, size_t size)
{
	memcpy(&packer->data[packer->used], data, size);
	packer->used += size;
}

static void pack_policy(struct packer *packer, const struct coalmine_policy *policy)
{
	pack_number(packer, policy->min_uptime_s, 4);
	pack_number(packer, policy->deadline_s, 4);
	pack_number(packer, policy->server_contact, 1);
}

static struct packer pack_begin(uint8_t *data)
{
	struct packer packer = {data, 0};

	pack_number(&packer, FORMAT, 1);
	return packer;
}

static uint64_t unpack_number(struct unpacker *unpacker, size_t size)
{
	uint64_t value = 0;

	if (unpacker->failed || unpacker->size - unpacker->at < size) {
		unpacker->failed = true;
		return 0;
	}

	for (size_t i = 0; i < size; i++) {
		value |= (uint64_t)unpacker->data[unpacker->at++] << (8 * i);
	}

	return value;
}

/* A number that names one of `count` things. */
static uint32_t unpack_index(struct unpacker *unpacker, uint32_t count)
{
	uint32_t value = (uint32_t)unpack_number(unpacker, 1);

	if (value >= count) {
		unpacker->failed = true;
		return 0;
	}

	return value;
}

static bool unpack_bool(struct unpacker *unpacker)
{
	return unpack_index(unpacker, 2) == 1;
}

static void unpack_bytes(struct unpacker *unpacker, void *data, size_t size)
{
	if (unpacker->failed || unpacker->size - unpacker->at < size) {
		unpacker->failed = true;
		return;
	}

	memcpy(data, &unpacker->data[unpacker->at], size);
	unpacker->at += size;
}

static void unpack_policy(struct unpacker *unpacker, struct coalmine_policy *policy)
{
	policy->min_uptime_s = (uint32_t)unpack_number(unpacker, 4);
	policy->deadline_s = (uint32_t)unpack_number(unpacker, 4);
	policy->server_contact = unpack_bool(unpacker);
}

static struct unpacker unpack_begin(const uint8_t *data, size_t size)
{
	struct unpacker unpacker = {data, size, 0, false};

	unpacker.failed = unpack_number(&unpacker, 1) != FORMAT;
	return unpacker;
}

static int unpack_end(const struct unpacker *unpacker, void *record, size_t record_size)
{
	if (unpacker->failed || unpacker->at != unpacker->size) {
		memset(record, 0, record_size);
		return -EBADMSG;
	}

	return 0;
}

bool coalmine_stage_is_final(enum coalmine_stage stage)
{
	return stage >= COALMINE_STAGE_CONFIRMED;
}

size_t coalmine_attempt_pack(const struct coalmine_attempt_record *record,
			     uint8_t data[COALMINE_RECORD_MAX])
{
	struct packer packer = pack_begin(data);
	size_t length = strlen(record->reason);

	pack_number(&packer, record->offer, 8);
	pack_bytes(&packer, record->target, sizeof(record->target));
	pack_number(&packer, record->stage, 1);
	pack_number(&packer, record->ran, 1);
	pack_number(&packer, record->acknowledged, 1);
	pack_number(&packer, record->reset_cause, 1);
	pack_number(&packer, record->trial_boots, 1);
	pack_policy(&packer, &record->policy);
	pack_number(&packer, length, 1);
	pack_bytes(&packer, record->reason, length);
	return packer.used;
}

int coalmine_attempt_unpack(struct coalmine_attempt_record *record, const uint8_t *data,
			    size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);
	uint32_t length;

	memset(record, 0, sizeof(*record));
	record->offer = unpack_number(&unpacker, 8);
	unpack_bytes(&unpacker, record->target, sizeof(record->target));
	record->stage = unpack_index(&unpacker, COALMINE_STAGE_FAILED + 1);
	record->ran = unpack_bool(&unpacker);
	record->acknowledged = unpack_bool(&unpacker);
	record->reset_cause = unpack_index(&unpacker, COALMINE_RESET_UNKNOWN + 1);
	record->trial_boots = (uint8_t)unpack_number(&unpacker, 1);
	unpack_policy(&unpacker, &record->policy);
	length = unpack_index(&unpacker, COALMINE_REASON_KEPT + 1);
	unpack_bytes(&unpacker, record->reason, length);
	return unpack_end(&unpacker, record, sizeof(*record));
}

size_t coalmine_offer_pack(const struct coalmine_offer_record *record,
			   uint8_t data[COALMINE_RECORD_MAX])
{
	struct packer packer = pack_begin(data);

	pack_number(&packer, record->offer, 8);
	pack_bytes(&packer, record->digest, sizeof(record->digest));
	pack_bytes(&packer, record->image_hash, sizeof(record->image_hash));
	pack_number(&packer, record->size, 4);
	pack_policy(&packer, &record->policy);
	pack_number(&packer, record->started, 1);
	return packer.used;
}

int coalmine_offer_unpack(struct coalmine_offer_record *record, const uint8_t *data, size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);

	memset(record, 0, sizeof(*record));
	record->offer = unpack_number(&unpacker, 8);
	unpack_bytes(&unpacker, record->digest, sizeof(record->digest));
	unpack_bytes(&unpacker, record->image_hash, sizeof(record->image_hash));
	record->size = (uint32_t)unpack_number(&unpacker, 4);
	unpack_policy(&unpacker, &record->policy);
	record->started = unpack_bool(&unpacker);
	return unpack_end(&unpacker, record, sizeof(*record));
}

size_t coalmine_seen_pack(const struct coalmine_seen_record *record,
			  uint8_t data[COALMINE_RECORD_MAX])
{
	struct packer packer = pack_begin(data);

	pack_number(&packer, record->offer_count, 1);
	for (size_t i = 0; i < record->offer_count; i++) {
		pack_number(&packer, record->offers[i], 8);
	}

	pack_number(&packer, record->quarantine_count, 1);
	for (size_t i = 0; i < record->quarantine_count; i++) {
		pack_bytes(&packer, record->quarantined[i], COALMINE_QUARANTINE);
	}

	return packer.used;
}

int coalmine_seen_unpack(struct coalmine_seen_record *record, const uint8_t *data, size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);

	memset(record, 0, sizeof(*record));
	record->offer_count = (uint8_t)unpack_index(&unpacker, COALMINE_SEEN_MAX + 1);
	for (size_t i = 0; i < record->offer_count; i++) {
		record->offers[i] = unpack_number(&unpacker, 8);
	}

	record->quarantine_count = (uint8_t)unpack_index(&unpacker, COALMINE_SEEN_MAX + 1);
	for (size_t i = 0; i < record->quarantine_count; i++) {
		unpack_bytes(&unpacker, record->quarantined[i], COALMINE_QUARANTINE);
	}

	return unpack_end(&unpacker, record, sizeof(*record));
}

size_t coalmine_crashes_pack(const struct coalmine_crashes_record *record,
			     uint8_t data[COALMINE_RECORD_MAX])
{
	struct packer packer = pack_begin(data);

	pack_number(&packer, record->count, 1);
	for (size_t i = 0; i < record->count; i++) {
		const struct coalmine_crash_record *crash = &record->crashes[i];

		pack_number(&packer, crash->build_id_size, 1);
		pack_bytes(&packer, crash->build_id, crash->build_id_size);
		pack_bytes(&packer, crash->image_hash, sizeof(crash->image_hash));
		pack_number(&packer, crash->reason, 4);
		pack_number(&packer, crash->pc, 4);
		pack_number(&packer, crash->lr, 4);
		pack_number(&packer, crash->uptime_s, 4);
		pack_number(&packer, crash->has_dump, 1);
		pack_number(&packer, crash->reported, 1);
	}

	return packer.used;
}

int coalmine_crashes_unpack(struct coalmine_crashes_record *record, const uint8_t *data,
			    size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);

	memset(record, 0, sizeof(*record));
	record->count = (uint8_t)unpack_index(&unpacker, COALMINE_CRASHES_MAX + 1);
	for (size_t i = 0; i < record->count; i++) {
		struct coalmine_crash_record *crash = &record->crashes[i];

		crash->build_id_size = (uint8_t)unpack_index(&unpacker, COALMINE_BUILD_ID_MAX + 1);
		unpack_bytes(&unpacker, crash->build_id, crash->build_id_size);
		unpack_bytes(&unpacker, crash->image_hash, sizeof(crash->image_hash));
		crash->reason = (uint32_t)unpack_number(&unpacker, 4);
		crash->pc = (uint32_t)unpack_number(&unpacker, 4);
		crash->lr = (uint32_t)unpack_number(&unpacker, 4);
		crash->uptime_s = (uint32_t)unpack_number(&unpacker, 4);
		crash->has_dump = unpack_bool(&unpacker);
		crash->reported = unpack_bool(&unpacker);
	}

	return unpack_end(&unpacker, record, sizeof(*record));
}

size_t coalmine_dump_pack(const struct coalmine_dump_record *record,
			  uint8_t data[COALMINE_DUMP_SIZE])
{
	struct packer packer = pack_begin(data);

	pack_number(&packer, record->id, 4);
	pack_number(&packer, record->offset, 4);
	return packer.used;
}

int coalmine_dump_unpack(struct coalmine_dump_record *record, const uint8_t *data, size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);

	record->id = (uint32_t)unpack_number(&unpacker, 4);
	record->offset = (uint32_t)unpack_number(&unpacker, 4);
	return unpack_end(&unpacker, record, sizeof(*record));
}

size_t coalmine_number_pack(uint32_t number, uint8_t data[COALMINE_NUMBER_SIZE])
{
	struct packer packer = pack_begin(data);

	pack_number(&packer, number, 4);
	return packer.used;
}

int coalmine_number_unpack(uint32_t *number, const uint8_t *data, size_t size)
{
	struct unpacker unpacker = unpack_begin(data, size);

	*number = (uint32_t)unpack_number(&unpacker, 4);
	return unpack_end(&unpacker, number, sizeof(*number));
}
