/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>

#include <coalmine/confirm.h>
#include <coalmine/crash.h>
#include <coalmine/metrics.h>
#include <coalmine/offer.h>
#include <coalmine/reset.h>
#include <coalmine/schema.h>
#include <coalmine/sha256.h>

#include "test.h"
#include "world.h"

static void hex_of(const uint8_t *data, size_t size, char *text)
{
	for (size_t i = 0; i < size; i++) {
		(void)sprintf(&text[2 * i], "%02x", data[i]);
	}
}

static void check_digest(const void *data, size_t size, size_t repeat, const char *expected)
{
	uint8_t digest[COALMINE_SHA256_SIZE];
	char text[2 * COALMINE_SHA256_SIZE + 1];
	struct coalmine_sha256 sha;

	coalmine_sha256_init(&sha);
	for (size_t i = 0; i < repeat; i++) {
		coalmine_sha256_update(&sha, data, size);
	}

	coalmine_sha256_final(&sha, digest);
	hex_of(digest, sizeof(digest), text);
	CHECK_TEXT(text, expected);
}

/* FIPS 180-4 examples and NIST's CAVP byte vectors (SHA256ShortMsg, SHA256LongMsg). */
TEST(sha256_vectors, "SHA-256 agrees with NIST's examples and byte vectors")
{
	static const uint8_t one[] = {0xd3};
	static const uint8_t two[] = {0x11, 0xaf};
	static const uint8_t five[] = {0xc2, 0x99, 0x20, 0x96, 0x82};

	check_digest("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_digest("abc", 3, 1,
		     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, 1,
		     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	check_digest("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
		     "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		     112, 1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
	check_digest("a", 1, 1000000,
		     "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	check_digest(one, 1, 1, "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1");
	check_digest(two, 2, 1, "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98");
	check_digest(five, 5, 1,
		     "f0887fe961c9cd3beab957e8222494abb969b1ce4c6557976df8b0f6d20e9166");
}

TEST(sha256_splits, "SHA-256 does not depend on how the data is split")
{
	uint8_t data[300];
	uint8_t whole[COALMINE_SHA256_SIZE];
	uint8_t parts[COALMINE_SHA256_SIZE];
	struct coalmine_sha256 sha;

	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)(i * 17);
	}

	for (size_t size = 0; size <= sizeof(data); size++) {
		coalmine_sha256_init(&sha);
		coalmine_sha256_update(&sha, data, size);
		coalmine_sha256_final(&sha, whole);
		coalmine_sha256_init(&sha);
		coalmine_sha256_update(&sha, data, size / 3);
		coalmine_sha256_update(&sha, &data[size / 3], size - size / 3);
		coalmine_sha256_final(&sha, parts);
		CHECK(memcmp(whole, parts, sizeof(whole)) == 0);
	}
}

TEST(confirm_conditions, "an image confirms only with self-tests, contact and uptime, in any order")
{
	const struct coalmine_policy policy = {30, 300, true};

	for (unsigned int order = 0; order < 6; order++) {
		static const uint8_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
						     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
		struct coalmine_confirmation machine = {0};
		int64_t now = 1000;

		coalmine_confirmation_expect(&machine, 3);
		coalmine_confirmation_start(&machine, &policy);
		for (unsigned int i = 0; i < 3; i++) {
			enum coalmine_decision decision;

			switch (orders[order][i]) {
			case 0:
				decision = coalmine_confirmation_test(&machine, 3, true, now);
				break;
			case 1:
				decision = coalmine_confirmation_contact(&machine, now);
				break;
			default:
				now = 30000;
				decision = coalmine_confirmation_poll(&machine, now);
				break;
			}

			CHECK_NUMBER(decision, i == 2 ? COALMINE_CONFIRM_IMAGE : COALMINE_WAIT);
		}
	}
}

TEST(confirm_deadline,
     "at its deadline an unconfirmed image resets, also when every answer is missing")
{
	const struct coalmine_policy policy = {30, 300, true};
	struct coalmine_confirmation machine = {0};

	coalmine_confirmation_start(&machine, &policy);
	CHECK_NUMBER(coalmine_confirmation_next(&machine), 300000);
	CHECK_NUMBER(coalmine_confirmation_poll(&machine, 299999), COALMINE_WAIT);
	CHECK_NUMBER(coalmine_confirmation_poll(&machine, 300000), COALMINE_RESET);
	/* Slow, but just inside. */
	CHECK_NUMBER(coalmine_confirmation_contact(&machine, 299999), COALMINE_CONFIRM_IMAGE);
	coalmine_confirmation_done(&machine, false);
	CHECK_NUMBER(coalmine_confirmation_contact(&machine, 299999), COALMINE_WAIT);
	CHECK_NUMBER(coalmine_confirmation_poll(&machine, 300000), COALMINE_RESET);
	coalmine_confirmation_start(&machine, &policy);
	coalmine_confirmation_done(&machine, true);
	CHECK_NUMBER(coalmine_confirmation_poll(&machine, 300000), COALMINE_WAIT);
	CHECK(coalmine_confirmation_next(&machine) == INT64_MAX);
}

TEST(confirm_failing_test, "a self-test that fails again takes its pass back")
{
	const struct coalmine_policy policy = {30, 300, false};
	struct coalmine_confirmation machine = {0};

	coalmine_confirmation_expect(&machine, 0);
	coalmine_confirmation_start(&machine, &policy);
	CHECK_NUMBER(coalmine_confirmation_test(&machine, 0, true, 1000), COALMINE_WAIT);
	CHECK_NUMBER(coalmine_confirmation_test(&machine, 0, false, 2000), COALMINE_WAIT);
	CHECK_NUMBER(coalmine_confirmation_poll(&machine, 40000), COALMINE_WAIT);
	CHECK_NUMBER(coalmine_confirmation_test(&machine, 0, true, 50000), COALMINE_CONFIRM_IMAGE);
}

TEST(reset_causes, "hardware bits and the mark in RAM become one word")
{
	static const struct {
		struct coalmine_reset_view view;
		enum coalmine_reset_cause cause;
	} cases[] = {
		{{true, COALMINE_HW_POR | COALMINE_HW_PIN, false, 0}, COALMINE_RESET_POWER_ON},
		{{true, COALMINE_HW_BROWNOUT | COALMINE_HW_POR, false, 0}, COALMINE_RESET_BROWNOUT},
		{{true, COALMINE_HW_WATCHDOG | COALMINE_HW_PIN, true, 0}, COALMINE_RESET_WATCHDOG},
		{{true, COALMINE_HW_WATCHDOG, true, COALMINE_MARK_SOFTWARE},
		 COALMINE_RESET_WATCHDOG},
		{{true, COALMINE_HW_SOFTWARE, true, COALMINE_MARK_FAULT}, COALMINE_RESET_FAULT},
		{{true, COALMINE_HW_SOFTWARE, true, COALMINE_MARK_NONE}, COALMINE_RESET_SOFTWARE},
		{{true, COALMINE_HW_SOFTWARE, true, COALMINE_MARK_DEADLINE},
		 COALMINE_RESET_WATCHDOG},
		{{true, COALMINE_HW_CPU_LOCKUP, true, COALMINE_MARK_NONE}, COALMINE_RESET_FAULT},
		{{true, COALMINE_HW_PIN, true, COALMINE_MARK_NONE}, COALMINE_RESET_PIN},
		{{true, 0, true, COALMINE_MARK_NONE}, COALMINE_RESET_WATCHDOG},
		{{false, 0, false, COALMINE_MARK_NONE}, COALMINE_RESET_POWER_ON},
		{{false, 0, true, COALMINE_MARK_NONE}, COALMINE_RESET_WATCHDOG},
		{{false, 0, true, COALMINE_MARK_SOFTWARE}, COALMINE_RESET_SOFTWARE},
		{{false, 0, true, COALMINE_MARK_FAULT}, COALMINE_RESET_FAULT},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_NUMBER(coalmine_reset_cause_of(&cases[i].view), cases[i].cause);
	}
}

TEST(attempt_resolutions, "every state of a record meets every state of the slots with one answer")
{
	static const uint8_t target[COALMINE_HASH_SIZE] = {1};
	static const uint8_t other[COALMINE_HASH_SIZE] = {2};
	static const struct {
		enum coalmine_stage stage;
		bool runs;
		bool confirmed;
		bool kept;
		bool ran;
		uint8_t boots;
		enum coalmine_resolution resolution;
		enum coalmine_stage end;
	} cases[] = {
		/* Power was lost before the swap was requested. */
		{COALMINE_STAGE_APPLYING, false, true, true, false, 0, COALMINE_REQUEST_AGAIN,
		 COALMINE_STAGE_APPLYING},
		{COALMINE_STAGE_APPLYING, false, true, false, false, 0, COALMINE_ENDED,
		 COALMINE_STAGE_FAILED},
		/* The request was written, its record was not. */
		{COALMINE_STAGE_APPLYING, true, false, false, false, 0, COALMINE_ON_TRIAL,
		 COALMINE_STAGE_TESTING},
		{COALMINE_STAGE_REQUESTED, true, false, false, false, 0, COALMINE_ON_TRIAL,
		 COALMINE_STAGE_TESTING},
		{COALMINE_STAGE_REQUESTED, false, true, true, false, 0, COALMINE_ENDED,
		 COALMINE_STAGE_REVERTED},
		{COALMINE_STAGE_REQUESTED, false, true, false, false, 0, COALMINE_ENDED,
		 COALMINE_STAGE_REFUSED},
		{COALMINE_STAGE_TESTING, false, true, true, true, 1, COALMINE_ENDED,
		 COALMINE_STAGE_REVERTED},
		{COALMINE_STAGE_TESTING, true, true, true, true, 1, COALMINE_ENDED,
		 COALMINE_STAGE_CONFIRMED},
		{COALMINE_STAGE_TESTING, true, false, true, true, 2, COALMINE_ON_TRIAL,
		 COALMINE_STAGE_TESTING},
		{COALMINE_STAGE_TESTING, true, false, true, true, 3, COALMINE_ENDED,
		 COALMINE_STAGE_FAILED},
		{COALMINE_STAGE_CONFIRMED, false, true, true, true, 1, COALMINE_NOTHING_OPEN,
		 COALMINE_STAGE_CONFIRMED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct coalmine_attempt_record record = {
			.stage = cases[i].stage,
			.ran = cases[i].ran,
			.trial_boots = cases[i].boots,
		};
		const struct coalmine_boot_view view = {
			.running = cases[i].runs ? target : other,
			.confirmed = cases[i].confirmed,
			.undoes = true,
			.other = cases[i].kept ? (cases[i].runs ? other : target) : NULL,
			.cause = COALMINE_RESET_WATCHDOG,
		};

		memcpy(record.target, target, sizeof(target));
		CHECK_NUMBER(coalmine_attempt_resolve(&record, &view), cases[i].resolution);
		CHECK_NUMBER(record.stage, cases[i].end);
		CHECK(!cases[i].runs || record.ran);
	}

	CHECK_NUMBER(coalmine_attempt_resolve(NULL, NULL), COALMINE_NOTHING_OPEN);
}

TEST(records, "records come back as they were; cut, longer or foreign ones count as none")
{
	struct coalmine_attempt_record attempt = {
		.offer = COALMINE_SAFE_MAX,
		.target = {9, 8, 7},
		.stage = COALMINE_STAGE_REVERTED,
		.ran = true,
		.reset_cause = COALMINE_RESET_WATCHDOG,
		.trial_boots = 2,
		.policy = {1, 2, true},
		.reason = "reverted after a watchdog reset on trial",
	};
	struct coalmine_attempt_record back;
	uint8_t data[COALMINE_RECORD_MAX + 1] = {0};
	size_t size = coalmine_attempt_pack(&attempt, data);

	CHECK_NUMBER(coalmine_attempt_unpack(&back, data, size), 0);
	CHECK(back.offer == attempt.offer && back.stage == attempt.stage && back.ran);
	CHECK_TEXT(back.reason, attempt.reason);
	CHECK_NUMBER(back.policy.deadline_s, 2);
	for (size_t cut = 0; cut < size; cut++) {
		CHECK_NUMBER(coalmine_attempt_unpack(&back, data, cut), -EBADMSG);
		CHECK_NUMBER(back.offer, 0);
	}

	CHECK_NUMBER(coalmine_attempt_unpack(&back, data, size + 1), -EBADMSG);
	data[0] = 2;
	CHECK_NUMBER(coalmine_attempt_unpack(&back, data, size), -EBADMSG);
	data[0] = 1;
	data[1 + 8 + 32] = 99;
	CHECK_NUMBER(coalmine_attempt_unpack(&back, data, size), -EBADMSG);
}

TEST(crashes_record, "three crashes are kept, the newest, and only the newest has the dump")
{
	struct coalmine_crashes_record crashes = {0};
	struct coalmine_crashes_record back;
	struct coalmine_crash_record crash = {.build_id_size = 4, .has_dump = true};
	uint8_t data[COALMINE_RECORD_MAX];
	size_t size;

	for (uint32_t i = 0; i < 5; i++) {
		crash.uptime_s = i;
		coalmine_crashes_add(&crashes, &crash);
	}

	CHECK_NUMBER(crashes.count, 3);
	CHECK_NUMBER(crashes.crashes[0].uptime_s, 2);
	CHECK(!crashes.crashes[1].has_dump && crashes.crashes[2].has_dump);
	size = coalmine_crashes_pack(&crashes, data);
	CHECK_NUMBER(coalmine_crashes_unpack(&back, data, size), 0);
	CHECK_NUMBER(back.crashes[2].uptime_s, 4);
	/* The largest must fit. */
	for (size_t i = 0; i < 3; i++) {
		crashes.crashes[i].build_id_size = COALMINE_BUILD_ID_MAX;
	}

	CHECK(coalmine_crashes_pack(&crashes, data) <= COALMINE_RECORD_MAX);
}

TEST(seen, "the newest four ended offers are remembered, and what was undone after it ran")
{
	struct coalmine_seen_record seen = {0};
	struct coalmine_attempt_record attempt = {.stage = COALMINE_STAGE_REVERTED, .ran = true};

	for (uint8_t i = 1; i <= 6; i++) {
		attempt.offer = i;
		attempt.target[0] = i;
		coalmine_seen_note(&seen, &attempt);
		coalmine_seen_note(&seen, &attempt);
	}

	CHECK_NUMBER(seen.offer_count, 4);
	CHECK(!coalmine_seen_offer(&seen, 2) && coalmine_seen_offer(&seen, 3));
	CHECK(coalmine_seen_offer(&seen, 6));
	CHECK_NUMBER(seen.quarantine_count, 4);
	CHECK(coalmine_seen_quarantined(&seen, attempt.target));
	/* Undone without having run says nothing about the image. */
	attempt.target[0] = 99;
	attempt.ran = false;
	coalmine_seen_note(&seen, &attempt);
	CHECK(!coalmine_seen_quarantined(&seen, attempt.target));
}

TEST(metrics, "counters, gauges, means and extremes are what their names say, in wire order")
{
	struct coalmine_metrics metrics = {0};
	struct coalmine_heartbeat heartbeat = {0};

	CHECK_NUMBER(coalmine_metrics_add(&metrics, "zz", COALMINE_COUNTER), 0);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "heap_free", COALMINE_MINIMUM), 0);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "rssi", COALMINE_MEAN), 0);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "peak", COALMINE_MAXIMUM), 0);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "g", COALMINE_GAUGE), 0);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "g", COALMINE_GAUGE), -EALREADY);
	CHECK_NUMBER(coalmine_metrics_add(&metrics, "1st", COALMINE_GAUGE), -EINVAL);
	CHECK_NUMBER(coalmine_metrics_sample(&metrics, "none", 1), -ENOENT);
	CHECK_NUMBER(coalmine_metrics_sample(&metrics, "g", (double)NAN), -EINVAL);
	CHECK_NUMBER(coalmine_metrics_sample(&metrics, "g", (double)INFINITY), -EINVAL);
	for (int i = 1; i <= 4; i++) {
		(void)coalmine_metrics_sample(&metrics, "zz", i);
		(void)coalmine_metrics_sample(&metrics, "heap_free", 100 - i);
		(void)coalmine_metrics_sample(&metrics, "rssi", -70 - i);
		(void)coalmine_metrics_sample(&metrics, "peak", i == 2 ? 50 : 1);
		(void)coalmine_metrics_sample(&metrics, "g", i);
	}

	coalmine_metrics_link(&metrics, true, 1000);
	coalmine_metrics_link(&metrics, false, 4000);
	coalmine_metrics_take(&metrics, &heartbeat, 10000);
	CHECK_NUMBER(heartbeat.metric_count, 5);
	CHECK(heartbeat.link_uptime == 0.3);
	CHECK(coalmine_text_equal(heartbeat.metrics[0].name, coalmine_text_of("g")));
	CHECK(heartbeat.metrics[0].value == 4);
	CHECK(heartbeat.metrics[1].value == 10);
	CHECK(heartbeat.metrics[2].value == 50);
	CHECK(heartbeat.metrics[3].value == -72.5);
	CHECK(heartbeat.metrics[4].value == 96);
	/* No event is a fact for a counter; for the rest, silence is not a number. */
	coalmine_metrics_take(&metrics, &heartbeat, 20000);
	CHECK_NUMBER(heartbeat.metric_count, 1);
	CHECK(heartbeat.metrics[0].value == 0);
	CHECK(heartbeat.link_uptime == 0);
	(void)coalmine_metrics_sample(&metrics, "zz", DBL_MAX);
	(void)coalmine_metrics_sample(&metrics, "zz", DBL_MAX);
	coalmine_metrics_take(&metrics, &heartbeat, 30000);
	CHECK(heartbeat.metrics[0].value == DBL_MAX);
}

