/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_AGENT_H_
#define COALMINE_AGENT_H_

#include <coalmine/attempt.h>
#include <coalmine/confirm.h>
#include <coalmine/download.h>
#include <coalmine/image.h>
#include <coalmine/metrics.h>
#include <coalmine/port.h>

/*
 * The device's side of a rollout as one machine: events go in, the port carries out what follows.
 * It has no clock, no thread and no socket of its own, and is called from one thread. The
 * simulator's device (simulator/device) takes the same decisions.
 *
 * G1. The same offer twice is one offer, across resets.
 * G2. Nothing is written to slot 1 while an image is on trial: it would destroy the fallback.
 * G3. Decisions are stored before they are reported.
 * G4. One report is on its way at a time, and is sent again, the same bytes, until it is
 * acknowledged.
 *
 * Times are milliseconds since the start of the application and never fall.
 */

struct coalmine_agent_config {
	const char *device;
	struct coalmine_hardware hardware;
	struct coalmine_flash_shape flash;
	/* Seconds between heartbeats. */
	uint32_t interval_s;
	/* In the order of coalmine_name_order(). */
	const struct coalmine_attribute *attributes;
	size_t attribute_count;
	uint32_t storage_schema;
	/* False: the firmware does not know how its bootloader was built. */
	bool has_bootloader;
	struct coalmine_bootloader bootloader;
	/* For a trial that no offer describes: a swap-back, or an image that a cable put there. */
	struct coalmine_policy policy;
	/* Below this charge an update waits, in per cent. */
	uint8_t battery_min;
};

/* What the port found out about this start. */
struct coalmine_agent_start {
	struct coalmine_image running;
	const uint8_t *build_id;
	size_t build_id_size;
	bool confirmed;
	bool has_other;
	struct coalmine_image other;
	enum coalmine_reset_cause cause;
	/* What retained RAM kept of a crash; NULL for none. */
	const struct coalmine_crash_record *crash;
};

struct coalmine_agent {
	const struct coalmine_agent_config *config;
	struct coalmine_agent_start start;
	uint32_t boot;
	/* The device resets, or its image gave up: nothing is done any more. */
	bool stopped;
	bool connected;

	bool has_attempt;
	struct coalmine_attempt_record attempt;
	struct coalmine_seen_record seen;
	struct coalmine_crashes_record crashes;
	struct coalmine_confirmation confirmation;
	struct coalmine_metrics metrics;

	bool has_offer;
	struct coalmine_offer_record offer;
	struct coalmine_download download;
	bool downloading;
	/* When the download may begin, and the reboot; INT64_MAX for never. */
	int64_t begin_ms;
	int64_t apply_ms;
	/* A cancel that came before its offer, and until when it counts. */
	uint64_t cancelled;
	int64_t cancelled_until_ms;

	/* Reports that wait for their turn, by kind, and the one on its way. */
	uint32_t pending;
	/* States of `told_offer` to tell, one bit each. */
	uint8_t progress;
	enum coalmine_deferral deferral;
	uint64_t told_offer;
	uint32_t until_s;
	int64_t heartbeat_ms;
	uint32_t sequence;
	bool in_flight;
	enum coalmine_kind flight_kind;
	/* Of a log chunk. */
	enum coalmine_stream flight_stream;
	uint32_t flight_sequence;
	int64_t flight_ms;
	size_t flight_size;
	uint8_t flight[CONFIG_COALMINE_REPORT_SIZE];
	/* The log that is being sent; 0 bytes for none. */
	struct coalmine_log_text log;
	uint32_t log_offset;
	uint32_t log_chunk;
	/* The dump that is being sent. */
	uint32_t dump_id;
	uint32_t dump_size;
	uint32_t dump_offset;
	uint32_t dump_chunk;

	/* Messages from the host that were none. */
	uint32_t undecodable;
	/* Records that storage refused. */
	uint32_t storage_errors;
	/* Too large for a stack. */
	struct coalmine_report report;
	uint8_t record[COALMINE_RECORD_MAX];
};

/*
 * The application has started. Reads the records, settles the last attempt and begins a trial.
 * `agent` is all zero except for metrics and self-tests that were added before. `config` must stay
 * where it is.
 */
int coalmine_agent_begin(struct coalmine_agent *agent, const struct coalmine_agent_config *config,
			 const struct coalmine_agent_start *start, int64_t now_ms);
void coalmine_agent_link(struct coalmine_agent *agent, bool up, int64_t now_ms);
/*
 * Messages from the host. An empty command is a retained offer that was taken back, and is no
 * message.
 */
void coalmine_agent_command(struct coalmine_agent *agent, const uint8_t *data, size_t size,
			    int64_t now_ms);
void coalmine_agent_block(struct coalmine_agent *agent, const uint8_t *data, size_t size,
			  int64_t now_ms);
/* The same for a link whose blocks are no messages of ours. */
void coalmine_agent_answer(struct coalmine_agent *agent, const struct coalmine_block_answer *answer,
			   int64_t now_ms);
/* The other side acknowledged the report with this sequence. */
void coalmine_agent_acknowledged(struct coalmine_agent *agent, uint32_t sequence, int64_t now_ms);
/*
 * The other side can make nothing of the report with this sequence: it is not sent again, and was
 * no contact.
 */
void coalmine_agent_refused(struct coalmine_agent *agent, uint32_t sequence, int64_t now_ms);
void coalmine_agent_self_test(struct coalmine_agent *agent, unsigned int bit, bool passed,
			      int64_t now_ms);
/* A log was kept to be sent. One that the last boot left is sent by itself. */
void coalmine_agent_send_log(struct coalmine_agent *agent, int64_t now_ms);
/* Time has passed. Answers when to poll next, at the latest. */
int64_t coalmine_agent_poll(struct coalmine_agent *agent, int64_t now_ms);

#endif /* COALMINE_AGENT_H_ */
