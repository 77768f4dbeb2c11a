/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include "internal.h"

LOG_MODULE_REGISTER(coalmine, CONFIG_COALMINE_LOG_LEVEL);

/* Self-tests are asked, and the watchdog is fed, at least this often. */
#define TICK_MS	       1000
#define SELF_TESTS_MAX 32

#if defined(CONFIG_MCUBOOT_BOOTLOADER_MODE_OVERWRITE_ONLY)
#define SWAP_MODE COALMINE_OVERWRITE
#elif defined(CONFIG_MCUBOOT_BOOTLOADER_MODE_SWAP_SCRATCH)
#define SWAP_MODE COALMINE_SWAP_SCRATCH
#elif defined(CONFIG_MCUBOOT_BOOTLOADER_MODE_SWAP_USING_OFFSET)
#define SWAP_MODE COALMINE_SWAP_OFFSET
#elif defined(CONFIG_MCUBOOT_BOOTLOADER_MODE_DIRECT_XIP)
#define SWAP_MODE COALMINE_DIRECT_XIP
#else
#define SWAP_MODE COALMINE_SWAP_MOVE
#endif

#if defined(CONFIG_COALMINE_DOWNGRADE_NONE)
#define DOWNGRADE COALMINE_DOWNGRADE_NONE
#elif defined(CONFIG_COALMINE_DOWNGRADE_VERSION)
#define DOWNGRADE COALMINE_DOWNGRADE_VERSION
#elif defined(CONFIG_COALMINE_DOWNGRADE_VERSION_BUILD)
#define DOWNGRADE COALMINE_DOWNGRADE_VERSION_BUILD
#elif defined(CONFIG_COALMINE_DOWNGRADE_COUNTER)
#define DOWNGRADE COALMINE_DOWNGRADE_COUNTER
#endif

BUILD_ASSERT(sizeof(CONFIG_COALMINE_BOARD) - 1 <= COALMINE_HARDWARE_MAX,
	     "the board's name is too long");
BUILD_ASSERT(sizeof(CONFIG_COALMINE_HARDWARE_REVISION) - 1 <= COALMINE_HARDWARE_MAX);

/* The agent belongs to its thread; metrics come from any. */
static K_MUTEX_DEFINE(lock);
static K_THREAD_STACK_DEFINE(stack, CONFIG_COALMINE_STACK_SIZE);
static struct k_thread thread;
static K_SEM_DEFINE(ready, 0, 1);
static int begun;
static struct coalmine_agent agent;
static struct coalmine_agent_config config;
static struct coalmine_identity identity;
static struct coalmine_crash_record crash;
static char partition_map[9];
static const struct coalmine_app *app;
static coalmine_self_test_fn self_tests[SELF_TESTS_MAX];
static unsigned int self_test_count;
static bool retired;

int coalmine_self_test_add(coalmine_self_test_fn test)
{
	if (self_test_count == SELF_TESTS_MAX) {
		return -ENOSPC;
	}

	coalmine_confirmation_expect(&agent.confirmation, self_test_count);
	self_tests[self_test_count++] = test;
	return 0;
}

int coalmine_metric_add(const char *name, enum coalmine_aggregate aggregate)
{
	int result;

	(void)k_mutex_lock(&lock, K_FOREVER);
	result = coalmine_metrics_add(&agent.metrics, name, aggregate);
	(void)k_mutex_unlock(&lock);
	return result;
}

int coalmine_metric_sample(const char *name, double value)
{
	int result;

	(void)k_mutex_lock(&lock, K_FOREVER);
	result = coalmine_metrics_sample(&agent.metrics, name, value);
	(void)k_mutex_unlock(&lock);
	return result;
}

int coalmine_log_send(void)
{
	int result = coalmine_log_keep_now();

	if (result == 0) {
		(void)k_mutex_lock(&lock, K_FOREVER);
		coalmine_agent_send_log(&agent, k_uptime_get());
		(void)k_mutex_unlock(&lock);
	}

	return result;
}

const char *coalmine_device(void)
{
	return identity.device;
}

int coalmine_port_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
		       uint32_t sequence)
{
	return coalmine_transport_send(channel, data, size, sequence);
}

int coalmine_port_battery(double *percent)
{
	return app->battery == NULL ? -ENODEV : app->battery(percent);
}

