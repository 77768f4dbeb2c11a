/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "internal.h"

bool coalmine_port_log(struct coalmine_log_text *text)
{
	*text = (struct coalmine_log_text){0};
	return false;
}

void coalmine_port_log_drop(void)
{
}

int coalmine_log_keep_now(void)
{
	return -ENOTSUP;
}
