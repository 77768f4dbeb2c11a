/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <coalmine/cbor.h>
#include <coalmine/limits.h>

#define MAJOR_UINT  0x00
#define MAJOR_BYTES 0x40
#define MAJOR_TEXT  0x60
#define MAJOR_MAP   0xa0

static void fail(struct coalmine_writer *writer, int error)
{
	if (writer->error == 0) {
		writer->error = error;
	}
}

static void put(struct coalmine_writer *writer, const void *data, size_t length)
{
	if (writer->error != 0) {
		return;
	}

	if (length > writer->size - writer->used) {
		fail(writer, -ENOMEM);
		return;
	}

	if (length > 0) {
		memcpy(&writer->data[writer->used], data, length);
		writer->used += length;
	}
}

static void put_byte(struct coalmine_writer *writer, uint8_t byte)
{
	put(writer, &byte, 1);
}

/* A head in its shortest form (RFC 8949 section 3). */
static void put_head(struct coalmine_writer *writer, uint8_t major, uint64_t value)
{
	uint8_t head[9];
	size_t size;

	if (value < 24) {
		put_byte(writer, major | (uint8_t)value);
		return;
	}

	if (value <= UINT8_MAX) {
		head[0] = major | 24;
		size = 1;
	} else if (value <= UINT16_MAX) {
		head[0] = major | 25;
		size = 2;
	} else if (value <= UINT32_MAX) {
		head[0] = major | 26;
		size = 4;
	} else {
		head[0] = major | 27;
		size = 8;
	}

	for (size_t i = 0; i < size; i++) {
		head[1 + i] = (uint8_t)(value >> (8 * (size - 1 - i)));
	}

	put(writer, head, 1 + size);
}

void coalmine_writer_refuse(struct coalmine_writer *writer)
{
	fail(writer, -EINVAL);
}

void coalmine_writer_begin(struct coalmine_writer *writer, uint8_t *data, size_t size,
			   uint8_t pairs, uint8_t kind)
{
	*writer = (struct coalmine_writer){.data = data, .size = size};
	coalmine_write_map(writer, pairs);
	put_byte(writer, 0);
	put_byte(writer, COALMINE_WIRE_VERSION);
	put_byte(writer, 1);
	put_byte(writer, kind);
}

int coalmine_writer_end(const struct coalmine_writer *writer, size_t max)
{
	if (writer->error != 0) {
		return writer->error;
	}

	return writer->used > max ? -EINVAL : (int)writer->used;
}

void coalmine_write_map(struct coalmine_writer *writer, size_t pairs)
{
	put_head(writer, MAJOR_MAP, pairs);
}

void coalmine_write_key(struct coalmine_writer *writer, uint8_t key)
{
	put_byte(writer, key);
}

void coalmine_write_uint(struct coalmine_writer *writer, uint8_t key, uint64_t value, uint64_t max)
{
	if (value > max) {
		coalmine_writer_refuse(writer);
	}

	put_byte(writer, key);
	put_head(writer, MAJOR_UINT, value);
}

void coalmine_write_bool(struct coalmine_writer *writer, uint8_t key, bool value)
{
	put_byte(writer, key);
	put_byte(writer, value ? 0xf5 : 0xf4);
}

void coalmine_write_none(struct coalmine_writer *writer, uint8_t key)
{
	put_byte(writer, key);
	put_byte(writer, 0xf6);
}

void coalmine_write_bytes(struct coalmine_writer *writer, uint8_t key, struct coalmine_span value,
			  size_t min, size_t max)
{
	if (value.length < min || value.length > max || (value.length > 0 && value.data == NULL)) {
		coalmine_writer_refuse(writer);
		return;
	}

	put_byte(writer, key);
	put_head(writer, MAJOR_BYTES, value.length);
	put(writer, value.data, value.length);
}

void coalmine_write_text_item(struct coalmine_writer *writer, struct coalmine_text value,
			      size_t max)
{
	if (value.length > max) {
		coalmine_writer_refuse(writer);
		return;
	}

	for (size_t i = 0; i < value.length; i++) {
		if (value.data[i] < 0x20 || value.data[i] > 0x7e) {
			coalmine_writer_refuse(writer);
		}
	}

	put_head(writer, MAJOR_TEXT, value.length);
	put(writer, value.data, value.length);
}

void coalmine_write_text(struct coalmine_writer *writer, uint8_t key, struct coalmine_text value,
			 size_t max)
{
	put_byte(writer, key);
	coalmine_write_text_item(writer, value, max);
}

void coalmine_write_label(struct coalmine_writer *writer, uint8_t key, struct coalmine_text value,
			  size_t max)
{
	if (!coalmine_is_label(value)) {
		coalmine_writer_refuse(writer);
	}

	coalmine_write_text(writer, key, value, max);
}

void coalmine_write_real_item(struct coalmine_writer *writer, double value, double min, double max)
{
	uint8_t item[9] = {0xfb};
	uint64_t bits;

	/* NaN fails both comparisons, an infinity fails one: min and max are finite. */
	if (!(value >= min && value <= max)) {
		coalmine_writer_refuse(writer);
		return;
	}

	/* Not `value + 0.0`: a compiler that assumes finite mathematics may drop the addition. */
	memcpy(&bits, &value, sizeof(bits));
	if (bits == UINT64_C(0x8000000000000000)) {
		bits = 0;
	}

	for (size_t i = 0; i < 8; i++) {
		item[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
	}

	put(writer, item, sizeof(item));
}

void coalmine_write_real(struct coalmine_writer *writer, uint8_t key, double value, double min,
			 double max)
{
	put_byte(writer, key);
	coalmine_write_real_item(writer, value, min, max);
}
