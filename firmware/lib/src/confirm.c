/* SPDX-License-Identifier: Apache-2.0 */
#include <coalmine/confirm.h>

static int64_t earliest(const struct coalmine_confirmation *confirmation)
{
	return (int64_t)confirmation->policy.min_uptime_s * 1000;
}

static int64_t deadline(const struct coalmine_confirmation *confirmation)
{
	return (int64_t)confirmation->policy.deadline_s * 1000;
}

static bool is_healthy(const struct coalmine_confirmation *confirmation)
{
	return confirmation->trial == COALMINE_TRIAL_RUNNING &&
	       (confirmation->tests & ~confirmation->passed) == 0 &&
	       (confirmation->contacted || !confirmation->policy.server_contact);
}

/*
 * News came. It is judged before the clock, so that an answer that arrives in time counts even when
 * the thread gets to it late.
 */
static enum coalmine_decision judge(const struct coalmine_confirmation *confirmation,
				    int64_t uptime_ms)
{
	return is_healthy(confirmation) && uptime_ms >= earliest(confirmation)
		       ? COALMINE_CONFIRM_IMAGE
		       : COALMINE_WAIT;
}

void coalmine_confirmation_start(struct coalmine_confirmation *confirmation,
				 const struct coalmine_policy *policy)
{
	confirmation->trial = COALMINE_TRIAL_RUNNING;
	confirmation->policy = *policy;
}

enum coalmine_decision coalmine_confirmation_policy(struct coalmine_confirmation *confirmation,
						    const struct coalmine_policy *policy,
						    int64_t uptime_ms)
{
	confirmation->policy = *policy;
	return judge(confirmation, uptime_ms);
}

void coalmine_confirmation_expect(struct coalmine_confirmation *confirmation, unsigned int bit)
{
	confirmation->tests |= UINT32_C(1) << bit;
}

enum coalmine_decision coalmine_confirmation_test(struct coalmine_confirmation *confirmation,
						  unsigned int bit, bool passed, int64_t uptime_ms)
{
	if (passed) {
		confirmation->passed |= UINT32_C(1) << bit;
	} else {
		confirmation->passed &= ~(UINT32_C(1) << bit);
	}

	return judge(confirmation, uptime_ms);
}

enum coalmine_decision coalmine_confirmation_contact(struct coalmine_confirmation *confirmation,
						     int64_t uptime_ms)
{
	confirmation->contacted = true;
	return judge(confirmation, uptime_ms);
}

enum coalmine_decision coalmine_confirmation_poll(struct coalmine_confirmation *confirmation,
						  int64_t uptime_ms)
{
	if (confirmation->trial == COALMINE_TRIAL_NONE) {
		return COALMINE_WAIT;
	}

	/* What was due first is done first, also when the poll comes late. */
	if (earliest(confirmation) < deadline(confirmation) &&
	    judge(confirmation, uptime_ms) == COALMINE_CONFIRM_IMAGE) {
		return COALMINE_CONFIRM_IMAGE;
	}

	return uptime_ms >= deadline(confirmation) ? COALMINE_RESET : COALMINE_WAIT;
}

void coalmine_confirmation_done(struct coalmine_confirmation *confirmation, bool accepted)
{
	confirmation->trial = accepted ? COALMINE_TRIAL_NONE : COALMINE_TRIAL_CONFIRM_REFUSED;
}

int64_t coalmine_confirmation_next(const struct coalmine_confirmation *confirmation)
{
	if (confirmation->trial == COALMINE_TRIAL_NONE) {
		return INT64_MAX;
	}

	if (is_healthy(confirmation) && earliest(confirmation) < deadline(confirmation)) {
		return earliest(confirmation);
	}

	return deadline(confirmation);
}
