/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "host.h"
#include "test.h"

#define IMAGE_SIZE (9 * WORLD_PAGE + 37)
#define STEP_MS	   1000

/* How the new image behaves. */
enum behaviour {
	GOOD,
	NEVER_PASSES,
	HANGS,
};

static const struct coalmine_attribute attributes[] = {
	{{"site", 4}, {"lab", 3}},
};

static const struct coalmine_agent_config config = {
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

static struct coalmine_agent agent;
static int64_t now_ms;
static uint8_t hash1[COALMINE_HASH_SIZE];

static void begin_boot(enum behaviour behaviour)
{
	struct coalmine_agent_start start;

	world_boot(&start);
	memset(&agent, 0, sizeof(agent));
	now_ms = 0;
	coalmine_confirmation_expect(&agent.confirmation, 0);
	CHECK_NUMBER(coalmine_agent_begin(&agent, &config, &start, now_ms), 0);
	/* The old image is a good one. */
	if (behaviour != NEVER_PASSES || start.running.version[0] == '1') {
		coalmine_agent_self_test(&agent, 0, true, now_ms);
	}

	coalmine_agent_link(&agent, true, now_ms);
	host_connected(&agent, now_ms);
}

/* Runs until `seconds` are over or the board resets. */
static void run(unsigned int seconds)
{
	int64_t end = now_ms + (int64_t)seconds * 1000;

	while (!agent.stopped && now_ms < end) {
		while (host_serve(&agent, now_ms)) {
		}

		now_ms += STEP_MS;
		(void)coalmine_agent_poll(&agent, now_ms);
	}
}

static bool runs_new(void)
{
	return agent.start.running.version[0] == '2';
}

/* One start of the board until it resets, hangs, or has lived for two minutes. */
static void live(enum behaviour behaviour)
{
	begin_boot(behaviour);
	if (behaviour == HANGS && runs_new() && !world.confirmed) {
		/* Its watchdog bites; nothing is left but the bootloader's view. */
		world.reset = true;
		world.mark = COALMINE_MARK_DEADLINE;
		return;
	}

	run(120);
}

static void prepare(void)
{
	world_clear();
	host_clear();
	world_install(0, 1, IMAGE_SIZE, hash1);
	host_offer(7, 2, IMAGE_SIZE);
}

TEST(update_good, "a good image is downloaded, tried and confirmed, and says so once")
{
	prepare();
	live(GOOD);
	CHECK(agent.stopped);
	live(GOOD);
	CHECK(runs_new());
	CHECK(world.confirmed);
	CHECK_NUMBER(host.results, 1);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_CONFIRMED);
	CHECK_NUMBER(host.result_offers[0], 7);
	CHECK(host.progress_seen[COALMINE_PROGRESS_ACCEPTED]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_DOWNLOADING]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_DOWNLOADED]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_TESTING]);
	CHECK_NUMBER(host.blocks, (IMAGE_SIZE + 1023) / 1024);
	/* The retained offer comes again at every connection, and is nothing new. */
	world.reset = true;
	world.mark = COALMINE_MARK_SOFTWARE;
	live(GOOD);
	CHECK_NUMBER(host.results, 1);
	CHECK(host.hello_has_attempt);
	CHECK_NUMBER(host.hello_outcome, COALMINE_OUTCOME_CONFIRMED);
}

TEST(update_never_passes,
     "an image whose self-test never passes is reverted, and the old one says so")
{
	prepare();
	live(NEVER_PASSES);
	live(NEVER_PASSES);
	CHECK(agent.stopped);
	CHECK_NUMBER(world.mark, COALMINE_MARK_DEADLINE);
	live(NEVER_PASSES);
	CHECK(!runs_new());
	CHECK_NUMBER(host.results, 1);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);
	CHECK(host.result_ran[0]);
	CHECK_NUMBER(host.result_causes[0], COALMINE_RESET_WATCHDOG);
	CHECK_TEXT(host.result_reason, "reverted after a watchdog reset on trial");
	/* It is not tried again, also under another offer. */
	host_offer(8, 2, IMAGE_SIZE);
	host_connected(&agent, now_ms);
	run(10);
	CHECK_NUMBER(host.results, 2);
	CHECK_NUMBER(host.outcomes[1], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "this board reverted that image before");
}

