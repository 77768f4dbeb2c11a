/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <coalmine/log.h>

#include "test.h"

/* Two halves of 256 bytes: 200 of text each. */
#define MEMORY	 512
#define CAPACITY (MEMORY / 2 - COALMINE_LOG_HEAD)

static uint32_t memory[MEMORY / 4];
static struct coalmine_log said;
static char kept[MEMORY];

static const uint8_t first_build[8] = {1, 1, 1, 1, 1, 1, 1, 1};
static const uint8_t other_build[20] = {2};

/* Power was lost: RAM holds anything. */
static void power_on(unsigned int seed)
{
	for (size_t i = 0; i < MEMORY / 4; i++) {
		seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
		memory[i] = seed;
	}
}

static int boot(const uint8_t *build, size_t size, bool keep)
{
	return coalmine_log_open(&said, memory, MEMORY, (struct coalmine_span){build, size}, keep);
}

static void put(const char *text)
{
	coalmine_log_put(&said, text, strlen(text));
}

/* The kept log, by pieces of at most 7 bytes; NULL for none. */
static const char *read_kept(void)
{
	struct coalmine_log_text text;
	uint32_t at = 0;

	if (!coalmine_log_kept(&said, &text)) {
		return NULL;
	}

	for (;;) {
		struct coalmine_span piece = coalmine_log_piece(&text, at, 7);

		if (piece.length == 0) {
			break;
		}

		memcpy(&kept[at], piece.data, piece.length);
		at += (uint32_t)piece.length;
	}

	CHECK_NUMBER(at, text.size);
	kept[at] = '\0';
	return kept;
}

TEST(log_power_on, "random bytes are no log")
{
	for (unsigned int seed = 0; seed < 200; seed++) {
		power_on(seed);
		CHECK_NUMBER(boot(first_build, 8, true), 0);
		CHECK(read_kept() == NULL);
	}
}

TEST(log_crash, "the log of a boot that ended badly is kept under its own build, for another image")
{
	struct coalmine_log_text text;

	power_on(1);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	put("one\n");
	put("two\n");
	CHECK_NUMBER(boot(other_build, 20, true), 0);
	CHECK_TEXT(read_kept(), "one\ntwo\n");
	CHECK(coalmine_log_kept(&said, &text));
	CHECK_NUMBER(text.build_id.length, 8);
	CHECK(memcmp(text.build_id.data, first_build, 8) == 0);
	coalmine_log_drop(&said);
	CHECK(read_kept() == NULL);
	/* The other image's own. */
	put("three\n");
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_TEXT(read_kept(), "three\n");
	CHECK(coalmine_log_kept(&said, &text));
	CHECK_NUMBER(text.build_id.length, 20);
}

TEST(log_planned, "a boot that ended on purpose leaves nothing, and leaves alone what waits")
{
	power_on(2);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	put("fine\n");
	CHECK_NUMBER(boot(first_build, 8, false), 0);
	CHECK(read_kept() == NULL);
	put("bad\n");
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	for (int i = 0; i < 5; i++) {
		put("fine again\n");
		CHECK_NUMBER(boot(first_build, 8, false), 0);
		CHECK_TEXT(read_kept(), "bad\n");
	}

	/* A boot that said nothing takes nobody's place, either. */
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_TEXT(read_kept(), "bad\n");
	put("worse\n");
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_TEXT(read_kept(), "worse\n");
}

TEST(log_wraps, "what is oldest gives way, by whole lines")
{
	char line[24];

	power_on(3);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(line, sizeof(line), "line %05d\n", i);
		put(line);
	}

	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK(memcmp(read_kept(), "line 00", 7) == 0);
	CHECK_NUMBER(strlen(kept), CAPACITY / 11 * 11);
	CHECK_TEXT(&kept[strlen(kept) - 11], "line 00999\n");
}

TEST(log_long_line, "of a line longer than the memory the end is kept")
{
	static char line[3 * CAPACITY + 2];

	for (size_t i = 0; i < sizeof(line) - 2; i++) {
		line[i] = (char)('a' + i % 26);
	}

	line[sizeof(line) - 2] = '\n';
	power_on(4);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	put(line);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_TEXT(read_kept(), &line[sizeof(line) - 1 - CAPACITY]);
	/* The same, put in many parts and without an end. */
	for (size_t i = 0; i < sizeof(line) - 2; i++) {
		coalmine_log_put(&said, &line[i], 1);
	}

	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_NUMBER(strlen(read_kept()), CAPACITY);
	CHECK(memcmp(kept, &line[sizeof(line) - 2 - CAPACITY], CAPACITY) == 0);
}

