/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_HOST_H_
#define COALMINE_HOST_H_

#include "world.h"

/*
 * The other end: takes what a board sends, acknowledges it, serves blocks, and keeps an offer
 * retained as a broker does. Remembers what it was told.
 */

#define HOST_RESULTS 64
#define HOST_CRASHES 16
#define HOST_SAID    8192

struct host {
	/* Each may be absent. */
	const uint8_t *artifact;
	size_t artifact_size;
	bool has_offer;
	struct coalmine_command offer;
	bool silent;

	uint32_t boot;
	unsigned int hellos;
	unsigned int heartbeats;
	unsigned int blocks;
	bool hello_has_attempt;
	enum coalmine_outcome hello_outcome;
	enum coalmine_reset_cause hello_cause;
	unsigned int results;
	enum coalmine_outcome outcomes[HOST_RESULTS];
	uint64_t result_offers[HOST_RESULTS];
	bool result_ran[HOST_RESULTS];
	enum coalmine_reset_cause result_causes[HOST_RESULTS];
	char result_reason[COALMINE_REASON_MAX + 1];
	bool progress_seen[COALMINE_PROGRESS_TESTING + 1];
	unsigned int deferred;
	enum coalmine_deferral deferral;
	unsigned int crashes;
	uint8_t crash_builds[HOST_CRASHES][COALMINE_BUILD_ID_MAX];
	char crash_reason[COALMINE_REASON_MAX + 1];
	uint8_t dump[65536];
	size_t dump_size;
	uint32_t dump_total;
	unsigned int dump_pieces;
	/* Falls silent after so many of them; 0 for never. */
	unsigned int dump_pieces_max;
	/* What was said, as it was told. */
	char said[HOST_SAID + 1];
	uint32_t said_total;
	uint32_t said_id;
	unsigned int said_pieces;
	uint8_t said_build[COALMINE_BUILD_ID_MAX];
};

extern struct host host;

void host_clear(void);
/* Offers the image of `version`, `size` bytes, as offer `number`. */
void host_offer(uint64_t number, uint8_t version, uint32_t size);
/* Delivers the retained offer to a board that has connected. */
void host_connected(struct coalmine_agent *agent, int64_t now_ms);
/* Takes everything that was sent and answers it. True when there was something. */
bool host_serve(struct coalmine_agent *agent, int64_t now_ms);

#endif /* COALMINE_HOST_H_ */
