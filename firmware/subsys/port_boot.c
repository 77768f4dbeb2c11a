/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include <bootutil/bootutil_public.h>
#include <zephyr/dfu/mcuboot.h>
#include <zephyr/logging/log.h>
#include <zephyr/storage/flash_map.h>

#include "internal.h"

LOG_MODULE_DECLARE(coalmine, CONFIG_COALMINE_LOG_LEVEL);

#define SLOT0 FIXED_PARTITION_ID(slot0_partition)
#define SLOT1 FIXED_PARTITION_ID(slot1_partition)

static const struct flash_area *slot1;

static int read_area(void *context, uint32_t offset, void *data, size_t length)
{
	return flash_area_read(context, (off_t)offset, data, length);
}

static int read_image(const struct flash_area *area, bool check, struct coalmine_image *image)
{
	return coalmine_image_read(read_area, (void *)area, (uint32_t)area->fa_size, check, image);
}

/*
 * An image that never was on trial, such as one from a programmer, has no trailer: MCUboot leaves
 * it alone, and so it is confirmed.
 */
static bool is_confirmed(void)
{
	struct boot_swap_state state;

	return boot_is_img_confirmed() ||
	       (boot_read_swap_state_by_id(SLOT0, &state) == 0 && state.magic == BOOT_MAGIC_UNSET);
}

int coalmine_boot_read(struct coalmine_agent_start *start, struct coalmine_flash_shape *shape)
{
	const struct flash_area *slot0;
	struct flash_sector sector;
	uint32_t count = 1;
	int result = flash_area_open(SLOT0, &slot0);

	if (result == 0) {
		result = read_image(slot0, false, &start->running);
		flash_area_close(slot0);
	}

	if (result != 0) {
		LOG_ERR("the running image cannot be read (%d): is it signed?", result);
		return result;
	}

	result = flash_area_open(SLOT1, &slot1);
	if (result != 0) {
		return result;
	}

	start->has_other = read_image(slot1, true, &start->other) == 0;
	start->confirmed = is_confirmed();
	/* One sector is enough: slots of unequal sectors are swapped by the largest. */
	result = flash_area_get_sectors(SLOT1, &count, &sector);
	if (result != 0 && result != -ENOMEM) {
		return result;
	}

	*shape = (struct coalmine_flash_shape){
		.slot_size = (uint32_t)slot1->fa_size,
		.page_size = (uint32_t)sector.fs_size,
		.write_unit = flash_area_align(slot1),
		.trailer_size = CONFIG_COALMINE_TRAILER_SIZE,
		.upload_offset = CONFIG_COALMINE_UPLOAD_OFFSET,
		.checkpoint_bytes = CONFIG_COALMINE_CHECKPOINT,
	};
	return 0;
}

void coalmine_partition_map(char text[9])
{
	static const uint32_t map[] = {
		FIXED_PARTITION_OFFSET(slot0_partition),   FIXED_PARTITION_SIZE(slot0_partition),
		FIXED_PARTITION_OFFSET(slot1_partition),   FIXED_PARTITION_SIZE(slot1_partition),
		FIXED_PARTITION_OFFSET(storage_partition), FIXED_PARTITION_SIZE(storage_partition),
	};
	uint32_t hash = UINT32_C(2166136261); /* FNV-1a over the numbers as little endian bytes */

	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		for (unsigned int shift = 0; shift < 32; shift += 8) {
			hash = (hash ^ ((map[i] >> shift) & 0xff)) * UINT32_C(16777619);
		}
	}

	(void)snprintf(text, 9, "%08x", (unsigned int)hash);
}

int coalmine_port_slot_erase(uint32_t offset, uint32_t length)
{
	int result = 0;
	uint32_t page = 4096;

	/* By pieces: erasing a whole slot at once takes longer than a watchdog waits. */
	for (uint32_t at = offset; result == 0 && at < offset + length; at += page) {
		uint32_t part = MIN(page, offset + length - at);

		coalmine_watchdog_feed();
		result = flash_area_erase(slot1, (off_t)at, part);
		if (result == -EINVAL && part == page) {
			/* Pages larger than the piece. */
			return flash_area_erase(slot1, (off_t)offset, length);
		}
	}

	return result;
}

int coalmine_port_slot_write(uint32_t offset, const void *data, size_t length)
{
	return flash_area_write(slot1, (off_t)offset, data, length);
}

int coalmine_port_slot_read(uint32_t offset, void *data, size_t length)
{
	return flash_area_read(slot1, (off_t)offset, data, length);
}

int coalmine_port_upgrade_request(void)
{
	return boot_request_upgrade(BOOT_UPGRADE_TEST);
}

int coalmine_port_image_confirm(void)
{
	int result = boot_write_img_confirmed();

	LOG_INF("image confirmed (%d)", result);
	return result;
}