TEST(log_bounds, "memory or a build id that will not do is refused, and then puts go nowhere")
{
	struct coalmine_log_text text;
	const struct coalmine_span build = {first_build, 8};

	CHECK_NUMBER(coalmine_log_open(&said, memory, COALMINE_LOG_SIZE_MIN - 1, build, true),
		     -EINVAL);
	CHECK_NUMBER(coalmine_log_open(&said, (uint8_t *)memory + 1, MEMORY - 4, build, true),
		     -EINVAL);
	CHECK_NUMBER(boot(first_build, COALMINE_BUILD_ID_MIN - 1, true), -EINVAL);
	CHECK_NUMBER(boot(other_build, COALMINE_BUILD_ID_MAX + 1, true), -EINVAL);
	put("lost\n");
	CHECK(!coalmine_log_kept(&said, &text));
	CHECK_NUMBER(coalmine_log_keep(&said), -ENOENT);
	coalmine_log_drop(&said);
}

TEST(log_damaged, "a damaged head is no log, whichever of its bits is wrong")
{
	for (size_t bit = 0; bit < 8 * (COALMINE_LOG_HEAD - 8); bit++) {
		power_on(5);
		CHECK_NUMBER(boot(first_build, 8, true), 0);
		put("words\n");
		((uint8_t *)memory)[bit / 8] ^= (uint8_t)(1U << bit % 8);
		CHECK_NUMBER(boot(first_build, 8, true), 0);
		CHECK(read_kept() == NULL);
	}
}

TEST(log_of_nothing, "a head that says a log of nothing waits is no log, and keeps nobody's place")
{
	/* The last two words of a head: the state, of which 2 is kept, and the end. */
	const size_t state = COALMINE_LOG_HEAD / 4 - 2;

	power_on(7);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK_NUMBER(memory[state], 1);
	CHECK_NUMBER(memory[state + 1], 0);
	memory[state] = 2;
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	CHECK(read_kept() == NULL);
	put("words\n");
	CHECK_NUMBER(coalmine_log_keep(&said), 0);
	CHECK_TEXT(read_kept(), "words\n");
}

/* Against a model without a ring: everything ever said, of which the end is looked at. */
TEST(log_model, "10,000 random puts, crashes and restarts keep what a model keeps")
{
	static char all[MEMORY * 8];
	static char expected[CAPACITY + 1];
	size_t used = 0;
	uint32_t seed = 11;
	bool waits = false;

	power_on(6);
	CHECK_NUMBER(boot(first_build, 8, true), 0);
	for (int i = 0; i < 10000; i++) {
		char text[2 * CAPACITY];
		uint32_t length;

		seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
		if (seed >> 28 == 0) {
			bool bad = (seed >> 27 & 1) != 0;

			CHECK_NUMBER(boot(first_build, 8, bad), 0);
			if (bad && used > 0) {
				size_t from = used > CAPACITY ? used - CAPACITY : 0;
				const char *line = &all[from];

				/* Once full, it cannot know that a line begins at its beginning. */
				if (used >= CAPACITY) {
					char *end = memchr(line, '\n', used - from);

					line = end == NULL || end == &all[used - 1] ? line
										    : end + 1;
				}

				memcpy(expected, line, (size_t)(&all[used] - line));
				expected[&all[used] - line] = '\0';
				waits = true;
			}

			used = 0;
			if (waits) {
				CHECK_TEXT(read_kept(), expected);
			} else {
				CHECK(read_kept() == NULL);
			}

			if ((seed >> 26 & 1) != 0) {
				coalmine_log_drop(&said);
				waits = false;
			}

			continue;
		}

		length = (seed >> 8) % (seed >> 26 == 63 ? 2 * CAPACITY : 40);
		for (uint32_t k = 0; k < length; k++) {
			seed = seed * UINT32_C(1664525) + UINT32_C(1013904223);
			text[k] = seed >> 27 == 0 ? '\n' : (char)('a' + (seed >> 24) % 26);
		}

		coalmine_log_put(&said, text, length);
		if (used + length > sizeof(all)) {
			memmove(all, &all[used - CAPACITY], CAPACITY);
			used = CAPACITY;
		}

		memcpy(&all[used], text, length);
		used += length;
	}
}
