/* Any bytes as a message of a client of the channels wire, in protobuf. */
#include "channels_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channels_decoder d = {.encoding = CHANNELS_PROTOBUF, .depth_limit = JSON_DEPTH_DEFAULT};
    check_commands(&d, (struct bytes){(const char *)data, size});
    channels_decoder_done(&d);
    return 0;
}
