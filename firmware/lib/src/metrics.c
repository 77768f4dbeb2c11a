/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <float.h>
#include <string.h>

#include <coalmine/metrics.h>

static size_t place_of(const struct coalmine_metrics *metrics, struct coalmine_text name,
		       bool *found)
{
	size_t at = 0;
	int order = -1;

	while (at < metrics->count) {
		order = coalmine_name_order(coalmine_text_of(metrics->slots[at].name), name);
		if (order >= 0) {
			break;
		}

		at++;
	}

	*found = at < metrics->count && order == 0;
	return at;
}

int coalmine_metrics_add(struct coalmine_metrics *metrics, const char *name,
			 enum coalmine_aggregate aggregate)
{
	bool found;
	size_t at = place_of(metrics, coalmine_text_of(name), &found);

	if (!coalmine_is_name(coalmine_text_of(name))) {
		return -EINVAL;
	}

	if (found) {
		return -EALREADY;
	}

	if (metrics->count == COALMINE_ENTRIES_MAX) {
		return -ENOSPC;
	}

	memmove(&metrics->slots[at + 1], &metrics->slots[at],
		(metrics->count - at) * sizeof(metrics->slots[0]));
	metrics->slots[at] = (struct coalmine_metric_slot){.name = name, .aggregate = aggregate};
	metrics->count++;
	return 0;
}

/* Sums stay finite: the format has no infinity, and a saturated counter still says "very many". */
static double add(double a, double b)
{
	double sum = a + b;

	if (sum > DBL_MAX) {
		return DBL_MAX;
	}

	return sum < -DBL_MAX ? -DBL_MAX : sum;
}

int coalmine_metrics_sample(struct coalmine_metrics *metrics, const char *name, double value)
{
	bool found;
	size_t at = place_of(metrics, coalmine_text_of(name), &found);
	struct coalmine_metric_slot *slot;

	if (!found) {
		return -ENOENT;
	}

	if (!(value >= -DBL_MAX && value <= DBL_MAX)) {
		return -EINVAL;
	}

	slot = &metrics->slots[at];
	if (slot->samples < UINT32_MAX) {
		slot->samples++;
	}

	switch (slot->aggregate) {
	case COALMINE_COUNTER:
		slot->value = add(slot->value, value);
		break;
	case COALMINE_GAUGE:
		slot->value = value;
		break;
	case COALMINE_MEAN:
		/* A running mean does not overflow where a sum would. */
		slot->value = add(slot->value, value / slot->samples - slot->value / slot->samples);
		break;
	case COALMINE_MINIMUM:
		slot->value = slot->samples == 1 || value < slot->value ? value : slot->value;
		break;
	case COALMINE_MAXIMUM:
		slot->value = slot->samples == 1 || value > slot->value ? value : slot->value;
		break;
	}

	return 0;
}

static void count_link(struct coalmine_metrics *metrics, int64_t uptime_ms)
{
	if (metrics->link_up) {
		metrics->link_up_ms += uptime_ms - metrics->link_since_ms;
	}

	metrics->link_since_ms = uptime_ms;
}

void coalmine_metrics_link(struct coalmine_metrics *metrics, bool up, int64_t uptime_ms)
{
	count_link(metrics, uptime_ms);
	metrics->link_up = up;
}

void coalmine_metrics_take(struct coalmine_metrics *metrics, struct coalmine_heartbeat *heartbeat,
			   int64_t uptime_ms)
{
	int64_t interval = uptime_ms - metrics->taken_ms;

	count_link(metrics, uptime_ms);
	if (interval > 0) {
		heartbeat->link_uptime = (double)metrics->link_up_ms / (double)interval;
	} else {
		heartbeat->link_uptime = metrics->link_up ? 1 : 0;
	}

	metrics->link_up_ms = 0;
	metrics->taken_ms = uptime_ms;
	heartbeat->metric_count = 0;
	for (size_t i = 0; i < metrics->count; i++) {
		struct coalmine_metric_slot *slot = &metrics->slots[i];

		if (slot->samples > 0 || slot->aggregate == COALMINE_COUNTER) {
			heartbeat->metrics[heartbeat->metric_count++] = (struct coalmine_metric){
				.name = coalmine_text_of(slot->name),
				.value = slot->value,
			};
		}

		slot->value = 0;
		slot->samples = 0;
	}
}
