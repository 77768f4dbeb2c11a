/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "board.h"

/*
 * The rules of firmware/drivers/flash/lab_flash.c: erasing fills a page with 0xff, writing only
 * clears bits, each is one operation, and in operation `cut_at` power is lost half way.
 */

struct lab_page {
	uint32_t magic;
	uint32_t operations;
	uint32_t cut_at;
	uint32_t cut_style;
	uint32_t erase_us;
	uint32_t write_us;
	uint32_t violations;
	uint32_t cuts;
};

#define LAB	  ((volatile struct lab_page *)0x217ff000)
#define LAB_MAGIC 0x4c414231u

/* MCUboot's image trailer ends with these. */
const uint8_t trailer_magic[TRAILER_MAGIC] = {
	0x77, 0xc2, 0x95, 0xf3, 0x60, 0xd2, 0xef, 0x7f, 0x35, 0x52, 0x50, 0x0f, 0x2c, 0xb6, 0x79, 0x80,
};

static bool begin_operation(void)
{
	if (LAB->magic != LAB_MAGIC) {
		return false;
	}

	LAB->operations++;
	return LAB->cut_at != 0 && LAB->operations == LAB->cut_at;
}

static void lose_power(void)
{
	LAB->cuts++;
	LAB->cut_at = 0;
	if (LAB->cut_style == 1) {
		board_reset();
	}

	for (;;) {
	}
}

const uint8_t *flash_at(uint32_t offset)
{
	return (const uint8_t *)(FLASH_BASE + offset);
}

void flash_erase(uint32_t offset, uint32_t length)
{
	for (uint32_t at = offset; at < offset + length; at += PAGE_SIZE) {
		bool cut = begin_operation();

		memset((void *)(FLASH_BASE + at), 0xff, cut ? PAGE_SIZE / 2 : PAGE_SIZE);
		if (cut) {
			lose_power();
		}
	}
}

void flash_write(uint32_t offset, const void *data, uint32_t length)
{
	const uint8_t *bytes = data;
	uint8_t *to = (uint8_t *)(FLASH_BASE + offset);
	bool cut = begin_operation();

	for (uint32_t i = 0; i < (cut ? length / 2 : length); i++) {
		if ((bytes[i] & ~to[i]) != 0) {
			LAB->violations++;
		}

		to[i] &= bytes[i];
	}

	if (cut) {
		lose_power();
	}
}
