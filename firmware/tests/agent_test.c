/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"
#include "host.h"
#include "test.h"

TEST(update_good, "a good image is downloaded, tried and confirmed, and says so once")
{
	bench_prepare();
	bench_live(GOOD);
	CHECK(bench_agent.stopped);
	bench_live(GOOD);
	CHECK(bench_runs_new());
	CHECK(world.confirmed);
	CHECK_NUMBER(host.results, 1);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_CONFIRMED);
	CHECK_NUMBER(host.result_offers[0], 7);
	CHECK(host.progress_seen[COALMINE_PROGRESS_ACCEPTED]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_DOWNLOADING]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_DOWNLOADED]);
	CHECK(host.progress_seen[COALMINE_PROGRESS_TESTING]);
	CHECK_NUMBER(host.blocks, (BENCH_IMAGE_SIZE + 1023) / 1024);
	/* The retained offer comes again at every connection, and is nothing new. */
	world.reset = true;
	world.mark = COALMINE_MARK_SOFTWARE;
	bench_live(GOOD);
	CHECK_NUMBER(host.results, 1);
	CHECK(host.hello_has_attempt);
	CHECK_NUMBER(host.hello_outcome, COALMINE_OUTCOME_CONFIRMED);
}

TEST(update_never_passes,
     "an image whose self-test never passes is reverted, and the old one says so")
{
	bench_prepare();
	bench_live(NEVER_PASSES);
	bench_live(NEVER_PASSES);
	CHECK(bench_agent.stopped);
	CHECK_NUMBER(world.mark, COALMINE_MARK_DEADLINE);
	bench_live(NEVER_PASSES);
	CHECK(!bench_runs_new());
	CHECK_NUMBER(host.results, 1);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);
	CHECK(host.result_ran[0]);
	CHECK_NUMBER(host.result_causes[0], COALMINE_RESET_WATCHDOG);
	CHECK_TEXT(host.result_reason, "reverted after a watchdog reset on trial");
	/* It is not tried again, also under another offer. */
	host_offer(8, 2, BENCH_IMAGE_SIZE);
	host_connected(&bench_agent, bench_now_ms);
	bench_run(10);
	CHECK_NUMBER(host.results, 2);
	CHECK_NUMBER(host.outcomes[1], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "this board reverted that image before");
}

TEST(update_hangs, "an image that hangs before it can report is reverted with ran and watchdog")
{
	bench_prepare();
	bench_live(HANGS);
	bench_live(HANGS);
	bench_live(HANGS);
	CHECK(!bench_runs_new());
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

			bench_prepare();
			world.cut = cut;
			do {
				if (setjmp(world.power) == 0) {
					bench_live(behaviour);
				} else {
					lost = true;
				}

				boots++;
				CHECK(boots < 10);
			} while (world.reset || !host.hello_has_attempt || host.results == 0);

			/* One more start, to see that it is stable. */
			bench_live(behaviour);
			CHECK(!bench_agent.stopped);
			CHECK(host.results > 0);
			for (unsigned int i = 1; i < host.results; i++) {
				CHECK_NUMBER(host.outcomes[i], host.outcomes[0]);
				CHECK_NUMBER(host.result_offers[i], 7);
			}

			/* At most one repetition: the one whose acknowledgement was not stored. */
			CHECK(host.results <= 2);
			CHECK_NUMBER(host.hello_outcome, host.outcomes[0]);
			CHECK(world.confirmed);
			CHECK_NUMBER(bench_agent.storage_errors, 0);
			if (host.outcomes[0] == COALMINE_OUTCOME_CONFIRMED) {
				CHECK(bench_runs_new());
				CHECK_NUMBER(behaviour, GOOD);
			} else {
				CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);
				CHECK(!bench_runs_new());
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

	bench_prepare();
	bench_begin(GOOD);
	while (host.blocks < 7) {
		bench_now_ms += BENCH_STEP_MS;
		(void)coalmine_agent_poll(&bench_agent, bench_now_ms);
		/* One message at a time, so that it stops in the middle. */
		(void)host_serve(&bench_agent, bench_now_ms);
		if (bench_agent.download.offset >= 6 * WORLD_PAGE) {
			break;
		}
	}

	blocks = host.blocks;
	bench_live(GOOD);
	bench_live(GOOD);
	CHECK(bench_runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_CONFIRMED);
	/* All blocks once, and at most a checkpoint's worth twice. */
	CHECK(host.blocks <= (BENCH_IMAGE_SIZE + 1023) / 1024 + 2);
	CHECK(blocks > 0);
}

TEST(update_damaged, "a download with one wrong bit never leads to a reboot")
{
	bench_prepare();
	((uint8_t *)host.artifact)[5000] ^= 1;
	bench_live(GOOD);
	CHECK(!bench_agent.stopped);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "the SHA-256 of what was received is not the offer's");
	CHECK(!world.pending);
}

TEST(update_refused, "a bootloader that erases the image instead of starting it is told as refused")
{
	bench_prepare();
	bench_live(GOOD);
	CHECK(world.pending);
	/* What MCUboot does with a wrong signature. */
	memset(world.slots[1], 0xff, WORLD_SLOT);
	bench_live(GOOD);
	CHECK(!bench_runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REFUSED);
	CHECK(!host.result_ran[0]);
}

TEST(update_wrong_board,
     "an artifact for another board is refused with a reason and never downloaded")
{
	bench_prepare();
	host.offer.offer.revision = coalmine_text_of("2");
	bench_live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	bench_prepare();
	host.offer.offer.size = WORLD_SLOT;
	bench_live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "32768 bytes do not fit slot 1");
}

