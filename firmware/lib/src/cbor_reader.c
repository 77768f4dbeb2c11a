/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include <coalmine/cbor.h>
#include <coalmine/limits.h>

#define MAJOR_UINT  0
#define MAJOR_BYTES 2
#define MAJOR_TEXT  3
#define MAJOR_MAP   5

#define FLOAT64 0xfb

void coalmine_reader_fail(struct coalmine_reader *reader, enum coalmine_fault fault, size_t offset)
{
	if (reader->trouble.fault == COALMINE_FAULT_NONE) {
		reader->trouble.fault = fault;
		reader->trouble.offset = offset;
		/* Nothing after this is looked at. */
		reader->at = reader->size;
	}
}

static bool failed(const struct coalmine_reader *reader)
{
	return reader->trouble.fault != COALMINE_FAULT_NONE;
}

/* The item at hand is of another type, or there is none. */
static void mismatch(struct coalmine_reader *reader)
{
	coalmine_reader_fail(reader,
			     reader->at < reader->size ? COALMINE_FAULT_TYPE : COALMINE_FAULT_SHORT,
			     reader->at);
}

/* Reads a head of type `major`, whose argument must be in its shortest form and at most `max`. */
static uint64_t head(struct coalmine_reader *reader, uint8_t major, uint64_t max)
{
	static const uint64_t shortest[] = {24, 0x100, 0x10000, UINT64_C(0x100000000)};
	size_t start = reader->at;
	uint64_t value;
	uint8_t info;

	if (failed(reader)) {
		return 0;
	}

	if (start >= reader->size || reader->data[start] >> 5 != major ||
	    (reader->data[start] & 0x1f) > 27) {
		mismatch(reader);
		return 0;
	}

	info = reader->data[start] & 0x1f;
	value = info;
	if (info < 24) {
		reader->at = start + 1;
	} else {
		size_t size = (size_t)1 << (info - 24);

		if (reader->size - start < 1 + size) {
			coalmine_reader_fail(reader, COALMINE_FAULT_SHORT, start);
			return 0;
		}

		value = 0;
		for (size_t i = 1; i <= size; i++) {
			value = (value << 8) | reader->data[start + i];
		}

		if (value < shortest[info - 24]) {
			coalmine_reader_fail(reader, COALMINE_FAULT_FORM, start);
			return 0;
		}

		reader->at = start + 1 + size;
	}

	if (value > max) {
		coalmine_reader_fail(reader, COALMINE_FAULT_RANGE, start);
		return 0;
	}

	return value;
}

/* The length of a string whose bytes are all there. */
static size_t span(struct coalmine_reader *reader, uint8_t major, size_t max)
{
	size_t start = reader->at;
	uint64_t length = head(reader, major, max);

	if (!failed(reader) && length > reader->size - reader->at) {
		coalmine_reader_fail(reader, COALMINE_FAULT_SHORT, start);
	}

	return failed(reader) ? 0 : (size_t)length;
}

void coalmine_reader_init(struct coalmine_reader *reader, const uint8_t *data, size_t size,
			  size_t max)
{
	*reader = (struct coalmine_reader){.data = data, .size = size};
	if (size > max) {
		coalmine_reader_fail(reader, COALMINE_FAULT_LONG, 0);
	} else if (size == 0) {
		coalmine_reader_fail(reader, COALMINE_FAULT_EMPTY, 0);
	}
}

int coalmine_reader_end(struct coalmine_reader *reader, struct coalmine_trouble *trouble)
{
	if (!failed(reader) && reader->at < reader->size) {
		coalmine_reader_fail(reader, COALMINE_FAULT_TRAILING, reader->at);
	}

	if (trouble != NULL) {
		*trouble = reader->trouble;
	}

	return failed(reader) ? -EBADMSG : 0;
}

uint8_t coalmine_reader_begin(struct coalmine_reader *reader, uint8_t pairs, uint8_t first,
			      uint8_t last)
{
	uint64_t count = head(reader, MAJOR_MAP, UINT32_MAX);
	uint64_t version;
	uint64_t kind;
	size_t at;

	coalmine_read_key(reader, 0);
	at = reader->at;
	version = head(reader, MAJOR_UINT, COALMINE_SAFE_MAX);
	if (!failed(reader) && version != COALMINE_WIRE_VERSION) {
		coalmine_reader_fail(reader, COALMINE_FAULT_VERSION, at);
	}

	coalmine_read_key(reader, 1);
	at = reader->at;
	kind = head(reader, MAJOR_UINT, UINT32_MAX);
	if (!failed(reader) && (kind < first || kind > last)) {
		coalmine_reader_fail(reader, COALMINE_FAULT_KIND, at);
	}

	if (!failed(reader) && count != pairs) {
		coalmine_reader_fail(reader, COALMINE_FAULT_PAIRS, 0);
	}

	return failed(reader) ? 0 : (uint8_t)kind;
}

void coalmine_read_map(struct coalmine_reader *reader, uint32_t pairs)
{
	(void)coalmine_read_open_map(reader, pairs, pairs);
}

uint32_t coalmine_read_open_map(struct coalmine_reader *reader, uint32_t least, uint32_t most)
{
	size_t start = reader->at;
	uint32_t count = (uint32_t)head(reader, MAJOR_MAP, UINT32_MAX);

	if (!failed(reader) && (count < least || count > most)) {
		coalmine_reader_fail(reader, COALMINE_FAULT_PAIRS, start);
	}

	return count;
}

uint32_t coalmine_read_entries(struct coalmine_reader *reader, uint8_t key, uint32_t max)
{
	coalmine_read_key(reader, key);
	return (uint32_t)head(reader, MAJOR_MAP, max);
}

