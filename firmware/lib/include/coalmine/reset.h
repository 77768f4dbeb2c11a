/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_RESET_H_
#define COALMINE_RESET_H_

#include <coalmine/message.h>

/* What the hardware latched: the bits of Zephyr's hwinfo_get_reset_cause(). */
#define COALMINE_HW_PIN	       UINT32_C(0x0001)
#define COALMINE_HW_SOFTWARE   UINT32_C(0x0002)
#define COALMINE_HW_BROWNOUT   UINT32_C(0x0004)
#define COALMINE_HW_POR	       UINT32_C(0x0008)
#define COALMINE_HW_WATCHDOG   UINT32_C(0x0010)
#define COALMINE_HW_CPU_LOCKUP UINT32_C(0x0100)
#define COALMINE_HW_PARITY     UINT32_C(0x0200)

/* What the last boot left in retained RAM before it reset. */
enum coalmine_reset_mark {
	COALMINE_MARK_NONE,
	COALMINE_MARK_SOFTWARE,
	COALMINE_MARK_FAULT,
	/*
	 * An unconfirmed image reached its deadline and resets itself, as its watchdog would have.
	 */
	COALMINE_MARK_DEADLINE,
};

struct coalmine_reset_view {
	/* The hardware tells, and this is what it told (several bits are possible). */
	bool has_hardware;
	uint32_t hardware;
	/* Retained RAM held its magic: power was not lost. */
	bool retained;
	enum coalmine_reset_mark mark;
};

/*
 * One word for why the device started. The mark knows what hardware cannot: a fault ends in a
 * software reset, and a trial that runs out counts as its watchdog. Without a mark on a warm start,
 * something reset the device from outside its software: its watchdog, unless the hardware says
 * otherwise.
 */
enum coalmine_reset_cause coalmine_reset_cause_of(const struct coalmine_reset_view *view);

#endif /* COALMINE_RESET_H_ */
