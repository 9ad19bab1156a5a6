#include "embedded/partition.h"

static const uint32_t MURMUR_SEED = 0x9747b28c;
static const uint32_t MURMUR_M = 0x5bd1e995;
enum { MURMUR_R = 24 };

static uint32_t read_le32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t emb_partition_murmur2(struct bytes key)
{
    const unsigned char *p = (const unsigned char *)key.data;
    size_t left = key.len;
    uint32_t h = MURMUR_SEED ^ (uint32_t)key.len;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t k = read_le32(p) * MURMUR_M;
        k ^= k >> MURMUR_R;
        h = h * MURMUR_M ^ k * MURMUR_M;
    }
    for (size_t i = left; i > 0; i--)
        h ^= (uint32_t)p[i - 1] << (8 * (i - 1));
    if (left > 0)
        h *= MURMUR_M;
    h ^= h >> 13;
    h *= MURMUR_M;
    return h ^ h >> 15;
}

int32_t emb_partition_of_key(struct bytes key, int32_t count)
{
    return (int32_t)((emb_partition_murmur2(key) & 0x7fffffff) % (uint32_t)count);
}
