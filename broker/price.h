/* price.h - nermill-broker plan: what is done, what changed, what is left and what it will cost, before it is spent.
 */
#ifndef NM_BROKER_PRICE_H
#define NM_BROKER_PRICE_H

/* nm_price_main - argv from its own name ("plan") on; returns the exit code.  Reads beside a running broker, writes
 * nothing. */
int nm_price_main(int argc, char **argv);

#endif
