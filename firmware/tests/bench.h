/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_BENCH_H_
#define COALMINE_BENCH_H_

#include <coalmine/agent.h>

#include "world.h"

/* One agent on the board of world.h with the host of host.h, and the time they live in. */

#define BENCH_IMAGE_SIZE (9 * WORLD_PAGE + 37)
#define BENCH_STEP_MS	 1000

/* How the new image behaves. */
enum behaviour {
	GOOD,
	NEVER_PASSES,
	HANGS,
};

extern const struct coalmine_agent_config bench_config;
extern struct coalmine_agent bench_agent;
extern int64_t bench_now_ms;
/* Of the image that the board begins with. */
extern uint8_t bench_hash[COALMINE_HASH_SIZE];

/* A new board with image 1, and image 2 on offer. */
void bench_prepare(void);
/* Starts the board and connects it. */
void bench_begin(enum behaviour behaviour);
/* Runs until `seconds` are over or the board resets. */
void bench_run(unsigned int seconds);
/* One start of the board until it resets, hangs, or has lived for two minutes. */
void bench_live(enum behaviour behaviour);
bool bench_runs_new(void);

#endif /* COALMINE_BENCH_H_ */
