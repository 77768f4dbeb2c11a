/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <zephyr/device.h>
#include <zephyr/drivers/watchdog.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>

#include "internal.h"
#include "kernel_version.h"

LOG_MODULE_DECLARE(coalmine, CONFIG_COALMINE_LOG_LEVEL);

static const struct device *const watchdog = DEVICE_DT_GET(DT_ALIAS(watchdog0));
static int channel = -ENODEV;

/*
 * window.max counts milliseconds, but the driver of Arm's CMSDK watchdog took seconds until its
 * pull request 75478 of July 2024 (seen: seconds in Zephyr 3.4.99, milliseconds in 4.1.0). The one
 * place that knows.
 */
#if DT_HAS_COMPAT_STATUS_OKAY(arm_cmsdk_watchdog) && KERNEL_VERSION_NUMBER < ZEPHYR_VERSION(3, 7, 0)
#define WINDOW_MAX CONFIG_COALMINE_WATCHDOG_TIMEOUT
#else
#define WINDOW_MAX (CONFIG_COALMINE_WATCHDOG_TIMEOUT * MSEC_PER_SEC)
#endif

int coalmine_watchdog_start(void)
{
	const struct wdt_timeout_cfg timeout = {
		.window = {.min = 0, .max = WINDOW_MAX},
		.flags = WDT_FLAG_RESET_SOC,
	};

	if (!device_is_ready(watchdog)) {
		return -ENODEV;
	}

	channel = wdt_install_timeout(watchdog, &timeout);
	if (channel < 0) {
		LOG_WRN("no watchdog (%d): an image that hangs is not reverted", channel);
		return channel;
	}

	/* -EBUSY and the like: the bootloader has started it, and it only wants to be fed. */
	(void)wdt_setup(watchdog, WDT_OPT_PAUSE_HALTED_BY_DBG);
	return 0;
}

void coalmine_watchdog_feed(void)
{
	if (channel >= 0) {
		(void)wdt_feed(watchdog, channel);
	}
}
