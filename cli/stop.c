#include "cli/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t stops;

static void on_stop(int number)
{
    (void)number;
    stops++;
}

bool nm_stop_asked(void)
{
    return stops > 0;
}

bool nm_stop_hurried(void)
{
    return stops > 1;
}

void nm_stop_catch(void)
{
    struct sigaction action = {.sa_handler = on_stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}
