/* SPDX-License-Identifier: Apache-2.0 */
/* UUIDs and MAC addresses as text. */
#ifndef TOOLSTACK_LIB_UUID_H
#define TOOLSTACK_LIB_UUID_H

#include <stdint.h>

#define UUID_TEXT_BYTES 37	/* with NUL */
#define MAC_TEXT_BYTES 18	/* with NUL */

/** uuid_parse() - "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"; 0 or -EINVAL. */
int uuid_parse(const char *text, uint8_t uuid[16]);

/** uuid_format() - the inverse, lower case. */
void uuid_format(const uint8_t uuid[16], char text[UUID_TEXT_BYTES]);

/** uuid_generate() - a random (version 4) one; 0 or getrandom(2)'s -errno. */
int uuid_generate(uint8_t uuid[16]);

/** mac_parse() - "xx:xx:xx:xx:xx:xx", unicast and not zero; 0 or -EINVAL. */
int mac_parse(const char *text, uint8_t mac[6]);

/** mac_format() - the inverse, lower case. */
void mac_format(const uint8_t mac[6], char text[MAC_TEXT_BYTES]);

/** mac_generate() - random in Xen's range 00:16:3e:00:00:00 .. 7f:ff:ff. */
int mac_generate(uint8_t mac[6]);

#endif
