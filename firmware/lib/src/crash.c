/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <coalmine/crash.h>

#define ARCH_REASONS 16

#define DUMP_HEADER_SIZE     12
#define DUMP_TARGET_CORTEX_M 3
#define DUMP_ARCH_SIZE	     5
#define DUMP_REGISTERS_MIN   32
/* Places of two registers in r0 r1 r2 r3 r12 lr pc xpsr ... */
#define DUMP_LR		     20
#define DUMP_PC		     24

#define EXCEPTION_RETURN UINT32_C(0xffffff00)

const char *coalmine_reason_name(uint32_t reason)
{
	static const char *const kernel[] = {
		"CPU exception", "spurious interrupt", "stack overflow",
		"kernel oops",	 "kernel panic",
	};
	static const char *const cortex_m[] = {
		"memory fault",
		"memory fault while stacking",
		"memory fault while unstacking",
		"memory fault on data access",
		"memory fault on instruction access",
		"memory fault while saving the FPU state",
		"bus fault",
		"bus fault while stacking",
		"bus fault while unstacking",
		"precise bus fault",
		"imprecise bus fault",
		"bus fault on instruction access",
		"bus fault while saving the FPU state",
		"usage fault",
		"division by zero",
		"unaligned access",
		"stack overflow found by hardware",
		"no coprocessor",
		"illegal EXC_RETURN",
		"illegal EPSR",
		"undefined instruction",
		"secure fault",
	};

	if (reason < sizeof(kernel) / sizeof(kernel[0])) {
		return kernel[reason];
	}

	if (reason >= ARCH_REASONS &&
	    reason - ARCH_REASONS < sizeof(cortex_m) / sizeof(cortex_m[0])) {
		return cortex_m[reason - ARCH_REASONS];
	}

	return NULL;
}

void coalmine_reason_write(uint32_t reason, char *text, size_t size)
{
	const char *name = coalmine_reason_name(reason);

	if (name != NULL) {
		(void)snprintf(text, size, "%s", name);
	} else {
		(void)snprintf(text, size, "architecture reason %" PRIu32, reason);
	}
}

static void append_address(char text[COALMINE_SIGNATURE_SIZE], uint32_t address)
{
	size_t used = strlen(text);

	(void)snprintf(&text[used], COALMINE_SIGNATURE_SIZE - used, " / 0x%" PRIx32, address);
}

static bool is_place(uint32_t address)
{
	return address != 0 && address < EXCEPTION_RETURN;
}

void coalmine_crash_signature(const struct coalmine_crash_record *crash,
			      char text[COALMINE_SIGNATURE_SIZE])
{
	coalmine_reason_write(crash->reason, text, COALMINE_SIGNATURE_SIZE);
	if (is_place(crash->pc)) {
		append_address(text, crash->pc & ~UINT32_C(1));
	}

	if (is_place(crash->lr)) {
		/* The call, not where it returns to: that can be the next function. */
		append_address(text, (crash->lr & ~UINT32_C(1)) - 1);
	}
}

static uint32_t word_at(const uint8_t *data)
{
	return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
	       (uint32_t)data[3] << 24;
}

int coalmine_coredump_facts(const uint8_t *data, size_t size, struct coalmine_crash_record *crash)
{
	const uint8_t *arch = &data[DUMP_HEADER_SIZE];
	const uint8_t *registers = &data[DUMP_HEADER_SIZE + DUMP_ARCH_SIZE];
	uint32_t version;
	uint32_t length;

	if (size < DUMP_HEADER_SIZE + DUMP_ARCH_SIZE || data[0] != 'Z' || data[1] != 'E' ||
	    (data[4] | data[5] << 8) != DUMP_TARGET_CORTEX_M || arch[0] != 'A') {
		return -EBADMSG;
	}

	version = data[2] | (uint32_t)data[3] << 8;
	length = arch[3] | (uint32_t)arch[4] << 8;
	if (version < 1 || version > 2 || length < DUMP_REGISTERS_MIN ||
	    size - DUMP_HEADER_SIZE - DUMP_ARCH_SIZE < DUMP_REGISTERS_MIN) {
		return -EBADMSG;
	}

	crash->reason = word_at(&data[8]);
	crash->lr = word_at(&registers[DUMP_LR]);
	crash->pc = word_at(&registers[DUMP_PC]);
	return 0;
}

void coalmine_crashes_add(struct coalmine_crashes_record *crashes,
			  const struct coalmine_crash_record *crash)
{
	if (crashes->count == COALMINE_CRASHES_MAX) {
		coalmine_crashes_drop(crashes, 0);
	}

	/* There is room for one dump, and the newest crash has overwritten it. */
	for (size_t i = 0; crash->has_dump && i < crashes->count; i++) {
		crashes->crashes[i].has_dump = false;
	}

	crashes->crashes[crashes->count++] = *crash;
}

void coalmine_crashes_drop(struct coalmine_crashes_record *crashes, size_t index)
{
	if (index < crashes->count) {
		crashes->count--;
		memmove(&crashes->crashes[index], &crashes->crashes[index + 1],
			(crashes->count - index) * sizeof(crashes->crashes[0]));
	}
}
