/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_COAP_ENVELOPE_H_
#define COALMINE_COAP_ENVELOPE_H_

#include <coalmine/coap_message.h>
#include <coalmine/hmac.h>

/*
 * The envelope of docs/coap.md: a COSE_Mac0 (RFC 9052 section 6.2) with HMAC-SHA-256 cut to 64 bits
 * in the last option, over the code, the options before it and the payload.
 */

#define COALMINE_COAP_KEY_SIZE COALMINE_SHA256_SIZE
/* Bytes that sealing adds at most, for a device id of 64 characters. */
#define COALMINE_COAP_MAC_MAX  112

/* The key of a device, from the text of its secret. */
void coalmine_coap_key(const char *secret, uint8_t key[COALMINE_COAP_KEY_SIZE]);
/*
 * Adds the envelope to a request whose options are all written; `payload` is what will follow.
 * `sequence` is below 2^53 and never the same twice in the life of the key.
 */
void coalmine_coap_seal(struct coalmine_coap_writer *writer,
			const uint8_t key[COALMINE_COAP_KEY_SIZE], const char *device,
			uint64_t sequence, struct coalmine_span payload);
/* True when the host signed this answer for the request with `sequence`. */
bool coalmine_coap_is_genuine(const struct coalmine_coap_message *message,
			      const uint8_t key[COALMINE_COAP_KEY_SIZE], uint64_t sequence);

#endif /* COALMINE_COAP_ENVELOPE_H_ */
