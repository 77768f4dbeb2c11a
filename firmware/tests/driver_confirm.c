/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <coalmine/confirm.h>
#include <coalmine/crash.h>

#include "driver.h"

static struct coalmine_policy read_policy(char **at)
{
	struct coalmine_policy policy;

	policy.min_uptime_s = (uint32_t)strtoul(*at, at, 10);
	policy.deadline_s = (uint32_t)strtoul(*at, at, 10);
	policy.server_contact = strtoul(*at, at, 10) != 0;
	return policy;
}

/*
 * MIN DEADLINE CONTACT TEST, then events: `p MS` poll, `a MS` a report was acknowledged, `c MS MIN
 * DEADLINE CONTACT` another policy, `t MS PASSED` the self-test. TEST: 1 when there is one to pass.
 * Every event is followed by a poll of the same moment, as the agent does. Answers `confirm MS`,
 * `reset MS` or `wait`.
 */
void driver_confirm(char *arguments)
{
	struct coalmine_confirmation machine = {0};
	char *at = arguments;
	struct coalmine_policy policy = read_policy(&at);

	if (strtoul(at, &at, 10) != 0) {
		coalmine_confirmation_expect(&machine, 0);
	}

	coalmine_confirmation_start(&machine, &policy);
	for (at += strspn(at, " "); *at != '\0'; at += strspn(at, " ")) {
		enum coalmine_decision decision = COALMINE_WAIT;
		char event = *at++;
		int64_t now = strtoll(at, &at, 10);

		if (event == 'a') {
			decision = coalmine_confirmation_contact(&machine, now);
		} else if (event == 'c') {
			policy = read_policy(&at);
			decision = coalmine_confirmation_policy(&machine, &policy, now);
		} else if (event == 't') {
			bool passed = strtoul(at, &at, 10) != 0;

			decision = coalmine_confirmation_test(&machine, 0, passed, now);
		}

		if (decision == COALMINE_WAIT) {
			decision = coalmine_confirmation_poll(&machine, now);
		}

		if (decision != COALMINE_WAIT) {
			printf("%s %" PRId64 "\n", decision == COALMINE_RESET ? "reset" : "confirm",
			       now);
			return;
		}
	}

	printf("wait\n");
}

void driver_crash(const char *arguments)
{
	struct coalmine_crash_record crash = {0};
	char text[COALMINE_SIGNATURE_SIZE];

	if (sscanf(arguments, "%" SCNu32 " %" SCNu32 " %" SCNu32, &crash.reason, &crash.pc,
		   &crash.lr) != 3) {
		printf("unknown\n");
		return;
	}

	coalmine_crash_signature(&crash, text);
	printf("%s\n", text);
}

void driver_dump(const char *arguments)
{
	static uint8_t data[70000];
	struct coalmine_crash_record crash = {0};
	size_t size = driver_bytes(arguments, data, sizeof(data));

	if (coalmine_coredump_facts(data, size, &crash) != 0) {
		printf("refused\n");
	} else {
		printf("%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", crash.reason, crash.pc, crash.lr);
	}
}
