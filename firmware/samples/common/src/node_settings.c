/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <zephyr/kernel.h>
#include <zephyr/settings/settings.h>

#include "node_settings.h"

#define DEFAULT_PERIOD_S 60

struct request {
	void *data;
	size_t size;
	int result;
};

static int take(const char *key, size_t length, settings_read_cb read, void *argument,
		void *context)
{
	struct request *request = context;

	ARG_UNUSED(key);

	request->result = length == request->size
				  ? (int)read(argument, request->data, request->size)
				  : -EBADMSG;
	return 0;
}

static int read_exactly(const char *name, void *data, size_t size)
{
	struct request request = {data, size, -ENOENT};
	int result = settings_load_subtree_direct(name, take, &request);

	if (result != 0) {
		return result;
	}

	return request.result == (int)size ? 0 : MIN(request.result, -ENOENT);
}

static int load(void *context, struct coalmine_schema_record *record)
{
	ARG_UNUSED(context);

	return read_exactly("node/schema", record, sizeof(*record));
}

static int store(void *context, const struct coalmine_schema_record *record)
{
	ARG_UNUSED(context);

	return settings_save_one("node/schema", record, sizeof(*record));
}

static int to_milliseconds(void *context)
{
	uint32_t period = DEFAULT_PERIOD_S;

	ARG_UNUSED(context);

	/* A device that never stored one has the default. */
	(void)read_exactly("node/1/period", &period, sizeof(period));
	period = IS_ENABLED(CONFIG_NODE_LOSES_SETTINGS) ? 0 : period * MSEC_PER_SEC;
	return settings_save_one("node/2/period", &period, sizeof(period));
}

static int remove_seconds(void *context)
{
	ARG_UNUSED(context);

	return settings_delete("node/1/period");
}

static const struct coalmine_schema_step steps[] = {
	{to_milliseconds, remove_seconds},
};

static const struct coalmine_schema schema = {
	.own = CONFIG_COALMINE_STORAGE_SCHEMA,
	.first = 1,
	.steps = steps,
	.load = load,
	.store = store,
};

BUILD_ASSERT(CONFIG_COALMINE_STORAGE_SCHEMA >= 1 && CONFIG_COALMINE_STORAGE_SCHEMA <= 2,
	     "the samples know the schemas 1 and 2");

const struct coalmine_schema *node_settings_schema(void)
{
	return &schema;
}

int node_settings_check(void)
{
	uint32_t period = DEFAULT_PERIOD_S;

	if (CONFIG_COALMINE_STORAGE_SCHEMA == 2) {
		int result = read_exactly("node/2/period", &period, sizeof(period));

		if (result != 0) {
			return result;
		}
	} else {
		(void)read_exactly("node/1/period", &period, sizeof(period));
	}

	return period > 0 ? 0 : -EINVAL;
}
