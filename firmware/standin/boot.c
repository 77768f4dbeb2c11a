/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/image.h>
#include <string.h>

#include "board.h"

/*
 * The bootloader: copies a requested image from slot 1 over slot 0, as MCUboot does when it only
 * overwrites, and starts slot 0. Checks the hash and no signature.
 *
 * Slot 1 stays whole until slot 0 is, so that a loss of power anywhere only begins the copy anew.
 */

#define CHUNK 1024u

static bool is_requested(uint32_t slot)
{
	return memcmp(flash_at(slot + SLOT_SIZE - TRAILER_MAGIC), trailer_magic, TRAILER_MAGIC) == 0;
}

static bool read_image(uint32_t slot, struct coalmine_image *image)
{
	return coalmine_image_read(read_slot, (void *)slot, SLOT_SIZE - PAGE_SIZE, true, image) == 0;
}

static void copy(const struct coalmine_image *image)
{
	uint8_t chunk[CHUNK];

	for (uint32_t at = 0; at < image->size; at += CHUNK) {
		if (at % PAGE_SIZE == 0) {
			flash_erase(SLOT0 + at, PAGE_SIZE);
		}

		memcpy(chunk, flash_at(SLOT1 + at), CHUNK);
		flash_write(SLOT0 + at, chunk, CHUNK);
	}

	flash_erase(SLOT0 + SLOT_SIZE - PAGE_SIZE, PAGE_SIZE);
	flash_write(SLOT0 + SLOT_SIZE - TRAILER_MAGIC, trailer_magic, TRAILER_MAGIC);
}

static _Noreturn void start(uint32_t vectors)
{
	const uint32_t *table = (const uint32_t *)vectors;

	VTOR = vectors;
	__asm__ volatile("msr msp, %0\n"
			 "bx %1\n" ::"r"(table[0]), "r"(table[1]));
	for (;;) {
	}
}

void on_fault(const uint32_t frame[8], const uint32_t saved[8])
{
	(void)saved;
	print("BOOT fault at %x\n", frame[6]);
}

int main(void)
{
	struct coalmine_image image;

	print("\033[1;32m*** stand-in bootloader\033[0m\r\n");
	if (is_requested(SLOT1)) {
		if (read_image(SLOT1, &image)) {
			print("BOOT upgrade to %s\r\n", image.version);
			copy(&image);
			flash_erase(SLOT1, PAGE_SIZE);
		} else {
			print("BOOT slot 1 is not valid\r\n");
		}

		flash_erase(SLOT1 + SLOT_SIZE - PAGE_SIZE, PAGE_SIZE);
	}

	if (!read_image(SLOT0, &image)) {
		print("BOOT nothing to start\r\n");
		for (;;) {
			__asm__ volatile("wfi");
		}
	}

	start(FLASH_BASE + SLOT0 + HEADER_SIZE);
}
