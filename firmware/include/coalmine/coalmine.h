/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_COALMINE_H_
#define COALMINE_COALMINE_H_

#include <coalmine/metrics.h>
#include <coalmine/schema.h>

/* What an application gives coalmine. All of it must stay where it is. */
struct coalmine_app {
	/*
	 * Facts for cohorts, such as site and connectivity; in the order of coalmine_name_order().
	 */
	const struct coalmine_attribute *attributes;
	size_t attribute_count;
	/* The charge in per cent, 0 or -errno; NULL without a battery. */
	int (*battery)(double *percent);
	/* How stored settings are migrated; NULL when they never were. */
	const struct coalmine_schema *schema;
};

/* 0 when the test passes; -EAGAIN while it is not known; another -errno when it fails. */
typedef int (*coalmine_self_test_fn)(void);

/*
 * Adds a test that must pass before a new image confirms itself. Called before coalmine_start().
 * The test is run about once a second until it passes. 0, or -ENOSPC when 32 are there.
 */
int coalmine_self_test_add(coalmine_self_test_fn test);

/*
 * Adds a metric and takes a sample of it, from any thread. See coalmine/metrics.h for the errors.
 */
int coalmine_metric_add(const char *name, enum coalmine_aggregate aggregate);
int coalmine_metric_sample(const char *name, double value);

/*
 * Migrates the settings, settles the last update and starts coalmine's thread. Call it when the
 * application is up. 0 or -errno; without it an image on trial never confirms and is reverted by
 * its watchdog.
 */
int coalmine_start(const struct coalmine_app *app);

/*
 * The application is about to reset the device on purpose. Where the hardware does not tell why it
 * was reset, such a reset is reported as the watchdog's otherwise. mcumgr's reset is noted by
 * itself.
 */
void coalmine_reset_planned(void);

/*
 * Sends what this boot has logged so far (COALMINE_LOG_BACKEND). From any thread, once started;
 * what a boot said before it crashed or hung is sent by itself. 0; -EBUSY while an earlier log
 * waits to be sent, -ENOENT when nothing was logged, -ENOTSUP without the backend.
 */
int coalmine_log_send(void);

/* The name of this device, once started. */
const char *coalmine_device(void);

#endif /* COALMINE_COALMINE_H_ */