void coalmine_on_link(bool up)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_link(&agent, up, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

void coalmine_on_command(const uint8_t *data, size_t size)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_command(&agent, data, size, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

void coalmine_on_block(const uint8_t *data, size_t size)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_block(&agent, data, size, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

void coalmine_on_answer(const struct coalmine_block_answer *answer)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_answer(&agent, answer, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

void coalmine_on_refused(uint32_t sequence)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_refused(&agent, sequence, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

uint32_t coalmine_boot_number(void)
{
	return agent.boot;
}

void coalmine_on_acknowledged(uint32_t sequence)
{
	(void)k_mutex_lock(&lock, K_FOREVER);
	coalmine_agent_acknowledged(&agent, sequence, k_uptime_get());
	(void)k_mutex_unlock(&lock);
}

static void run_self_tests(void)
{
	for (unsigned int i = 0; i < self_test_count; i++) {
		uint32_t bit = BIT(i);

		if ((agent.confirmation.passed & bit) == 0) {
			int result = self_tests[i]();

			if (result != -EAGAIN) {
				(void)k_mutex_lock(&lock, K_FOREVER);
				coalmine_agent_self_test(&agent, i, result == 0, k_uptime_get());
				(void)k_mutex_unlock(&lock);
			}
		}
	}
}

static _Noreturn void live(void)
{
	for (;;) {
		int64_t next;
		int64_t now;

		coalmine_watchdog_feed();
		if (agent.confirmation.trial != COALMINE_TRIAL_NONE) {
			run_self_tests();
		} else if (!retired && agent.start.confirmed && app->schema != NULL) {
			/* The old image is not needed any more, so its settings are not either. */
			retired = true;
			(void)coalmine_schema_retire(app->schema);
		}

		(void)k_mutex_lock(&lock, K_FOREVER);
		now = k_uptime_get();
		next = coalmine_agent_poll(&agent, now);
		(void)k_mutex_unlock(&lock);
		coalmine_transport_run((int32_t)CLAMP(next - now, 0, TICK_MS));
	}
}

static void describe(const struct coalmine_agent_start *start)
{
	LOG_INF("%s: %s %s build %02x%02x%02x%02x, %s, reset by %s, other slot %s", identity.device,
		CONFIG_COALMINE_BOARD, start->running.version, start->build_id[0],
		start->build_id[1], start->build_id[2], start->build_id[3],
		start->confirmed ? "confirmed" : "on trial",
		coalmine_reset_cause_name(start->cause),
		start->has_other ? start->other.version : "empty");
}

static int begin(void)
{
	static struct coalmine_agent_start start;
	struct coalmine_span build_id = coalmine_build_id();
	bool crashed;
	int result;

	start.cause = coalmine_reset_read(&crash, &crashed);
	start.crash = crashed ? &crash : NULL;
	coalmine_log_settle(start.cause);
	start.build_id = build_id.data;
	start.build_id_size = build_id.length;
	result = coalmine_boot_read(&start, &config.flash);
	if (result != 0) {
		return result;
	}

	coalmine_reset_arm(&start);
	/* As early as it can be: what hangs from here on is reverted. */
	(void)coalmine_watchdog_start();
	result = coalmine_records_init();
	if (result == 0 && app->schema != NULL) {
		result = coalmine_schema_open(app->schema, app->schema->first);
	}

	if (result != 0) {
		LOG_ERR("the settings cannot be used (%d)", result);
		return result;
	}

	coalmine_identity_read(&identity);
	coalmine_partition_map(partition_map);
	config.device = identity.device;
	config.hardware = (struct coalmine_hardware){
		.board = coalmine_text_of(CONFIG_COALMINE_BOARD),
		.revision = coalmine_text_of(CONFIG_COALMINE_HARDWARE_REVISION),
		.partition_map = coalmine_text_of(partition_map),
		.mode = SWAP_MODE,
		.slot_size = config.flash.slot_size,
	};
	config.interval_s = CONFIG_COALMINE_INTERVAL;
	config.attributes = app->attributes;
	config.attribute_count = app->attribute_count;
	config.storage_schema = CONFIG_COALMINE_STORAGE_SCHEMA;
#if defined(DOWNGRADE)
	config.has_bootloader = true;
	config.bootloader = (struct coalmine_bootloader){
		.downgrade = DOWNGRADE,
		.sectors = config.flash.slot_size / config.flash.page_size,
		.write_align = config.flash.write_unit,
	};
#endif
	config.policy = (struct coalmine_policy){
		.min_uptime_s = CONFIG_COALMINE_MIN_UPTIME,
		.deadline_s = CONFIG_COALMINE_DEADLINE,
		.server_contact = !IS_ENABLED(CONFIG_COALMINE_TRANSPORT_NONE),
	};
	config.battery_min = CONFIG_COALMINE_BATTERY_MIN;
	describe(&start);
	result = coalmine_transport_init(&identity);
	if (result != 0) {
		return result;
	}

	result = coalmine_agent_begin(&agent, &config, &start, k_uptime_get());
	if (result != 0) {
		LOG_ERR("the configuration does not fit the device (%d)", result);
		return result;
	}

	return 0;
}

/* Everything is done on this stack: an application's main needs no more of its own than before. */
static void run(void *a, void *b, void *c)
{
	ARG_UNUSED(a);
	ARG_UNUSED(b);
	ARG_UNUSED(c);

	begun = begin();
	k_sem_give(&ready);
	if (begun == 0) {
		live();
	}
}

int coalmine_start(const struct coalmine_app *application)
{
	app = application;
	(void)k_thread_create(&thread, stack, K_THREAD_STACK_SIZEOF(stack), run, NULL, NULL, NULL,
			      CONFIG_COALMINE_PRIORITY, 0, K_NO_WAIT);
	(void)k_thread_name_set(&thread, "coalmine");
	(void)k_sem_take(&ready, K_FOREVER);
	return begun;
}
