/* SPDX-License-Identifier: Apache-2.0 */
#include <zephyr/init.h>
#include <zephyr/kernel.h>

/* Vector Table Offset Register */
#define VTOR (*(volatile uint32_t *)0xe000ed08)

extern char _vector_start[];

/*
 * An image in the laboratory flash runs above 0x20000000. Zephyr takes this core for an early
 * Cortex-M3, whose VTOR has no bit 29, and masks the address; the one that QEMU emulates has it.
 * Faults before this hook are lost.
 */
static int point_to_vectors(void)
{
	VTOR = (uint32_t)_vector_start;
	return 0;
}

SYS_INIT(point_to_vectors, EARLY, 0);
