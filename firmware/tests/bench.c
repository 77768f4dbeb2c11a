/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"
#include "host.h"
#include "test.h"

static const struct coalmine_attribute attributes[] = {
	{{"site", 4}, {"lab", 3}},
};

const struct coalmine_agent_config bench_config = {
	.device = "bench-1",
	.hardware =
		{
			.board = {"bench", 5},
			.revision = {"1", 1},
			.partition_map = {"map", 3},
			.mode = COALMINE_SWAP_MOVE,
			.slot_size = WORLD_SLOT,
		},
	.flash =
		{
			.slot_size = WORLD_SLOT,
			.page_size = WORLD_PAGE,
			.write_unit = 8,
			.trailer_size = WORLD_TRAILER,
			.checkpoint_bytes = 2 * WORLD_PAGE,
		},
	.interval_s = 60,
	.attributes = attributes,
	.attribute_count = 1,
	.storage_schema = 1,
	.has_bootloader = true,
	.bootloader = {COALMINE_DOWNGRADE_NONE, WORLD_SLOT / WORLD_PAGE, 8},
	.policy = {30, 600, true},
	.battery_min = 20,
};

struct coalmine_agent bench_agent;
int64_t bench_now_ms;
uint8_t bench_hash[COALMINE_HASH_SIZE];

void bench_begin(enum behaviour behaviour)
{
	struct coalmine_agent_start start;

	world_boot(&start);
	memset(&bench_agent, 0, sizeof(bench_agent));
	bench_now_ms = 0;
	coalmine_confirmation_expect(&bench_agent.confirmation, 0);
	CHECK_NUMBER(coalmine_agent_begin(&bench_agent, &bench_config, &start, bench_now_ms), 0);
	/* The old image is a good one. */
	if (behaviour != NEVER_PASSES || start.running.version[0] == '1') {
		coalmine_agent_self_test(&bench_agent, 0, true, bench_now_ms);
	}

	coalmine_agent_link(&bench_agent, true, bench_now_ms);
	host_connected(&bench_agent, bench_now_ms);
}

void bench_run(unsigned int seconds)
{
	int64_t end = bench_now_ms + (int64_t)seconds * 1000;

	while (!bench_agent.stopped && bench_now_ms < end) {
		while (host_serve(&bench_agent, bench_now_ms)) {
		}

		bench_now_ms += BENCH_STEP_MS;
		(void)coalmine_agent_poll(&bench_agent, bench_now_ms);
	}
}

bool bench_runs_new(void)
{
	return bench_agent.start.running.version[0] == '2';
}

void bench_live(enum behaviour behaviour)
{
	bench_begin(behaviour);
	if (behaviour == HANGS && bench_runs_new() && !world.confirmed) {
		/* Its watchdog bites; nothing is left but the bootloader's view. */
		world.reset = true;
		world.mark = COALMINE_MARK_DEADLINE;
		return;
	}

	bench_run(120);
}

void bench_prepare(void)
{
	world_clear();
	host_clear();
	world_install(0, 1, BENCH_IMAGE_SIZE, bench_hash);
	host_offer(7, 2, BENCH_IMAGE_SIZE);
}