TEST(metrics_full, "the seventeenth metric is refused")
{
	static const char names[COALMINE_ENTRIES_MAX][4] = {"a", "b", "c", "d", "e", "f", "g", "h",
							    "i", "j", "k", "l", "m", "n", "o", "p"};
	struct coalmine_metrics metrics = {0};

	for (size_t i = 0; i < COALMINE_ENTRIES_MAX; i++) {
		CHECK_NUMBER(coalmine_metrics_add(&metrics, names[i], COALMINE_GAUGE), 0);
	}

	CHECK_NUMBER(coalmine_metrics_add(&metrics, "q", COALMINE_GAUGE), -ENOSPC);
}

TEST(offer_delay, "a delay is the device's own, the same after a restart, and spreads a herd")
{
	struct coalmine_text version = coalmine_text_of("2.0.0");
	unsigned int quarters[4] = {0};

	for (unsigned int i = 0; i < 1000; i++) {
		char device[16];
		uint32_t delay;

		(void)snprintf(device, sizeof(device), "lamp-%u", i);
		delay = coalmine_offer_delay_ms(device, version, 120);
		CHECK(delay < 120000);
		CHECK_NUMBER(delay, coalmine_offer_delay_ms(device, version, 120));
		quarters[delay / 30000]++;
	}

	for (unsigned int i = 0; i < 4; i++) {
		CHECK(quarters[i] > 180 && quarters[i] < 320);
	}

	CHECK_NUMBER(coalmine_offer_delay_ms("lamp", version, 0), 0);
}

