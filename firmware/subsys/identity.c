/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include <zephyr/devicetree.h>
#include <zephyr/drivers/hwinfo.h>
#include <zephyr/kernel.h>

#include "internal.h"

#if DT_HAS_COMPAT_STATUS_OKAY(coalmine_mmio_flash)
/*
 * What the host writes at 0x100 of the laboratory page, so that one build serves all emulated
 * boards. Little endian; see firmware/qemu/README.md.
 */
struct lab_identity {
	uint32_t magic;
	uint16_t version;
	uint16_t broker_port;
	uint16_t coap_port;
	uint16_t smp_port;
	char device[65];
	char secret[COALMINE_SECRET_MAX + 1];
};

#define LAB_IDENTITY_MAGIC 0x44494d43 /* "CMID" */

static bool read_lab(struct coalmine_identity *identity)
{
	const struct lab_identity *lab =
		(const void *)(DT_REG_ADDR_BY_IDX(DT_INST(0, coalmine_mmio_flash), 1) + 0x100);

	if (lab->magic != LAB_IDENTITY_MAGIC || lab->version != 1) {
		return false;
	}

	memcpy(identity->device, lab->device, sizeof(identity->device));
	identity->device[sizeof(identity->device) - 1] = '\0';
	memcpy(identity->secret, lab->secret, sizeof(identity->secret));
	identity->secret[sizeof(identity->secret) - 1] = '\0';
	if (lab->broker_port != 0) {
		identity->broker_port = lab->broker_port;
	}

	if (lab->coap_port != 0) {
		identity->coap_port = lab->coap_port;
	}

	return identity->device[0] != '\0';
}
#else
static bool read_lab(struct coalmine_identity *identity)
{
	ARG_UNUSED(identity);

	return false;
}
#endif

static void read_hardware(struct coalmine_identity *identity)
{
	size_t used = (size_t)snprintf(identity->device, sizeof(identity->device), "zephyr-");
	uint8_t number[16];
	ssize_t size = IS_ENABLED(CONFIG_HWINFO) ? hwinfo_get_device_id(number, sizeof(number)) : 0;

	for (ssize_t i = 0; i < size; i++) {
		used += (size_t)snprintf(&identity->device[used], sizeof(identity->device) - used,
					 "%02x", number[i]);
	}

	if (size <= 0) {
		(void)snprintf(&identity->device[used], sizeof(identity->device) - used, "%s",
			       CONFIG_COALMINE_BOARD);
	}
}

void coalmine_identity_read(struct coalmine_identity *identity)
{
#ifdef CONFIG_COALMINE_BROKER_PORT
	identity->broker_port = CONFIG_COALMINE_BROKER_PORT;
#endif
#ifdef CONFIG_COALMINE_COAP_PORT
	identity->coap_port = CONFIG_COALMINE_COAP_PORT;
#endif
	if (!read_lab(identity)) {
		read_hardware(identity);
	}

	if (sizeof(CONFIG_COALMINE_DEVICE) > 1) {
		(void)snprintf(identity->device, sizeof(identity->device), "%s",
			       CONFIG_COALMINE_DEVICE);
	}

	if (identity->secret[0] == '\0') {
		(void)snprintf(identity->secret, sizeof(identity->secret), "%s",
			       CONFIG_COALMINE_SECRET);
	}

	/* What this device was given goes before what everybody has. */
	(void)coalmine_secret_read(identity->secret, sizeof(identity->secret));
}
