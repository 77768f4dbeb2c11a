/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/reset.h>

static enum coalmine_reset_cause from_hardware(uint32_t bits)
{
	/* Power first: with it the other bits of this start are of no meaning, or left over. */
	if ((bits & COALMINE_HW_BROWNOUT) != 0) {
		return COALMINE_RESET_BROWNOUT;
	}

	if ((bits & COALMINE_HW_POR) != 0) {
		return COALMINE_RESET_POWER_ON;
	}

	if ((bits & COALMINE_HW_WATCHDOG) != 0) {
		return COALMINE_RESET_WATCHDOG;
	}

	if ((bits & (COALMINE_HW_CPU_LOCKUP | COALMINE_HW_PARITY)) != 0) {
		return COALMINE_RESET_FAULT;
	}

	if ((bits & COALMINE_HW_SOFTWARE) != 0) {
		return COALMINE_RESET_SOFTWARE;
	}

	return (bits & COALMINE_HW_PIN) != 0 ? COALMINE_RESET_PIN : COALMINE_RESET_UNKNOWN;
}

enum coalmine_reset_cause coalmine_reset_cause_of(const struct coalmine_reset_view *view)
{
	enum coalmine_reset_cause cause =
		view->has_hardware ? from_hardware(view->hardware) : COALMINE_RESET_UNKNOWN;

	if (!view->retained) {
		return cause == COALMINE_RESET_UNKNOWN ? COALMINE_RESET_POWER_ON : cause;
	}

	/*
	 * A mark counts unless the hardware saw something else than the software reset that
	 * follows it.
	 */
	if (cause == COALMINE_RESET_UNKNOWN || cause == COALMINE_RESET_SOFTWARE) {
		switch (view->mark) {
		case COALMINE_MARK_SOFTWARE:
			return COALMINE_RESET_SOFTWARE;
		case COALMINE_MARK_FAULT:
			return COALMINE_RESET_FAULT;
		case COALMINE_MARK_DEADLINE:
			return COALMINE_RESET_WATCHDOG;
		default:
			break;
		}
	}

	return cause == COALMINE_RESET_UNKNOWN ? COALMINE_RESET_WATCHDOG : cause;
}
