/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <coalmine/cbor.h>
#include <coalmine/limits.h>

struct coalmine_text coalmine_text_of(const char *string)
{
	return (struct coalmine_text){string, strlen(string)};
}

bool coalmine_text_equal(struct coalmine_text a, struct coalmine_text b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool coalmine_is_name(struct coalmine_text text)
{
	if (text.length == 0 || text.length > COALMINE_NAME_MAX || !is_letter(text.data[0])) {
		return false;
	}

	for (size_t i = 1; i < text.length; i++) {
		char c = text.data[i];

		if (!is_letter(c) && !is_digit(c) && c != '.' && c != '_' && c != '-') {
			return false;
		}
	}

	return true;
}

bool coalmine_is_label(struct coalmine_text text)
{
	if (text.length == 0 || (!is_letter(text.data[0]) && !is_digit(text.data[0]))) {
		return false;
	}

	for (size_t i = 1; i < text.length; i++) {
		char c = text.data[i];

		if (!is_letter(c) && !is_digit(c) && c != '.' && c != '_' && c != '+' && c != '-') {
			return false;
		}
	}

	return true;
}

int coalmine_name_order(struct coalmine_text a, struct coalmine_text b)
{
	if (a.length != b.length) {
		return a.length < b.length ? -1 : 1;
	}

	return a.length == 0 ? 0 : memcmp(a.data, b.data, a.length);
}
