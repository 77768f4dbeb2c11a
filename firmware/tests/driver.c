/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

/*
 * The library as a process that speaks lines, for tests in TypeScript:
 *
 *     codec TYPE HEX        -> ok JSON HEX | refused OFFSET
 *     confirm EVENTS...     -> the decision of each event, see driver_confirm.c
 *     crash REASON PC LR    -> signature as packages/coredump writes it
 *     dump HEX              -> REASON PC LR | refused
 *
 * One answer for each line, in order.
 */
int main(void)
{
	static char line[DRIVER_LINE];

	while (fgets(line, sizeof(line), stdin) != NULL) {
		char *rest = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		if (rest == NULL) {
			printf("unknown\n");
			continue;
		}

		*rest++ = '\0';
		if (strcmp(line, "codec") == 0) {
			driver_codec(rest);
		} else if (strcmp(line, "confirm") == 0) {
			driver_confirm(rest);
		} else if (strcmp(line, "crash") == 0) {
			driver_crash(rest);
		} else if (strcmp(line, "dump") == 0) {
			driver_dump(rest);
		} else {
			printf("unknown\n");
		}

		fflush(stdout);
	}

	return EXIT_SUCCESS;
}
