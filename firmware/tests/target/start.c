/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

/*
 * Starts the host tests on a Cortex-M3: output and exit code go to the host by semihosting
 * (newlib's rdimon).
 */

extern uint32_t stack_top[];

int main(int argc, char *argv[]);
void initialise_monitor_handles(void);
void __libc_init_array(void);
void reset_handler(void);

/* Called by newlib around the constructors; there is nothing else to do. */
void _init(void)
{
}

void _fini(void)
{
}

static void fault_handler(void)
{
	/* A fault is a failure and not a hang. */
	_Exit(3);
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
	initialise_monitor_handles();
	__libc_init_array();
	exit(main(0, NULL));
}
