/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_CONFIRM_H_
#define COALMINE_CONFIRM_H_

#include <coalmine/message.h>

/*
 * How an image on trial earns its confirmation.
 *
 * C1. It confirms only after its minimum uptime, when every self-test has passed and, if the policy
 * says so, the server has acknowledged a report of this very boot. C2. At its deadline it resets;
 * the bootloader then reverts. At the same instant the deadline wins. C3. Either happens once. When
 * the bootloader refuses the confirmation, only the deadline is left.
 *
 * Reaching the server is part of health: an image that boots but cannot report would otherwise
 * confirm itself and take its own way back. An outage of the server may cost a needless revert;
 * that is the cheaper mistake.
 *
 * Times are milliseconds since the start of the application.
 */

enum coalmine_trial {
	/* The running image is confirmed, or nothing is to be decided any more. */
	COALMINE_TRIAL_NONE,
	COALMINE_TRIAL_RUNNING,
	COALMINE_TRIAL_CONFIRM_REFUSED,
};

enum coalmine_decision {
	COALMINE_WAIT,
	COALMINE_CONFIRM_IMAGE,
	COALMINE_RESET,
};

struct coalmine_confirmation {
	enum coalmine_trial trial;
	struct coalmine_policy policy;
	bool contacted;
	/* One bit for each self-test: registered, and passed. */
	uint32_t tests;
	uint32_t passed;
};

void coalmine_confirmation_start(struct coalmine_confirmation *confirmation,
				 const struct coalmine_policy *policy);
/* The host changed the policy of the trial. */
enum coalmine_decision coalmine_confirmation_policy(struct coalmine_confirmation *confirmation,
						    const struct coalmine_policy *policy,
						    int64_t uptime_ms);
/* Test `bit` must pass before the image confirms. Called before its outcome is known. */
void coalmine_confirmation_expect(struct coalmine_confirmation *confirmation, unsigned int bit);
/* A test that passed may fail again until the image is confirmed. */
enum coalmine_decision coalmine_confirmation_test(struct coalmine_confirmation *confirmation,
						  unsigned int bit, bool passed, int64_t uptime_ms);
/* The server acknowledged a report of this boot. */
enum coalmine_decision coalmine_confirmation_contact(struct coalmine_confirmation *confirmation,
						     int64_t uptime_ms);
/* Time has passed. */
enum coalmine_decision coalmine_confirmation_poll(struct coalmine_confirmation *confirmation,
						  int64_t uptime_ms);
/* What became of COALMINE_CONFIRM_IMAGE. */
void coalmine_confirmation_done(struct coalmine_confirmation *confirmation, bool accepted);
/* When to poll next, in milliseconds since start; INT64_MAX for never. */
int64_t coalmine_confirmation_next(const struct coalmine_confirmation *confirmation);

#endif /* COALMINE_CONFIRM_H_ */
