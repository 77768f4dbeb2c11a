/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_COAP_INTERNAL_H_
#define COALMINE_COAP_INTERNAL_H_

#include <coalmine/coap.h>

/* Bytes that a block option names: 16 to 1,024. */
#define COALMINE_COAP_SZX_MAX 6

/* Between two attempts to reach the host: doubled from the first to the last. */
#define COALMINE_COAP_BACKOFF_MIN_MS 2000
#define COALMINE_COAP_BACKOFF_MAX_MS 60000

/* The tasks that register, or ask. */
#define COALMINE_COAP_BOTH (1U << COALMINE_COAP_DESIRED | 1U << COALMINE_COAP_COMMAND)

/* Sends the running task's request, or its next piece. */
void coalmine_coap_launch(struct coalmine_coap *coap, int64_t now_ms);
/* The host cannot be reached: after a while everything starts anew. */
void coalmine_coap_give_up(struct coalmine_coap *coap, int64_t now_ms);
/* Writes the request of the running task into `datagram`, under a new message id. */
int coalmine_coap_compose(struct coalmine_coap *coap);
/* The size exponent of a block of `length` bytes at `offset`, or -EINVAL. */
int coalmine_coap_szx(uint32_t offset, uint32_t length);

#endif /* COALMINE_COAP_INTERNAL_H_ */
