/* SPDX-License-Identifier: Apache-2.0 */
#define DT_DRV_COMPAT coalmine_mmio_flash

#include <errno.h>
#include <string.h>

#include <zephyr/arch/cpu.h>
#include <zephyr/device.h>
#include <zephyr/drivers/flash.h>
#include <zephyr/kernel.h>
#include <zephyr/sys/byteorder.h>
#include <zephyr/sys/util.h>

/*
 * The laboratory flash.
 *
 * L1. Erasing fills a page with 0xff, writing only clears bits: a write that would set one is
 * counted. L2. Every page erased and every write is one operation. In operation `cut_at` power is
 * lost: half of the bytes are done, then the CPU spins until the host ends it, or resets itself.
 */

#define CONTROLLER DT_DRV_INST(0)
#define ARRAY	   DT_CHOSEN(zephyr_flash)

#define ERASE_BLOCK DT_PROP(ARRAY, erase_block_size)
#define WRITE_BLOCK DT_PROP(ARRAY, write_block_size)

#define LAB_MAGIC 0x4c414231 /* "LAB1" */

enum cut_style {
	CUT_SPIN,
	CUT_RESET,
};

/* The laboratory page, little endian. Without the magic it is not there. */
struct lab_page {
	uint32_t magic;
	uint32_t operations;
	/* 1 for the first operation after this was written; 0 for never. */
	uint32_t cut_at;
	uint32_t cut_style;
	uint32_t erase_us;
	uint32_t write_us;
	/* Bits that a write would have set. */
	uint32_t violations;
	uint32_t cuts;
};

static uint8_t *const array = (uint8_t *)DT_REG_ADDR_BY_IDX(CONTROLLER, 0);
static volatile struct lab_page *const lab = (void *)DT_REG_ADDR_BY_IDX(CONTROLLER, 1);

static const struct flash_parameters parameters = {
	.write_block_size = WRITE_BLOCK,
	.erase_value = 0xff,
};

static bool is_lab(void)
{
	return lab->magic == LAB_MAGIC;
}

/* Counts an operation. True when power is lost in it. */
static bool begin_operation(uint32_t busy_us)
{
	if (!is_lab()) {
		return false;
	}

	lab->operations++;
	if (busy_us > 0) {
		k_busy_wait(busy_us);
	}

	return lab->cut_at != 0 && lab->operations == lab->cut_at;
}

static void lose_power(void)
{
	lab->cuts++;
	lab->cut_at = 0;
	(void)arch_irq_lock();
	if (lab->cut_style == CUT_RESET) {
		/* Application Interrupt and Reset Control Register: key, SYSRESETREQ. */
		*(volatile uint32_t *)0xe000ed0c = 0x05fa0004;
	}

	for (;;) {
	}
}

static bool is_inside(off_t offset, size_t length)
{
	return offset >= 0 && (size_t)offset <= DT_REG_SIZE(ARRAY) &&
	       length <= DT_REG_SIZE(ARRAY) - (size_t)offset;
}

static int lab_flash_read(const struct device *device, off_t offset, void *data, size_t length)
{
	ARG_UNUSED(device);

	if (!is_inside(offset, length)) {
		return -EINVAL;
	}

	memcpy(data, &array[offset], length);
	return 0;
}

static int lab_flash_write(const struct device *device, off_t offset, const void *data,
			   size_t length)
{
	const uint8_t *bytes = data;
	uint32_t violations = 0;
	bool cut;

	ARG_UNUSED(device);

	if (!is_inside(offset, length) || offset % WRITE_BLOCK != 0 || length % WRITE_BLOCK != 0) {
		return -EINVAL;
	}

	cut = begin_operation(is_lab() ? lab->write_us : 0);
	for (size_t i = 0; i < (cut ? length / 2 : length); i++) {
		violations += (bytes[i] & ~array[offset + i]) != 0 ? 1 : 0;
		array[offset + i] &= bytes[i];
	}

	if (is_lab()) {
		lab->violations += violations;
	}

	if (cut) {
		lose_power();
	}

	return 0;
}

static int lab_flash_erase(const struct device *device, off_t offset, size_t length)
{
	ARG_UNUSED(device);

	if (!is_inside(offset, length) || offset % ERASE_BLOCK != 0 || length % ERASE_BLOCK != 0) {
		return -EINVAL;
	}

	for (size_t at = 0; at < length; at += ERASE_BLOCK) {
		bool cut = begin_operation(is_lab() ? lab->erase_us : 0);

		memset(&array[offset + at], 0xff, cut ? ERASE_BLOCK / 2 : ERASE_BLOCK);
		if (cut) {
			lose_power();
		}
	}

	return 0;
}

static const struct flash_parameters *lab_flash_parameters(const struct device *device)
{
	ARG_UNUSED(device);

	return &parameters;
}

static const struct flash_pages_layout layout = {
	.pages_count = DT_REG_SIZE(ARRAY) / ERASE_BLOCK,
	.pages_size = ERASE_BLOCK,
};

static void lab_flash_layout(const struct device *device, const struct flash_pages_layout **pages,
			     size_t *count)
{
	ARG_UNUSED(device);

	*pages = &layout;
	*count = 1;
}

static const struct flash_driver_api api = {
	.read = lab_flash_read,
	.write = lab_flash_write,
	.erase = lab_flash_erase,
	.get_parameters = lab_flash_parameters,
	.page_layout = lab_flash_layout,
};

DEVICE_DT_INST_DEFINE(0, NULL, NULL, NULL, NULL, POST_KERNEL, CONFIG_FLASH_INIT_PRIORITY, &api);
