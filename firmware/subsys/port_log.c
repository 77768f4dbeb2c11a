/* SPDX-License-Identifier: Apache-2.0 */
#include <zephyr/devicetree.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log_backend.h>
#include <zephyr/logging/log_backend_std.h>
#include <zephyr/logging/log_output.h>

#include "internal.h"

/*
 * Behind the record in retained RAM, all the rest of it: what the devicetree says is the same for
 * all images of a device, what Kconfig says is not.
 */
#if DT_HAS_COMPAT_STATUS_OKAY(coalmine_retained_ram)
#define NODE   DT_INST(0, coalmine_retained_ram)
#define MEMORY ((void *)(DT_REG_ADDR(NODE) + COALMINE_RETAINED_SIZE))
#define SIZE   (DT_REG_SIZE(NODE) - COALMINE_RETAINED_SIZE)
BUILD_ASSERT(DT_REG_SIZE(NODE) >= COALMINE_RETAINED_SIZE + COALMINE_LOG_SIZE_MIN,
	     "coalmine,retained-ram is too small for COALMINE_LOG_BACKEND: give it 1 KiB or more");
#else
/* Without a place of its own it is found again by the same image only. */
static __noinit uint32_t noinit[CONFIG_COALMINE_LOG_BACKEND_SIZE / sizeof(uint32_t)];
#define MEMORY noinit
#define SIZE   sizeof(noinit)
#endif

static struct coalmine_log said;
/* The last boot's was kept just now; an older one is not to be given up for its sake. */
static bool undecided;

void coalmine_log_begin(bool keep)
{
	struct coalmine_log_text text;

	(void)coalmine_log_open(&said, MEMORY, SIZE, coalmine_build_id(), keep);
	undecided = keep && coalmine_log_kept(&said, &text);
}

void coalmine_log_settle(enum coalmine_reset_cause cause)
{
	/* A button or a loss of power is nobody's fault. */
	if (undecided && cause != COALMINE_RESET_FAULT && cause != COALMINE_RESET_WATCHDOG) {
		coalmine_log_drop(&said);
	}
}

/* Writers come from any context, the fault handler too; a put is a copy of some bytes. */
static int put(uint8_t *data, size_t length, void *context)
{
	unsigned int key = irq_lock();

	ARG_UNUSED(context);
	coalmine_log_put(&said, data, length);
	irq_unlock(key);
	return (int)length;
}

bool coalmine_port_log(struct coalmine_log_text *text)
{
	return coalmine_log_kept(&said, text);
}

void coalmine_port_log_drop(void)
{
	coalmine_log_drop(&said);
}

int coalmine_log_keep_now(void)
{
	unsigned int key = irq_lock();
	int result = coalmine_log_keep(&said);

	irq_unlock(key);
	return result;
}

static uint8_t buffer[32];
LOG_OUTPUT_DEFINE(output, put, buffer, sizeof(buffer));

static void process(const struct log_backend *const backend, union log_msg_generic *message)
{
	/* Plain lines: colours would be bytes without a meaning. */
	const uint32_t flags = LOG_OUTPUT_FLAG_LEVEL | LOG_OUTPUT_FLAG_TIMESTAMP |
			       LOG_OUTPUT_FLAG_FORMAT_TIMESTAMP | LOG_OUTPUT_FLAG_CRLF_LFONLY;

	ARG_UNUSED(backend);
	log_format_func_t_get(LOG_OUTPUT_TEXT)(&output, &message->log, flags);
}

static void dropped(const struct log_backend *const backend, uint32_t count)
{
	ARG_UNUSED(backend);
	log_output_dropped_process(&output, count);
}

/* From here on everything comes at once, and is stored at once: nothing to do. */
static void panic(const struct log_backend *const backend)
{
	ARG_UNUSED(backend);
}

static const struct log_backend_api api = {
	.process = process,
	.dropped = IS_ENABLED(CONFIG_LOG_MODE_IMMEDIATE) ? NULL : dropped,
	.panic = panic,
};

LOG_BACKEND_DEFINE(coalmine_log_backend, api, true);