void coalmine_read_key(struct coalmine_reader *reader, uint8_t key)
{
	if (failed(reader)) {
		return;
	}

	if (reader->at >= reader->size) {
		coalmine_reader_fail(reader, COALMINE_FAULT_SHORT, reader->at);
	} else if (reader->data[reader->at] != key) {
		coalmine_reader_fail(reader, COALMINE_FAULT_KEY, reader->at);
	} else {
		reader->at++;
	}
}

uint64_t coalmine_read_uint(struct coalmine_reader *reader, uint8_t key, uint64_t max)
{
	coalmine_read_key(reader, key);
	return head(reader, MAJOR_UINT, max);
}

uint32_t coalmine_read_word(struct coalmine_reader *reader, uint8_t key, uint32_t count)
{
	coalmine_read_key(reader, key);
	return (uint32_t)head(reader, MAJOR_UINT, count - 1);
}

bool coalmine_read_bool(struct coalmine_reader *reader, uint8_t key)
{
	coalmine_read_key(reader, key);
	if (failed(reader)) {
		return false;
	}

	if (reader->at >= reader->size ||
	    (reader->data[reader->at] != 0xf4 && reader->data[reader->at] != 0xf5)) {
		mismatch(reader);
		return false;
	}

	return reader->data[reader->at++] == 0xf5;
}

bool coalmine_read_none(struct coalmine_reader *reader, uint8_t key)
{
	coalmine_read_key(reader, key);
	if (failed(reader) || reader->at >= reader->size || reader->data[reader->at] != 0xf6) {
		return false;
	}

	reader->at++;
	return true;
}

struct coalmine_span coalmine_read_bytes(struct coalmine_reader *reader, uint8_t key, size_t min,
					 size_t max)
{
	struct coalmine_span value = {NULL, 0};
	size_t start;
	size_t length;

	coalmine_read_key(reader, key);
	start = reader->at;
	length = span(reader, MAJOR_BYTES, max);
	if (!failed(reader) && length < min) {
		coalmine_reader_fail(reader, COALMINE_FAULT_RANGE, start);
	}

	if (!failed(reader)) {
		value.data = &reader->data[reader->at];
		value.length = length;
		reader->at += length;
	}

	return value;
}

struct coalmine_text coalmine_read_text_item(struct coalmine_reader *reader, size_t max)
{
	size_t length = span(reader, MAJOR_TEXT, max);
	struct coalmine_text text = {"", 0};

	/*
	 * Printable ASCII only. What a message says is shown to people and written to logs, so
	 * there is no escape sequence, no look-alike letter and no ill-formed UTF-8 to think about
	 * further on.
	 */
	for (size_t i = 0; i < length; i++) {
		uint8_t code = reader->data[reader->at + i];

		if (code < 0x20 || code > 0x7e) {
			coalmine_reader_fail(reader, COALMINE_FAULT_TEXT, reader->at + i);
			return text;
		}
	}

	if (!failed(reader) && length > 0) {
		text.data = (const char *)&reader->data[reader->at];
		text.length = length;
		reader->at += length;
	}

	return text;
}

struct coalmine_text coalmine_read_text(struct coalmine_reader *reader, uint8_t key, size_t max)
{
	coalmine_read_key(reader, key);
	return coalmine_read_text_item(reader, max);
}

struct coalmine_text coalmine_read_label(struct coalmine_reader *reader, uint8_t key, size_t max)
{
	struct coalmine_text text;
	size_t start;

	coalmine_read_key(reader, key);
	start = reader->at;
	text = coalmine_read_text_item(reader, max);
	if (!failed(reader) && !coalmine_is_label(text)) {
		coalmine_reader_fail(reader, COALMINE_FAULT_TEXT, start);
	}

	return text;
}

struct coalmine_text coalmine_read_name(struct coalmine_reader *reader, struct coalmine_text last)
{
	size_t start = reader->at;
	struct coalmine_text name = coalmine_read_text_item(reader, COALMINE_NAME_MAX);

	if (!failed(reader) && !coalmine_is_name(name)) {
		coalmine_reader_fail(reader, COALMINE_FAULT_TEXT, start);
	} else if (!failed(reader) && coalmine_name_order(last, name) >= 0) {
		coalmine_reader_fail(reader, COALMINE_FAULT_ORDER, start);
	}

	return name;
}

double coalmine_read_real_item(struct coalmine_reader *reader, double min, double max)
{
	size_t start = reader->at;
	uint64_t bits = 0;
	double value;

	if (failed(reader)) {
		return 0;
	}

	if (start >= reader->size || reader->data[start] != FLOAT64) {
		mismatch(reader);
		return 0;
	}

	if (reader->size - start < 9) {
		coalmine_reader_fail(reader, COALMINE_FAULT_SHORT, start);
		return 0;
	}

	for (size_t i = 1; i <= 8; i++) {
		bits = (bits << 8) | reader->data[start + i];
	}

	/* All bits of the exponent set: infinite or NaN. */
	if (((bits >> 52) & 0x7ff) == 0x7ff || bits == UINT64_C(0x8000000000000000)) {
		coalmine_reader_fail(reader, COALMINE_FAULT_NUMBER, start);
		return 0;
	}

	memcpy(&value, &bits, sizeof(value));
	if (value < min || value > max) {
		coalmine_reader_fail(reader, COALMINE_FAULT_RANGE, start);
		return 0;
	}

	reader->at = start + 9;
	return value;
}

double coalmine_read_real(struct coalmine_reader *reader, uint8_t key, double min, double max)
{
	coalmine_read_key(reader, key);
	return coalmine_read_real_item(reader, min, max);
}
