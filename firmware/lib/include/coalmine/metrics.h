/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_METRICS_H_
#define COALMINE_METRICS_H_

#include <coalmine/message.h>

/*
 * What an application measures between two heartbeats, by name. A counter says how much was added,
 * a gauge its last value, a mean, a minimum or a maximum what their names say. A metric that was
 * not touched since the last heartbeat is left out, except counters: no event is a fact, silence is
 * not.
 */

enum coalmine_aggregate {
	COALMINE_COUNTER,
	COALMINE_GAUGE,
	COALMINE_MEAN,
	COALMINE_MINIMUM,
	COALMINE_MAXIMUM,
};

struct coalmine_metric_slot {
	const char *name;
	enum coalmine_aggregate aggregate;
	double value;
	uint32_t samples;
};

struct coalmine_metrics {
	size_t count;
	/* In the order of coalmine_name_order(). */
	struct coalmine_metric_slot slots[COALMINE_ENTRIES_MAX];
	/* The link since the last heartbeat. */
	bool link_up;
	int64_t link_since_ms;
	int64_t link_up_ms;
	int64_t taken_ms;
};

/*
 * Adds a metric. 0; -EINVAL for a name that is none; -EALREADY when it is there; -ENOSPC when all
 * COALMINE_ENTRIES_MAX are taken. `name` must stay where it is.
 */
int coalmine_metrics_add(struct coalmine_metrics *metrics, const char *name,
			 enum coalmine_aggregate aggregate);
/* Takes a sample. -ENOENT for an unknown name, -EINVAL for a number that is none. */
int coalmine_metrics_sample(struct coalmine_metrics *metrics, const char *name, double value);
void coalmine_metrics_link(struct coalmine_metrics *metrics, bool up, int64_t uptime_ms);
/* Writes metrics and link_uptime into a heartbeat and begins the next interval. */
void coalmine_metrics_take(struct coalmine_metrics *metrics, struct coalmine_heartbeat *heartbeat,
			   int64_t uptime_ms);

#endif /* COALMINE_METRICS_H_ */
