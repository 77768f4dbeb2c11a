/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <coalmine/image.h>
#include <coalmine/sha256.h>

#include "test.h"
#include "world.h"

#define LOG_HEAD 5

struct world world;

static const uint8_t build_id[8] = {1, 2, 3, 4, 5, 6, 7, 8};

/* One flash operation. True when power is lost in it. */
static bool is_cut(void)
{
	world.operations++;
	if (world.cut < 0) {
		return false;
	}

	return world.cut-- == 0;
}

static void lose_power(void)
{
	world.cut = -1;
	longjmp(world.power, 1);
}

void world_clear(void)
{
	memset(&world, 0, sizeof(world));
	memset(world.slots, 0xff, sizeof(world.slots));
	world.confirmed = true;
	world.cut = -1;
	world.battery = -1;
}

static void program(uint8_t *flash, const uint8_t *data, size_t length)
{
	bool cut = is_cut();

	for (size_t i = 0; i < (cut ? length / 2 : length); i++) {
		if ((data[i] & ~flash[i]) != 0) {
			test_fail(__FILE__, __LINE__, "flash written twice");
		}

		flash[i] &= data[i];
	}

	if (cut) {
		lose_power();
	}
}

static uint16_t check_of(const uint8_t *data, size_t size)
{
	uint32_t a = 1;
	uint32_t b = 0;

	for (size_t i = 0; i < size; i++) {
		a = (a + data[i]) % 251;
		b = (b + a) % 251;
	}

	return (uint16_t)(b << 8 | a);
}

/* Walks over the log and cuts off a torn end, as a file system does when it is mounted. */
static int find_record(unsigned int kind, uint8_t *data, size_t size)
{
	int found = -ENOENT;
	size_t at = 0;

	while (at + LOG_HEAD <= world.log_used) {
		const uint8_t *entry = &world.log[at];
		size_t length = entry[1] | (size_t)entry[2] << 8;
		uint16_t check = (uint16_t)(entry[3] | entry[4] << 8);

		if (at + LOG_HEAD + length > world.log_used ||
		    check != check_of(&entry[LOG_HEAD], length)) {
			break;
		}

		if (entry[0] == kind && length <= size) {
			memcpy(data, &entry[LOG_HEAD], length);
			found = length == 0 ? -ENOENT : (int)length;
		}

		at += LOG_HEAD + length;
	}

	world.log_used = at;
	return found;
}

int world_record(unsigned int kind, uint8_t *data, size_t size)
{
	return find_record(kind, data, size);
}

void world_store(unsigned int kind, const uint8_t *data, size_t size)
{
	uint8_t head[LOG_HEAD] = {(uint8_t)kind, (uint8_t)size, (uint8_t)(size >> 8)};
	uint16_t check = check_of(data, size);
	bool cut;
	size_t length = LOG_HEAD + size;

	head[3] = (uint8_t)check;
	head[4] = (uint8_t)(check >> 8);
	if (world.log_used + length > sizeof(world.log)) {
		test_fail(__FILE__, __LINE__, "the log is full");
	}

	cut = is_cut();
	memcpy(&world.log[world.log_used], head, LOG_HEAD);
	if (size > 0) {
		memcpy(&world.log[world.log_used + LOG_HEAD], data, size);
	}

	world.log_used += cut ? length / 2 : length;
	if (cut) {
		lose_power();
	}
}

size_t world_image(uint8_t version, uint32_t size, uint8_t *file)
{
	static const uint8_t magic[4] = {0x3d, 0xb8, 0xf3, 0x96};
	const uint32_t header = 64;
	const uint32_t tlv = 4 + 4 + COALMINE_HASH_SIZE;
	const uint32_t body = size - header - tlv;
	struct coalmine_sha256 sha;
	uint8_t *end = &file[header + body];

	memset(file, 0, header);
	memcpy(file, magic, sizeof(magic));
	file[8] = (uint8_t)header;
	for (unsigned int i = 0; i < 4; i++) {
		file[12 + i] = (uint8_t)(body >> (8 * i));
	}

	file[20] = version;
	for (uint32_t i = 0; i < body; i++) {
		file[header + i] = (uint8_t)(i * 7 + version * 13 + (i >> 8));
	}

	end[0] = 0x07;
	end[1] = 0x69;
	end[2] = (uint8_t)tlv;
	end[3] = 0;
	end[4] = 0x10;
	end[5] = 0;
	end[6] = COALMINE_HASH_SIZE;
	end[7] = 0;
	coalmine_sha256_init(&sha);
	coalmine_sha256_update(&sha, file, header + body);
	coalmine_sha256_final(&sha, &end[8]);
	return size;
}

static int read_slot(void *context, uint32_t offset, void *data, size_t length)
{
	memcpy(data, &world.slots[*(unsigned int *)context][offset], length);
	return 0;
}

static bool has_image(unsigned int slot, struct coalmine_image *image)
{
	return coalmine_image_read(read_slot, &slot, WORLD_SLOT, true, image) == 0;
}

void world_install(unsigned int slot, uint8_t version, uint32_t size,
		   uint8_t hash[COALMINE_HASH_SIZE])
{
	struct coalmine_image image;

	memset(world.slots[slot], 0xff, WORLD_SLOT);
	world_image(version, size, world.slots[slot]);
	if (!has_image(slot, &image)) {
		test_fail(__FILE__, __LINE__, "the image is none");
	}

	memcpy(hash, image.hash, COALMINE_HASH_SIZE);
}

