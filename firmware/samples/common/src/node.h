/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_NODE_H_
#define COALMINE_NODE_H_

/* What the samples have in common: the behaviour chosen in Kconfig, two settings, a few metrics. */
int node_start(void);
/* The application's own work: takes samples of its metrics for ever. Does not return. */
void node_run(void);

#endif /* COALMINE_NODE_H_ */
