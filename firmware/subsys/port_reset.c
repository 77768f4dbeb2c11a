/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <zephyr/devicetree.h>
#include <zephyr/drivers/hwinfo.h>
#include <zephyr/fatal.h>
#include <zephyr/init.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log_ctrl.h>
#include <zephyr/sys/crc.h>
#include <zephyr/sys/reboot.h>

#include "internal.h"
#include "kernel_version.h"

#if KERNEL_VERSION_NUMBER >= ZEPHYR_VERSION(3, 7, 0)
typedef struct arch_esf fault_frame;
#else
typedef z_arch_esf_t fault_frame;
#endif

BUILD_ASSERT(COALMINE_HW_PIN == RESET_PIN && COALMINE_HW_SOFTWARE == RESET_SOFTWARE &&
	     COALMINE_HW_BROWNOUT == RESET_BROWNOUT && COALMINE_HW_POR == RESET_POR &&
	     COALMINE_HW_WATCHDOG == RESET_WATCHDOG && COALMINE_HW_CPU_LOCKUP == RESET_CPU_LOCKUP &&
	     COALMINE_HW_PARITY == RESET_PARITY);

#define RETAINED_MAGIC 0x434d5231 /* "CMR1" */

/*
 * What one boot leaves for the next, whatever image that runs: its layout never changes but with
 * the magic. Whoever fails writes the mark; the build that failed has put its name there before.
 */
struct retained {
	uint32_t magic;
	uint32_t mark;
	uint32_t reason;
	uint32_t pc;
	uint32_t lr;
	uint32_t uptime_s;
	uint32_t build_id_size;
	uint8_t build_id[COALMINE_BUILD_ID_MAX];
	uint8_t image_hash[COALMINE_HASH_SIZE];
	/* Over all before it. */
	uint32_t check;
};

/* What follows it is the log's, see port_log.c. */
BUILD_ASSERT(sizeof(struct retained) <= COALMINE_RETAINED_SIZE);

#if DT_HAS_COMPAT_STATUS_OKAY(coalmine_retained_ram)
static struct retained *const retained = (void *)DT_REG_ADDR(DT_INST(0, coalmine_retained_ram));
#else
/* Without a place of its own it is found again by the same image only. */
static __noinit struct retained noinit;
static struct retained *const retained = &noinit;
#endif

static uint32_t check_of(const struct retained *value)
{
	return crc32_ieee((const uint8_t *)value, offsetof(struct retained, check));
}

static void seal(void)
{
	retained->magic = RETAINED_MAGIC;
	retained->check = check_of(retained);
}

/* What the last boot left, and whether it left anything. */
static struct retained last;
static bool has_last;

/*
 * Before anything that could hang: what the last boot left is taken, and this build puts its own
 * name there. Whoever finds that name and no mark knows that this boot was ended from outside, by
 * its watchdog.
 */
static int take_retained(void)
{
	struct coalmine_span build_id = coalmine_build_id();

	has_last = retained->magic == RETAINED_MAGIC && retained->check == check_of(retained);
	last = *retained;
	memset(retained, 0, sizeof(*retained));
	if (build_id.length <= sizeof(retained->build_id)) {
		retained->build_id_size = (uint32_t)build_id.length;
		memcpy(retained->build_id, build_id.data, build_id.length);
	}

	seal();
	/* Whoever marked nothing, or a fault, may have something to say. */
	coalmine_log_begin(!has_last || last.mark != COALMINE_MARK_SOFTWARE);
	return 0;
}

SYS_INIT(take_retained, EARLY, 1);

enum coalmine_reset_cause coalmine_reset_read(struct coalmine_crash_record *crash, bool *crashed)
{
	struct coalmine_reset_view view = {.retained = has_last};

	if (has_last && last.mark <= COALMINE_MARK_DEADLINE) {
		view.mark = last.mark;
	}

	if (IS_ENABLED(CONFIG_HWINFO) && hwinfo_get_reset_cause(&view.hardware) == 0) {
		view.has_hardware = true;
		(void)hwinfo_clear_reset_cause();
	}

	*crashed = has_last && view.mark == COALMINE_MARK_FAULT &&
		   last.build_id_size >= COALMINE_BUILD_ID_MIN &&
		   last.build_id_size <= COALMINE_BUILD_ID_MAX;
	if (*crashed) {
		*crash = (struct coalmine_crash_record){
			.build_id_size = (uint8_t)last.build_id_size,
			.reason = last.reason,
			.pc = last.pc,
			.lr = last.lr,
			.uptime_s = last.uptime_s,
			.has_dump = coalmine_port_coredump_size() > 0,
		};
		memcpy(crash->build_id, last.build_id, sizeof(crash->build_id));
		memcpy(crash->image_hash, last.image_hash, sizeof(crash->image_hash));
	}

	return coalmine_reset_cause_of(&view);
}

void coalmine_reset_arm(const struct coalmine_agent_start *start)
{
	memcpy(retained->image_hash, start->running.hash, sizeof(retained->image_hash));
	seal();
}

void coalmine_reset_planned(void)
{
	retained->mark = COALMINE_MARK_SOFTWARE;
	seal();
}

void coalmine_port_reset(enum coalmine_reset_mark mark)
{
	retained->mark = mark;
	seal();
	log_panic();
	sys_reboot(SYS_REBOOT_COLD);
}

/*
 * Zephyr stores the coredump before it calls this. The name of the build is there already: a fault
 * handler reads as little as possible.
 */
void k_sys_fatal_error_handler(unsigned int reason, const fault_frame *frame)
{
	retained->mark = COALMINE_MARK_FAULT;
	retained->reason = reason;
	retained->uptime_s = (uint32_t)(k_uptime_get() / 1000);
	retained->pc = 0;
	retained->lr = 0;
#ifdef CONFIG_ARM
	if (frame != NULL) {
		retained->pc = frame->basic.pc;
		retained->lr = frame->basic.lr;
	}
#else
	ARG_UNUSED(frame);
#endif
	seal();
	log_panic();
	sys_reboot(SYS_REBOOT_COLD);
	CODE_UNREACHABLE;
}