TEST(image_damage, "an image is valid as a whole, and not with any one byte changed")
{
	uint8_t hash[COALMINE_HASH_SIZE];
	struct coalmine_agent_start start;
	const uint32_t size = 600;

	world_clear();
	world_install(0, 1, size, hash);
	world_install(1, 2, size, hash);
	for (uint32_t at = 0; at < size; at++) {
		world.slots[1][at] ^= 0x10;
		world_boot(&start);
		CHECK(!start.has_other);
		world.slots[1][at] ^= 0x10;
	}

	world_boot(&start);
	CHECK(start.has_other);
	CHECK_TEXT(start.other.version, "2.0.0+0");
}

/*
 * An application with three schemas: 1 keeps a name and a period in seconds, 2 the period in
 * milliseconds, 3 name and period in one value. Values by key.
 */
enum key {
	KEY_NAME_1 = 20,
	KEY_PERIOD_1,
	KEY_NAME_2,
	KEY_PERIOD_2,
	KEY_ALL_3,
	KEY_SCHEMA,
};

static int to_2(void *context)
{
	uint8_t name[16];
	uint8_t period[4];
	uint32_t value;
	int size = world_record(KEY_NAME_1, name, sizeof(name));

	(void)context;
	if (size < 0 || world_record(KEY_PERIOD_1, period, sizeof(period)) != 1) {
		return -ENOENT;
	}

	value = period[0] * 1000U;
	for (unsigned int i = 0; i < 4; i++) {
		period[i] = (uint8_t)(value >> (8 * i));
	}

	world_store(KEY_NAME_2, name, (size_t)size);
	world_store(KEY_PERIOD_2, period, 4);
	return 0;
}

