/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <zephyr/kernel.h>

#include "internal.h"

/*
 * There is no host to call: it comes by SMP. The machine runs for confirmation and records alone.
 */

int coalmine_transport_init(const struct coalmine_identity *identity)
{
	ARG_UNUSED(identity);

	return 0;
}

void coalmine_transport_run(int32_t timeout_ms)
{
	k_msleep(timeout_ms);
}

int coalmine_transport_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
			    uint32_t sequence)
{
	ARG_UNUSED(channel);
	ARG_UNUSED(data);
	ARG_UNUSED(size);
	ARG_UNUSED(sequence);

	return -ENOTCONN;
}
