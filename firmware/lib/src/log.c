/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <coalmine/log.h>

#include "fnv.h"

#define LOG_MAGIC UINT32_C(0x434d4c31) /* "CML1" */
#define WRAPPED	  (UINT32_C(1) << 31)

enum half_state {
	HALF_FREE,
	HALF_WRITTEN,
	HALF_KEPT,
};

/* The layout never changes but with the magic: two images share it. */
struct coalmine_log_half {
	uint32_t magic;
	uint32_t capacity;
	uint32_t build_id_size;
	uint8_t build_id[COALMINE_BUILD_ID_MAX];
	/* Over all before it. */
	uint32_t check;
	volatile uint32_t state;
	/*
	 * Where the next byte goes; WRAPPED when what follows it is text, too. One word, so that it
	 * is always whole.
	 */
	volatile uint32_t end;
	uint8_t text[];
};

_Static_assert(offsetof(struct coalmine_log_half, text) == COALMINE_LOG_HEAD,
	       "the layout is shared by all images");

static uint32_t check_of(const struct coalmine_log_half *half)
{
	return coalmine_fnv(COALMINE_FNV_BASIS, (const uint8_t *)half,
			    offsetof(struct coalmine_log_half, check));
}

/* State and end are not under the check: a log of nothing, kept or not, is none. */
static bool is_log(const struct coalmine_log_half *half, uint32_t capacity)
{
	return half->magic == LOG_MAGIC && half->capacity == capacity &&
	       half->build_id_size >= COALMINE_BUILD_ID_MIN &&
	       half->build_id_size <= COALMINE_BUILD_ID_MAX && half->check == check_of(half) &&
	       half->end != 0 && (half->end & ~WRAPPED) < capacity;
}

