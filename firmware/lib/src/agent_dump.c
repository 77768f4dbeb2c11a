/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <coalmine/crash.h>

#include "agent_internal.h"
#include "fnv.h"

/* Bytes that tell one dump from another: header, registers and what follows. */
#define DUMP_HEAD 256

/* The crash whose dump lies in the partition, once it is reported; NULL for none. */
static struct coalmine_crash_record *dumped(struct coalmine_agent *agent)
{
	for (size_t i = 0; i < agent->crashes.count; i++) {
		if (agent->crashes.crashes[i].has_dump && agent->crashes.crashes[i].reported) {
			return &agent->crashes.crashes[i];
		}
	}

	return NULL;
}

/* Forgets the dump: it was sent, or cannot be read. */
static void drop_dump(struct coalmine_agent *agent)
{
	(void)coalmine_port_coredump_clear();
	for (size_t i = agent->crashes.count; i > 0; i--) {
		agent->crashes.crashes[i - 1].has_dump = false;
		if (agent->crashes.crashes[i - 1].reported) {
			coalmine_crashes_drop(&agent->crashes, i - 1);
		}
	}

	(void)coalmine_agent_save_crashes(agent);
	agent->dump_size = 0;
}

/*
 * A number that is the same for the same dump, so that a dump sent again after a reset, even by
 * another build, is the same log.
 */
static int number_of_dump(uint32_t size, uint32_t *number)
{
	uint8_t head[DUMP_HEAD];
	uint32_t length = DUMP_HEAD;
	int result;

	if (size < length) {
		length = size;
	}

	result = coalmine_port_coredump_read(0, head, length);
	if (result != 0) {
		return result;
	}

	*number = coalmine_fnv(COALMINE_FNV_BASIS, head, length);
	return 0;
}

/* Begins with the dump where an earlier boot left off. */
static int open_dump(struct coalmine_agent *agent)
{
	struct coalmine_dump_record record;
	uint8_t data[COALMINE_DUMP_SIZE];
	int size = coalmine_port_coredump_size();
	int result;

	if (size <= 0) {
		return -ENOENT;
	}

	result = number_of_dump((uint32_t)size, &agent->dump_id);
	if (result != 0) {
		return result;
	}

	agent->dump_size = (uint32_t)size;
	agent->dump_offset = 0;
	size = coalmine_port_record_read(COALMINE_RECORD_DUMP, data, sizeof(data));
	if (size > 0 && coalmine_dump_unpack(&record, data, (size_t)size) == 0 &&
	    record.id == agent->dump_id && record.offset < agent->dump_size) {
		agent->dump_offset = record.offset;
	}

	return 0;
}

bool coalmine_agent_fill_dump(struct coalmine_agent *agent)
{
	static uint8_t data[CONFIG_COALMINE_REPORT_SIZE - COALMINE_CHUNK_FRAME];
	struct coalmine_crash_record *crash = dumped(agent);
	uint32_t chunk;

	if (crash == NULL) {
		return false;
	}

	if (agent->dump_size == 0 && open_dump(agent) != 0) {
		drop_dump(agent);
		return false;
	}

	chunk = agent->dump_size - agent->dump_offset;
	if (chunk > sizeof(data)) {
		chunk = sizeof(data);
	}

	if (chunk > COALMINE_LOG_DATA_MAX) {
		chunk = COALMINE_LOG_DATA_MAX;
	}

	if (coalmine_port_coredump_read(agent->dump_offset, data, chunk) != 0) {
		drop_dump(agent);
		return false;
	}

	agent->dump_chunk = chunk;
	agent->report.log.stream = COALMINE_STREAM_COREDUMP;
	agent->report.log.build_id = (struct coalmine_span){crash->build_id, crash->build_id_size};
	agent->report.log.id = agent->dump_id;
	agent->report.log.offset = agent->dump_offset;
	agent->report.log.total = agent->dump_size;
	agent->report.log.data = (struct coalmine_span){data, chunk};
	return true;
}

void coalmine_agent_advance_dump(struct coalmine_agent *agent)
{
	uint32_t step = agent->config->flash.checkpoint_bytes;
	uint32_t before = agent->dump_offset;

	agent->dump_offset += agent->dump_chunk;
	if (agent->dump_offset >= agent->dump_size) {
		drop_dump(agent);
		return;
	}

	coalmine_agent_tell(agent, COALMINE_LOG);
	if (step > 0 && agent->dump_offset / step > before / step) {
		const struct coalmine_dump_record record = {agent->dump_id, agent->dump_offset};
		uint8_t data[COALMINE_DUMP_SIZE];

		if (coalmine_port_record_write(COALMINE_RECORD_DUMP, data,
					       coalmine_dump_pack(&record, data)) != 0) {
			agent->storage_errors++;
		}
	}
}
