/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include "test.h"

static struct test *first;
static struct test **last = &first;
static unsigned long checks;
static jmp_buf out;

void test_register(struct test *test)
{
	*last = test;
	last = &test->next;
}

void test_count(void)
{
	checks++;
}

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	printf("  %s:%d: ", file, line);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	longjmp(out, 1);
}

int main(int argc, char *argv[])
{
	/* Changed between setjmp() and longjmp(). */
	volatile unsigned int passed = 0;
	volatile unsigned int failed = 0;

	for (struct test *volatile test = first; test != NULL; test = test->next) {
		if (argc > 1 && strstr(test->name, argv[1]) == NULL) {
			continue;
		}

		if (setjmp(out) == 0) {
			test->run();
			printf("ok %s\n", test->name);
			passed++;
		} else {
			printf("not ok %s\n", test->name);
			failed++;
		}
	}

	printf("# %lu checks\n%u passed, %u failed\n", checks, passed, failed);
	return failed == 0 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
