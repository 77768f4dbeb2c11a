/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

/* An ELF note (System V ABI): sizes of name and description, type, "GNU\0", the description. */
struct note {
	uint32_t name_size;
	uint32_t size;
	uint32_t type;
	char name[4];
	uint8_t description[];
};

/* From build_id.ld */
extern const struct note coalmine_build_id_note;

struct coalmine_span coalmine_build_id(void)
{
	return (struct coalmine_span){coalmine_build_id_note.description,
				      coalmine_build_id_note.size};
}
