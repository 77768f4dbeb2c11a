/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/message.h>

#define PAIRS 3

static void write_policy(struct coalmine_writer *writer, uint8_t key,
			 const struct coalmine_policy *policy)
{
	coalmine_write_key(writer, key);
	coalmine_write_map(writer, 3);
	coalmine_write_uint(writer, 0, policy->min_uptime_s, UINT32_MAX);
	coalmine_write_uint(writer, 1, policy->deadline_s, UINT32_MAX);
	coalmine_write_bool(writer, 2, policy->server_contact);
}

static struct coalmine_policy read_policy(struct coalmine_reader *reader, uint8_t key)
{
	struct coalmine_policy policy;

	coalmine_read_key(reader, key);
	coalmine_read_map(reader, 3);
	policy.min_uptime_s = (uint32_t)coalmine_read_uint(reader, 0, UINT32_MAX);
	policy.deadline_s = (uint32_t)coalmine_read_uint(reader, 1, UINT32_MAX);
	policy.server_contact = coalmine_read_bool(reader, 2);
	return policy;
}

static void read_offer(struct coalmine_reader *reader, struct coalmine_offer *offer)
{
	coalmine_read_map(reader, 9);
	offer->offer = coalmine_read_uint(reader, 0, COALMINE_SAFE_MAX);
	offer->release = coalmine_read_label(reader, 1, COALMINE_RELEASE_MAX);
	offer->version = coalmine_read_label(reader, 2, COALMINE_VERSION_MAX);
	coalmine_read_key(reader, 3);
	coalmine_read_map(reader, 3);
	offer->board = coalmine_read_text(reader, 0, COALMINE_HARDWARE_MAX);
	offer->revision = coalmine_read_text(reader, 1, COALMINE_HARDWARE_MAX);
	offer->partition_map = coalmine_read_text(reader, 2, COALMINE_HARDWARE_MAX);
	offer->digest = coalmine_read_bytes(reader, 4, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	offer->image_hash = coalmine_read_bytes(reader, 5, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	offer->size = (uint32_t)coalmine_read_uint(reader, 6, UINT32_MAX);
	offer->jitter_s = (uint32_t)coalmine_read_uint(reader, 7, UINT32_MAX);
	offer->confirm = read_policy(reader, 8);
}

int coalmine_command_decode(const uint8_t *data, size_t size, struct coalmine_command *command,
			    struct coalmine_trouble *trouble)
{
	struct coalmine_reader reader;

	coalmine_reader_init(&reader, data, size, COALMINE_MESSAGE_MAX);
	command->kind = coalmine_reader_begin(&reader, PAIRS, COALMINE_OFFER, COALMINE_RENUMBER);
	coalmine_read_key(&reader, 5);
	switch (command->kind) {
	case COALMINE_OFFER:
		read_offer(&reader, &command->offer);
		break;
	case COALMINE_CANCEL:
		coalmine_read_map(&reader, 1);
		command->cancel.offer = coalmine_read_uint(&reader, 0, COALMINE_SAFE_MAX);
		break;
	case COALMINE_SWAP_BACK:
		coalmine_read_map(&reader, 2);
		command->swap_back.offer = coalmine_read_uint(&reader, 0, COALMINE_SAFE_MAX);
		command->swap_back.image_hash =
			coalmine_read_bytes(&reader, 1, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
		break;
	case COALMINE_CONFIRM:
		coalmine_read_map(&reader, 2);
		command->confirm.offer = coalmine_read_uint(&reader, 0, COALMINE_SAFE_MAX);
		command->confirm.policy = read_policy(&reader, 1);
		break;
	case COALMINE_IDENTIFY:
		coalmine_read_map(&reader, 0);
		break;
	case COALMINE_RENUMBER:
		coalmine_read_map(&reader, 1);
		command->renumber.boot = (uint32_t)coalmine_read_uint(&reader, 0, UINT32_MAX);
		break;
	default:
		break; /* refused by coalmine_reader_begin() */
	}

	return coalmine_reader_end(&reader, trouble);
}

static void write_offer(struct coalmine_writer *writer, const struct coalmine_offer *offer)
{
	coalmine_write_map(writer, 9);
	coalmine_write_uint(writer, 0, offer->offer, COALMINE_SAFE_MAX);
	coalmine_write_label(writer, 1, offer->release, COALMINE_RELEASE_MAX);
	coalmine_write_label(writer, 2, offer->version, COALMINE_VERSION_MAX);
	coalmine_write_key(writer, 3);
	coalmine_write_map(writer, 3);
	coalmine_write_text(writer, 0, offer->board, COALMINE_HARDWARE_MAX);
	coalmine_write_text(writer, 1, offer->revision, COALMINE_HARDWARE_MAX);
	coalmine_write_text(writer, 2, offer->partition_map, COALMINE_HARDWARE_MAX);
	coalmine_write_bytes(writer, 4, offer->digest, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	coalmine_write_bytes(writer, 5, offer->image_hash, COALMINE_HASH_SIZE, COALMINE_HASH_SIZE);
	coalmine_write_uint(writer, 6, offer->size, UINT32_MAX);
	coalmine_write_uint(writer, 7, offer->jitter_s, UINT32_MAX);
	write_policy(writer, 8, &offer->confirm);
}

int coalmine_command_encode(const struct coalmine_command *command, uint8_t *data, size_t size)
{
	struct coalmine_writer writer;

	coalmine_writer_begin(&writer, data, size, PAIRS, (uint8_t)command->kind);
	coalmine_write_key(&writer, 5);
	switch (command->kind) {
	case COALMINE_OFFER:
		write_offer(&writer, &command->offer);
		break;
	case COALMINE_CANCEL:
		coalmine_write_map(&writer, 1);
		coalmine_write_uint(&writer, 0, command->cancel.offer, COALMINE_SAFE_MAX);
		break;
	case COALMINE_SWAP_BACK:
		coalmine_write_map(&writer, 2);
		coalmine_write_uint(&writer, 0, command->swap_back.offer, COALMINE_SAFE_MAX);
		coalmine_write_bytes(&writer, 1, command->swap_back.image_hash, COALMINE_HASH_SIZE,
				     COALMINE_HASH_SIZE);
		break;
	case COALMINE_CONFIRM:
		coalmine_write_map(&writer, 2);
		coalmine_write_uint(&writer, 0, command->confirm.offer, COALMINE_SAFE_MAX);
		write_policy(&writer, 1, &command->confirm.policy);
		break;
	case COALMINE_IDENTIFY:
		coalmine_write_map(&writer, 0);
		break;
	case COALMINE_RENUMBER:
		coalmine_write_map(&writer, 1);
		coalmine_write_uint(&writer, 0, command->renumber.boot, UINT32_MAX);
		break;
	default:
		coalmine_writer_refuse(&writer);
		break;
	}

	return coalmine_writer_end(&writer, COALMINE_MESSAGE_MAX);
}
