/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <coalmine/coap.h>

#include "test.h"
#include "world.h"

/*
 * A whole board as a process: the agent over the CoAP client over a real UDP socket, with flash and
 * bootloader of world.c. Prints a line for each thing a test waits for, and lives until its input
 * ends.
 *
 *     board_coap PORT DEVICE SECRET|- SPEED OBSERVE
 *
 * Time runs SPEED times as fast.
 */

#define IMAGE_SIZE (9 * WORLD_PAGE + 37)

static int descriptor;
static struct coalmine_agent agent;
static struct coalmine_coap coap;
static unsigned int speed;
static unsigned int blocks;

void test_fail(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "%s:%d: ", file, line);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	abort();
}

static int64_t now(void)
{
	static struct timespec start;
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	if (start.tv_sec == 0) {
		start = time;
	}

	return ((int64_t)(time.tv_sec - start.tv_sec) * 1000 +
		(time.tv_nsec - start.tv_nsec) / 1000000) *
	       speed;
}

static void on_send(void *context, const uint8_t *data, size_t size)
{
	(void)context;
	(void)!send(descriptor, data, size, 0);
}

static void on_link(void *context, bool up)
{
	(void)context;
	printf("link %s\n", up ? "up" : "down");
	coalmine_agent_link(&agent, up, now());
}

static void on_command(void *context, const uint8_t *data, size_t size)
{
	(void)context;
	coalmine_agent_command(&agent, data, size, now());
}

static void on_block(void *context, const struct coalmine_block_answer *answer)
{
	(void)context;
	blocks += answer->kind == COALMINE_BLOCK ? 1 : 0;
	coalmine_agent_answer(&agent, answer, now());
}

static void on_reported(void *context, uint32_t sequence, bool taken)
{
	(void)context;
	if (taken) {
		coalmine_agent_acknowledged(&agent, sequence, now());
	} else {
		printf("refused %u\n", (unsigned int)sequence);
		coalmine_agent_refused(&agent, sequence, now());
	}
}

/* What the agent has said since is given to the link. */
static void forward(void)
{
	for (size_t i = 0; i < world.sent_count; i++) {
		const struct world_message *message = &world.sent[i];
		struct coalmine_block_request request;

		if (message->channel == COALMINE_CHANNEL_REPORT) {
			(void)coalmine_coap_report(&coap, agent.flight, agent.flight_size,
						   message->sequence, now());
		} else if (coalmine_block_request_decode(message->data, message->size, &request,
							 NULL) == 0) {
			(void)coalmine_coap_download(&coap, &request);
		}
	}

	world.sent_count = 0;
}

static void wait_for_host(int64_t until_ms)
{
	struct pollfd descriptors[] = {{.fd = descriptor, .events = POLLIN},
				       {.fd = STDIN_FILENO, .events = POLLIN}};
	int64_t left = (until_ms - now()) / speed + 1;
	uint8_t data[2048];
	ssize_t size;

	if (poll(descriptors, 2, (int)(left < 0 ? 0 : left > 100 ? 100 : left)) <= 0) {
		return;
	}

	if (descriptors[1].revents != 0 && read(STDIN_FILENO, data, sizeof(data)) <= 0) {
		exit(EXIT_SUCCESS);
	}

	if (descriptors[0].revents != 0) {
		size = recv(descriptor, data, sizeof(data), 0);
		if (size > 0) {
			/* A copy of exactly its size, so that the sanitizer sees a step past its
			 * end. */
			uint8_t *exact = malloc((size_t)size);

			memcpy(exact, data, (size_t)size);
			coalmine_coap_receive(&coap, exact, (size_t)size, now());
			free(exact);
		}
	}
}

static void live(const struct coalmine_agent_config *config,
		 const struct coalmine_coap_config *coap_config)
{
	struct coalmine_agent_start start;
	bool told = false;

	world_boot(&start);
	memset(&agent, 0, sizeof(agent));
	coalmine_confirmation_expect(&agent.confirmation, 0);
	if (coalmine_agent_begin(&agent, config, &start, now()) != 0) {
		test_fail(__FILE__, __LINE__, "the agent does not begin\n");
	}

	coalmine_agent_self_test(&agent, 0, true, now());
	coalmine_coap_init(&coap, coap_config, agent.boot, (uint32_t)getpid() + agent.boot);
	printf("boot %u version %s confirmed %d\n", (unsigned int)agent.boot, start.running.version,
	       start.confirmed);
	while (!agent.stopped) {
		int64_t next = coalmine_agent_poll(&agent, now());
		int64_t link;

		forward();
		link = coalmine_coap_poll(&coap, now());
		if (!told && agent.has_attempt && agent.attempt.acknowledged) {
			told = true;
			printf("settled %u version %s stage %d blocks %u\n",
			       (unsigned int)agent.attempt.offer, start.running.version,
			       agent.attempt.stage, blocks);
		}

		fflush(stdout);
		wait_for_host(link < next ? link : next);
	}
}

int main(int argc, char *argv[])
{
	static const struct coalmine_coap_events events = {
		.send = on_send,
		.link = on_link,
		.command = on_command,
		.block = on_block,
		.reported = on_reported,
	};
	static struct coalmine_agent_config config = {
		.hardware =
			{
				.board = {"bench", 5},
				.revision = {"1", 1},
				.partition_map = {"map", 3},
				.mode = COALMINE_SWAP_MOVE,
				.slot_size = WORLD_SLOT,
			},
		.flash =
			{
				.slot_size = WORLD_SLOT,
				.page_size = WORLD_PAGE,
				.write_unit = 8,
				.trailer_size = WORLD_TRAILER,
				.checkpoint_bytes = 2 * WORLD_PAGE,
			},
		.interval_s = 20,
		.storage_schema = 1,
		.policy = {5, 600, true},
	};
	static uint8_t key[COALMINE_COAP_KEY_SIZE];
	static struct coalmine_coap_config coap_config = {.refresh_s = 3600, .events = &events};
	struct sockaddr_in host = {.sin_family = AF_INET};
	uint8_t hash[COALMINE_HASH_SIZE];

	if (argc != 6) {
		fprintf(stderr, "usage: board_coap PORT DEVICE SECRET|- SPEED OBSERVE\n");
		return EXIT_FAILURE;
	}

	host.sin_port = htons((uint16_t)atoi(argv[1]));
	host.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	config.device = argv[2];
	coap_config.device = argv[2];
	if (strcmp(argv[3], "-") != 0) {
		coalmine_coap_key(argv[3], key);
		coap_config.key = key;
	}

	speed = (unsigned int)atoi(argv[4]);
	coap_config.observe = atoi(argv[5]) != 0;
	descriptor = socket(AF_INET, SOCK_DGRAM, 0);
	if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&host, sizeof(host)) != 0) {
		perror("socket");
		return EXIT_FAILURE;
	}

	world_clear();
	world_install(0, 1, IMAGE_SIZE, hash);
	for (;;) {
		live(&config, &coap_config);
		printf("reset\n");
	}
}
