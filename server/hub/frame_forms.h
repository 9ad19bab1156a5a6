/* The families of forms, each in a file of its own: what frame.c calls to append one frame.
 *
 * Private to the framing; hub thread only, except frame_append_typed(). Each function appends to `b->bytes` and returns
 * the flags that the frame has beside those of its publication. */
#ifndef CRIER_HUB_FRAME_FORMS_H
#define CRIER_HUB_FRAME_FORMS_H

#include "frame.h"

uint8_t frame_typed_append(struct frame_builder *b, struct publication *p);
void frame_typed_notice(struct frame_builder *b, const struct frame_notice *n);
uint8_t frame_poll_append(struct frame_builder *b, struct publication *p);
/* Pushes and items of the channels wire. */
uint8_t frame_channels_append(struct frame_builder *b, struct publication *p);
void frame_channels_notice(struct frame_builder *b, const struct frame_notice *n);
uint8_t frame_payload_append(struct frame_builder *b, struct publication *p);

/* The payload by the schema of the channel's message type, as it is without one. `scratch` holds it. */
struct bytes frame_transcoded(const struct frame_builder *b, struct bytes payload, struct buf *scratch);

#endif
