/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The date from the CMOS clock, read once: wallclock_boot_ns is UTC at system time 0.
 *
 * The clock counts whole seconds and may be in the middle of an update, so it is read until two
 * readings with no update around them agree.  Domain 0 refines the result (XENPF_settime).
 * Sources: MC146818A data sheet; ACPI 6.4, 5.2.9 (FADT CENTURY).
 */
#include <pv/io.h>
#include <pv/lib.h>
#include <pv/platform.h>

#define RTC_INDEX	0x70
#define RTC_DATA	0x71
#define RTC_REG_A	0x0a
#define RTC_REG_B	0x0b
#define A_UPDATING	0x80
#define B_24H		0x02
#define B_BINARY	0x04
#define NMI_OFF		0x80

uint64_t wallclock_boot_ns;

struct rtc_time { uint8_t sec, min, hour, day, month, year, century; };

static uint8_t __init rtc_read(uint8_t reg)
{
	outb(RTC_INDEX, reg | NMI_OFF);
	return inb(RTC_DATA);
}

static bool __init rtc_wait_idle(void)
{
	/* An update takes at most 2 ms. */
	for (unsigned int i = 0; i < 1000; i++) {
		if (!(rtc_read(RTC_REG_A) & A_UPDATING))
			return true;
		udelay(10);
	}
	return false;
}

static struct rtc_time __init rtc_read_once(void)
{
	struct rtc_time t = {
		.sec = rtc_read(0), .min = rtc_read(2), .hour = rtc_read(4),
		.day = rtc_read(7), .month = rtc_read(8), .year = rtc_read(9),
	};

	if (acpi_century_reg >= 0x0e && acpi_century_reg < 0x80)
		t.century = rtc_read(acpi_century_reg);
	return t;
}

static uint8_t __init from_bcd(uint8_t v)
{
	return (uint8_t)((v >> 4) * 10 + (v & 15));
}

static void __init rtc_decode(struct rtc_time *t, uint8_t reg_b)
{
	bool pm = t->hour & 0x80;
	uint8_t *field = &t->sec;

	t->hour &= 0x7f;
	for (unsigned int i = 0; !(reg_b & B_BINARY) && i < sizeof(*t); i++)
		field[i] = from_bcd(field[i]);
	if (!(reg_b & B_24H))
		t->hour = (uint8_t)(t->hour % 12 + (pm ? 12 : 0));
}

/* Days from 1970-01-01; years begin in March so that the leap day comes last. */
static int64_t __init days_from_civil(int64_t year, unsigned int month, unsigned int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

void __init rtc_init(void)
{
	struct rtc_time t = { 0 }, again;
	uint64_t seconds, now;
	unsigned int year;

	for (unsigned int i = 0; i < 10; i++) {
		if (!rtc_wait_idle())
			break;
		t = rtc_read_once();
		if (!rtc_wait_idle())
			break;
		again = rtc_read_once();
		if (!memcmp(&t, &again, sizeof(t)))
			break;
	}
	rtc_decode(&t, rtc_read(RTC_REG_B));
	outb(RTC_INDEX, 0);			/* NMI on again */
	now = (uint64_t)now_ns();
	year = t.year + (t.century >= 19 && t.century < 99 ? t.century * 100u
			 : t.year < 70 ? 2000u : 1900u);
	if (t.month < 1 || t.month > 12 || t.day < 1 || t.day > 31 || t.hour > 23 || t.min > 59 ||
	    t.sec > 60 || year < 1970) {
		pr_warn("time: the CMOS clock shows nonsense; starting at 1970");
		return;
	}
	seconds = (uint64_t)days_from_civil(year, t.month, t.day) * 86400 +
		  t.hour * 3600u + t.min * 60u + t.sec;
	wallclock_boot_ns = seconds * 1000000000UL - now;
	pr_info("time: %04u-%02u-%02u %02u:%02u:%02u UTC", year, t.month, t.day, t.hour, t.min, t.sec);
}
