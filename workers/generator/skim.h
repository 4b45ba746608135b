/* skim.h - the few things that are wanted of an answer, read without building a tree of it.  Internal to the
 * generator.
 *
 * Nearly every answer is a plain chat completion of one choice with a text.  Of those, what nm_chat_read reads by
 * jansson is read in one walk, 0.6 us and not 7.1.  Whatever is in the least unusual is left to jansson: an escape
 * by number, a member told twice that counts, numbers that might not fit, deep nesting, anything that is no JSON.
 */
#ifndef NM_GENERATOR_SKIM_H
#define NM_GENERATOR_SKIM_H

#include "workers/generator/chat.h"

/* nm_skim - what is read of body[0..len), texts in arena, into *reply, which was cleared as nm_chat_read clears it.
 * false: it has to be read the long way (or memory is short); *reply then says nothing.  Threads: any. */
bool nm_skim(const char *body, size_t len, struct nm_arena *arena, struct nm_chat_reply *reply);

#endif