TEST(update_hangs, "an image that hangs before it can report is reverted with ran and watchdog")
{
	prepare();
	live(HANGS);
	live(HANGS);
	live(HANGS);
	CHECK(!runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);
	CHECK_NUMBER(host.result_causes[0], COALMINE_RESET_WATCHDOG);
}

TEST(update_cut, "power lost in any flash operation: one end, the true one, and a board that boots")
{
	static const enum behaviour behaviours[] = {GOOD, NEVER_PASSES, HANGS};
	/* GCC may keep a variable in a register that longjmp() does not restore. */
	volatile unsigned int cuts = 0;
	volatile unsigned int reverted_unrun = 0;

	for (volatile unsigned int b = 0; b < 3; b++) {
		enum behaviour behaviour = behaviours[b];

		for (volatile long cut = 0;; cut++) {
			volatile bool lost = false;
			volatile unsigned int boots = 0;

			prepare();
			world.cut = cut;
			do {
				if (setjmp(world.power) == 0) {
					live(behaviour);
				} else {
					lost = true;
				}

				boots++;
				CHECK(boots < 10);
			} while (world.reset || !host.hello_has_attempt || host.results == 0);

			/* One more start, to see that it is stable. */
			live(behaviour);
			CHECK(!agent.stopped);
			CHECK(host.results > 0);
			for (unsigned int i = 1; i < host.results; i++) {
				CHECK_NUMBER(host.outcomes[i], host.outcomes[0]);
				CHECK_NUMBER(host.result_offers[i], 7);
			}

			/* At most one repetition: the one whose acknowledgement was not stored. */
			CHECK(host.results <= 2);
			CHECK_NUMBER(host.hello_outcome, host.outcomes[0]);
			CHECK(world.confirmed);
			CHECK_NUMBER(agent.storage_errors, 0);
			if (host.outcomes[0] == COALMINE_OUTCOME_CONFIRMED) {
				CHECK(runs_new());
				CHECK_NUMBER(behaviour, GOOD);
			} else {
				CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);
				CHECK(!runs_new());
				CHECK(behaviour != GOOD || lost);
				reverted_unrun += host.result_ran[0] ? 0 : 1;
			}

			if (!lost) {
				break;
			}

			cuts++;
		}
	}

	CHECK(cuts > 100);
	/* The start between swap and application, for each behaviour. */
	CHECK(reverted_unrun >= 3);
	printf("# power cut at %u places\n", cuts);
}

TEST(update_resume, "a download goes on after a loss of power without the blocks it has")
{
	unsigned int blocks;

	prepare();
	begin_boot(GOOD);
	while (host.blocks < 7) {
		now_ms += STEP_MS;
		(void)coalmine_agent_poll(&agent, now_ms);
		/* One message at a time, so that it stops in the middle. */
		(void)host_serve(&agent, now_ms);
		if (agent.download.offset >= 6 * WORLD_PAGE) {
			break;
		}
	}

	blocks = host.blocks;
	live(GOOD);
	live(GOOD);
	CHECK(runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_CONFIRMED);
	/* All blocks once, and at most a checkpoint's worth twice. */
	CHECK(host.blocks <= (IMAGE_SIZE + 1023) / 1024 + 2);
	CHECK(blocks > 0);
}

TEST(update_damaged, "a download with one wrong bit never leads to a reboot")
{
	prepare();
	((uint8_t *)host.artifact)[5000] ^= 1;
	live(GOOD);
	CHECK(!agent.stopped);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "the SHA-256 of what was received is not the offer's");
	CHECK(!world.pending);
}

TEST(update_refused, "a bootloader that erases the image instead of starting it is told as refused")
{
	prepare();
	live(GOOD);
	CHECK(world.pending);
	/* What MCUboot does with a wrong signature. */
	memset(world.slots[1], 0xff, WORLD_SLOT);
	live(GOOD);
	CHECK(!runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REFUSED);
	CHECK(!host.result_ran[0]);
}

