/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_WORLD_H_
#define COALMINE_WORLD_H_

#include <setjmp.h>

#include <coalmine/agent.h>

/*
 * A board without a board: NOR flash for two slots, a log of records, a bootloader that swaps and
 * reverts as MCUboot does, and power that can be lost in any flash operation. It implements
 * coalmine_port_*().
 *
 * W1. Flash is erased by pages to 0xff, written once, and never from 0 to 1: anything else fails
 * the test. W2. A write that power is lost in leaves half of its bytes.
 */

#define WORLD_PAGE     1024
#define WORLD_SLOT     (32 * WORLD_PAGE)
#define WORLD_LOG      (256 * 1024)
#define WORLD_TRAILER  WORLD_PAGE
#define WORLD_SAID     6000
#define WORLD_MESSAGES 64
#define WORLD_MESSAGE  20000

struct world_message {
	enum coalmine_channel channel;
	uint32_t sequence;
	size_t size;
	uint8_t data[WORLD_MESSAGE];
};

struct world {
	uint8_t slots[2][WORLD_SLOT];
	uint8_t log[WORLD_LOG];
	size_t log_used;

	/* The bootloader's trailers. */
	bool pending;
	bool testing;
	bool confirmed;

	/* Flash operations until power is lost; negative for never. */
	long cut;
	unsigned long operations;
	jmp_buf power;

	/* What the application sent since it started. */
	struct world_message sent[WORLD_MESSAGES];
	size_t sent_count;
	bool link_refuses;
	bool confirm_fails;
	bool upgrade_fails;
	bool reset;
	enum coalmine_reset_mark mark;
	double battery;
	const uint8_t *dump;
	size_t dump_size;
	/* RAM that outlives a reset, and whether the last boot ended badly. */
	struct coalmine_log said;
	uint32_t said_memory[WORLD_SAID / 4];
	bool ended_badly;
};

extern struct world world;

/* A factory-fresh board without images. */
void world_clear(void);
/* Writes an image with a header, `size` bytes in all, into a slot. Its hash comes back. */
void world_install(unsigned int slot, uint8_t version, uint32_t size,
		   uint8_t hash[COALMINE_HASH_SIZE]);
/* The same image as a file. Answers its length. */
size_t world_image(uint8_t version, uint32_t size, uint8_t *file);
/* Power comes: the bootloader works. What the application would find out comes back. */
void world_boot(struct coalmine_agent_start *start);
/* The newest value of a record, as a reader after power-on finds it. */
int world_record(unsigned int kind, uint8_t *data, size_t size);
/* Stores a record; one flash operation. */
void world_store(unsigned int kind, const uint8_t *data, size_t size);

#endif /* COALMINE_WORLD_H_ */
