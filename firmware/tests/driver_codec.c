/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/message.h>

#include "driver.h"

/* Decoded messages as the JSON of packages/protocol/vectors, to be compared with it as values. */

static const char *const causes[] = {"power-on", "pin",	  "software", "watchdog",
				     "brownout", "fault", "unknown"};
static const char *const modes[] = {"swap-move", "swap-offset", "swap-scratch", "overwrite",
				    "direct-xip"};
static const char *const downgrades[] = {"none", "version", "version+build", "counter"};
static const char *const outcomes[] = {"applying", "testing", "confirmed",
				       "reverted", "refused", "failed"};
static const char *const states[] = {"accepted", "downloading", "downloaded", "applying",
				     "testing"};
static const char *const deferrals[] = {"battery", "busy", "link", "operator"};
static const char *const streams[] = {"log", "coredump"};
static const char *const refusals[] = {"not-offered", "unknown", "range"};

size_t driver_bytes(const char *hex, uint8_t *data, size_t size)
{
	size_t count = 0;
	unsigned int byte;

	while (count < size && hex[2 * count] != '\0' && hex[2 * count] != ' ' &&
	       sscanf(&hex[2 * count], "%2x", &byte) == 1) {
		data[count++] = (uint8_t)byte;
	}

	return count;
}

static void text(const char *key, struct coalmine_text value)
{
	printf("\"%s\":\"", key);
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];

		printf(c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}

	printf("\"");
}

static void bytes(const char *key, struct coalmine_span value)
{
	printf("\"%s\":{\"bytes\":\"", key);
	for (size_t i = 0; i < value.length; i++) {
		printf("%02x", value.data[i]);
	}

	printf("\"}");
}

static void number(const char *key, uint64_t value)
{
	printf("\"%s\":%" PRIu64, key, value);
}

static void word(const char *key, const char *value)
{
	printf("\"%s\":\"%s\"", key, value);
}

static void boolean(const char *key, bool value)
{
	printf("\"%s\":%s", key, value ? "true" : "false");
}

/* 17 digits bring any double back. */
static void real(const char *key, double value)
{
	printf("\"%s\":%.17g", key, value);
}

static void comma(void)
{
	printf(",");
}

static void slot(const struct coalmine_slot *value)
{
	bytes("imageHash", value->image_hash);
	comma();
	text("version", value->version);
}

static void attempt(const struct coalmine_attempt *value)
{
	printf("\"attempt\":{");
	number("offer", value->offer);
	comma();
	bytes("target", value->target);
	comma();
	word("outcome", outcomes[value->outcome]);
	comma();
	boolean("ran", value->ran);
	comma();
	word("resetCause", causes[value->reset_cause]);
	printf("}");
}

static void hello(const struct coalmine_hello *value)
{
	word("kind", "hello");
	printf(",\"hardware\":{");
	text("board", value->hardware.board);
	comma();
	text("revision", value->hardware.revision);
	comma();
	text("partitionMap", value->hardware.partition_map);
	comma();
	word("mode", modes[value->hardware.mode]);
	comma();
	number("slotSize", value->hardware.slot_size);
	printf("},\"running\":{");
	slot(&value->running);
	comma();
	bytes("buildId", value->build_id);
	comma();
	boolean("confirmed", value->confirmed);
	printf("},\"slot1\":");
	if (value->has_slot1) {
		printf("{");
		slot(&value->slot1);
		printf("}");
	} else {
		printf("null");
	}

	comma();
	word("resetCause", causes[value->reset_cause]);
	comma();
	if (value->has_attempt) {
		attempt(&value->attempt);
	} else {
		printf("\"attempt\":null");
	}

	comma();
	number("interval_s", value->interval_s);
	printf(",\"attributes\":{");
	for (size_t i = 0; i < value->attribute_count; i++) {
		char name[COALMINE_NAME_MAX + 1] = {0};

		memcpy(name, value->attributes[i].name.data, value->attributes[i].name.length);
		printf("%s", i > 0 ? "," : "");
		text(name, value->attributes[i].value);
	}

	printf("},");
	number("storageSchema", value->storage_schema);
	if (value->has_bootloader) {
		printf(",\"bootloader\":{");
		word("downgrade", downgrades[value->bootloader.downgrade]);
		comma();
		number("sectors", value->bootloader.sectors);
		comma();
		number("writeAlign", value->bootloader.write_align);
		printf("}");
	}
}

static void heartbeat(const struct coalmine_heartbeat *value)
{
	word("kind", "heartbeat");
	comma();
	bytes("imageHash", value->image_hash);
	comma();
	boolean("confirmed", value->confirmed);
	comma();
	if (value->has_battery) {
		real("battery", value->battery);
	} else {
		printf("\"battery\":null");
	}

	comma();
	real("linkUptime", value->link_uptime);
	printf(",\"metrics\":{");
	for (size_t i = 0; i < value->metric_count; i++) {
		char name[COALMINE_NAME_MAX + 1] = {0};

		memcpy(name, value->metrics[i].name.data, value->metrics[i].name.length);
		printf("%s", i > 0 ? "," : "");
		real(name, value->metrics[i].value);
	}

	printf("}");
}

