/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include <coalmine/schema.h>

int coalmine_schema_open(const struct coalmine_schema *schema, uint16_t fresh)
{
	struct coalmine_schema_record record;
	int result = schema->load(schema->context, &record);

	if (result == -ENOENT) {
		record = (struct coalmine_schema_record){fresh, fresh, fresh};
		result = schema->store(schema->context, &record);
	}

	if (result != 0) {
		return result;
	}

	if (schema->own < record.oldest || record.newest < schema->first) {
		return -ENOTSUP;
	}

	if (schema->own < record.newest) {
		/* Reverted or rolled back: what is newer is stale from now on (S4). */
		record.newest = schema->own;
		return schema->store(schema->context, &record);
	}

	while (record.newest < schema->own) {
		result = schema->steps[record.newest - schema->first].apply(schema->context);
		if (result != 0) {
			return result;
		}

		record.newest++;
		result = schema->store(schema->context, &record);
		if (result != 0) {
			return result;
		}
	}

	return 0;
}

int coalmine_schema_retire(const struct coalmine_schema *schema)
{
	struct coalmine_schema_record record;
	int result = schema->load(schema->context, &record);

	if (result != 0) {
		return result;
	}

	if (record.oldest < schema->own) {
		record.oldest = schema->own;
		result = schema->store(schema->context, &record);
	}

	/*
	 * From here on only this schema counts; what a cut leaves behind is removed the next time.
	 */
	for (uint16_t i = record.kept; result == 0 && i < schema->own; i++) {
		if (i >= schema->first) {
			result = schema->steps[i - schema->first].retire(schema->context);
		}
	}

	if (result == 0 && record.kept < schema->own) {
		record.kept = schema->own;
		result = schema->store(schema->context, &record);
	}

	return result;
}
