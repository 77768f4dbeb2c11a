/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_AGENT_INTERNAL_H_
#define COALMINE_AGENT_INTERNAL_H_

#include <coalmine/agent.h>

/* Milliseconds after which a report or a block request is sent again. */
#define COALMINE_PATIENCE_MS 10000

/* Stores a record; counts what storage refuses. */
int coalmine_agent_save_attempt(struct coalmine_agent *agent);
int coalmine_agent_save_crashes(struct coalmine_agent *agent);

/* Reports wait for their turn by kind; the newest of a kind counts. */
void coalmine_agent_tell(struct coalmine_agent *agent, enum coalmine_kind kind);
void coalmine_agent_tell_progress(struct coalmine_agent *agent, uint64_t offer,
				  enum coalmine_progress state);
void coalmine_agent_tell_deferred(struct coalmine_agent *agent, enum coalmine_deferral reason,
				  uint32_t until_s);
/* Sends what waits, and again what was not acknowledged in time. */
void coalmine_agent_send(struct coalmine_agent *agent, int64_t now_ms);
/* True when the acknowledgement was for a report of this boot. */
bool coalmine_agent_take_ack(struct coalmine_agent *agent, uint32_t sequence);

/* Bytes of a log chunk around its data. */
#define COALMINE_CHUNK_FRAME 96

/* The next piece of the kept log; false when there is none. */
bool coalmine_agent_fill_log(struct coalmine_agent *agent);
/* It has arrived. After a reset a log begins anew: its number says that it is the same. */
void coalmine_agent_advance_log(struct coalmine_agent *agent);
/* The next piece of the dump of a crash that was reported; false when there is none. */
bool coalmine_agent_fill_dump(struct coalmine_agent *agent);
/* It has arrived. After a reset a dump goes on at its last checkpoint, a small one at the
 * beginning. */
void coalmine_agent_advance_dump(struct coalmine_agent *agent);

/* What the last boot left of a crash, in retained RAM or in the dump alone, is to be reported. */
void coalmine_agent_take_crash(struct coalmine_agent *agent, enum coalmine_resolution resolution);

/* What this start says of the last attempt: begins its trial, stores its end, or requests its swap
 * again. */
enum coalmine_resolution coalmine_agent_settle_attempt(struct coalmine_agent *agent);
/* Ends the attempt, stores and reports it. */
void coalmine_agent_end_attempt(struct coalmine_agent *agent, enum coalmine_stage stage,
				const char *reason);
void coalmine_agent_decide(struct coalmine_agent *agent, enum coalmine_decision decision,
			   int64_t now_ms);
bool coalmine_agent_on_trial(const struct coalmine_agent *agent);
/* Records the attempt, requests the swap, records that too, and resets. */
void coalmine_agent_request_swap(struct coalmine_agent *agent);

void coalmine_agent_resume_offer(struct coalmine_agent *agent, int64_t now_ms);
void coalmine_agent_forget_offer(struct coalmine_agent *agent);
void coalmine_agent_take_offer(struct coalmine_agent *agent, const struct coalmine_offer *offer,
			       int64_t now_ms);
void coalmine_agent_cancel(struct coalmine_agent *agent, uint64_t offer, int64_t now_ms);
void coalmine_agent_swap_back(struct coalmine_agent *agent, uint64_t offer,
			      const uint8_t image_hash[COALMINE_HASH_SIZE], int64_t now_ms);
void coalmine_agent_take_answer(struct coalmine_agent *agent,
				const struct coalmine_block_answer *answer, int64_t now_ms);
/* Begins, asks again, reboots: whatever of the update is due. */
void coalmine_agent_update(struct coalmine_agent *agent, int64_t now_ms);

#endif /* COALMINE_AGENT_INTERNAL_H_ */