static int to_3(void *context)
{
	uint8_t all[20];
	int size = world_record(KEY_NAME_2, &all[4], 16);

	(void)context;
	if (size < 0 || world_record(KEY_PERIOD_2, all, 4) != 4) {
		return -ENOENT;
	}

	world_store(KEY_ALL_3, all, 4 + (size_t)size);
	return 0;
}

static int retire_1(void *context)
{
	(void)context;
	world_store(KEY_NAME_1, (const uint8_t *)"", 0);
	world_store(KEY_PERIOD_1, (const uint8_t *)"", 0);
	return 0;
}

static int retire_2(void *context)
{
	(void)context;
	world_store(KEY_NAME_2, (const uint8_t *)"", 0);
	world_store(KEY_PERIOD_2, (const uint8_t *)"", 0);
	return 0;
}

static int load_schema(void *context, struct coalmine_schema_record *record)
{
	uint8_t data[3];

	(void)context;
	if (world_record(KEY_SCHEMA, data, sizeof(data)) != sizeof(data)) {
		return -ENOENT;
	}

	*record = (struct coalmine_schema_record){data[0], data[1], data[2]};
	return 0;
}

static int store_schema(void *context, const struct coalmine_schema_record *record)
{
	const uint8_t data[3] = {(uint8_t)record->oldest, (uint8_t)record->newest,
				 (uint8_t)record->kept};

	(void)context;
	world_store(KEY_SCHEMA, data, sizeof(data));
	return 0;
}

