/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_CBOR_H_
#define COALMINE_CBOR_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Deterministic CBOR (RFC 8949 section 4.2.1) as coalmine.cddl uses it: shortest arguments,
 * definite lengths, integer keys in order, real numbers always float64 and never -0. So every
 * message has exactly one encoding, and the reader refuses all others.
 *
 * Both directions remember the first fault and ignore what follows it, so that codecs are written
 * straight down and ask once, at the end.
 */

/* Text that is not terminated: a slice of a message, or of a caller's memory. */
struct coalmine_text {
	const char *data;
	size_t length;
};

struct coalmine_span {
	const uint8_t *data;
	size_t length;
};

/* The slice over a terminated string. */
struct coalmine_text coalmine_text_of(const char *string);
bool coalmine_text_equal(struct coalmine_text a, struct coalmine_text b);

/* The form of an attribute's or a metric's name: a letter, then at most 31 of A-Z a-z 0-9 . _ - */
bool coalmine_is_name(struct coalmine_text text);
/* The form of versions and releases: a letter or digit, then A-Z a-z 0-9 . _ + - */
bool coalmine_is_label(struct coalmine_text text);
/* Order of names in a map: shorter first, then bytewise. Negative, 0 or positive. */
int coalmine_name_order(struct coalmine_text a, struct coalmine_text b);

struct coalmine_writer {
	uint8_t *data;
	size_t size;
	size_t used;
	int error;
};

/* Opens a message of `pairs` with its version and kind. */
void coalmine_writer_begin(struct coalmine_writer *writer, uint8_t *data, size_t size,
			   uint8_t pairs, uint8_t kind);
/*
 * The length of the finished message; -EINVAL for a value out of bounds, -ENOMEM when it does not
 * fit.
 */
int coalmine_writer_end(const struct coalmine_writer *writer, size_t max);
void coalmine_write_map(struct coalmine_writer *writer, size_t pairs);
void coalmine_write_key(struct coalmine_writer *writer, uint8_t key);
void coalmine_write_uint(struct coalmine_writer *writer, uint8_t key, uint64_t value, uint64_t max);
void coalmine_write_bool(struct coalmine_writer *writer, uint8_t key, bool value);
void coalmine_write_none(struct coalmine_writer *writer, uint8_t key);
void coalmine_write_bytes(struct coalmine_writer *writer, uint8_t key, struct coalmine_span value,
			  size_t min, size_t max);
void coalmine_write_text(struct coalmine_writer *writer, uint8_t key, struct coalmine_text value,
			 size_t max);
void coalmine_write_label(struct coalmine_writer *writer, uint8_t key, struct coalmine_text value,
			  size_t max);
void coalmine_write_real(struct coalmine_writer *writer, uint8_t key, double value, double min,
			 double max);
/* Entries of a map with names as keys, without an integer key of their own. */
void coalmine_write_text_item(struct coalmine_writer *writer, struct coalmine_text value,
			      size_t max);
void coalmine_write_real_item(struct coalmine_writer *writer, double value, double min, double max);
/* Marks a value that the format cannot carry. */
void coalmine_writer_refuse(struct coalmine_writer *writer);

/* Why a message was refused; the first fault counts. */
enum coalmine_fault {
	COALMINE_FAULT_NONE,
	COALMINE_FAULT_EMPTY,
	COALMINE_FAULT_LONG,	 /* more bytes than such a message may have */
	COALMINE_FAULT_SHORT,	 /* it ends early */
	COALMINE_FAULT_TRAILING, /* bytes after the end */
	COALMINE_FAULT_TYPE,	 /* another type than the schema's */
	COALMINE_FAULT_FORM,	 /* not in its shortest form */
	COALMINE_FAULT_RANGE,	 /* more or less than the schema allows */
	COALMINE_FAULT_KEY,	 /* not the next key */
	COALMINE_FAULT_PAIRS,	 /* pairs missing or unknown */
	COALMINE_FAULT_VERSION,	 /* a version that is not known here */
	COALMINE_FAULT_KIND,	 /* a message of another kind than expected */
	COALMINE_FAULT_TEXT,	 /* not printable ASCII, or not a label, or not a name */
	COALMINE_FAULT_ORDER,	 /* names repeated or out of order */
	COALMINE_FAULT_NUMBER,	 /* NaN, infinite or -0 */
};

/* Where and why bytes were refused; for a counter or a log line. */
struct coalmine_trouble {
	enum coalmine_fault fault;
	size_t offset;
};

struct coalmine_reader {
	const uint8_t *data;
	size_t size;
	size_t at;
	struct coalmine_trouble trouble;
};

/* Looks at the length first: nothing of an oversized message is read. */
void coalmine_reader_init(struct coalmine_reader *reader, const uint8_t *data, size_t size,
			  size_t max);
/* 0, or -EBADMSG when something was wrong or bytes are left. `trouble` may be NULL. */
int coalmine_reader_end(struct coalmine_reader *reader, struct coalmine_trouble *trouble);
void coalmine_reader_fail(struct coalmine_reader *reader, enum coalmine_fault fault, size_t offset);
/*
 * Reads the head of a message: the version is judged first, then the kind, then the number of
 * pairs.
 */
uint8_t coalmine_reader_begin(struct coalmine_reader *reader, uint8_t pairs, uint8_t first,
			      uint8_t last);
void coalmine_read_map(struct coalmine_reader *reader, uint32_t pairs);
/* A map of `least` pairs and up to `most` with the optional ones at its end; how many it has. */
uint32_t coalmine_read_open_map(struct coalmine_reader *reader, uint32_t least, uint32_t most);
/* The number of entries of a map with names as keys. */
uint32_t coalmine_read_entries(struct coalmine_reader *reader, uint8_t key, uint32_t max);
void coalmine_read_key(struct coalmine_reader *reader, uint8_t key);
uint64_t coalmine_read_uint(struct coalmine_reader *reader, uint8_t key, uint64_t max);
/* An index into a table of `count` words. */
uint32_t coalmine_read_word(struct coalmine_reader *reader, uint8_t key, uint32_t count);
bool coalmine_read_bool(struct coalmine_reader *reader, uint8_t key);
/* Reads the key; true when null follows it and was read. */
bool coalmine_read_none(struct coalmine_reader *reader, uint8_t key);
/* Slices point into the message. */
struct coalmine_span coalmine_read_bytes(struct coalmine_reader *reader, uint8_t key, size_t min,
					 size_t max);
struct coalmine_text coalmine_read_text(struct coalmine_reader *reader, uint8_t key, size_t max);
struct coalmine_text coalmine_read_label(struct coalmine_reader *reader, uint8_t key, size_t max);
/* The name of an entry that must come after `last` (empty for the first). */
struct coalmine_text coalmine_read_name(struct coalmine_reader *reader, struct coalmine_text last);
struct coalmine_text coalmine_read_text_item(struct coalmine_reader *reader, size_t max);
double coalmine_read_real(struct coalmine_reader *reader, uint8_t key, double min, double max);
double coalmine_read_real_item(struct coalmine_reader *reader, double min, double max);

#endif /* COALMINE_CBOR_H_ */
