/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STANDIN_BOARD_H_
#define STANDIN_BOARD_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * QEMU's mps2-an385 with the memory map of firmware/qemu/README.md, without any operating system:
 * what a bootloader and an application need to stand in for MCUboot and Zephyr while the host's
 * side is tested.
 */

#define FLASH_BASE    0x21000000u
#define FLASH_SIZE    0x200000u
#define PAGE_SIZE     4096u
#define SLOT_SIZE     0x70000u
#define SLOT0	      0x10000u
#define SLOT1	      0x80000u
#define STORAGE	      0xf8000u
#define COREDUMP      0x100000u
#define HEADER_SIZE   0x200u
#define TRAILER_MAGIC 16u

/* Vector Table Offset Register */
#define VTOR (*(volatile uint32_t *)0xe000ed08)

struct identity {
	uint32_t magic;
	uint16_t version;
	uint16_t broker_port;
	uint16_t coap_port;
	uint16_t smp_port;
	char device[65];
};

#define IDENTITY ((const struct identity *)0x217ff100)

void board_init(void);
/* Does not return. */
_Noreturn void board_reset(void);
/* %s, %u, %x and %% only. */
void print(const char *format, ...);
/* The next character from the console; sleeps until there is one. */
char read_character(void);
/* Whether the network cable is plugged in. */
bool link_is_up(void);
/* Whether memory was kept since the last start, which this notes. */
bool is_warm(void);

/* The laboratory flash, as firmware/drivers/flash does it. Offsets from the start of the flash. */
void flash_erase(uint32_t offset, uint32_t length);
void flash_write(uint32_t offset, const void *data, uint32_t length);
const uint8_t *flash_at(uint32_t offset);

extern const uint8_t trailer_magic[TRAILER_MAGIC];
/* For coalmine_image_read(): `context` is the slot's offset. */
int read_slot(void *context, uint32_t offset, void *data, size_t length);

/* What a fault does; the bootloader and the application differ. */
void on_fault(const uint32_t frame[8], const uint32_t saved[8]);

#endif /* STANDIN_BOARD_H_ */
