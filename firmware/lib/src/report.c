/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>

#include <coalmine/message.h>

#define PAIRS 6

static void write_slot(struct coalmine_writer *writer, const struct coalmine_slot *slot)
{
	coalmine_write_bytes(writer, 0, slot->image_hash, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	coalmine_write_label(writer, 1, slot->version, COALMINE_VERSION_MAX);
}

static struct coalmine_slot read_slot(struct coalmine_reader *reader)
{
	struct coalmine_slot slot;

	slot.image_hash = coalmine_read_bytes(reader, 0, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	slot.version = coalmine_read_label(reader, 1, COALMINE_VERSION_MAX);
	return slot;
}

static void write_attempt(struct coalmine_writer *writer, const struct coalmine_attempt *attempt)
{
	coalmine_write_map(writer, 5);
	coalmine_write_uint(writer, 0, attempt->offer, COALMINE_SAFE_MAX);
	coalmine_write_bytes(writer, 1, attempt->target, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	coalmine_write_uint(writer, 2, attempt->outcome, COALMINE_OUTCOME_FAILED);
	coalmine_write_bool(writer, 3, attempt->ran);
	coalmine_write_uint(writer, 4, attempt->reset_cause, COALMINE_RESET_UNKNOWN);
}

static struct coalmine_attempt read_attempt(struct coalmine_reader *reader)
{
	struct coalmine_attempt attempt;

	coalmine_read_map(reader, 5);
	attempt.offer = coalmine_read_uint(reader, 0, COALMINE_SAFE_MAX);
	attempt.target = coalmine_read_bytes(reader, 1, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	attempt.outcome = coalmine_read_word(reader, 2, COALMINE_OUTCOME_FAILED + 1);
	attempt.ran = coalmine_read_bool(reader, 3);
	attempt.reset_cause = coalmine_read_word(reader, 4, COALMINE_RESET_UNKNOWN + 1);
	return attempt;
}

/*
 * Names must rise, which also rules out repeated ones; a name out of order is the caller's
 * mistake.
 */
static void check_names(struct coalmine_writer *writer, struct coalmine_text last,
			struct coalmine_text name)
{
	if (!coalmine_is_name(name) || coalmine_name_order(last, name) >= 0) {
		coalmine_writer_refuse(writer);
	}
}

static void write_hello(struct coalmine_writer *writer, const struct coalmine_hello *hello)
{
	struct coalmine_text last = {"", 0};
	size_t count = hello->attribute_count;

	coalmine_write_map(writer, hello->has_bootloader ? 9 : 8);
	coalmine_write_key(writer, 0);
	coalmine_write_map(writer, 5);
	coalmine_write_text(writer, 0, hello->hardware.board, COALMINE_HARDWARE_MAX);
	coalmine_write_text(writer, 1, hello->hardware.revision, COALMINE_HARDWARE_MAX);
	coalmine_write_text(writer, 2, hello->hardware.partition_map, COALMINE_HARDWARE_MAX);
	coalmine_write_uint(writer, 3, hello->hardware.mode, COALMINE_DIRECT_XIP);
	coalmine_write_uint(writer, 4, hello->hardware.slot_size, UINT32_MAX);
	coalmine_write_key(writer, 1);
	coalmine_write_map(writer, 4);
	write_slot(writer, &hello->running);
	coalmine_write_bytes(writer, 2, hello->build_id, COALMINE_BUILD_ID_MIN,
			     COALMINE_BUILD_ID_MAX);
	coalmine_write_bool(writer, 3, hello->confirmed);
	if (hello->has_slot1) {
		coalmine_write_key(writer, 2);
		coalmine_write_map(writer, 2);
		write_slot(writer, &hello->slot1);
	} else {
		coalmine_write_none(writer, 2);
	}

	coalmine_write_uint(writer, 3, hello->reset_cause, COALMINE_RESET_UNKNOWN);
	if (hello->has_attempt) {
		coalmine_write_key(writer, 4);
		write_attempt(writer, &hello->attempt);
	} else {
		coalmine_write_none(writer, 4);
	}

	coalmine_write_uint(writer, 5, hello->interval_s, UINT32_MAX);
	coalmine_write_key(writer, 6);
	if (count > COALMINE_ENTRIES_MAX) {
		coalmine_writer_refuse(writer);
		count = 0;
	}

	coalmine_write_map(writer, count);
	for (size_t i = 0; i < count; i++) {
		check_names(writer, last, hello->attributes[i].name);
		last = hello->attributes[i].name;
		coalmine_write_text_item(writer, last, COALMINE_NAME_MAX);
		coalmine_write_text_item(writer, hello->attributes[i].value, COALMINE_VALUE_MAX);
	}

	coalmine_write_uint(writer, 7, hello->storage_schema, UINT32_MAX);
	if (hello->has_bootloader) {
		coalmine_write_key(writer, 8);
		coalmine_write_map(writer, 3);
		coalmine_write_uint(writer, 0, hello->bootloader.downgrade,
				    COALMINE_DOWNGRADE_COUNTER);
		coalmine_write_uint(writer, 1, hello->bootloader.sectors, UINT32_MAX);
		coalmine_write_uint(writer, 2, hello->bootloader.write_align, UINT32_MAX);
	}
}

static void read_hello(struct coalmine_reader *reader, struct coalmine_hello *hello)
{
	struct coalmine_text last = {"", 0};
	uint32_t count;

	hello->has_bootloader = coalmine_read_open_map(reader, 8, 9) > 8;
	coalmine_read_key(reader, 0);
	coalmine_read_map(reader, 5);
	hello->hardware.board = coalmine_read_text(reader, 0, COALMINE_HARDWARE_MAX);
	hello->hardware.revision = coalmine_read_text(reader, 1, COALMINE_HARDWARE_MAX);
	hello->hardware.partition_map = coalmine_read_text(reader, 2, COALMINE_HARDWARE_MAX);
	hello->hardware.mode = coalmine_read_word(reader, 3, COALMINE_DIRECT_XIP + 1);
	hello->hardware.slot_size = (uint32_t)coalmine_read_uint(reader, 4, UINT32_MAX);
	coalmine_read_key(reader, 1);
	coalmine_read_map(reader, 4);
	hello->running = read_slot(reader);
	hello->build_id =
		coalmine_read_bytes(reader, 2, COALMINE_BUILD_ID_MIN, COALMINE_BUILD_ID_MAX);
	hello->confirmed = coalmine_read_bool(reader, 3);
	hello->has_slot1 = !coalmine_read_none(reader, 2);
	if (hello->has_slot1) {
		coalmine_read_map(reader, 2);
		hello->slot1 = read_slot(reader);
	}

	hello->reset_cause = coalmine_read_word(reader, 3, COALMINE_RESET_UNKNOWN + 1);
	hello->has_attempt = !coalmine_read_none(reader, 4);
	if (hello->has_attempt) {
		hello->attempt = read_attempt(reader);
	}

	hello->interval_s = (uint32_t)coalmine_read_uint(reader, 5, UINT32_MAX);
	count = coalmine_read_entries(reader, 6, COALMINE_ENTRIES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		last = coalmine_read_name(reader, last);
		hello->attributes[i].name = last;
		hello->attributes[i].value = coalmine_read_text_item(reader, COALMINE_VALUE_MAX);
	}

	hello->attribute_count = count;
	hello->storage_schema = (uint32_t)coalmine_read_uint(reader, 7, UINT32_MAX);
	if (hello->has_bootloader) {
		coalmine_read_key(reader, 8);
		coalmine_read_map(reader, 3);
		hello->bootloader.downgrade =
			coalmine_read_word(reader, 0, COALMINE_DOWNGRADE_COUNTER + 1);
		hello->bootloader.sectors = (uint32_t)coalmine_read_uint(reader, 1, UINT32_MAX);
		hello->bootloader.write_align = (uint32_t)coalmine_read_uint(reader, 2, UINT32_MAX);
	}
}

static void write_heartbeat(struct coalmine_writer *writer,
			    const struct coalmine_heartbeat *heartbeat)
{
	struct coalmine_text last = {"", 0};
	size_t count = heartbeat->metric_count;

	coalmine_write_map(writer, 5);
	coalmine_write_bytes(writer, 0, heartbeat->image_hash, COALMINE_HASH_SIZE,
			     COALMINE_HASH_SIZE);
	coalmine_write_bool(writer, 1, heartbeat->confirmed);
	if (heartbeat->has_battery) {
		coalmine_write_real(writer, 2, heartbeat->battery, 0, 100);
	} else {
		coalmine_write_none(writer, 2);
	}

	coalmine_write_real(writer, 3, heartbeat->link_uptime, 0, 1);
	coalmine_write_key(writer, 4);
	if (count > COALMINE_ENTRIES_MAX) {
		coalmine_writer_refuse(writer);
		count = 0;
	}

	coalmine_write_map(writer, count);
	for (size_t i = 0; i < count; i++) {
		check_names(writer, last, heartbeat->metrics[i].name);
		last = heartbeat->metrics[i].name;
		coalmine_write_text_item(writer, last, COALMINE_NAME_MAX);
		coalmine_write_real_item(writer, heartbeat->metrics[i].value, -DBL_MAX, DBL_MAX);
	}
}

static void read_heartbeat(struct coalmine_reader *reader, struct coalmine_heartbeat *heartbeat)
{
	struct coalmine_text last = {"", 0};
	uint32_t count;

	coalmine_read_map(reader, 5);
	heartbeat->image_hash =
		coalmine_read_bytes(reader, 0, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	heartbeat->confirmed = coalmine_read_bool(reader, 1);
	heartbeat->has_battery = !coalmine_read_none(reader, 2);
	if (heartbeat->has_battery) {
		heartbeat->battery = coalmine_read_real_item(reader, 0, 100);
	}

	heartbeat->link_uptime = coalmine_read_real(reader, 3, 0, 1);
	count = coalmine_read_entries(reader, 4, COALMINE_ENTRIES_MAX);
	for (uint32_t i = 0; i < count; i++) {
		last = coalmine_read_name(reader, last);
		heartbeat->metrics[i].name = last;
		heartbeat->metrics[i].value = coalmine_read_real_item(reader, -DBL_MAX, DBL_MAX);
	}

	heartbeat->metric_count = count;
}

static void write_body(struct coalmine_writer *writer, const struct coalmine_report *report)
{
	switch (report->kind) {
	case COALMINE_HELLO:
		write_hello(writer, &report->hello);
		break;
	case COALMINE_HEARTBEAT:
		write_heartbeat(writer, &report->heartbeat);
		break;
	case COALMINE_PROGRESS:
		coalmine_write_map(writer, 3);
		coalmine_write_uint(writer, 0, report->progress.offer, COALMINE_SAFE_MAX);
		coalmine_write_uint(writer, 1, report->progress.state, COALMINE_PROGRESS_TESTING);
		coalmine_write_uint(writer, 2, report->progress.offset, UINT32_MAX);
		break;
	case COALMINE_DEFERRED:
		coalmine_write_map(writer, 3);
		coalmine_write_uint(writer, 0, report->deferred.offer, COALMINE_SAFE_MAX);
		coalmine_write_uint(writer, 1, report->deferred.reason, COALMINE_DEFERRED_OPERATOR);
		coalmine_write_uint(writer, 2, report->deferred.until_s, UINT32_MAX);
		break;
	case COALMINE_RESULT:
		coalmine_write_map(writer, 2);
		coalmine_write_key(writer, 0);
		write_attempt(writer, &report->result.attempt);
		coalmine_write_text(writer, 1, report->result.reason, COALMINE_REASON_MAX);
		break;
	case COALMINE_CRASH:
		coalmine_write_map(writer, 6);
		coalmine_write_bytes(writer, 0, report->crash.build_id, COALMINE_BUILD_ID_MIN,
				     COALMINE_BUILD_ID_MAX);
		coalmine_write_bytes(writer, 1, report->crash.image_hash, COALMINE_HASH_SIZE,
				     COALMINE_HASH_SIZE);
		coalmine_write_text(writer, 2, report->crash.reason, COALMINE_REASON_MAX);
		coalmine_write_uint(writer, 3, report->crash.pc, COALMINE_SAFE_MAX);
		coalmine_write_uint(writer, 4, report->crash.lr, COALMINE_SAFE_MAX);
		coalmine_write_uint(writer, 5, report->crash.uptime_s, UINT32_MAX);
		break;
	case COALMINE_LOG:
		coalmine_write_map(writer, 6);
		coalmine_write_uint(writer, 0, report->log.stream, COALMINE_STREAM_COREDUMP);
		coalmine_write_bytes(writer, 1, report->log.build_id, COALMINE_BUILD_ID_MIN,
				     COALMINE_BUILD_ID_MAX);
		coalmine_write_uint(writer, 2, report->log.id, UINT32_MAX);
		coalmine_write_uint(writer, 3, report->log.offset, UINT32_MAX);
		coalmine_write_uint(writer, 4, report->log.total, UINT32_MAX);
		coalmine_write_bytes(writer, 5, report->log.data, 0, COALMINE_LOG_DATA_MAX);
		break;
	default:
		coalmine_writer_refuse(writer);
		break;
	}
}

static void read_body(struct coalmine_reader *reader, struct coalmine_report *report)
{
	switch (report->kind) {
	case COALMINE_HELLO:
		read_hello(reader, &report->hello);
		break;
	case COALMINE_HEARTBEAT:
		read_heartbeat(reader, &report->heartbeat);
		break;
	case COALMINE_PROGRESS:
		coalmine_read_map(reader, 3);
		report->progress.offer = coalmine_read_uint(reader, 0, COALMINE_SAFE_MAX);
		report->progress.state =
			coalmine_read_word(reader, 1, COALMINE_PROGRESS_TESTING + 1);
		report->progress.offset = (uint32_t)coalmine_read_uint(reader, 2, UINT32_MAX);
		break;
	case COALMINE_DEFERRED:
		coalmine_read_map(reader, 3);
		report->deferred.offer = coalmine_read_uint(reader, 0, COALMINE_SAFE_MAX);
		report->deferred.reason =
			coalmine_read_word(reader, 1, COALMINE_DEFERRED_OPERATOR + 1);
		report->deferred.until_s = (uint32_t)coalmine_read_uint(reader, 2, UINT32_MAX);
		break;
	case COALMINE_RESULT:
		coalmine_read_map(reader, 2);
		coalmine_read_key(reader, 0);
		report->result.attempt = read_attempt(reader);
		report->result.reason = coalmine_read_text(reader, 1, COALMINE_REASON_MAX);
		break;
	case COALMINE_CRASH:
		coalmine_read_map(reader, 6);
		report->crash.build_id = coalmine_read_bytes(reader, 0, COALMINE_BUILD_ID_MIN,
							     COALMINE_BUILD_ID_MAX);
		report->crash.image_hash =
			coalmine_read_bytes(reader, 1, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
		report->crash.reason = coalmine_read_text(reader, 2, COALMINE_REASON_MAX);
		report->crash.pc = coalmine_read_uint(reader, 3, COALMINE_SAFE_MAX);
		report->crash.lr = coalmine_read_uint(reader, 4, COALMINE_SAFE_MAX);
		report->crash.uptime_s = (uint32_t)coalmine_read_uint(reader, 5, UINT32_MAX);
		break;
	case COALMINE_LOG:
		coalmine_read_map(reader, 6);
		report->log.stream = coalmine_read_word(reader, 0, COALMINE_STREAM_COREDUMP + 1);
		report->log.build_id = coalmine_read_bytes(reader, 1, COALMINE_BUILD_ID_MIN,
							   COALMINE_BUILD_ID_MAX);
		report->log.id = (uint32_t)coalmine_read_uint(reader, 2, UINT32_MAX);
		report->log.offset = (uint32_t)coalmine_read_uint(reader, 3, UINT32_MAX);
		report->log.total = (uint32_t)coalmine_read_uint(reader, 4, UINT32_MAX);
		report->log.data = coalmine_read_bytes(reader, 5, 0, COALMINE_LOG_DATA_MAX);
		break;
	default:
		break; /* refused by coalmine_reader_begin() */
	}
}

int coalmine_report_encode(const struct coalmine_report *report, uint8_t *data, size_t size)
{
	struct coalmine_writer writer;

	coalmine_writer_begin(&writer, data, size, PAIRS, (uint8_t)report->kind);
	coalmine_write_uint(&writer, 2, report->boot, UINT32_MAX);
	coalmine_write_uint(&writer, 3, report->sequence, UINT32_MAX);
	coalmine_write_uint(&writer, 4, report->uptime_s, UINT32_MAX);
	coalmine_write_key(&writer, 5);
	write_body(&writer, report);
	return coalmine_writer_end(&writer, report->kind == COALMINE_LOG ? COALMINE_MESSAGE_MAX
									 : COALMINE_REPORT_MAX);
}

int coalmine_report_decode(const uint8_t *data, size_t size, struct coalmine_report *report,
			   struct coalmine_trouble *trouble)
{
	struct coalmine_reader reader;

	coalmine_reader_init(&reader, data, size, COALMINE_MESSAGE_MAX);
	report->kind = coalmine_reader_begin(&reader, PAIRS, COALMINE_HELLO, COALMINE_LOG);
	if (size > COALMINE_REPORT_MAX && report->kind != COALMINE_LOG) {
		coalmine_reader_fail(&reader, COALMINE_FAULT_LONG, 0);
	}

	report->boot = (uint32_t)coalmine_read_uint(&reader, 2, UINT32_MAX);
	report->sequence = (uint32_t)coalmine_read_uint(&reader, 3, UINT32_MAX);
	report->uptime_s = (uint32_t)coalmine_read_uint(&reader, 4, UINT32_MAX);
	coalmine_read_key(&reader, 5);
	read_body(&reader, report);
	return coalmine_reader_end(&reader, trouble);
}