TEST(update_wrong_board,
     "an artifact for another board is refused with a reason and never downloaded")
{
	prepare();
	host.offer.offer.revision = coalmine_text_of("2");
	live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	prepare();
	host.offer.offer.size = WORLD_SLOT;
	live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "32768 bytes do not fit slot 1");
}

TEST(update_battery, "a battery that is too low defers the update and says so")
{
	prepare();
	world.battery = 10;
	live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.deferred, 1);
	CHECK_NUMBER(host.deferral, COALMINE_DEFERRED_BATTERY);
	CHECK(agent.has_offer);
	/* The offer waits across a restart. */
	host.has_offer = false;
	world.battery = 80;
	live(GOOD);
	CHECK(world.pending);
}

TEST(update_cancel, "a cancelled offer is dropped, also when the cancel overtakes it")
{
	static const uint8_t cancel[] = {0xa3, 0x00, 0x01, 0x01, 0x0b, 0x05, 0xa1, 0x00, 0x07};

	prepare();
	begin_boot(GOOD);
	coalmine_agent_command(&agent, cancel, sizeof(cancel), now_ms);
	CHECK(!agent.has_offer);
	host.has_offer = false;
	live(GOOD);
	CHECK(!agent.has_offer);

	prepare();
	host.has_offer = false;
	begin_boot(GOOD);
	coalmine_agent_command(&agent, cancel, sizeof(cancel), now_ms);
	host.has_offer = true;
	host_connected(&agent, now_ms + 1000);
	CHECK(!agent.has_offer);
	host_connected(&agent, now_ms + 61000);
	CHECK(agent.has_offer);
}

TEST(swap_back, "a device swaps back to its other slot without a download, on trial like any other")
{
	struct coalmine_command command = {.kind = COALMINE_SWAP_BACK};
	uint8_t data[128];
	int size;

	prepare();
	live(GOOD);
	live(GOOD);
	CHECK(runs_new());
	host.has_offer = false;
	command.swap_back.offer = 9;
	command.swap_back.image_hash = (struct coalmine_span){hash1, sizeof(hash1)};
	size = coalmine_command_encode(&command, data, sizeof(data));
	host.blocks = 0;
	coalmine_agent_command(&agent, data, (size_t)size, now_ms);
	CHECK(agent.stopped);
	live(GOOD);
	CHECK(!runs_new());
	CHECK(world.confirmed);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.result_offers[host.results - 1], 9);
	CHECK_NUMBER(host.outcomes[host.results - 1], COALMINE_OUTCOME_CONFIRMED);
}

TEST(stuck, "an image that its bootloader never reverts stops resetting itself and says so")
{
	prepare();
	live(NEVER_PASSES);
	begin_boot(NEVER_PASSES);
	run(120);
	CHECK(agent.stopped);
	for (unsigned int i = 0; i < COALMINE_TRIAL_BOOTS_MAX; i++) {
		/* MCUboot before 2.2.0 after an unlucky cut: type none, for ever. */
		world.testing = false;
		live(NEVER_PASSES);
	}

	CHECK(runs_new());
	CHECK(!agent.stopped);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "runs unconfirmed: the bootloader does not revert it");
}

TEST(silent_server,
     "an image that cannot reach the server reverts; just inside the deadline it stays")
{
	prepare();
	live(GOOD);
	host.silent = true;
	live(GOOD);
	CHECK(agent.stopped);
	CHECK_NUMBER(world.mark, COALMINE_MARK_DEADLINE);
	host.silent = false;
	live(GOOD);
	CHECK(!runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);

	prepare();
	live(GOOD);
	host.silent = true;
	begin_boot(GOOD);
	run(59);
	host.silent = false;
	run(10);
	CHECK(world.confirmed);
	CHECK(runs_new());
}

TEST(resend, "a report that is not acknowledged is sent again, the same bytes")
{
	prepare();
	host.has_offer = false;
	host.silent = true;
	begin_boot(GOOD);
	run(25);
	CHECK_NUMBER(world.sent_count, 3);
	CHECK_NUMBER(world.sent[0].size, world.sent[2].size);
	CHECK(memcmp(world.sent[0].data, world.sent[2].data, world.sent[0].size) == 0);
}

