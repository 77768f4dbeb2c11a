/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <zephyr/kernel.h>

#include "internal.h"

#ifdef CONFIG_DEBUG_COREDUMP_BACKEND_FLASH_PARTITION
#include <zephyr/debug/coredump.h>

int coalmine_port_coredump_size(void)
{
	int size;

	if (coredump_query(COREDUMP_QUERY_HAS_STORED_DUMP, NULL) != 1) {
		return 0;
	}

	size = coredump_query(COREDUMP_QUERY_GET_STORED_DUMP_SIZE, NULL);
	return size < 0 ? 0 : size;
}

int coalmine_port_coredump_read(uint32_t offset, void *data, size_t length)
{
	struct coredump_cmd_copy_arg copy = {
		.offset = (off_t)offset,
		.buffer = data,
		.length = length,
	};
	int copied = coredump_cmd(COREDUMP_CMD_COPY_STORED_DUMP, &copy);

	if (copied < 0) {
		return copied;
	}

	return (size_t)copied == length ? 0 : -EIO;
}

int coalmine_port_coredump_clear(void)
{
	return coredump_cmd(COREDUMP_CMD_ERASE_STORED_DUMP, NULL);
}
#else
int coalmine_port_coredump_size(void)
{
	return 0;
}

int coalmine_port_coredump_read(uint32_t offset, void *data, size_t length)
{
	ARG_UNUSED(offset);
	ARG_UNUSED(data);
	ARG_UNUSED(length);

	return -ENOTSUP;
}

int coalmine_port_coredump_clear(void)
{
	return 0;
}
#endif
