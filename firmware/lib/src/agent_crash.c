/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/crash.h>

#include "agent_internal.h"

int coalmine_agent_save_crashes(struct coalmine_agent *agent)
{
	uint8_t *data = agent->record;
	size_t size = agent->crashes.count == 0 ? 0 : coalmine_crashes_pack(&agent->crashes, data);
	int result = coalmine_port_record_write(COALMINE_RECORD_CRASHES, data, size);

	if (result != 0) {
		agent->storage_errors++;
	}

	return result;
}

/* A crash that left a dump but no retained RAM: power was lost after it. */
static void adopt_dump(struct coalmine_agent *agent, const uint8_t *target)
{
	struct coalmine_crash_record crash = {0};
	/* File header, architecture header and 8 registers; more is of no use here. */
	uint8_t data[64];
	int size = coalmine_port_coredump_size();

	for (size_t i = 0; i < agent->crashes.count; i++) {
		if (agent->crashes.crashes[i].has_dump) {
			return;
		}
	}

	if (size < (int)sizeof(data) || coalmine_port_coredump_read(0, data, sizeof(data)) != 0 ||
	    coalmine_coredump_facts(data, sizeof(data), &crash) != 0) {
		return;
	}

	/*
	 * Its build id is lost with the RAM. If a trial ended with it, the target crashed, not this
	 * image (R19), and the hash stands in for the build id: it names the build as exactly.
	 */
	memcpy(crash.image_hash, target, sizeof(crash.image_hash));
	if (target == agent->start.running.hash) {
		crash.build_id_size = (uint8_t)agent->start.build_id_size;
		memcpy(crash.build_id, agent->start.build_id, agent->start.build_id_size);
	} else {
		crash.build_id_size = COALMINE_HASH_SIZE;
		memcpy(crash.build_id, target, COALMINE_HASH_SIZE);
	}

	crash.has_dump = true;
	coalmine_crashes_add(&agent->crashes, &crash);
	(void)coalmine_agent_save_crashes(agent);
}

void coalmine_agent_take_crash(struct coalmine_agent *agent, enum coalmine_resolution resolution)
{
	const struct coalmine_crash_record *crash = agent->start.crash;
	bool reverted = resolution == COALMINE_ENDED &&
			agent->attempt.stage == COALMINE_STAGE_REVERTED && agent->attempt.ran;

	if (crash != NULL) {
		coalmine_crashes_add(&agent->crashes, crash);
		(void)coalmine_agent_save_crashes(agent);
	} else {
		adopt_dump(agent, reverted ? agent->attempt.target : agent->start.running.hash);
	}

	if (agent->crashes.count > 0) {
		coalmine_agent_tell(agent, COALMINE_CRASH);
	}

	/* Also of a boot that hung, or gave itself up. */
	coalmine_agent_tell(agent, COALMINE_LOG);
}
