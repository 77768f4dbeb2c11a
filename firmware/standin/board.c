/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "board.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))

/* CMSDK APB UART 0 */
#define UART_DATA	  REGISTER(0x40004000)
#define UART_STATE	  REGISTER(0x40004004)
#define UART_CONTROL	  REGISTER(0x40004008)
#define UART_INTERRUPTS	  REGISTER(0x4000400c)
#define UART_DIVIDER	  REGISTER(0x40004010)
#define UART_TX_FULL	  1u
#define UART_RX_FULL	  2u
#define UART_RX_INTERRUPT 2u

/* LAN9118: registers of its MAC are reached through two of its own, those of its PHY through the MAC's. */
#define MAC_COMMAND  REGISTER(0x402000a4)
#define MAC_DATA     REGISTER(0x402000a8)
#define MAC_BUSY     0x80000000u
#define MAC_READ     0x40000000u
#define MAC_MII	     6u
#define MAC_MII_DATA 7u
#define PHY_STATUS   1u
#define PHY_LINK     4u

/* Nested Vectored Interrupt Controller: set enable, clear pending */
#define NVIC_ENABLE REGISTER(0xe000e100)
#define NVIC_CLEAR  REGISTER(0xe000e280)

#define WARM_MAGIC 0x4d524157u /* "WARM" */

void board_init(void)
{
	UART_DIVIDER = 16;
	/* transmit, receive, interrupt on receive */
	UART_CONTROL = 1u | 2u | 8u;
	NVIC_ENABLE = 1;
}

_Noreturn void board_reset(void)
{
	/* Application Interrupt and Reset Control Register: key, SYSRESETREQ */
	REGISTER(0xe000ed0c) = 0x05fa0004;
	for (;;) {
	}
}

static void print_character(char character)
{
	while ((UART_STATE & UART_TX_FULL) != 0) {
	}

	UART_DATA = (uint8_t)character;
}

static void print_number(uint32_t number, uint32_t base)
{
	char digits[10];
	size_t count = 0;

	do {
		digits[count++] = "0123456789abcdef"[number % base];
		number /= base;
	} while (number > 0);

	while (count > 0) {
		print_character(digits[--count]);
	}
}

void print(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	for (; *format != '\0'; format++) {
		if (*format != '%') {
			print_character(*format);
			continue;
		}

		switch (*++format) {
		case 's':
			for (const char *text = va_arg(arguments, const char *); *text != '\0'; text++) {
				print_character(*text);
			}
			break;
		case 'u':
			print_number(va_arg(arguments, uint32_t), 10);
			break;
		case 'x':
			print_number(va_arg(arguments, uint32_t), 16);
			break;
		default:
			print_character(*format);
			break;
		}
	}

	va_end(arguments);
}

char read_character(void)
{
	while ((UART_STATE & UART_RX_FULL) == 0) {
		__asm__ volatile("wfi");
	}

	UART_INTERRUPTS = UART_RX_INTERRUPT;
	NVIC_CLEAR = 1;
	return (char)UART_DATA;
}

bool link_is_up(void)
{
	MAC_DATA = PHY_STATUS << 6;
	MAC_COMMAND = MAC_BUSY | MAC_MII;
	MAC_COMMAND = MAC_BUSY | MAC_READ | MAC_MII_DATA;
	return (MAC_DATA & PHY_LINK) != 0;
}

bool is_warm(void)
{
	volatile uint32_t *mark = (volatile uint32_t *)0x203ff000;
	bool warm = *mark == WARM_MAGIC;

	*mark = WARM_MAGIC;
	return warm;
}

int read_slot(void *context, uint32_t offset, void *data, size_t length)
{
	memcpy(data, flash_at((uint32_t)context + offset), length);
	return 0;
}

/* Called by the fault handler, after the exception frame and r4-r11 were stacked. */
__attribute__((used)) void board_fault(const uint32_t frame[8], const uint32_t saved[8])
{
	on_fault(frame, saved);
	board_reset();
}
