/* notify.h - what systemd wants to hear from a service of Type=notify: sd_notify(3)'s protocol, without its library.
 *
 * Each call sends one datagram to the socket that $NOTIFY_SOCKET names, and does nothing where there is none.  Never
 * blocks: a datagram that does not fit is lost.  Any thread.
 */
#ifndef NM_COMMON_NOTIFY_H
#define NM_COMMON_NOTIFY_H

#include <stdbool.h>

/* nm_notify - lines like "READY=1" or "STATUS=so far", parted by \n.  true: sent. */
bool nm_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* nm_notify_alive - "WATCHDOG=1" with a line of status (NULL: none); call it each second. */
void nm_notify_alive(const char *status);

#endif
