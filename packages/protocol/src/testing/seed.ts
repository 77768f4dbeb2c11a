// SPDX-License-Identifier: Apache-2.0

/** Seed of the mutants in unit tests, which print it; tools/src/fuzz/cbor.ts takes any other. */
export const fuzzSeed = 20_261_123;