TEST(update_battery, "a battery that is too low defers the update and says so")
{
	bench_prepare();
	world.battery = 10;
	bench_live(GOOD);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.deferred, 1);
	CHECK_NUMBER(host.deferral, COALMINE_DEFERRED_BATTERY);
	CHECK(bench_agent.has_offer);
	/* The offer waits across a restart. */
	host.has_offer = false;
	world.battery = 80;
	bench_live(GOOD);
	CHECK(world.pending);
}

TEST(update_cancel, "a cancelled offer is dropped, also when the cancel overtakes it")
{
	static const uint8_t cancel[] = {0xa3, 0x00, 0x01, 0x01, 0x0b, 0x05, 0xa1, 0x00, 0x07};

	bench_prepare();
	bench_begin(GOOD);
	coalmine_agent_command(&bench_agent, cancel, sizeof(cancel), bench_now_ms);
	CHECK(!bench_agent.has_offer);
	host.has_offer = false;
	bench_live(GOOD);
	CHECK(!bench_agent.has_offer);

	bench_prepare();
	host.has_offer = false;
	bench_begin(GOOD);
	coalmine_agent_command(&bench_agent, cancel, sizeof(cancel), bench_now_ms);
	host.has_offer = true;
	host_connected(&bench_agent, bench_now_ms + 1000);
	CHECK(!bench_agent.has_offer);
	host_connected(&bench_agent, bench_now_ms + 61000);
	CHECK(bench_agent.has_offer);
}

TEST(swap_back, "a device swaps back to its other slot without a download, on trial like any other")
{
	struct coalmine_command command = {.kind = COALMINE_SWAP_BACK};
	uint8_t data[128];
	int size;

	bench_prepare();
	bench_live(GOOD);
	bench_live(GOOD);
	CHECK(bench_runs_new());
	host.has_offer = false;
	command.swap_back.offer = 9;
	command.swap_back.image_hash = (struct coalmine_span){bench_hash, sizeof(bench_hash)};
	size = coalmine_command_encode(&command, data, sizeof(data));
	host.blocks = 0;
	coalmine_agent_command(&bench_agent, data, (size_t)size, bench_now_ms);
	CHECK(bench_agent.stopped);
	bench_live(GOOD);
	CHECK(!bench_runs_new());
	CHECK(world.confirmed);
	CHECK_NUMBER(host.blocks, 0);
	CHECK_NUMBER(host.result_offers[host.results - 1], 9);
	CHECK_NUMBER(host.outcomes[host.results - 1], COALMINE_OUTCOME_CONFIRMED);
}

TEST(stuck, "an image that its bootloader never reverts stops resetting itself and says so")
{
	bench_prepare();
	bench_live(NEVER_PASSES);
	bench_begin(NEVER_PASSES);
	bench_run(120);
	CHECK(bench_agent.stopped);
	for (unsigned int i = 0; i < COALMINE_TRIAL_BOOTS_MAX; i++) {
		/* MCUboot before 2.2.0 after an unlucky cut: type none, for ever. */
		world.testing = false;
		bench_live(NEVER_PASSES);
	}

	CHECK(bench_runs_new());
	CHECK(!bench_agent.stopped);
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_FAILED);
	CHECK_TEXT(host.result_reason, "runs unconfirmed: the bootloader does not revert it");
}

TEST(silent_server,
     "an image that cannot reach the server reverts; just inside the deadline it stays")
{
	bench_prepare();
	bench_live(GOOD);
	host.silent = true;
	bench_live(GOOD);
	CHECK(bench_agent.stopped);
	CHECK_NUMBER(world.mark, COALMINE_MARK_DEADLINE);
	host.silent = false;
	bench_live(GOOD);
	CHECK(!bench_runs_new());
	CHECK_NUMBER(host.outcomes[0], COALMINE_OUTCOME_REVERTED);

	bench_prepare();
	bench_live(GOOD);
	host.silent = true;
	bench_begin(GOOD);
	bench_run(59);
	host.silent = false;
	bench_run(10);
	CHECK(world.confirmed);
	CHECK(bench_runs_new());
}

TEST(resend, "a report that is not acknowledged is sent again, the same bytes")
{
	bench_prepare();
	host.has_offer = false;
	host.silent = true;
	bench_begin(GOOD);
	bench_run(25);
	CHECK_NUMBER(world.sent_count, 3);
	CHECK_NUMBER(world.sent[0].size, world.sent[2].size);
	CHECK(memcmp(world.sent[0].data, world.sent[2].data, world.sent[0].size) == 0);
}

TEST(boot_counter, "boots are counted across resets, and every boot says hello first")
{
	bench_prepare();
	host.has_offer = false;
	bench_live(GOOD);
	CHECK_NUMBER(host.boot, 1);
	bench_live(GOOD);
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
	bench_prepare();
	host.has_offer = false;
	bench_live(GOOD);
	CHECK_NUMBER(host.boot, 1);
	coalmine_agent_command(&bench_agent, data, (size_t)size, bench_now_ms);
	bench_run(20);
	CHECK_NUMBER(host.boot, 42);
	CHECK_NUMBER(host.hellos, 2);
	/* Once more, or an order that was on its way for long: nothing. */
	coalmine_agent_command(&bench_agent, data, (size_t)size, bench_now_ms);
	bench_run(20);
	CHECK_NUMBER(host.boot, 42);
	CHECK_NUMBER(host.hellos, 2);
	bench_live(GOOD);
	CHECK_NUMBER(host.boot, 43);
}
