/* SPDX-License-Identifier: Apache-2.0 */
#include "board.h"

extern uint32_t data_source[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

void reset_handler(void);
int main(void);

/* The exception frame and r4-r11, in the order in which Zephyr dumps them. */
__attribute__((naked)) static void fault_handler(void)
{
	__asm__ volatile("mrs r0, msp\n"
			 "push {r4-r11}\n"
			 "mov r1, sp\n"
			 "b board_fault\n");
}

__attribute__((section(".vectors"), used)) static const struct {
	uint32_t *stack;
	void (*handlers[15])(void);
} vectors = {
	stack_top,
	/* reset, NMI, hard, memory, bus and usage fault */
	{reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler},
};

void reset_handler(void)
{
	const uint32_t *from = data_source;

	/* Interrupts only wake the CPU up. */
	__asm__ volatile("cpsid i");
	VTOR = (uint32_t)&vectors;
	for (uint32_t *to = data_start; to < data_end; to++) {
		*to = *from++;
	}

	for (uint32_t *to = bss_start; to < bss_end; to++) {
		*to = 0;
	}

	board_init();
	(void)main();
	board_reset();
}
