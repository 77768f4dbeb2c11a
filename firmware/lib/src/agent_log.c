/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/limits.h>

#include "agent_internal.h"

#define CHUNK_MAX (CONFIG_COALMINE_REPORT_SIZE - COALMINE_CHUNK_FRAME)

bool coalmine_agent_fill_log(struct coalmine_agent *agent)
{
	struct coalmine_span piece;

	if (agent->log.size == 0) {
		agent->log_offset = 0;
		if (!coalmine_port_log(&agent->log)) {
			return false;
		}
	}

	piece = coalmine_log_piece(&agent->log, agent->log_offset,
				   CHUNK_MAX < COALMINE_LOG_DATA_MAX ? CHUNK_MAX
								     : COALMINE_LOG_DATA_MAX);
	agent->log_chunk = (uint32_t)piece.length;
	agent->report.log.stream = COALMINE_STREAM_LOG;
	agent->report.log.build_id = agent->log.build_id;
	agent->report.log.id = agent->log.id;
	agent->report.log.offset = agent->log_offset;
	agent->report.log.total = agent->log.size;
	agent->report.log.data = piece;
	return true;
}

void coalmine_agent_advance_log(struct coalmine_agent *agent)
{
	agent->log_offset += agent->log_chunk;
	if (agent->log_offset >= agent->log.size) {
		coalmine_port_log_drop();
		agent->log.size = 0;
	}

	/* The rest of it, or the dump that goes with it. */
	coalmine_agent_tell(agent, COALMINE_LOG);
}

void coalmine_agent_send_log(struct coalmine_agent *agent, int64_t now_ms)
{
	coalmine_agent_tell(agent, COALMINE_LOG);
	(void)coalmine_agent_poll(agent, now_ms);
}
