/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_SCHEMA_H_
#define COALMINE_SCHEMA_H_

#include <stddef.h>
#include <stdint.h>

/*
 * Migration of an application's stored settings from one schema to the next.
 *
 * S1. A step reads the values of its own schema and writes those of the next under other keys. It
 * changes and removes nothing it reads. So it may be cut at any write and begun again, and a device
 * that reverts finds what it left (R44). S2. The schema record is written after a step, in one
 * write. Until then the step has not happened. S3. Old values are removed only by a confirmed
 * image, and only after the record says so. S4. An older image that comes back says so in the
 * record: the next upgrade migrates what it then has.
 */

/* One record, one atomic write: schemas `oldest` to `newest` are complete in storage. */
struct coalmine_schema_record {
	uint16_t oldest;
	uint16_t newest;
	/*
	 * Values from this schema on may still lie in storage: `oldest`, or less after a cut while
	 * retiring.
	 */
	uint16_t kept;
};

struct coalmine_schema_step {
	/*
	 * Writes all values of `from` + 1 from those of `from`. 0 or -errno; called again after a
	 * cut.
	 */
	int (*apply)(void *context);
	/* Removes the values of `from`. Called again after a cut. */
	int (*retire)(void *context);
};

struct coalmine_schema {
	/* What the running image reads and writes. */
	uint16_t own;
	/* steps[i] leads from first + i to first + i + 1; there are own - first of them. */
	uint16_t first;
	const struct coalmine_schema_step *steps;
	void *context;
	/* Reads the record: 0, or -ENOENT on a device that never had one. */
	int (*load)(void *context, struct coalmine_schema_record *record);
	/* Writes it: after a loss of power either the old or the new record is there. */
	int (*store)(void *context, const struct coalmine_schema_record *record);
};

/*
 * Brings storage to the schema of the running image; called at every start, before settings are
 * read. `fresh` is the schema of a device without a record: the first one for a fleet that knew no
 * schemas, `own` for a factory-fresh device.
 *
 * 0; -ENOTSUP when what is stored is older than `first`, or newer and the values of `own` are gone:
 * this image must not touch it. Other errors are those of steps and storage; then nothing has
 * changed that the older image reads.
 */
int coalmine_schema_open(const struct coalmine_schema *schema, uint16_t fresh);

/* Removes the values of all schemas before `own`. Called once the running image is confirmed. */
int coalmine_schema_retire(const struct coalmine_schema *schema);

#endif /* COALMINE_SCHEMA_H_ */
