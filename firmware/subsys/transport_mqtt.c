/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <zephyr/kernel.h>
#include <zephyr/logging/log.h>
#include <zephyr/net/mqtt.h>
#include <zephyr/net/socket.h>

#include "internal.h"

LOG_MODULE_DECLARE(coalmine, CONFIG_COALMINE_LOG_LEVEL);

/* Between two attempts to connect: doubled from the first to the last. */
#define BACKOFF_MIN_MS 1000
#define BACKOFF_MAX_MS 60000
#define CONNACK_MS     10000
#define TOPIC_SIZE     96

static struct mqtt_client client;
static struct sockaddr_in broker;
static char device[65];
static char secret[COALMINE_SECRET_MAX + 1];
static struct mqtt_utf8 user_name;
static struct mqtt_utf8 password;
static bool open;
static bool connected;
static int64_t retry_ms;
static int64_t connack_ms;
static uint32_t backoff_ms = BACKOFF_MIN_MS;

static uint8_t receive_buffer[256];
static uint8_t send_buffer[256];
/* A message from the host: a command, or a block with its frame. */
static uint8_t message[MAX(CONFIG_COALMINE_BLOCK_SIZE + 64, 1024)];

/* One report is on its way at a time; its packet identifier stands for its sequence. */
static uint32_t flight_sequence;
static uint16_t flight_id;

static void set_link(bool up)
{
	if (connected != up) {
		connected = up;
		LOG_INF("link %s", up ? "up" : "down");
		coalmine_on_link(up);
	}
}

static void close_link(void)
{
	if (open) {
		open = false;
		(void)mqtt_abort(&client);
	}

	set_link(false);
	retry_ms = k_uptime_get() + backoff_ms;
	backoff_ms = MIN(2 * backoff_ms, BACKOFF_MAX_MS);
}

static void subscribe(void)
{
	char filter[TOPIC_SIZE];
	struct mqtt_topic topic = {.qos = MQTT_QOS_1_AT_LEAST_ONCE};
	const struct mqtt_subscription_list list = {
		.list = &topic,
		.list_count = 1,
		.message_id = 1,
	};

	topic.topic.utf8 = (const uint8_t *)filter;
	topic.topic.size = (uint32_t)snprintf(filter, sizeof(filter), "c/v1/d/%s/down/#", device);
	if (mqtt_subscribe(&client, &list) != 0) {
		close_link();
	}
}

static bool ends_with(const struct mqtt_utf8 *topic, const char *end)
{
	size_t length = strlen(end);

	return topic->size >= length &&
	       memcmp(&topic->utf8[topic->size - length], end, length) == 0;
}

static void take_message(const struct mqtt_publish_param *publish)
{
	uint32_t length = publish->message.payload.len;
	const struct mqtt_puback_param ack = {.message_id = publish->message_id};
	int result = 0;

	if (length <= sizeof(message)) {
		result = mqtt_readall_publish_payload(&client, message, length);
	} else {
		/* Larger than anything asked for: read past it. */
		for (uint32_t left = length; result == 0 && left > 0;) {
			uint32_t part = MIN(left, sizeof(message));

			result = mqtt_readall_publish_payload(&client, message, part);
			left -= part;
		}
	}

	if (result != 0) {
		LOG_WRN("a message could not be read (%d)", result);
		return;
	}

	if (publish->message.topic.qos == MQTT_QOS_1_AT_LEAST_ONCE) {
		(void)mqtt_publish_qos1_ack(&client, &ack);
	}

	if (length > sizeof(message)) {
		LOG_WRN("a message of %u bytes was skipped", length);
	} else if (ends_with(&publish->message.topic.topic, "/down/command")) {
		coalmine_on_command(message, length);
	} else if (ends_with(&publish->message.topic.topic, "/down/block")) {
		coalmine_on_block(message, length);
	}
}

static void on_event(struct mqtt_client *from, const struct mqtt_evt *event)
{
	ARG_UNUSED(from);

	switch (event->type) {
	case MQTT_EVT_CONNACK:
		if (event->result != 0) {
			LOG_WRN("the broker refused the connection (%d)", event->result);
		} else {
			subscribe();
		}

		break;
	case MQTT_EVT_SUBACK:
		backoff_ms = BACKOFF_MIN_MS;
		set_link(true);
		break;
	case MQTT_EVT_PUBLISH:
		take_message(&event->param.publish);
		break;
	case MQTT_EVT_PUBACK:
		if (event->param.puback.message_id == flight_id) {
			coalmine_on_acknowledged(flight_sequence);
		}

		break;
	case MQTT_EVT_DISCONNECT:
		open = false;
		break;
	default:
		break;
	}
}

