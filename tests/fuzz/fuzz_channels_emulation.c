/* Any bytes as the body of POST /emulation, in both encodings, and then the commands in it by the same decoder. */
#include "channels_check.h"

static void check_body(enum channels_encoding encoding, struct bytes body)
{
    struct channels_decoder d = {.encoding = encoding, .depth_limit = JSON_DEPTH_DEFAULT};
    struct channels_emulation e;
    if (channels_decode_emulation(&d, body, &e) == 0) {
        CLEANUP_BUF before = BUF_INIT;
        buf_append_bytes(&before, e.session);
        check_commands(&d, e.data);
        require_string(e.session);
        require_string(e.node);
        require(bytes_eq(e.session, buf_bytes(&before)));
    } else {
        require(d.reason != NULL);
    }
    channels_decoder_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes body = {(const char *)data, size};
    check_body(CHANNELS_JSON, body);
    check_body(CHANNELS_PROTOBUF, body);
    return 0;
}
