/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/coap.h>
#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/net/socket.h>

#include "internal.h"

LOG_MODULE_DECLARE(coalmine, CONFIG_COALMINE_LOG_LEVEL);

BUILD_ASSERT(CONFIG_COALMINE_BLOCK_SIZE <= COALMINE_COAP_BLOCK_MAX &&
		     (CONFIG_COALMINE_BLOCK_SIZE & (CONFIG_COALMINE_BLOCK_SIZE - 1)) == 0,
	     "over CoAP a block is a power of two, and at most 1024 bytes");

#ifdef CONFIG_COALMINE_COAP_REFRESH
#define REFRESH_S CONFIG_COALMINE_COAP_REFRESH
#else
#define REFRESH_S 0
#endif

/* Between two attempts to open a socket. */
#define RETRY_MS 5000

static struct sockaddr_in host;
static char device[65];
static uint8_t key[COALMINE_COAP_KEY_SIZE];
static bool begun;
static int descriptor = -1;
static struct coalmine_coap coap;
static uint8_t datagram[COALMINE_COAP_DATAGRAM_MAX];

static void on_send(void *context, const uint8_t *data, size_t size)
{
	ARG_UNUSED(context);

	/* What is lost here is sent again, as what is lost on the way. */
	(void)zsock_send(descriptor, data, size, 0);
}

static void on_link(void *context, bool up)
{
	ARG_UNUSED(context);

	LOG_INF("link %s", up ? "up" : "down");
	coalmine_on_link(up);
}

static void on_command(void *context, const uint8_t *data, size_t size)
{
	ARG_UNUSED(context);

	coalmine_on_command(data, size);
}

static void on_block(void *context, const struct coalmine_block_answer *answer)
{
	ARG_UNUSED(context);

	coalmine_on_answer(answer);
}

static void on_reported(void *context, uint32_t sequence, bool taken)
{
	ARG_UNUSED(context);

	if (taken) {
		coalmine_on_acknowledged(sequence);
	} else {
		LOG_WRN("the host can make nothing of report %u", sequence);
		coalmine_on_refused(sequence);
	}
}

static const struct coalmine_coap_events events = {
	.send = on_send,
	.link = on_link,
	.command = on_command,
	.block = on_block,
	.reported = on_reported,
};

static struct coalmine_coap_config config = {
	.device = device,
	.observe = IS_ENABLED(CONFIG_COALMINE_COAP_OBSERVE),
	.refresh_s = REFRESH_S,
	.events = &events,
};

int coalmine_transport_init(const struct coalmine_identity *identity)
{
	host.sin_family = AF_INET;
	host.sin_port = htons(identity->coap_port);
	(void)snprintf(device, sizeof(device), "%s", identity->device);
	if (identity->secret[0] != '\0') {
		coalmine_coap_key(identity->secret, key);
		config.key = key;
	}

	return zsock_inet_pton(AF_INET, CONFIG_COALMINE_HOST_ADDRESS, &host.sin_addr) == 1
		       ? 0
		       : -EINVAL;
}

/* A socket that hears the host alone. */
static bool open_socket(void)
{
	int opened = zsock_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP);

	if (opened < 0) {
		return false;
	}

	if (zsock_connect(opened, (struct sockaddr *)&host, sizeof(host)) != 0) {
		(void)zsock_close(opened);
		return false;
	}

	descriptor = opened;
	return true;
}

void coalmine_transport_run(int32_t timeout_ms)
{
	struct zsock_pollfd entry = {.events = ZSOCK_POLLIN};
	int64_t now = k_uptime_get();
	int64_t next;

	if (!begun) {
		/* The agent has read the number of this boot by now. */
		begun = true;
		coalmine_coap_init(&coap, &config, coalmine_boot_number(),
				   k_cycle_get_32() ^ (coalmine_boot_number() << 16));
	}

	if (descriptor < 0 && !open_socket()) {
		k_msleep(MIN(timeout_ms, RETRY_MS));
		return;
	}

	next = coalmine_coap_poll(&coap, now);
	entry.fd = descriptor;
	if (zsock_poll(&entry, 1, (int)CLAMP(next - now, 0, timeout_ms)) <= 0) {
		return;
	}

	for (;;) {
		ssize_t size =
			zsock_recv(descriptor, datagram, sizeof(datagram), ZSOCK_MSG_DONTWAIT);

		if (size < 0) {
			break;
		}

		coalmine_coap_receive(&coap, datagram, (size_t)size, k_uptime_get());
	}

	(void)coalmine_coap_poll(&coap, k_uptime_get());
}

int coalmine_transport_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
			    uint32_t sequence)
{
	struct coalmine_block_request request;
	int result;

	if (channel == COALMINE_CHANNEL_REPORT) {
		return coalmine_coap_report(&coap, data, size, sequence, k_uptime_get());
	}

	result = coalmine_block_request_decode(data, size, &request, NULL);
	return result != 0 ? result : coalmine_coap_download(&coap, &request);
}
