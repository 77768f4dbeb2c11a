/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_NODE_SETTINGS_H_
#define COALMINE_NODE_SETTINGS_H_

#include <coalmine/schema.h>

/*
 * The samples' own settings, in two schemas: 1 keeps a period in seconds ("node/1/period"), 2 in
 * milliseconds
 * ("node/2/period"). CONFIG_COALMINE_STORAGE_SCHEMA says which one this image reads.
 */
const struct coalmine_schema *node_settings_schema(void);
/* 0 when this image's settings are there and sensible. */
int node_settings_check(void);

#endif /* COALMINE_NODE_SETTINGS_H_ */
