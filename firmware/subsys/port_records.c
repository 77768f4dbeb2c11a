/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <zephyr/kernel.h>
#include <zephyr/settings/settings.h>

#include "internal.h"

/* Records are settings: each backend writes one value whole or not at all. */

struct request {
	uint8_t *data;
	size_t size;
	int result;
};

static int take(const char *key, size_t length, settings_read_cb read, void *argument,
		void *context)
{
	struct request *request = context;

	ARG_UNUSED(key);

	if (length > request->size) {
		request->result = -ENOMEM;
		return 0;
	}

	request->result = (int)read(argument, request->data, length);
	return 0;
}

static void name_of(enum coalmine_record record, char name[16])
{
	(void)snprintf(name, 16, "coalmine/%d", record);
}

int coalmine_records_init(void)
{
	return settings_subsys_init();
}

int coalmine_secret_read(char *text, size_t size)
{
	uint8_t data[COALMINE_SECRET_MAX];
	struct request request = {data, sizeof(data), -ENOENT};
	int result = settings_load_subtree_direct("coalmine/secret", take, &request);

	if (result == 0) {
		result = request.result;
	}

	if (result <= 0 || (size_t)result >= size) {
		return result <= 0 ? result : -ENOMEM;
	}

	memcpy(text, data, (size_t)result);
	text[result] = '\0';
	return result;
}

int coalmine_port_record_read(enum coalmine_record record, uint8_t *data, size_t size)
{
	struct request request = {data, size, -ENOENT};
	char name[16];
	int result;

	name_of(record, name);
	result = settings_load_subtree_direct(name, take, &request);
	if (result != 0) {
		return result;
	}

	return request.result == 0 ? -ENOENT : request.result;
}

int coalmine_port_record_write(enum coalmine_record record, const uint8_t *data, size_t size)
{
	char name[16];

	name_of(record, name);
	return size == 0 ? settings_delete(name) : settings_save_one(name, data, size);
}
