/* SPDX-License-Identifier: Apache-2.0 */
/* What a boot leaves for the next to tell: its crash, the dump of it, and its log. */
#include <errno.h>

#include "bench.h"
#include "host.h"
#include "test.h"

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

	bench_prepare();
	host.has_offer = false;
	for (size_t i = 100; i < sizeof(dump); i++) {
		dump[i] = (uint8_t)(i * 31);
	}

	world.dump = dump;
	world.dump_size = sizeof(dump);
	world_boot(&start);
	start.crash = &crash;
	memset(&bench_agent, 0, sizeof(bench_agent));
	bench_now_ms = 0;
	CHECK_NUMBER(coalmine_agent_begin(&bench_agent, &bench_config, &start, 0), 0);
	/* Power is lost before anybody hears of it. */
	bench_live(GOOD);
	CHECK_NUMBER(host.crashes, 1);
	CHECK(memcmp(host.crash_builds[0], crash.build_id, 4) == 0);
	CHECK_TEXT(host.crash_reason, "precise bus fault");
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK_NUMBER(host.dump_total, sizeof(dump));
	CHECK(memcmp(host.dump, dump, sizeof(dump)) == 0);
	CHECK_NUMBER(world.dump_size, 0);
	bench_live(GOOD);
	CHECK_NUMBER(host.crashes, 1);
	CHECK_NUMBER(bench_agent.crashes.count, 0);
}

TEST(dump_resumed, "a dump goes on after a reset where the last checkpoint of it was acknowledged")
{
	static uint8_t dump[5000] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	bench_prepare();
	host.has_offer = false;
	for (size_t i = 100; i < sizeof(dump); i++) {
		dump[i] = (uint8_t)(i * 31);
	}

	world.dump = dump;
	world.dump_size = sizeof(dump);
	host.dump_pieces_max = 2;
	bench_live(GOOD);
	CHECK_NUMBER(host.dump_pieces, 2);
	CHECK_NUMBER(world.dump_size, sizeof(dump));
	host.silent = false;
	bench_live(GOOD);
	/* Four in all: two before and two after. */
	CHECK_NUMBER(host.dump_pieces, 4);
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK(memcmp(host.dump, dump, sizeof(dump)) == 0);
	CHECK_NUMBER(world.dump_size, 0);
	/* Another dump begins at its beginning. */
	dump[60]++;
	world.dump_size = sizeof(dump);
	host.dump_pieces = host.dump_pieces_max = 0;
	bench_live(GOOD);
	CHECK_NUMBER(host.dump_pieces, 4);
}

TEST(dump_alone, "a dump whose crash left nothing in RAM is reported from the dump itself")
{
	static uint8_t dump[200] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	bench_prepare();
	host.has_offer = false;
	dump[17 + 6 * 4] = 0x34; /* pc */
	dump[17 + 6 * 4 + 1] = 0x12;
	world.dump = dump;
	world.dump_size = sizeof(dump);
	bench_live(GOOD);
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
	bench_prepare();
	host.has_offer = false;
	bench_live(GOOD);
	CHECK_NUMBER(host.said_pieces, 0);
	chatter(200);
	say("[00000200] node: the sensor does not answer\n");
	world.ended_badly = true;
	bench_live(GOOD);
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
	CHECK(bench_agent.log.size == 0);
	host.said_pieces = 0;
	bench_live(GOOD);
	CHECK_NUMBER(host.said_pieces, 0);
}

TEST(log_outlives_reset, "a log that nobody has heard outlives resets and is then told as the same")
{
	uint32_t id;

	bench_prepare();
	host.has_offer = false;
	bench_live(GOOD);
	say("the last words\n");
	world.ended_badly = true;
	host.silent = true;
	bench_live(GOOD);
	say("restarted on purpose\n");
	CHECK_NUMBER(host.said_pieces, 0);
	host.silent = false;
	bench_live(GOOD);
	CHECK_TEXT(host.said, "the last words\n");
	id = host.said_id;
	/* The same words of another boot are the same log; others are not. */
	say("the last words\n");
	world.ended_badly = true;
	bench_live(GOOD);
	CHECK_NUMBER(host.said_id, id);
	say("the last words, again\n");
	world.ended_badly = true;
	bench_live(GOOD);
	CHECK(host.said_id != id);
}

TEST(log_before_dump, "the log of a crash comes before its dump, the newest crash's log counts")
{
	static uint8_t dump[200] = {'Z', 'E', 1, 0, 3, 0, 5, 0, 4, 0, 0, 0, 'A', 2, 0, 68, 0};

	bench_prepare();
	host.has_offer = false;
	host.silent = true;
	bench_live(GOOD);
	say("first crash\n");
	world.ended_badly = true;
	bench_live(GOOD);
	say("second crash\n");
	world.ended_badly = true;
	world.dump = dump;
	world.dump_size = sizeof(dump);
	host.silent = false;
	bench_live(GOOD);
	CHECK_TEXT(host.said, "second crash\n");
	CHECK_NUMBER(host.said_pieces, 1);
	CHECK_NUMBER(host.dump_size, sizeof(dump));
	CHECK_NUMBER(world.dump_size, 0);
}

TEST(log_asked_for, "an application tells what it said so far when it wants to, and goes on")
{
	bench_prepare();
	host.has_offer = false;
	bench_begin(GOOD);
	bench_run(5);
	CHECK_NUMBER(coalmine_log_keep(&world.said), -ENOENT);
	say("the valve sticks\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), 0);
	say("it opens again\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), -EBUSY);
	coalmine_agent_send_log(&bench_agent, bench_now_ms);
	bench_run(5);
	CHECK_TEXT(host.said, "the valve sticks\n");
	CHECK_NUMBER(coalmine_log_keep(&world.said), 0);
	coalmine_agent_send_log(&bench_agent, bench_now_ms);
	bench_run(5);
	CHECK_TEXT(host.said, "it opens again\n");
}
