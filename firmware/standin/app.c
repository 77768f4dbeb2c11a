/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/image.h>
#include <string.h>

#include "board.h"

/*
 * The application: says who it is and obeys lines from the console. A fault leaves a coredump in the
 * partition, in the form of Zephyr's minimal dump, and resets.
 */

extern uint32_t stack_start[], stack_top[];

/* Each start clears the next word of the storage partition. */
static uint32_t count_start(void)
{
	const uint32_t *words = (const uint32_t *)flash_at(STORAGE);
	uint32_t starts = 0;
	uint32_t zero = 0;

	while (starts < PAGE_SIZE / 4 && words[starts] == 0) {
		starts++;
	}

	if (starts < PAGE_SIZE / 4) {
		flash_write(STORAGE + 4 * starts, &zero, sizeof(zero));
		starts++;
	}

	return starts;
}

struct dump {
	uint8_t bytes[8192];
	uint32_t size;
};

static void add(struct dump *dump, const void *data, uint32_t length)
{
	memcpy(&dump->bytes[dump->size], data, length);
	dump->size += length;
}

static void add_memory(struct dump *dump, uint32_t from, const void *data, uint32_t length)
{
	const uint8_t head[3] = {'M', 1, 0};
	const uint32_t range[2] = {from, from + length};

	add(dump, head, sizeof(head));
	add(dump, range, sizeof(range));
	add(dump, data, length);
}

/* Zephyr's struct k_thread by shape: a name, and where the stack is. */
struct thread {
	uint32_t registers[8];
	char name[16];
	uint32_t stack[2];
};

void on_fault(const uint32_t frame[8], const uint32_t saved[8])
{
	static struct dump dump;
	static struct thread thread;
	/* Cortex-M3: the configurable fault status register tells a precise bus fault. */
	uint32_t status = *(volatile uint32_t *)0xe000ed28;
	const uint8_t file[12] = {'Z', 'E', 1, 0, 3, 0, 5, 0, (status & 0x200) != 0 ? 25 : 0};
	const uint8_t arch[5] = {'A', 2, 0, 68, 0};
	uint32_t sp = (uint32_t)(frame + 8) + ((frame[7] & 0x200) != 0 ? 4 : 0);
	uint32_t sum = 0;
	uint8_t header[16] = {'C', 'D', 1, 0};

	print("APP fault at %x\r\n", frame[6]);
	add(&dump, file, sizeof(file));
	add(&dump, arch, sizeof(arch));
	add(&dump, frame, 32);
	add(&dump, &sp, sizeof(sp));
	add(&dump, saved, 32);
	memcpy(thread.name, "standin", 8);
	thread.stack[0] = (uint32_t)stack_start;
	thread.stack[1] = (uint32_t)stack_top - (uint32_t)stack_start;
	add_memory(&dump, (uint32_t)&thread, &thread, sizeof(thread));
	add_memory(&dump, (uint32_t)stack_start, stack_start, thread.stack[1]);
	for (uint32_t i = 0; i < dump.size; i++) {
		sum += dump.bytes[i];
	}

	memcpy(&header[4], &dump.size, 4);
	header[10] = (uint8_t)sum;
	header[11] = (uint8_t)(sum >> 8);
	flash_erase(COREDUMP, 4 * PAGE_SIZE);
	flash_write(COREDUMP, header, sizeof(header));
	flash_write(COREDUMP + sizeof(header), dump.bytes, (dump.size + 3) & ~3u);
}

static __attribute__((noinline)) uint32_t read_nowhere(uint32_t address)
{
	return *(volatile uint32_t *)address + 1;
}

static __attribute__((noinline)) void crash(void)
{
	print("read %x\r\n", read_nowhere(0xf0000000));
}

/* A fault in the fault handler: QEMU gives up. */
static void lock_up(void)
{
	VTOR = 0xf0000000;
	__asm__ volatile("udf #0");
}

static void obey(const char *command)
{
	if (strcmp(command, "link") == 0) {
		print("APP link %s\r\n", link_is_up() ? "up" : "down");
	} else if (strcmp(command, "upgrade") == 0) {
		flash_write(SLOT1 + SLOT_SIZE - TRAILER_MAGIC, trailer_magic, TRAILER_MAGIC);
		board_reset();
	} else if (strcmp(command, "reset") == 0) {
		board_reset();
	} else if (strcmp(command, "crash") == 0) {
		crash();
	} else if (strcmp(command, "lockup") == 0) {
		lock_up();
	} else {
		print("APP knows link, upgrade, reset, crash and lockup, not \"%s\"\r\n", command);
	}
}

int main(void)
{
	struct coalmine_image image;
	bool warm = is_warm();

	if (coalmine_image_read(read_slot, (void *)SLOT0, SLOT_SIZE - PAGE_SIZE, false, &image) != 0) {
		memcpy(image.version, "?", 2);
	}

	print("APP %s device=%s broker=%u start=%s boots=%u\r\n", image.version, IDENTITY->device,
	      IDENTITY->broker_port, warm ? "warm" : "cold", count_start());
	for (;;) {
		char line[32];
		size_t length = 0;

		for (char c = read_character(); c != '\n' && c != '\r'; c = read_character()) {
			if (length < sizeof(line) - 1) {
				line[length++] = c;
			}
		}

		line[length] = '\0';
		obey(line);
	}
}