static void body(const struct coalmine_report *report)
{
	switch (report->kind) {
	case COALMINE_HELLO:
		hello(&report->hello);
		break;
	case COALMINE_HEARTBEAT:
		heartbeat(&report->heartbeat);
		break;
	case COALMINE_PROGRESS:
		word("kind", "progress");
		comma();
		number("offer", report->progress.offer);
		comma();
		word("state", states[report->progress.state]);
		comma();
		number("offset", report->progress.offset);
		break;
	case COALMINE_DEFERRED:
		word("kind", "deferred");
		comma();
		number("offer", report->deferred.offer);
		comma();
		word("reason", deferrals[report->deferred.reason]);
		comma();
		number("until_s", report->deferred.until_s);
		break;
	case COALMINE_RESULT:
		word("kind", "result");
		comma();
		attempt(&report->result.attempt);
		comma();
		text("reason", report->result.reason);
		break;
	case COALMINE_CRASH:
		word("kind", "crash");
		comma();
		bytes("buildId", report->crash.build_id);
		comma();
		bytes("imageHash", report->crash.image_hash);
		comma();
		text("reason", report->crash.reason);
		comma();
		number("pc", report->crash.pc);
		comma();
		number("lr", report->crash.lr);
		comma();
		number("uptime_s", report->crash.uptime_s);
		break;
	default:
		word("kind", "log");
		comma();
		word("stream", streams[report->log.stream]);
		comma();
		bytes("buildId", report->log.build_id);
		comma();
		number("id", report->log.id);
		comma();
		number("offset", report->log.offset);
		comma();
		number("total", report->log.total);
		comma();
		bytes("data", report->log.data);
		break;
	}
}

static void policy(const char *key, const struct coalmine_policy *value)
{
	printf("\"%s\":{", key);
	number("minUptime_s", value->min_uptime_s);
	comma();
	number("deadline_s", value->deadline_s);
	comma();
	boolean("serverContact", value->server_contact);
	printf("}");
}

static void command_json(const struct coalmine_command *command)
{
	const struct coalmine_offer *offer = &command->offer;

	switch (command->kind) {
	case COALMINE_OFFER:
		printf("{");
		word("kind", "offer");
		comma();
		number("offer", offer->offer);
		comma();
		text("release", offer->release);
		comma();
		text("version", offer->version);
		printf(",\"variant\":{");
		text("board", offer->board);
		comma();
		text("revision", offer->revision);
		comma();
		text("partitionMap", offer->partition_map);
		printf("},");
		bytes("digest", offer->digest);
		comma();
		bytes("imageHash", offer->image_hash);
		comma();
		number("size", offer->size);
		comma();
		number("jitter_s", offer->jitter_s);
		comma();
		policy("confirm", &offer->confirm);
		printf("}");
		break;
	case COALMINE_CANCEL:
		printf("{\"kind\":\"cancel\",\"offer\":%" PRIu64 "}", command->cancel.offer);
		break;
	case COALMINE_SWAP_BACK:
		printf("{\"kind\":\"swap-back\",");
		number("offer", command->swap_back.offer);
		comma();
		bytes("imageHash", command->swap_back.image_hash);
		printf("}");
		break;
	case COALMINE_CONFIRM:
		printf("{\"kind\":\"confirm\",");
		number("offer", command->confirm.offer);
		comma();
		policy("policy", &command->confirm.policy);
		printf("}");
		break;
	case COALMINE_RENUMBER:
		printf("{\"kind\":\"renumber\",");
		number("boot", command->renumber.boot);
		printf("}");
		break;
	default:
		printf("{\"kind\":\"identify\"}");
		break;
	}
}

static void block_json(const struct coalmine_block_answer *answer)
{
	printf("{");
	word("kind", answer->kind == COALMINE_BLOCK ? "block" : "refused");
	comma();
	number("request", answer->request);
	comma();
	if (answer->kind == COALMINE_BLOCK) {
		number("offset", answer->offset);
		comma();
		bytes("data", answer->data);
	} else {
		word("reason", refusals[answer->reason]);
	}

	printf("}");
}

static void request_json(const struct coalmine_block_request *request)
{
	printf("{");
	number("request", request->request);
	comma();
	bytes("digest", request->digest);
	comma();
	number("offset", request->offset);
	comma();
	number("length", request->length);
	printf("}");
}

void driver_codec(const char *arguments)
{
	static uint8_t data[70000];
	static uint8_t again[COALMINE_BLOCK_ANSWER_MAX];
	static struct coalmine_report report;
	struct coalmine_command command;
	struct coalmine_block_request request;
	struct coalmine_block_answer answer;
	struct coalmine_trouble trouble;
	const char *hex = strchr(arguments, ' ');
	size_t size = hex == NULL ? 0 : driver_bytes(hex + 1, data, sizeof(data));
	char type = arguments[0] == 'b' ? arguments[6] : arguments[0];
	int result;

	/* report, command, block-request, block-answer */
	switch (type) {
	case 'r':
		result = arguments[0] == 'b'
				 ? coalmine_block_request_decode(data, size, &request, &trouble)
				 : coalmine_report_decode(data, size, &report, &trouble);
		break;
	case 'c':
		result = coalmine_command_decode(data, size, &command, &trouble);
		break;
	default:
		result = coalmine_block_answer_decode(data, size, &answer, &trouble);
		break;
	}

	if (result != 0) {
		printf("refused %zu\n", trouble.offset);
		return;
	}

	printf("ok ");
	if (type == 'r' && arguments[0] == 'b') {
		request_json(&request);
		result = coalmine_block_request_encode(&request, again, sizeof(again));
	} else if (type == 'r') {
		printf("{");
		number("boot", report.boot);
		comma();
		number("sequence", report.sequence);
		comma();
		number("uptime_s", report.uptime_s);
		printf(",\"body\":{");
		body(&report);
		printf("}}");
		result = coalmine_report_encode(&report, again, sizeof(again));
	} else if (type == 'c') {
		command_json(&command);
		result = coalmine_command_encode(&command, again, sizeof(again));
	} else {
		block_json(&answer);
		result = coalmine_block_answer_encode(&answer, again, sizeof(again));
	}

	/* A tab: texts have none. */
	printf("\t");
	for (int i = 0; i < result; i++) {
		printf("%02x", again[i]);
	}

	printf("\n");
}
