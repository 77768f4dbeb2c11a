/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <coalmine/coalmine.h>
#include <zephyr/init.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include "node.h"
#include "node_settings.h"

LOG_MODULE_REGISTER(node, LOG_LEVEL_INF);

#define DRAIN_PER_DAY (IS_ENABLED(CONFIG_NODE_BATTERY_DRAIN) ? 96.0 : 4.0)

static const struct coalmine_attribute attributes[] = {
	{{"site", 4}, {"lab", 3}},
	{{"connectivity", 12}, {"ethernet", 8}},
};

static int read_battery(double *percent)
{
	double days = (double)k_uptime_get() / 86400000.0;

	*percent = MAX(100.0 - DRAIN_PER_DAY * days, 0.0);
	return 0;
}

/* Settings that cannot be read are no health: with them the device has lost who it is. */
static int settings_work(void)
{
	return node_settings_check();
}

static int never_passes(void)
{
	return -EIO;
}

static __attribute__((noinline)) void divide_deep(int depth)
{
	volatile int *nowhere = (volatile int *)0x60000000;

	if (depth > 0) {
		divide_deep(depth - 1);
	}

	*nowhere = depth;
}

static void crash(struct k_timer *timer)
{
	ARG_UNUSED(timer);

	LOG_WRN("no answer from the sensor, dividing by what it said");
	divide_deep(4);
}

static K_TIMER_DEFINE(crash_timer, crash, NULL);

#ifdef CONFIG_NODE_HANGS_BEFORE_MAIN
static int hang(void)
{
	for (;;) {
	}

	return 0;
}

SYS_INIT(hang, APPLICATION, 0);
#endif

int node_start(void)
{
	static struct coalmine_app app = {
		.attributes = attributes,
		.attribute_count = ARRAY_SIZE(attributes),
	};

	if (IS_ENABLED(CONFIG_NODE_BATTERY)) {
		app.battery = read_battery;
	}

	app.schema = node_settings_schema();
	(void)coalmine_self_test_add(settings_work);
	if (IS_ENABLED(CONFIG_NODE_NEVER_CONFIRMS)) {
		(void)coalmine_self_test_add(never_passes);
	}

	(void)coalmine_metric_add("loop_ms", COALMINE_MAXIMUM);
	(void)coalmine_metric_add("loops", COALMINE_COUNTER);
	if (IS_ENABLED(CONFIG_NODE_BOOT_LOOP)) {
		k_timer_start(&crash_timer, K_MSEC(200), K_NO_WAIT);
	}

#ifdef CONFIG_NODE_CRASHES
	k_timer_start(&crash_timer, K_SECONDS(CONFIG_NODE_CRASH_AFTER), K_NO_WAIT);
#endif
	return coalmine_start(&app);
}

void node_run(void)
{
	for (;;) {
		int64_t start = k_uptime_get();

		k_msleep(1000);
		(void)coalmine_metric_sample("loop_ms", (double)(k_uptime_get() - start));
		(void)coalmine_metric_sample("loops", 1);
	}
}
