# SPDX-License-Identifier: Apache-2.0
# net-arp: announce an arrived guest on its new link.  The daemon links
# NET_ARP_LIB_SRCS; godwit-arp does the same by hand.

NET_ARP_LIB_SRCS := net-arp/addr.c net-arp/frame.c net-arp/announce.c net-arp/rawsock.c

PROGS += godwit-arp
godwit-arp_SRCS := net-arp/main.c $(NET_ARP_LIB_SRCS)
godwit-arp_LIBS := -ljansson

UNIT_TESTS += test_arp_frame test_arp_announce
test_arp_frame_SRCS := tests/unit/test_arp_frame.c net-arp/addr.c net-arp/frame.c
test_arp_announce_SRCS := tests/unit/test_arp_announce.c net-arp/addr.c \
	net-arp/frame.c net-arp/announce.c