static void swap(void)
{
	static uint8_t scratch[WORLD_SLOT];

	memcpy(scratch, world.slots[0], WORLD_SLOT);
	memcpy(world.slots[0], world.slots[1], WORLD_SLOT);
	memcpy(world.slots[1], scratch, WORLD_SLOT);
}

/* Swaps, reverts or refuses. MCUboot goes on with a swap that was cut, so that one is not cut here.
 */
static void run_bootloader(void)
{
	struct coalmine_image image;

	if (world.pending) {
		world.pending = false;
		if (has_image(1, &image)) {
			swap();
			world.testing = true;
			world.confirmed = false;
		} else {
			memset(world.slots[1], 0xff, WORLD_SLOT);
		}
	} else if (world.testing && !world.confirmed) {
		swap();
		world.testing = false;
		world.confirmed = true;
	}

	/* Power lost here: the swap is done, but the new image never ran. */
	if (is_cut()) {
		lose_power();
	}
}

void world_boot(struct coalmine_agent_start *start)
{
	run_bootloader();
	*start = (struct coalmine_agent_start){0};
	if (!has_image(0, &start->running)) {
		test_fail(__FILE__, __LINE__, "slot 0 holds no image: the board is bricked");
	}

	start->has_other = has_image(1, &start->other);
	start->confirmed = world.confirmed;
	start->build_id = build_id;
	start->build_id_size = sizeof(build_id);
	start->cause = world.reset && world.mark == COALMINE_MARK_DEADLINE ? COALMINE_RESET_WATCHDOG
		       : world.reset					   ? COALMINE_RESET_SOFTWARE
				     : COALMINE_RESET_POWER_ON;
	world.reset = false;
	world.sent_count = 0;
	if (coalmine_log_open(&world.said, world.said_memory, sizeof(world.said_memory),
			      (struct coalmine_span){build_id, sizeof(build_id)},
			      world.ended_badly) != 0) {
		test_fail(__FILE__, __LINE__, "the log's memory will not do");
	}

	world.ended_badly = false;
}

int coalmine_port_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
		       uint32_t sequence)
{
	struct world_message *message = &world.sent[world.sent_count];

	if (world.link_refuses) {
		return -ENOTCONN;
	}

	if (world.sent_count == WORLD_MESSAGES || size > sizeof(message->data)) {
		test_fail(__FILE__, __LINE__, "more messages than a test looks at");
	}

	world.sent_count++;
	message->channel = channel;
	message->sequence = sequence;
	message->size = size;
	memcpy(message->data, data, size);
	return 0;
}

int coalmine_port_record_read(enum coalmine_record record, uint8_t *data, size_t size)
{
	return find_record(record, data, size);
}

int coalmine_port_record_write(enum coalmine_record record, const uint8_t *data, size_t size)
{
	static const uint8_t nothing;

	world_store(record, size == 0 ? &nothing : data, size);
	return 0;
}

int coalmine_port_slot_erase(uint32_t offset, uint32_t length)
{
	if (offset % WORLD_PAGE != 0 || length % WORLD_PAGE != 0 || offset + length > WORLD_SLOT) {
		test_fail(__FILE__, __LINE__, "erase of %" PRIu32 " at %" PRIu32, length, offset);
	}

	for (uint32_t at = offset; at < offset + length; at += WORLD_PAGE) {
		bool cut = is_cut();

		memset(&world.slots[1][at], 0xff, cut ? WORLD_PAGE / 2 : WORLD_PAGE);
		if (cut) {
			lose_power();
		}
	}

	return 0;
}

int coalmine_port_slot_write(uint32_t offset, const void *data, size_t length)
{
	if (offset % 8 != 0 || length % 8 != 0 || offset + length > WORLD_SLOT) {
		test_fail(__FILE__, __LINE__, "write of %zu at %" PRIu32, length, offset);
	}

	program(&world.slots[1][offset], data, length);
	return 0;
}

int coalmine_port_slot_read(uint32_t offset, void *data, size_t length)
{
	memcpy(data, &world.slots[1][offset], length);
	return 0;
}

int coalmine_port_upgrade_request(void)
{
	if (world.upgrade_fails) {
		return -EIO;
	}

	/* Three cells: magic last, so that a cut leaves no request. */
	for (unsigned int i = 0; i < 3; i++) {
		if (is_cut()) {
			lose_power();
		}
	}

	world.pending = true;
	return 0;
}

int coalmine_port_image_confirm(void)
{
	if (world.confirm_fails) {
		return -EIO;
	}

	if (is_cut()) {
		lose_power();
	}

	world.confirmed = true;
	world.testing = false;
	return 0;
}

void coalmine_port_reset(enum coalmine_reset_mark mark)
{
	world.reset = true;
	world.mark = mark;
}

int coalmine_port_battery(double *percent)
{
	if (world.battery < 0) {
		return -ENODEV;
	}

	*percent = world.battery;
	return 0;
}

int coalmine_port_coredump_size(void)
{
	return (int)world.dump_size;
}

int coalmine_port_coredump_read(uint32_t offset, void *data, size_t length)
{
	if (offset + length > world.dump_size) {
		return -EINVAL;
	}

	memcpy(data, &world.dump[offset], length);
	return 0;
}

int coalmine_port_coredump_clear(void)
{
	world.dump_size = 0;
	return 0;
}

bool coalmine_port_log(struct coalmine_log_text *text)
{
	return coalmine_log_kept(&world.said, text);
}

void coalmine_port_log_drop(void)
{
	coalmine_log_drop(&world.said);
}
