/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_CONFIG_H_
#define COALMINE_CONFIG_H_

/*
 * Sizes of static memory. With Zephyr they come from Kconfig (CONFIG_COALMINE_*); elsewhere from
 * the compiler's command line, or from here.
 */

/* Bytes of the one report that is on its way; also bounds a log chunk. */
#ifndef CONFIG_COALMINE_REPORT_SIZE
#define CONFIG_COALMINE_REPORT_SIZE 1536
#endif

/* Bytes asked for in one block request. */
#ifndef CONFIG_COALMINE_BLOCK_SIZE
#define CONFIG_COALMINE_BLOCK_SIZE 1024
#endif

/* Largest write unit of a flash that is supported: the last block is padded to it. */
#ifndef CONFIG_COALMINE_WRITE_UNIT_MAX
#define CONFIG_COALMINE_WRITE_UNIT_MAX 32
#endif

/* Bytes read from flash at a time while a slot is hashed, on the stack. */
#ifndef CONFIG_COALMINE_HASH_CHUNK
#define CONFIG_COALMINE_HASH_CHUNK 256
#endif

#endif /* COALMINE_CONFIG_H_ */