static void open_link(void)
{
	int result;

	mqtt_client_init(&client);
	client.broker = &broker;
	client.evt_cb = on_event;
	client.client_id.utf8 = (const uint8_t *)device;
	client.client_id.size = (uint32_t)strlen(device);
	if (secret[0] != '\0') {
		user_name = client.client_id;
		password.utf8 = (const uint8_t *)secret;
		password.size = (uint32_t)strlen(secret);
		client.user_name = &user_name;
		client.password = &password;
	}

	client.protocol_version = MQTT_VERSION_3_1_1;
	client.keepalive = CONFIG_COALMINE_MQTT_KEEPALIVE;
	/* The session keeps commands while the device sleeps or resets. */
	client.clean_session = 0;
	client.rx_buf = receive_buffer;
	client.rx_buf_size = sizeof(receive_buffer);
	client.tx_buf = send_buffer;
	client.tx_buf_size = sizeof(send_buffer);
	client.transport.type = MQTT_TRANSPORT_NON_SECURE;
	result = mqtt_connect(&client);
	if (result != 0) {
		LOG_DBG("no connection (%d)", result);
		close_link();
		return;
	}

	open = true;
	connack_ms = k_uptime_get() + CONNACK_MS;
}

int coalmine_transport_init(const struct coalmine_identity *identity)
{
	broker.sin_family = AF_INET;
	broker.sin_port = htons(identity->broker_port);
	(void)snprintf(device, sizeof(device), "%s", identity->device);
	(void)snprintf(secret, sizeof(secret), "%s", identity->secret);
	return zsock_inet_pton(AF_INET, CONFIG_COALMINE_HOST_ADDRESS, &broker.sin_addr) == 1
		       ? 0
		       : -EINVAL;
}

void coalmine_transport_run(int32_t timeout_ms)
{
	struct zsock_pollfd descriptor = {.events = ZSOCK_POLLIN};
	int64_t now = k_uptime_get();

	if (!open) {
		if (now < retry_ms) {
			k_msleep((int32_t)MIN(timeout_ms, retry_ms - now));
			return;
		}

		open_link();
		return;
	}

	descriptor.fd = client.transport.tcp.sock;
	timeout_ms = MIN(timeout_ms, mqtt_keepalive_time_left(&client));
	if (zsock_poll(&descriptor, 1, MAX(timeout_ms, 0)) > 0) {
		int result =
			(descriptor.revents & ZSOCK_POLLIN) != 0 ? mqtt_input(&client) : -ENOTCONN;

		if (result != 0) {
			LOG_DBG("the connection is lost (%d)", result);
			close_link();
			return;
		}
	}

	if (open) {
		int result = mqtt_live(&client);

		if ((result != 0 && result != -EAGAIN) ||
		    (!connected && k_uptime_get() > connack_ms)) {
			close_link();
		}
	} else {
		close_link();
	}
}

int coalmine_transport_send(enum coalmine_channel channel, const uint8_t *data, size_t size,
			    uint32_t sequence)
{
	struct mqtt_publish_param publish = {0};
	char topic[TOPIC_SIZE];

	if (!connected) {
		return -ENOTCONN;
	}

	publish.message.topic.topic.utf8 = (const uint8_t *)topic;
	publish.message.topic.topic.size =
		(uint32_t)snprintf(topic, sizeof(topic), "c/v1/d/%s/up/%s", device,
				   channel == COALMINE_CHANNEL_REPORT ? "report" : "block");
	publish.message.payload.data = (uint8_t *)data;
	publish.message.payload.len = (uint32_t)size;
	/* A block request is asked again by the machine itself, so it needs no acknowledgement. */
	publish.message.topic.qos = channel == COALMINE_CHANNEL_REPORT ? MQTT_QOS_1_AT_LEAST_ONCE
								       : MQTT_QOS_0_AT_MOST_ONCE;
	if (channel == COALMINE_CHANNEL_REPORT) {
		flight_sequence = sequence;
		/* 1 is the subscription's. */
		flight_id = (uint16_t)(2 + sequence % 0xfff0);
		publish.message_id = flight_id;
	}

	return mqtt_publish(&client, &publish);
}
