/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COALMINE_SUBSYS_KERNEL_VERSION_H_
#define COALMINE_SUBSYS_KERNEL_VERSION_H_

/* KERNEL_VERSION_NUMBER and ZEPHYR_VERSION(), wherever this Zephyr keeps them. */
#if __has_include(<zephyr/version.h>)
#include <zephyr/version.h>
#else
#include <version.h>
#endif

#endif /* COALMINE_SUBSYS_KERNEL_VERSION_H_ */
