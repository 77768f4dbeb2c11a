/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/message.h>

#define PAIRS 3

int coalmine_block_request_encode(const struct coalmine_block_request *request, uint8_t *data,
				  size_t size)
{
	struct coalmine_writer writer;

	coalmine_writer_begin(&writer, data, size, PAIRS, COALMINE_BLOCK_REQUEST);
	coalmine_write_key(&writer, 5);
	coalmine_write_map(&writer, 4);
	coalmine_write_uint(&writer, 0, request->request, UINT32_MAX);
	coalmine_write_bytes(&writer, 1, request->digest, COALMINE_DIGEST_PREFIX,
			     COALMINE_DIGEST_PREFIX);
	coalmine_write_uint(&writer, 2, request->offset, UINT32_MAX);
	if (request->length == 0) {
		coalmine_writer_refuse(&writer);
	}

	coalmine_write_uint(&writer, 3, request->length, COALMINE_BLOCK_DATA_MAX);
	return coalmine_writer_end(&writer, COALMINE_MESSAGE_MAX);
}

int coalmine_block_request_decode(const uint8_t *data, size_t size,
				  struct coalmine_block_request *request,
				  struct coalmine_trouble *trouble)
{
	struct coalmine_reader reader;

	coalmine_reader_init(&reader, data, size, COALMINE_MESSAGE_MAX);
	coalmine_reader_begin(&reader, PAIRS, COALMINE_BLOCK_REQUEST, COALMINE_BLOCK_REQUEST);
	coalmine_read_key(&reader, 5);
	coalmine_read_map(&reader, 4);
	request->request = (uint32_t)coalmine_read_uint(&reader, 0, UINT32_MAX);
	request->digest =
		coalmine_read_bytes(&reader, 1, COALMINE_DIGEST_PREFIX, COALMINE_DIGEST_PREFIX);
	request->offset = (uint32_t)coalmine_read_uint(&reader, 2, UINT32_MAX);
	request->length = (uint32_t)coalmine_read_uint(&reader, 3, COALMINE_BLOCK_DATA_MAX);
	if (request->length == 0 && size > 0) {
		coalmine_reader_fail(&reader, COALMINE_FAULT_RANGE, size - 1);
	}

	return coalmine_reader_end(&reader, trouble);
}

int coalmine_block_answer_decode(const uint8_t *data, size_t size,
				 struct coalmine_block_answer *answer,
				 struct coalmine_trouble *trouble)
{
	struct coalmine_reader reader;

	coalmine_reader_init(&reader, data, size, COALMINE_BLOCK_ANSWER_MAX);
	*answer = (struct coalmine_block_answer){0};
	answer->kind =
		coalmine_reader_begin(&reader, PAIRS, COALMINE_BLOCK, COALMINE_BLOCK_REFUSED);
	coalmine_read_key(&reader, 5);
	if (answer->kind == COALMINE_BLOCK) {
		coalmine_read_map(&reader, 3);
		answer->request = (uint32_t)coalmine_read_uint(&reader, 0, UINT32_MAX);
		answer->offset = (uint32_t)coalmine_read_uint(&reader, 1, UINT32_MAX);
		answer->data = coalmine_read_bytes(&reader, 2, 0, COALMINE_BLOCK_DATA_MAX);
	} else {
		coalmine_read_map(&reader, 2);
		answer->request = (uint32_t)coalmine_read_uint(&reader, 0, UINT32_MAX);
		answer->reason = coalmine_read_word(&reader, 1, COALMINE_REFUSAL_RANGE + 1);
	}

	return coalmine_reader_end(&reader, trouble);
}

int coalmine_block_answer_encode(const struct coalmine_block_answer *answer, uint8_t *data,
				 size_t size)
{
	struct coalmine_writer writer;

	coalmine_writer_begin(&writer, data, size, PAIRS, (uint8_t)answer->kind);
	coalmine_write_key(&writer, 5);
	if (answer->kind == COALMINE_BLOCK) {
		coalmine_write_map(&writer, 3);
		coalmine_write_uint(&writer, 0, answer->request, UINT32_MAX);
		coalmine_write_uint(&writer, 1, answer->offset, UINT32_MAX);
		coalmine_write_bytes(&writer, 2, answer->data, 0, COALMINE_BLOCK_DATA_MAX);
	} else if (answer->kind == COALMINE_BLOCK_REFUSED) {
		coalmine_write_map(&writer, 2);
		coalmine_write_uint(&writer, 0, answer->request, UINT32_MAX);
		coalmine_write_uint(&writer, 1, answer->reason, COALMINE_REFUSAL_RANGE);
	} else {
		coalmine_writer_refuse(&writer);
	}

	return coalmine_writer_end(&writer, COALMINE_BLOCK_ANSWER_MAX);
}