static const struct coalmine_schema_step steps[] = {{to_2, retire_1}, {to_3, retire_2}};

static struct coalmine_schema schema_of(uint16_t own)
{
	return (struct coalmine_schema){
		.own = own,
		.first = 1,
		.steps = steps,
		.load = load_schema,
		.store = store_schema,
	};
}

static void factory_settings(void)
{
	world_clear();
	world_store(KEY_NAME_1, (const uint8_t *)"kitchen", 7);
	world_store(KEY_PERIOD_1, (const uint8_t *)"\x3c", 1);
}

/* What the image of a schema reads as its settings. */
static bool reads(uint16_t own)
{
	uint8_t name[20];
	uint8_t period[4];

	switch (own) {
	case 1:
		return world_record(KEY_NAME_1, name, sizeof(name)) == 7 &&
		       memcmp(name, "kitchen", 7) == 0 &&
		       world_record(KEY_PERIOD_1, period, sizeof(period)) == 1 && period[0] == 60;
	case 2:
		return world_record(KEY_NAME_2, name, sizeof(name)) == 7 &&
		       memcmp(name, "kitchen", 7) == 0 &&
		       world_record(KEY_PERIOD_2, period, sizeof(period)) == 4 &&
		       (period[0] | period[1] << 8) == 60000;
	default:
		return world_record(KEY_ALL_3, name, sizeof(name)) == 11 &&
		       memcmp(&name[4], "kitchen", 7) == 0 && (name[0] | name[1] << 8) == 60000;
	}
}

