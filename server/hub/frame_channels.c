/* Pushes and items of the channels wire. */
#include "frame_forms.h"

enum kind { OTHER_WIRE, PUSH, ITEM };

struct channels_form {
    enum kind kind;
    struct channels_style style;
    bool string; /* JSON: data in a string, which may be a delta */
};

static const struct channels_form forms[FORM_COUNT] = {
    [FORM_CHANNELS_JSON] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_PROTOBUF] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_SSE] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, false},
    [FORM_CHANNELS_LINES] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, false},
    [FORM_CHANNELS_LINES_PROTOBUF] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_LINES, false}, false},
    [FORM_CHANNELS_UNI] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, true}, false},
    [FORM_CHANNELS_UNI_SSE] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, true}, false},
    [FORM_CHANNELS_UNI_LINES] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, true}, false},
    [FORM_CHANNELS_JSON_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_CHANNELS_SSE_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, true},
    [FORM_CHANNELS_LINES_STRING] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, true},
    [FORM_CHANNELS_JSON_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_CHANNELS_PROTOBUF_DELTA] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_CHANNELS_SSE_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_SSE, false}, true},
    [FORM_CHANNELS_LINES_DELTA] = {PUSH, {CHANNELS_JSON, CHANNELS_LINES, false}, true},
    [FORM_CHANNELS_LINES_PROTOBUF_DELTA] = {PUSH, {CHANNELS_PROTOBUF, CHANNELS_LINES, false}, false},
    [FORM_ITEM_JSON] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, false},
    [FORM_ITEM_STRING] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_ITEM_PROTOBUF] = {ITEM, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
    [FORM_ITEM_DELTA] = {ITEM, {CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, true},
    [FORM_ITEM_PROTOBUF_DELTA] = {ITEM, {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, false},
};

bool frame_form_style(enum frame_form form, struct channels_style *ret)
{
    if (forms[form].kind != PUSH)
        return false;
    *ret = forms[form].style;
    return true;
}
