/* Resumes that memory does not reach: the missing publications are read from the broker by position.
 *
 * Hub thread only. A resume answers its subscribe call exactly once, through the two functions of subscribe.c below; the
 * channel stays in memory until then. */
#ifndef CRIER_HUB_RESUME_H
#define CRIER_HUB_RESUME_H

#include "hub/subscribe.h"

/* Keyed channels have no pages: where the way back is long they give the table anew, which is shorter. */
bool resume_in_pages(const struct channel *c);
/* A page has what it may have; or a keyed channel more than that. */
bool resume_is_full(const struct channel *c, const struct frame_builder *builder);

/* False when there is nothing to read from: the call is still the caller's then. */
bool resume_start(struct hub *hub, struct channel *c, struct hub_subscribe *s);
/* Before the bridges close: those that wait for their turn are answered from memory. */
void resumes_cancel(struct hub *hub);

/* ---- subscribe.c ---- */

/* Answers with `block` (taken, may be NULL), after everything up to now went to the loops. */
void subscribe_answer(struct channel *c, struct hub_subscribe *s, struct frame_block *block);
/* Not recovered: answers with the newest publications, as far as they are wanted. */
void subscribe_answer_newest(struct channel *c, struct hub_subscribe *s);

#endif
