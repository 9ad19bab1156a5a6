/* Any bytes as a typed message, in both forms. What is accepted has to survive writing and reading again. */
#include "json_scan.h"
#include "typed.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void round_trip(const struct typed_message *m)
{
    CLEANUP_BUF out = BUF_INIT;
    CLEANUP_BUF scratch = BUF_INIT;
    struct typed_message again;
    const char *reason = NULL;
    struct typed_envelope e = {.type = m->type, .id = m->id, .offset = -1};
    bool text = m->form != TYPED_FORM_BINARY;
    typed_encode(&out, m->form, &e, m->payload);
    if (text)
        require(json_is_value(buf_bytes(&out), JSON_DEPTH_MAX));
    require(typed_decode(text, buf_bytes(&out), JSON_DEPTH_MAX, &scratch, &again, &reason) == 0);
    require(again.type == m->type && again.form == m->form && bytes_eq(again.id, m->id));
    if (text && m->form == TYPED_FORM_TEXT_STRING)
        require(bytes_eq(again.payload, m->payload));
}

static void getters(struct bytes text)
{
    CLEANUP_BUF string = BUF_INIT;
    struct bytes raw;
    int64_t integer;
    bool flag;
    if (json_get_raw(text, "payload", &raw) == 0)
        require(json_is_value(raw, JSON_DEPTH_MAX));
    json_get_string(text, "payload", &string);
    json_get_int64(text, "type", &integer);
    json_get_bool(text, "type", &flag);
    json_append_text(&string, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes message = {(const char *)data, size};
    for (int text = 0; text < 2; text++) {
        CLEANUP_BUF scratch = BUF_INIT;
        struct typed_message m;
        const char *reason = NULL;
        if (typed_decode(text, message, JSON_DEPTH_DEFAULT, &scratch, &m, &reason) == 0)
            round_trip(&m);
        else
            require(reason != NULL);
    }
    getters(message);
    return 0;
}