TEST(schema_cut, "a migration cut at any write and begun again loses nothing, whoever boots next")
{
	volatile unsigned int cuts = 0;

	for (volatile long cut = 0;; cut++) {
		struct coalmine_schema third = schema_of(3);
		struct coalmine_schema first = schema_of(1);
		volatile bool lost = false;

		/* Cut while migrating from 1 to 3; the old image boots (MCUboot reverted). */
		factory_settings();
		world.cut = cut;
		if (setjmp(world.power) == 0) {
			CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
			world.cut = -1;
		} else {
			lost = true;
		}

		CHECK(reads(1));
		CHECK_NUMBER(coalmine_schema_open(&first, 1), 0);
		CHECK(reads(1));
		/* And is upgraded again. */
		CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
		CHECK(reads(3));
		CHECK(reads(1));

		/* The same cut, and the new image boots again. */
		factory_settings();
		world.cut = cut;
		if (setjmp(world.power) == 0) {
			CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
			world.cut = -1;
		}

		CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
		CHECK(reads(3));
		CHECK(reads(1));
		if (!lost) {
			break;
		}

		cuts++;
	}

	CHECK_NUMBER(cuts, 6);
}

TEST(schema_retire,
     "old settings go only after the confirmation, also when that is cut at any write")
{
	struct coalmine_schema third = schema_of(3);
	struct coalmine_schema first = schema_of(1);
	volatile unsigned int cuts = 0;

	for (volatile long cut = 0;; cut++) {
		volatile bool lost = false;
		uint8_t data[20];

		factory_settings();
		CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
		world.cut = cut;
		if (setjmp(world.power) == 0) {
			CHECK_NUMBER(coalmine_schema_retire(&third), 0);
			world.cut = -1;
		} else {
			lost = true;
			CHECK(reads(3));
			CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
			CHECK_NUMBER(coalmine_schema_retire(&third), 0);
		}

		CHECK(reads(3));
		CHECK_NUMBER(world_record(KEY_NAME_1, data, sizeof(data)), -ENOENT);
		CHECK_NUMBER(world_record(KEY_PERIOD_2, data, sizeof(data)), -ENOENT);
		/* From here on the first image must not touch what it cannot read. */
		CHECK_NUMBER(coalmine_schema_open(&first, 1), -ENOTSUP);
		CHECK(reads(3));
		if (!lost) {
			break;
		}

		cuts++;
	}

	CHECK_NUMBER(cuts, 6);
}

