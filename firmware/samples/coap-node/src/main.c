/* SPDX-License-Identifier: Apache-2.0 */
#include <zephyr/kernel.h>

#include "node.h"

int main(void)
{
	int result = node_start();

	if (result != 0) {
		/*
		 * An image that cannot start its updates is no good image: its watchdog reverts
		 * it.
		 */
		return result;
	}

	node_run();
	return 0;
}
