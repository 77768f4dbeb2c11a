/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_TEST_H_
#define COALMINE_TEST_H_

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/*
 * A test runner in a page: TEST() registers itself before main(), CHECK() counts, the first failure
 * of a test ends it. Prints one line for each test and the counts at the end.
 */

struct test {
	const char *name;
	void (*run)(void);
	struct test *next;
};

void test_register(struct test *test);
/* Ends the running test as failed. Does not return. */
_Noreturn void test_fail(const char *file, int line, const char *format, ...);
void test_count(void);

#define TEST(identifier, promise)                                                                  \
	static void identifier(void);                                                              \
	static struct test identifier##_test = {promise, identifier, NULL};                        \
	__attribute__((constructor)) static void identifier##_register(void)                       \
	{                                                                                          \
		test_register(&identifier##_test);                                                 \
	}                                                                                          \
	static void identifier(void)

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		test_count();                                                                      \
		if (!(condition)) {                                                                \
			test_fail(__FILE__, __LINE__, "%s", #condition);                           \
		}                                                                                  \
	} while (false)

#define CHECK_NUMBER(actual, expected)                                                             \
	do {                                                                                       \
		long long actual_number = (long long)(actual);                                     \
		long long expected_number = (long long)(expected);                                 \
		test_count();                                                                      \
		if (actual_number != expected_number) {                                            \
			test_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #actual,             \
				  actual_number, expected_number);                                 \
		}                                                                                  \
	} while (false)

#define CHECK_TEXT(actual, expected)                                                               \
	do {                                                                                       \
		test_count();                                                                      \
		if (strcmp(actual, expected) != 0) {                                               \
			test_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"", #actual, actual, \
				  expected);                                                       \
		}                                                                                  \
	} while (false)

#endif /* COALMINE_TEST_H_ */