TEST(schema_old_changes,
     "what the old image changes after a revert is what the next upgrade migrates")
{
	struct coalmine_schema third = schema_of(3);
	struct coalmine_schema first = schema_of(1);
	uint8_t data[20];

	factory_settings();
	CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
	CHECK_NUMBER(coalmine_schema_open(&first, 1), 0);
	world_store(KEY_PERIOD_1, (const uint8_t *)"\x0a", 1);
	CHECK_NUMBER(coalmine_schema_open(&third, 1), 0);
	CHECK_NUMBER(world_record(KEY_ALL_3, data, sizeof(data)), 11);
	CHECK_NUMBER(data[0] | data[1] << 8, 10000);
}

TEST(record_cut, "a record cut in its write keeps its previous value")
{
	uint8_t data[COALMINE_RECORD_MAX];
	uint32_t number;
	volatile uint32_t value = 0;

	world_clear();
	CHECK_NUMBER(coalmine_port_record_write(COALMINE_RECORD_BOOT, data,
						coalmine_number_pack(41, data)),
		     0);
	for (; value < 50; value++) {
		world.cut = 0;
		if (setjmp(world.power) == 0) {
			(void)coalmine_port_record_write(COALMINE_RECORD_BOOT, data,
							 coalmine_number_pack(42, data));
			test_fail(__FILE__, __LINE__, "power was not lost");
		}

		CHECK_NUMBER(coalmine_port_record_read(COALMINE_RECORD_BOOT, data, sizeof(data)),
			     5);
		CHECK_NUMBER(coalmine_number_unpack(&number, data, 5), 0);
		CHECK_NUMBER(number, 41);
	}
}
