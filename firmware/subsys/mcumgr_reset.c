/* SPDX-License-Identifier: Apache-2.0 */
#include <zcbor_common.h>
#include <zephyr/init.h>
/* Zephyr 4.1's needs zcbor's types and does not include them. */
#include <zephyr/mgmt/mcumgr/mgmt/callbacks.h>

#include "internal.h"

/* A host asked for the reset by mcumgr: it is no watchdog's. */
static enum mgmt_cb_return on_reset(uint32_t event, enum mgmt_cb_return before, int32_t *rc,
				    uint16_t *group, bool *abort_more, void *data, size_t size)
{
	ARG_UNUSED(event);
	ARG_UNUSED(before);
	ARG_UNUSED(rc);
	ARG_UNUSED(group);
	ARG_UNUSED(abort_more);
	ARG_UNUSED(data);
	ARG_UNUSED(size);

	coalmine_reset_planned();
	return MGMT_CB_OK;
}

static struct mgmt_callback callback = {
	.callback = on_reset,
	.event_id = MGMT_EVT_OP_OS_MGMT_RESET,
};

static int listen(void)
{
	mgmt_callback_register(&callback);
	return 0;
}

SYS_INIT(listen, APPLICATION, 0);
