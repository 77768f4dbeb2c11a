/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/sha256.h>

#include "host.h"
#include "test.h"

struct host host;

static uint8_t artifact[WORLD_SLOT];
static uint8_t digest[COALMINE_HASH_SIZE];

void host_clear(void)
{
	memset(&host, 0, sizeof(host));
}

void host_offer(uint64_t number, uint8_t version, uint32_t size)
{
	struct coalmine_sha256 sha;

	host.artifact_size = world_image(version, size, artifact);
	host.artifact = artifact;
	coalmine_sha256_init(&sha);
	coalmine_sha256_update(&sha, artifact, size);
	coalmine_sha256_final(&sha, digest);
	host.has_offer = true;
	host.offer = (struct coalmine_command){.kind = COALMINE_OFFER};
	host.offer.offer = (struct coalmine_offer){
		.offer = number,
		.release = coalmine_text_of("lamp-2"),
		.version = coalmine_text_of("2.0.0"),
		.board = coalmine_text_of("bench"),
		.revision = coalmine_text_of("1"),
		.partition_map = coalmine_text_of("map"),
		.digest = {digest, sizeof(digest)},
		.image_hash = {&artifact[size - COALMINE_HASH_SIZE], COALMINE_HASH_SIZE},
		.size = size,
		.jitter_s = 0,
		.confirm = {.min_uptime_s = 5, .deadline_s = 60, .server_contact = true},
	};
}

void host_connected(struct coalmine_agent *agent, int64_t now_ms)
{
	uint8_t data[COALMINE_MESSAGE_MAX];
	int size;

	if (!host.has_offer) {
		return;
	}

	size = coalmine_command_encode(&host.offer, data, sizeof(data));
	CHECK(size > 0);
	coalmine_agent_command(agent, data, (size_t)size, now_ms);
}

static void take_piece(const struct coalmine_report *report)
{
	size_t end = report->log.offset + report->log.data.length;

	if (report->log.stream == COALMINE_STREAM_LOG) {
		CHECK(end <= HOST_SAID && end <= report->log.total);
		memcpy(&host.said[report->log.offset], report->log.data.data,
		       report->log.data.length);
		host.said[end] = '\0';
		host.said_total = report->log.total;
		host.said_id = report->log.id;
		host.said_pieces++;
		memcpy(host.said_build, report->log.build_id.data, report->log.build_id.length);
		return;
	}

	CHECK(end <= sizeof(host.dump));
	memcpy(&host.dump[report->log.offset], report->log.data.data, report->log.data.length);
	host.dump_size = end;
	host.dump_total = report->log.total;
	host.dump_pieces++;
	host.silent = host.dump_pieces == host.dump_pieces_max;
}

static void take_report(const struct coalmine_report *report)
{
	host.boot = report->boot;
	switch (report->kind) {
	case COALMINE_HELLO:
		host.hellos++;
		host.hello_has_attempt = report->hello.has_attempt;
		host.hello_outcome = report->hello.attempt.outcome;
		host.hello_cause = report->hello.reset_cause;
		break;
	case COALMINE_HEARTBEAT:
		host.heartbeats++;
		break;
	case COALMINE_PROGRESS:
		host.progress_seen[report->progress.state] = true;
		break;
	case COALMINE_DEFERRED:
		host.deferred++;
		host.deferral = report->deferred.reason;
		break;
	case COALMINE_RESULT:
		CHECK(host.results < HOST_RESULTS);
		host.outcomes[host.results] = report->result.attempt.outcome;
		host.result_offers[host.results] = report->result.attempt.offer;
		host.result_ran[host.results] = report->result.attempt.ran;
		host.result_causes[host.results] = report->result.attempt.reset_cause;
		host.results++;
		memcpy(host.result_reason, report->result.reason.data,
		       report->result.reason.length);
		host.result_reason[report->result.reason.length] = '\0';
		break;
	case COALMINE_CRASH:
		CHECK(host.crashes < HOST_CRASHES);
		memcpy(host.crash_builds[host.crashes++], report->crash.build_id.data,
		       report->crash.build_id.length);
		memcpy(host.crash_reason, report->crash.reason.data, report->crash.reason.length);
		host.crash_reason[report->crash.reason.length] = '\0';
		break;
	default:
		take_piece(report);
		break;
	}
}

static void serve_block(struct coalmine_agent *agent, const struct world_message *message,
			int64_t now_ms)
{
	static uint8_t data[COALMINE_BLOCK_ANSWER_MAX];
	struct coalmine_block_request request;
	struct coalmine_block_answer answer = {.kind = COALMINE_BLOCK};
	int size;

	CHECK_NUMBER(coalmine_block_request_decode(message->data, message->size, &request, NULL),
		     0);
	CHECK(memcmp(request.digest.data, digest, COALMINE_DIGEST_PREFIX) == 0);
	answer.request = request.request;
	answer.offset = request.offset;
	if (host.artifact == NULL) {
		answer.kind = COALMINE_BLOCK_REFUSED;
		answer.reason = COALMINE_REFUSAL_NOT_OFFERED;
	} else {
		CHECK(request.offset + request.length <= host.artifact_size);
		answer.data.data = &host.artifact[request.offset];
		answer.data.length = request.length;
		host.blocks++;
	}

	size = coalmine_block_answer_encode(&answer, data, sizeof(data));
	CHECK(size > 0);
	coalmine_agent_block(agent, data, (size_t)size, now_ms);
}

bool host_serve(struct coalmine_agent *agent, int64_t now_ms)
{
	static struct world_message message;
	static struct coalmine_report report;
	bool any = false;

	while (world.sent_count > 0 && !host.silent) {
		any = true;
		message = world.sent[0];
		world.sent_count--;
		memmove(&world.sent[0], &world.sent[1], world.sent_count * sizeof(world.sent[0]));
		if (message.channel == COALMINE_CHANNEL_BLOCK_REQUEST) {
			serve_block(agent, &message, now_ms);
			continue;
		}

		CHECK_NUMBER(coalmine_report_decode(message.data, message.size, &report, NULL), 0);
		CHECK_NUMBER(report.sequence, message.sequence);
		take_report(&report);
		coalmine_agent_acknowledged(agent, report.sequence, now_ms);
	}

	return any;
}