TEST(crash_report,
     "a crash and its dump are reported under the build that crashed, also by the old image")
{
	static uint8_t dump[5000] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 25, 0, 0, 0, 'A', 2, 0, 68, 0};
	struct coalmine_agent_start start;
	struct coalmine_crash_record crash = {
		.build_id_size = 4,
		.build_id = {0xde, 0xad, 0xbe, 0xef},
		.reason = 25,
		.pc = 0x21010400,
		.lr = 0x21010381,
		.uptime_s = 3,
		.has_dump = true,
	};

	prepare();
	host.has_offer = false;
	for (size_t i = 100; i < sizeof(dump); i++) {
		dump[i] = (uint8_t)(i * 31);
	}

	world.dump = dump;
	world.dump_size = sizeof(dump);
	world_boot(&start);
	start.crash = &crash;
	memset(&agent, 0, sizeof(agent));
	now_ms = 0;
	CHECK_NUMBER(coalmine_agent_begin(&agent, &config, &start, 0), 0);
	/* Power is lost before anybody hears of it. */
	live(GOOD);
	CHECK_NUMBER(host.crashes, 1);
	CHECK(memcmp(host.crash_builds[0], crash.build_id, 4) == 0);
	CHECK_TEXT(host.crash_reason, "precise bus fault");
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK_NUMBER(host.dump_total, sizeof(dump));
	CHECK(memcmp(host.dump, dump, sizeof(dump)) == 0);
	CHECK_NUMBER(world.dump_size, 0);
	live(GOOD);
	CHECK_NUMBER(host.crashes, 1);
	CHECK_NUMBER(agent.crashes.count, 0);
}

TEST(dump_resumed, "a dump goes on after a reset where the last checkpoint of it was acknowledged")
{
	static uint8_t dump[5000] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	prepare();
	host.has_offer = false;
	for (size_t i = 100; i < sizeof(dump); i++) {
		dump[i] = (uint8_t)(i * 31);
	}

	world.dump = dump;
	world.dump_size = sizeof(dump);
	host.dump_pieces_max = 2;
	live(GOOD);
	CHECK_NUMBER(host.dump_pieces, 2);
	CHECK_NUMBER(world.dump_size, sizeof(dump));
	host.silent = false;
	live(GOOD);
	/* Four in all: two before and two after. */
	CHECK_NUMBER(host.dump_pieces, 4);
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK(memcmp(host.dump, dump, sizeof(dump)) == 0);
	CHECK_NUMBER(world.dump_size, 0);
	/* Another dump begins at its beginning. */
	dump[60]++;
	world.dump_size = sizeof(dump);
	host.dump_pieces = host.dump_pieces_max = 0;
	live(GOOD);
	CHECK_NUMBER(host.dump_pieces, 4);
}

TEST(dump_alone, "a dump whose crash left nothing in RAM is reported from the dump itself")
{
	static uint8_t dump[200] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	prepare();
	host.has_offer = false;
	dump[17 + 6 * 4] = 0x34; /* pc */
	dump[17 + 6 * 4 + 1] = 0x12;
	world.dump = dump;
	world.dump_size = sizeof(dump);
	live(GOOD);
	CHECK_NUMBER(host.crashes, 1);
	CHECK_TEXT(host.crash_reason, "kernel panic");
	CHECK_NUMBER(host.dump_size, sizeof(dump));
}

static void say(const char *text)
{
	coalmine_log_put(&world.said, text, strlen(text));
}

/* Says numbered lines of 32 bytes. */
static void chatter(unsigned int lines)
{
	for (unsigned int i = 0; i < lines; i++) {
		char line[40];

		(void)snprintf(line, sizeof(line), "[%08u] node: all is well .. \n", i);
		say(line);
	}
}