/* What was stored so far is stored before what follows, also for whoever comes after a reset. */
static void order(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

static void begin_half(struct coalmine_log_half *half, uint32_t capacity,
		       struct coalmine_span build_id)
{
	half->magic = 0;
	order();
	half->state = HALF_WRITTEN;
	half->end = 0;
	half->capacity = capacity;
	half->build_id_size = (uint32_t)build_id.length;
	memset(half->build_id, 0, sizeof(half->build_id));
	memcpy(half->build_id, build_id.data, build_id.length);
	order();
	half->magic = LOG_MAGIC;
	half->check = check_of(half);
}

int coalmine_log_open(struct coalmine_log *log, void *memory, size_t size,
		      struct coalmine_span build_id, bool keep)
{
	size_t half = size / 2 & ~(size_t)3;
	struct coalmine_log_half *last = NULL;

	memset(log, 0, sizeof(*log));
	if ((uintptr_t)memory % sizeof(uint32_t) != 0 || size < COALMINE_LOG_SIZE_MIN ||
	    half > INT32_MAX || build_id.length < COALMINE_BUILD_ID_MIN ||
	    build_id.length > COALMINE_BUILD_ID_MAX) {
		return -EINVAL;
	}

	log->capacity = (uint32_t)(half - COALMINE_LOG_HEAD);
	for (unsigned int i = 0; i < 2; i++) {
		log->halves[i] = (void *)((uint8_t *)memory + i * half);
		if (!is_log(log->halves[i], log->capacity)) {
			log->halves[i]->state = HALF_FREE;
		} else if (log->halves[i]->state == HALF_WRITTEN) {
			last = log->halves[i];
		}
	}

	if (keep && last != NULL) {
		/* The newest that ended badly counts; what waited so far gives way. */
		last->state = HALF_KEPT;
		log->current = last == log->halves[0] ? 1 : 0;
	} else {
		log->current = log->halves[0]->state == HALF_KEPT ? 1 : 0;
	}

	begin_half(log->halves[log->current], log->capacity, build_id);
	if (log->halves[1 - log->current]->state != HALF_KEPT) {
		log->halves[1 - log->current]->state = HALF_FREE;
	}

	return 0;
}

void coalmine_log_put(struct coalmine_log *log, const void *text, size_t size)
{
	struct coalmine_log_half *half = log->halves[log->current];
	const uint8_t *data = text;
	uint32_t at;
	uint32_t wrapped;

	if (half == NULL || size == 0) {
		return;
	}

	if (size > log->capacity) {
		data += size - log->capacity;
		size = log->capacity;
	}

	at = half->end & ~WRAPPED;
	wrapped = half->end & WRAPPED;
	while (size > 0) {
		uint32_t room = log->capacity - at;
		uint32_t part = size < room ? (uint32_t)size : room;

		memcpy(&half->text[at], data, part);
		order();
		data += part;
		size -= part;
		at += part;
		if (at == log->capacity) {
			at = 0;
			wrapped = WRAPPED;
		}

		half->end = wrapped | at;
	}
}

int coalmine_log_keep(struct coalmine_log *log)
{
	struct coalmine_log_half *half = log->halves[log->current];
	unsigned int other = 1 - log->current;

	if (half == NULL || half->end == 0) {
		return -ENOENT;
	}

	if (log->halves[other]->state == HALF_KEPT) {
		return -EBUSY;
	}

	begin_half(log->halves[other], log->capacity,
		   (struct coalmine_span){half->build_id, half->build_id_size});
	half->state = HALF_KEPT;
	log->current = other;
	return 0;
}

/* Leaves out what is before the first whole line, if there is a whole line. */
static void skip_broken_line(struct coalmine_span pieces[2])
{
	for (unsigned int i = 0; i < 2; i++) {
		const uint8_t *newline = pieces[i].length == 0
						 ? NULL
						 : memchr(pieces[i].data, '\n', pieces[i].length);
		size_t skipped;

		if (newline == NULL) {
			continue;
		}

		skipped = (size_t)(newline - pieces[i].data) + 1;
		if (skipped == pieces[i].length && (i == 1 || pieces[1].length == 0)) {
			/* One line longer than the memory: its end is better than nothing. */
			return;
		}

		pieces[i].data += skipped;
		pieces[i].length -= skipped;
		if (i == 1) {
			pieces[0] = pieces[1];
			pieces[1] = (struct coalmine_span){0};
		}

		return;
	}
}

bool coalmine_log_kept(const struct coalmine_log *log, struct coalmine_log_text *text)
{
	const struct coalmine_log_half *half = log->halves[1 - log->current];
	uint32_t at;

	*text = (struct coalmine_log_text){0};
	if (half == NULL || half->state != HALF_KEPT) {
		return false;
	}

	at = half->end & ~WRAPPED;
	text->build_id = (struct coalmine_span){half->build_id, half->build_id_size};
	if ((half->end & WRAPPED) != 0) {
		text->pieces[0] = (struct coalmine_span){&half->text[at], log->capacity - at};
		text->pieces[1] = (struct coalmine_span){half->text, at};
		skip_broken_line(text->pieces);
	} else {
		text->pieces[0] = (struct coalmine_span){half->text, at};
	}

	text->size = (uint32_t)(text->pieces[0].length + text->pieces[1].length);
	text->id = COALMINE_FNV_BASIS;
	for (unsigned int i = 0; i < 2; i++) {
		text->id = coalmine_fnv(text->id, text->pieces[i].data, text->pieces[i].length);
	}

	return true;
}

void coalmine_log_drop(struct coalmine_log *log)
{
	struct coalmine_log_half *half = log->halves[1 - log->current];

	if (half != NULL && half->state == HALF_KEPT) {
		half->state = HALF_FREE;
	}
}

struct coalmine_span coalmine_log_piece(const struct coalmine_log_text *text, uint32_t offset,
					size_t most)
{
	for (unsigned int i = 0; i < 2; i++) {
		const struct coalmine_span *piece = &text->pieces[i];

		if (offset < piece->length) {
			size_t left = piece->length - offset;

			return (struct coalmine_span){&piece->data[offset],
						      left < most ? left : most};
		}

		offset -= (uint32_t)piece->length;
	}

	return (struct coalmine_span){0};
}
