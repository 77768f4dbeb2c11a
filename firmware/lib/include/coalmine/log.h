/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_LOG_H_
#define COALMINE_LOG_H_

#include <coalmine/message.h>

/*
 * The last lines of a boot's log in RAM that outlives a reset, so that the next boot, whatever
 * image that runs, can send what was said before a crash (R56).
 *
 * The memory is two halves. One takes what this boot says, and what is oldest gives way. The other
 * keeps the log of a boot that ended badly until it is sent; a later boot that ends well does not
 * touch it, one that ends badly takes its place.
 *
 * L1. A reset at any moment leaves a log: at most its newest words are missing, its oldest torn.
 * L2. Random bytes, as RAM holds them after power on, are no log.
 * L3. A kept log does not change until it is dropped.
 *
 * Writers are kept apart by the caller; a put may come from an interrupt.
 */

/* Bytes of each half that are not text. */
#define COALMINE_LOG_HEAD     56
/* Least bytes of memory: a few lines in each half. */
#define COALMINE_LOG_SIZE_MIN 512

struct coalmine_log_half;

struct coalmine_log {
	struct coalmine_log_half *halves[2];
	/* Bytes of text that each holds. */
	uint32_t capacity;
	/* The half that this boot writes into. */
	unsigned int current;
};

/* A kept log: whole lines, the oldest first, in two pieces where it is wrapped around. */
struct coalmine_log_text {
	struct coalmine_span build_id;
	struct coalmine_span pieces[2];
	uint32_t size;
	/* The same for the same text. */
	uint32_t id;
};

/*
 * Takes over `memory` from the last boot and begins the log of this one, whose build is `build_id`.
 * `keep`: the last boot did not end on purpose. Every image of a device gives the same memory,
 * aligned to 4 bytes. 0; -EINVAL for memory or a build id that will not do, and then nothing is
 * kept and puts are lost.
 */
int coalmine_log_open(struct coalmine_log *log, void *memory, size_t size,
		      struct coalmine_span build_id, bool keep);

void coalmine_log_put(struct coalmine_log *log, const void *text, size_t size);

/*
 * Keeps what this boot has said so far, and goes on in the other half. -EBUSY while that one waits
 * to be sent, -ENOENT when nothing was said.
 */
int coalmine_log_keep(struct coalmine_log *log);

/* Reads the kept log; false when there is none. */
bool coalmine_log_kept(const struct coalmine_log *log, struct coalmine_log_text *text);

/* Forgets the kept log. */
void coalmine_log_drop(struct coalmine_log *log);

/*
 * A piece of `text` from `offset` on that lies together, at most `most` bytes. Empty behind its
 * end.
 */
struct coalmine_span coalmine_log_piece(const struct coalmine_log_text *text, uint32_t offset,
					size_t most);

#endif /* COALMINE_LOG_H_ */