TEST(log_after_crash,
     "what a boot said before it crashed is told by the next, in pieces, once, under its build")
{
	prepare();
	host.has_offer = false;
	live(GOOD);
	CHECK_NUMBER(host.said_pieces, 0);
	chatter(200);
	say("[00000200] node: the sensor does not answer\n");
	world.ended_badly = true;
	live(GOOD);
	/* 2944 bytes are kept, of which the first line is broken; 1440 go into a piece, fewer at
	 * the wrap. */
	CHECK(host.said_pieces >= 3);
	CHECK_NUMBER(strlen(host.said), host.said_total);
	CHECK(host.said_total > 2944 - 64);
	CHECK(memcmp(host.said, "[00000", 6) == 0);
	CHECK_TEXT(
		strstr(host.said, "[00000199]"),
		"[00000199] node: all is well .. \n[00000200] node: the sensor does not answer\n");
	CHECK_NUMBER(host.said_build[0], 1);
	CHECK(agent.log.size == 0);
	host.said_pieces = 0;
	live(GOOD);
	CHECK_NUMBER(host.said_pieces, 0);
}

TEST(log_outlives_reset, "a log that nobody has heard outlives resets and is then told as the same")
{
	uint32_t id;

	prepare();
	host.has_offer = false;
	live(GOOD);
	say("the last words\n");
	world.ended_badly = true;
	host.silent = true;
	live(GOOD);
	say("restarted on purpose\n");
	CHECK_NUMBER(host.said_pieces, 0);
	host.silent = false;
	live(GOOD);
	CHECK_TEXT(host.said, "the last words\n");
	id = host.said_id;
	/* The same words of another boot are the same log; others are not. */
	say("the last words\n");
	world.ended_badly = true;
	live(GOOD);
	CHECK_NUMBER(host.said_id, id);
	say("the last words, again\n");
	world.ended_badly = true;
	live(GOOD);
	CHECK(host.said_id != id);
}

TEST(log_before_dump, "the log of a crash comes before its dump, the newest crash's log counts")
{
	static uint8_t dump[200] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	prepare();
	host.has_offer = false;
	host.silent = true;
	live(GOOD);
	say("first crash\n");
	world.ended_badly = true;
	live(GOOD);
	say("second crash\n");
	world.ended_badly = true;
	world.dump = dump;
	world.dump_size = sizeof(dump);
	host.silent = false;
	live(GOOD);
	CHECK_TEXT(host.said, "second crash\n");
	CHECK_NUMBER(host.said_pieces, 1);
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK_NUMBER(world.dump_size, 0);
}

TEST(log_asked_for, "an application tells what it said so far when it wants to, and goes on")
{
	prepare();
	host.has_offer = false;
	begin_boot(GOOD);
	run(5);
	CHECK_NUMBER(coalmine_log_keep(&world.said), -ENOENT);
	say("the valve sticks\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), 0);
	say("it opens again\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), -EBUSY);
	coalmine_agent_send_log(&agent, now_ms);
	run(5);
	CHECK_TEXT(host.said, "the valve sticks\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), 0);
	coalmine_agent_send_log(&agent, now_ms);
	run(5);
	CHECK_TEXT(host.said, "it opens again\n");
}

TEST(boot_counter, "boots are counted across resets, and every boot says hello first")
{
	prepare();
	host.has_offer = false;
	live(GOOD);
	CHECK_NUMBER(host.boot, 1);
	live(GOOD);
	CHECK_NUMBER(host.boot, 2);
	CHECK_NUMBER(host.hellos, 2);
	CHECK(host.heartbeats >= 2);
}

TEST(renumbered,
     "a device whose boot counter was lost goes on above the host's, says hello, and keeps that")
{
	struct coalmine_command command = {.kind = COALMINE_RENUMBER, .renumber = {.boot = 41}};
	uint8_t data[32];
	int size = coalmine_command_encode(&command, data, sizeof(data));

	CHECK(size > 0);
	prepare();
	host.has_offer = false;
	live(GOOD);
	CHECK_NUMBER(host.boot, 1);
	coalmine_agent_command(&agent, data, (size_t)size, now_ms);
	run(20);
	CHECK_NUMBER(host.boot, 42);
	CHECK_NUMBER(host.hellos, 2);
	/* Once more, or an order that was on its way for long: nothing. */
	coalmine_agent_command(&agent, data, (size_t)size, now_ms);
	run(20);
	CHECK_NUMBER(host.boot, 42);
	CHECK_NUMBER(host.hellos, 2);
	live(GOOD);
	CHECK_NUMBER(host.boot, 43);
}
