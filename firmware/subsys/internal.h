/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_SUBSYS_INTERNAL_H_
#define COALMINE_SUBSYS_INTERNAL_H_

#include <coalmine/agent.h>
#include <coalmine/coalmine.h>

/* build_id.c: the GNU build id of this image. */
struct coalmine_span coalmine_build_id(void);

/*
 * identity.c: name, secret and ports, from settings, the laboratory page, Kconfig or the hardware.
 * The secret is empty where there is none.
 */
#define COALMINE_SECRET_MAX 64

struct coalmine_identity {
	char device[65];
	char secret[COALMINE_SECRET_MAX + 1];
	uint16_t broker_port;
	uint16_t coap_port;
};

void coalmine_identity_read(struct coalmine_identity *identity);

/* port_boot.c */
int coalmine_boot_read(struct coalmine_agent_start *start, struct coalmine_flash_shape *shape);
/* Eight hex digits that stand for the places and sizes of all partitions an update depends on. */
void coalmine_partition_map(char text[9]);

/* port_reset.c: settled once, before the agent starts. */
enum coalmine_reset_cause coalmine_reset_read(struct coalmine_crash_record *crash, bool *crashed);
/*
 * Puts the hash of the running image where a fatal error finds it; the build id is there already.
 */
void coalmine_reset_arm(const struct coalmine_agent_start *start);

/*
 * port_log.c: what the last boot said before it ended badly. Begun with retained RAM, before
 * anything is logged; settled when it is known why the device started.
 */
#define COALMINE_RETAINED_SIZE 256

/* Keeps what was said so far. 0; -EBUSY, -ENOENT or -ENOTSUP. */
int coalmine_log_keep_now(void);

#ifdef CONFIG_COALMINE_LOG_BACKEND
void coalmine_log_begin(bool keep);
void coalmine_log_settle(enum coalmine_reset_cause cause);
#else
static inline void coalmine_log_begin(bool keep)
{
	ARG_UNUSED(keep);
}

static inline void coalmine_log_settle(enum coalmine_reset_cause cause)
{
	ARG_UNUSED(cause);
}
#endif

/* port_records.c */
int coalmine_records_init(void);
/* Reads the device's secret as text. Its length, or -errno. */
int coalmine_secret_read(char *text, size_t size);

/* The link; one transport is built. */
int coalmine_transport_init(const struct coalmine_identity *identity);
/* Waits at most `timeout_ms` for the link, and feeds what comes to coalmine_on_*(). */
void coalmine_transport_run(int32_t timeout_ms);
int coalmine_transport_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
			    uint32_t sequence);

/* The number of this boot, once the agent has begun. */
uint32_t coalmine_boot_number(void);
void coalmine_on_link(bool up);
void coalmine_on_command(const uint8_t *data, size_t size);
void coalmine_on_block(const uint8_t *data, size_t size);
void coalmine_on_answer(const struct coalmine_block_answer *answer);
void coalmine_on_acknowledged(uint32_t sequence);
void coalmine_on_refused(uint32_t sequence);

/* watchdog.c */
#ifdef CONFIG_COALMINE_WATCHDOG
int coalmine_watchdog_start(void);
void coalmine_watchdog_feed(void);
#else
static inline int coalmine_watchdog_start(void)
{
	return 0;
}

static inline void coalmine_watchdog_feed(void)
{
}
#endif

#endif /* COALMINE_SUBSYS_INTERNAL_H_ */
