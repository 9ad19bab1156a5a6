/* Names of numberings: random ones, and those that every node gives to the same partition. */
#include "hub.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/random.h>

static void encode_epoch(const unsigned char *bytes, char out[CHANNEL_EPOCH_SIZE])
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < 12; i++)
        out[i] = alphabet[bytes[i] & 63];
    out[12] = 0;
}

void epoch_random(char out[CHANNEL_EPOCH_SIZE])
{
    unsigned char bytes[12];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        abort();
    encode_epoch(bytes, out);
}

void epoch_of_partition(struct bytes seed, struct bytes topic, int32_t partition, char out[CHANNEL_EPOCH_SIZE])
{
    CLEANUP_BUF text = BUF_INIT;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size;

    buf_append_bytes(&text, seed);
    buf_append(&text, "", 1);
    buf_append_bytes(&text, topic);
    buf_printf(&text, "%c%d", 0, (int)partition);
    EVP_Digest(text.data, text.len, digest, &size, EVP_sha256(), NULL);
    encode_epoch(digest, out);
}
