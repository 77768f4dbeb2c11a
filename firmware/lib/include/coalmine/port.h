/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_PORT_H_
#define COALMINE_PORT_H_

#include <coalmine/log.h>
#include <coalmine/record.h>
#include <coalmine/reset.h>

/*
 * What the library needs of the world, implemented by subsys/ for Zephyr and by the tests for the
 * host. A missing function is a link error. All answer 0 or -errno unless said otherwise.
 */

enum coalmine_channel {
	COALMINE_CHANNEL_REPORT,
	COALMINE_CHANNEL_BLOCK_REQUEST,
};

/*
 * Sends a message, at least once while the link is up. For a report, `sequence` comes back with
 * coalmine_agent_acknowledged(). -ENOTCONN while there is no link.
 */
int coalmine_port_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
		       uint32_t sequence);

/* The newest value of a record; its length, or -ENOENT. */
int coalmine_port_record_read(enum coalmine_record record, uint8_t *data, size_t size);
/*
 * Stores a record; after a loss of power either the old or the new value is there. 0 bytes remove
 * it.
 */
int coalmine_port_record_write(enum coalmine_record record, const uint8_t *data, size_t size);

/* Slot 1. Erasing takes whole pages, writing whole write units of erased flash. */
int coalmine_port_slot_erase(uint32_t offset, uint32_t length);
int coalmine_port_slot_write(uint32_t offset, const void *data, size_t length);
int coalmine_port_slot_read(uint32_t offset, void *data, size_t length);

/* Asks the bootloader to start the image in slot 1 on trial. */
int coalmine_port_upgrade_request(void);
/* Makes the running image permanent. */
int coalmine_port_image_confirm(void);
/* Leaves the mark in retained RAM and resets. Returns in tests only. */
void coalmine_port_reset(enum coalmine_reset_mark mark);

/* The charge in per cent; -ENODEV without a battery. */
int coalmine_port_battery(double *percent);

/* The stored coredump: its size, 0 for none, or -errno. */
int coalmine_port_coredump_size(void);
int coalmine_port_coredump_read(uint32_t offset, void *data, size_t length);
int coalmine_port_coredump_clear(void);

/* The kept log, see coalmine/log.h; false for none. It stays as it is until it is dropped. */
bool coalmine_port_log(struct coalmine_log_text *text);
void coalmine_port_log_drop(void);

#endif /* COALMINE_PORT_H_ */
