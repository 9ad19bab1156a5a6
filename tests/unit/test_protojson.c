/* JSON <-> protobuf: golden bytes, both directions, protobuf-c's own packing as the other opinion, hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "chat.pb-c.h"
#include "protojson.h"
#include "test.pb-c.h"

#define SCALARS &crier__test__scalars__descriptor
#define TREE &crier__test__tree__descriptor
#define LISTS &crier__test__lists__descriptor
#define CHOICE &crier__test__choice__descriptor
#define MAPS &crier__test__maps__descriptor
#define CHAT &crier__chat__chat_message__descriptor
#define DEPTH 32

/* "0a 02 68 69" */
static struct buf unhex(const char *hex)
{
    struct buf out = BUF_INIT;
    for (; *hex; hex++) {
        if (*hex == ' ')
            continue;
        const char pair[3] = {hex[0], hex[1], 0};
        char byte = (char)strtol(pair, NULL, 16);
        buf_append(&out, &byte, 1);
        hex++;
    }
    return out;
}

static struct buf tohex(struct bytes b)
{
    struct buf out = BUF_INIT;
    for (size_t i = 0; i < b.len; i++)
        buf_printf(&out, i ? " %02x" : "%02x", (unsigned char)b.data[i]);
    buf_append(&out, "", 1);
    return out;
}

static void assert_binary(const ProtobufCMessageDescriptor *d, const char *json, const char *hex)
{
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    int r = protojson_to_binary(d, bytes_of(json), DEPTH, &out, &reason);
    if (r)
        fail_msg("%s: %d %s", json, r, reason);
    CLEANUP_BUF got = tohex(buf_bytes(&out));
    if (strcmp(got.data, hex) != 0)
        fail_msg("%s gives %s, not %s", json, got.data, hex);
}

static void assert_json(const ProtobufCMessageDescriptor *d, const char *hex, const char *json)
{
    CLEANUP_BUF data = unhex(hex);
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    int r = protojson_from_binary(d, buf_bytes(&data), &out, &reason);
    if (r)
        fail_msg("%s: %d %s", hex, r, reason);
    buf_append(&out, "", 1);
    if (strcmp(out.data, json) != 0)
        fail_msg("%s gives %s, not %s", hex, out.data, json);
}

static void assert_refused_bytes(const ProtobufCMessageDescriptor *d, struct bytes json, int error)
{
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    buf_append_str(&out, "before");
    int r = protojson_to_binary(d, json, DEPTH, &out, &reason);
    if (r != error)
        fail_msg("%.*s: %d instead of %d", (int)json.len, json.data, r, error);
    assert_non_null(reason);
    assert_int_equal(out.len, 6);
}

static void assert_refused(const ProtobufCMessageDescriptor *d, const char *json)
{
    assert_refused_bytes(d, bytes_of(json), -EBADMSG);
}

static void assert_binary_refused(const ProtobufCMessageDescriptor *d, const char *hex)
{
    CLEANUP_BUF data = unhex(hex);
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    buf_append_str(&out, "before");
    if (protojson_from_binary(d, buf_bytes(&data), &out, &reason) != -EBADMSG)
        fail_msg("%s should be refused", hex);
    assert_non_null(reason);
    assert_int_equal(out.len, 6);
}

static void test_chat_message(void **state)
{
    (void)state;
    assert_binary(CHAT, "{\"message\":\"hi\",\"sender\":\"ann\",\"room\":\"lobby\"}",
                  "0a 02 68 69 12 03 61 6e 6e 22 05 6c 6f 62 62 79");
    assert_json(CHAT, "0a 02 68 69 12 03 61 6e 6e",
                "{\"message\":\"hi\",\"sender\":\"ann\",\"timestamp\":\"\",\"room\":\"\",\"id\":\"\"}");
    assert_json(CHAT, "", "{\"message\":\"\",\"sender\":\"\",\"timestamp\":\"\",\"room\":\"\",\"id\":\"\"}");
    assert_binary(CHAT, "{}", "");
    assert_binary(CHAT, " {\"message\" : \"\\u00e9\\ud83d\\ude00\\n\" } ", "0a 07 c3 a9 f0 9f 98 80 0a");
}

/* Order of members does not matter; defaults are not written. */
static void test_scalars_to_binary(void **state)
{
    (void)state;
    assert_binary(SCALARS, "{\"anInt32\":150}", "08 96 01");
    assert_binary(SCALARS, "{\"an_int32\":150}", "08 96 01");
    assert_binary(SCALARS, "{\"anInt32\":-1}", "08 ff ff ff ff ff ff ff ff ff 01");
    assert_binary(SCALARS, "{\"anInt64\":\"9223372036854775807\"}", "10 ff ff ff ff ff ff ff ff 7f");
    assert_binary(SCALARS, "{\"anInt64\":-9223372036854775808}", "10 80 80 80 80 80 80 80 80 80 01");
    assert_binary(SCALARS, "{\"aUint64\":\"18446744073709551615\"}", "20 ff ff ff ff ff ff ff ff ff 01");
    assert_binary(SCALARS, "{\"aUint64\":18446744073709551615}", "20 ff ff ff ff ff ff ff ff ff 01");
    assert_binary(SCALARS, "{\"aUint32\":4294967295}", "18 ff ff ff ff 0f");
    assert_binary(SCALARS, "{\"aSint32\":-2}", "28 03");
    assert_binary(SCALARS, "{\"aSint64\":\"-9223372036854775808\"}", "30 ff ff ff ff ff ff ff ff ff 01");
    assert_binary(SCALARS, "{\"aFixed32\":1}", "3d 01 00 00 00");
    assert_binary(SCALARS, "{\"aFixed64\":\"1\"}", "41 01 00 00 00 00 00 00 00");
    assert_binary(SCALARS, "{\"aSfixed32\":-1}", "4d ff ff ff ff");
    assert_binary(SCALARS, "{\"aSfixed64\":-1}", "51 ff ff ff ff ff ff ff ff");
    assert_binary(SCALARS, "{\"aFloat\":1.5}", "5d 00 00 c0 3f");
    assert_binary(SCALARS, "{\"aDouble\":\"-0.5\"}", "61 00 00 00 00 00 00 e0 bf");
    assert_binary(SCALARS, "{\"aDouble\":-0.0}", "61 00 00 00 00 00 00 00 80");
    assert_binary(SCALARS, "{\"aFloat\":\"Infinity\"}", "5d 00 00 80 7f");
    assert_binary(SCALARS, "{\"aBool\":true}", "68 01");
    assert_binary(SCALARS, "{\"aString\":\"x\"}", "72 01 78");
    assert_binary(SCALARS, "{\"color\":\"COLOR_RED\"}", "80 7d 01");
    assert_binary(SCALARS, "{\"color\":1}", "80 7d 01");
    assert_binary(SCALARS, "{\"color\":-3}", "80 7d fd ff ff ff ff ff ff ff ff 01");
    assert_binary(SCALARS, "{\"color\":77}", "80 7d 4d");
    assert_binary(SCALARS, "{\"aBool\":true,\"anInt32\":1.5e1}", "08 0f 68 01");
    assert_binary(SCALARS, "{\"anInt32\":0,\"aBool\":false,\"aString\":\"\",\"color\":0,\"aFloat\":0,\"someBytes\":\"\"}", "");
    assert_binary(SCALARS, "{\"anInt32\":null,\"unknown\":[{\"x\":123456789012345678901234567890}],\"aBool\":true}", "68 01");
}

static void test_base64_in_all_its_forms(void **state)
{
    (void)state;
    assert_binary(SCALARS, "{\"someBytes\":\"+/8=\"}", "7a 02 fb ff");
    assert_binary(SCALARS, "{\"someBytes\":\"-_8=\"}", "7a 02 fb ff");
    assert_binary(SCALARS, "{\"someBytes\":\"-_8\"}", "7a 02 fb ff");
    assert_binary(SCALARS, "{\"someBytes\":\"AAEC\"}", "7a 03 00 01 02");
    assert_refused(SCALARS, "{\"someBytes\":\"A\"}");
    assert_refused(SCALARS, "{\"someBytes\":\"A=B=\"}");
    assert_refused(SCALARS, "{\"someBytes\":\"%%%%\"}");
}

static void test_scalars_to_json(void **state)
{
    (void)state;
    assert_json(SCALARS, "",
                "{\"anInt32\":0,\"anInt64\":\"0\",\"aUint32\":0,\"aUint64\":\"0\",\"aSint32\":0,\"aSint64\":\"0\","
                "\"aFixed32\":0,\"aFixed64\":\"0\",\"aSfixed32\":0,\"aSfixed64\":\"0\",\"aFloat\":0,\"aDouble\":0,"
                "\"aBool\":false,\"aString\":\"\",\"someBytes\":\"\",\"color\":\"COLOR_NONE\"}");
    assert_json(SCALARS,
                "08 ff ff ff ff ff ff ff ff ff 01 10 80 80 80 80 80 80 80 80 80 01 18 ff ff ff ff 0f "
                "20 ff ff ff ff ff ff ff ff ff 01 28 03 30 03 3d ff ff ff ff 41 01 00 00 00 00 00 00 00 "
                "4d ff ff ff ff 51 ff ff ff ff ff ff ff ff 5d cd cc cc 3d 61 9a 99 99 99 99 99 b9 3f 68 01 "
                "72 03 22 5c 0a 7a 02 fb ff 80 7d fd ff ff ff ff ff ff ff ff 01",
                "{\"anInt32\":-1,\"anInt64\":\"-9223372036854775808\",\"aUint32\":4294967295,"
                "\"aUint64\":\"18446744073709551615\",\"aSint32\":-2,\"aSint64\":\"-2\",\"aFixed32\":4294967295,"
                "\"aFixed64\":\"1\",\"aSfixed32\":-1,\"aSfixed64\":\"-1\",\"aFloat\":0.1,\"aDouble\":0.1,\"aBool\":true,"
                "\"aString\":\"\\\"\\\\\\n\",\"someBytes\":\"+/8=\",\"color\":\"COLOR_LOW\"}");
}

static void test_last_value_counts_and_unknown_fields_are_skipped(void **state)
{
    (void)state;
    /* sender twice; field 99 in each wire type; sender with a wrong wire type */
    assert_json(CHAT, "12 01 61 12 01 62 98 06 05 9a 06 02 ff ff 99 06 00 00 00 00 00 00 00 00 9d 06 00 00 00 00 10 07",
                "{\"message\":\"\",\"sender\":\"b\",\"timestamp\":\"\",\"room\":\"\",\"id\":\"\"}");
    assert_json(SCALARS, "80 7d 4d", /* an enum number without a name */
                "{\"anInt32\":0,\"anInt64\":\"0\",\"aUint32\":0,\"aUint64\":\"0\",\"aSint32\":0,\"aSint64\":\"0\","
                "\"aFixed32\":0,\"aFixed64\":\"0\",\"aSfixed32\":0,\"aSfixed64\":\"0\",\"aFloat\":0,\"aDouble\":0,"
                "\"aBool\":false,\"aString\":\"\",\"someBytes\":\"\",\"color\":77}");
}

static void test_lists(void **state)
{
    (void)state;
    const char *json = "{\"numbers\":[1,150,-1],\"words\":[\"a\",\"\"],\"colors\":[\"COLOR_RED\",\"COLOR_NONE\"],"
                       "\"loose\":[-1,1],\"blobs\":[\"AA==\"],\"reals\":[0.5,\"NaN\"]}";
    const char *hex = "0a 0d 01 96 01 ff ff ff ff ff ff ff ff ff 01 12 01 61 12 00 1a 02 01 00 20 01 20 02 2a 01 00 "
                      "32 10 00 00 00 00 00 00 e0 3f 00 00 00 00 00 00 f8 7f";
    assert_binary(LISTS, json, hex);
    assert_json(LISTS, hex, json);
    assert_json(LISTS, "", "{\"numbers\":[],\"words\":[],\"colors\":[],\"loose\":[],\"blobs\":[],\"reals\":[]}");
    assert_binary(LISTS, "{\"numbers\":[],\"words\":[]}", "");
    /* packed and not packed may be mixed on the wire */
    assert_json(LISTS, "08 01 0a 02 02 03 08 04 22 02 01 02",
                "{\"numbers\":[1,2,3,4],\"words\":[],\"colors\":[],\"loose\":[-1,1],\"blobs\":[],\"reals\":[]}");
    assert_refused(LISTS, "{\"numbers\":1}");
    assert_refused(LISTS, "{\"numbers\":[null]}");
    assert_refused(LISTS, "{\"numbers\":[1,\"x\"]}");
    assert_refused(LISTS, "{\"words\":[\"a\",2]}");
    assert_binary_refused(LISTS, "0a 02 01 96");
}

static void test_nested_messages(void **state)
{
    (void)state;
    const char *json = "{\"name\":\"a\",\"child\":{\"name\":\"b\",\"child\":null,\"children\":[]},"
                       "\"children\":[{\"name\":\"\",\"child\":null,\"children\":[]}]}";
    assert_binary(TREE, json, "0a 01 61 12 03 0a 01 62 1a 00");
    assert_json(TREE, "0a 01 61 12 03 0a 01 62 1a 00", json);
    assert_binary(TREE, "{\"child\":{}}", "12 00");
    /* a message given twice is merged */
    assert_json(TREE, "12 03 0a 01 62 12 04 1a 02 0a 00",
                "{\"name\":\"\",\"child\":{\"name\":\"b\",\"child\":null,"
                "\"children\":[{\"name\":\"\",\"child\":null,\"children\":[]}]},\"children\":[]}");
    assert_refused(TREE, "{\"child\":[]}");
    assert_refused(TREE, "{\"children\":{}}");
}

static void test_oneof(void **state)
{
    (void)state;
    assert_binary(CHOICE, "{\"text\":\"\"}", "0a 00");
    assert_binary(CHOICE, "{\"number\":0}", "10 00");
    assert_binary(CHOICE, "{\"number\":\"5\",\"text\":null}", "10 05");
    assert_json(CHOICE, "", "{\"always\":\"\"}");
    assert_json(CHOICE, "0a 00", "{\"text\":\"\",\"always\":\"\"}");
    assert_json(CHOICE, "0a 01 61 10 05", "{\"number\":\"5\",\"always\":\"\"}");
    assert_json(CHOICE, "1a 03 0a 01 61 10 05 1a 00",
                "{\"tree\":{\"name\":\"\",\"child\":null,\"children\":[]},\"always\":\"\"}");
    assert_json(CHOICE, "1a 03 0a 01 61 10 05 1a 00 1a 02 1a 00",
                "{\"tree\":{\"name\":\"\",\"child\":null,\"children\":[{\"name\":\"\",\"child\":null,\"children\":[]}]},"
                "\"always\":\"\"}");
    assert_refused(CHOICE, "{\"text\":\"a\",\"number\":1}");
}

static void test_maps(void **state)
{
    (void)state;
    assert_binary(MAPS, "{\"byName\":{\"a\":1,\"\":0}}", "0a 05 0a 01 61 10 01 0a 04 0a 00 10 00");
    assert_binary(MAPS, "{\"byNumber\":{\"-1\":\"x\"}}", "12 0e 08 ff ff ff ff ff ff ff ff ff 01 12 01 78");
    assert_binary(MAPS, "{\"byTruth\":{\"true\":{\"name\":\"t\"}}}", "1a 07 08 01 12 03 0a 01 74");
    assert_json(MAPS, "", "{\"byName\":{},\"byNumber\":{},\"byTruth\":{}}");
    assert_json(MAPS, "0a 05 0a 01 61 10 01 0a 00 12 05 08 07 12 01 78 1a 02 08 01",
                "{\"byName\":{\"a\":1,\"\":0},\"byNumber\":{\"7\":\"x\"},"
                "\"byTruth\":{\"true\":{\"name\":\"\",\"child\":null,\"children\":[]}}}");
    assert_refused(MAPS, "{\"byName\":[]}");
    assert_refused(MAPS, "{\"byName\":{\"a\":\"x\"}}");
    assert_refused(MAPS, "{\"byName\":{\"a\":null}}");
    assert_refused(MAPS, "{\"byNumber\":{\"x\":\"y\"}}");
    assert_refused(MAPS, "{\"byTruth\":{\"1\":{}}}");
}

/* protobuf-c packs the same values to the same bytes, and unpacks ours. */
static void test_agrees_with_protobuf_c(void **state)
{
    (void)state;
    Crier__Test__Scalars m = CRIER__TEST__SCALARS__INIT;
    m.an_int32 = -7;
    m.a_uint64 = UINT64_MAX;
    m.a_sint64 = INT64_MIN;
    m.a_sfixed32 = -5;
    m.a_float = 0.1f;
    m.a_double = 1e300;
    m.a_bool = 1;
    m.a_string = (char *)"zürich";
    m.color = CRIER__TEST__COLOR__COLOR_RED;
    unsigned char packed[256];
    size_t len = crier__test__scalars__pack(&m, packed);

    CLEANUP_BUF json = BUF_INIT;
    CLEANUP_BUF again = BUF_INIT;
    const char *reason;
    assert_int_equal(protojson_from_binary(SCALARS, (struct bytes){(char *)packed, len}, &json, &reason), 0);
    assert_int_equal(protojson_to_binary(SCALARS, buf_bytes(&json), DEPTH, &again, &reason), 0);
    assert_int_equal(again.len, len);
    assert_memory_equal(again.data, packed, len);

    again.len = 0;
    assert_int_equal(protojson_to_binary(MAPS, BYTES_LIT("{\"byName\":{\"k\":3}}"), DEPTH, &again, &reason), 0);
    Crier__Test__Maps *maps = crier__test__maps__unpack(NULL, again.len, (uint8_t *)again.data);
    assert_non_null(maps);
    assert_int_equal(maps->n_by_name, 1);
    assert_string_equal(maps->by_name[0]->key, "k");
    assert_int_equal(maps->by_name[0]->value, 3);
    crier__test__maps__free_unpacked(maps, NULL);
}

static void test_json_that_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{",
        "{}{}",
        "{\"anInt32\":}",
        "{\"anInt32\":2147483648}",
        "{\"anInt32\":-2147483649}",
        "{\"anInt32\":1.5}",
        "{\"anInt32\":\"\"}",
        "{\"anInt32\":\" 1\"}",
        "{\"anInt32\":\"1 \"}",
        "{\"anInt32\":\"0x10\"}",
        "{\"anInt32\":\"+1\"}",
        "{\"anInt32\":true}",
        "{\"anInt32\":{}}",
        "{\"anInt32\":[1]}",
        "{\"anInt32\":1,\"an_int32\":1}",
        "{\"anInt32\":1,\"anInt32\":1}",
        "{\"anInt32\":1,\"an\\u0049nt32\":1}",
        "{\"aUint32\":-1}",
        "{\"aUint32\":4294967296}",
        "{\"aUint64\":\"18446744073709551616\"}",
        "{\"aUint64\":-1}",
        "{\"aUint64\":1e300}",
        "{\"anInt64\":\"9223372036854775808\"}",
        "{\"aFloat\":1e39}",
        "{\"aDouble\":\"1e999\"}",
        "{\"aDouble\":\"nan\"}",
        "{\"aDouble\":\"-inf\"}",
        "{\"aDouble\":\"inf\"}",
        "{\"aDouble\":\"0x1p3\"}",
        "{\"aBool\":\"true\"}",
        "{\"aBool\":1}",
        "{\"aString\":1}",
        "{\"aString\":{}}",
        "{\"aString\":\"\\u0000\"}",
        "{\"aString\":\"\\ud800\"}",
        "{\"aString\":\"\xff\"}",
        "{\"someBytes\":7}",
        "{\"color\":\"COLOR_\"}",
        "{\"color\":\"\"}",
        "{\"color\":1.5}",
        "{\"color\":2147483648}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(SCALARS, bad[i]);
    assert_refused_bytes(SCALARS, (struct bytes){"{\"aBool\":true}\0", 15}, -EBADMSG);
}

static void test_binary_that_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0a",                                  /* no length */
        "0a 05 61",                            /* shorter than its length */
        "0a ff ff ff ff ff ff ff ff ff 01",    /* a length of 2^64-1 */
        "08",                                  /* no value */
        "08 ff ff ff ff ff ff ff ff ff ff 01", /* varint of more than 10 bytes */
        "08 ff ff ff ff ff ff ff ff ff 02",    /* varint above 64 bits */
        "3d 00 00",                            /* cut fixed32 */
        "41 00 00 00 00 00 00 00",             /* cut fixed64 */
        "00 00",                               /* field 0 */
        "0b 0c",                               /* a group */
        "0e 00",                               /* wire type 6 */
        "80 80 80 80 80 80 80 80 80 01 00",    /* field number beyond 29 bits */
        "72 02 c3 28",                         /* not UTF-8 */
        "72 03 ed a0 80",                      /* a surrogate */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_binary_refused(SCALARS, bad[i]);
}

static void test_depth_is_limited_both_ways(void **state)
{
    (void)state;
    CLEANUP_BUF json = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    for (int i = 0; i < 100000; i++)
        buf_append_str(&json, "{\"child\":");
    assert_int_equal(protojson_to_binary(TREE, buf_bytes(&json), DEPTH, &out, &reason), -E2BIG);
    assert_int_equal(out.len, 0);
    json.len = 0;
    for (int i = 0; i < 3; i++)
        buf_append_str(&json, "{\"child\":");
    buf_append_str(&json, "{}}}}");
    assert_int_equal(protojson_to_binary(TREE, buf_bytes(&json), 4, &out, &reason), 0);
    assert_int_equal(protojson_to_binary(TREE, buf_bytes(&json), 3, &out, &reason), -E2BIG);

    /* 100 messages in each other, built from the inside */
    CLEANUP_BUF nested = BUF_INIT;
    for (int i = 0; i < 100; i++) {
        CLEANUP_BUF outer = BUF_INIT;
        unsigned char head[3] = {0x12, (unsigned char)(nested.len | 0x80), (unsigned char)(nested.len >> 7)};
        buf_append(&outer, head, 3);
        buf_append_bytes(&outer, buf_bytes(&nested));
        nested.len = 0;
        buf_append_bytes(&nested, buf_bytes(&outer));
    }
    out.len = 0;
    assert_int_equal(protojson_from_binary(TREE, buf_bytes(&nested), &out, &reason), -E2BIG);
    assert_int_equal(out.len, 0);
}

/* Two bytes a message, each with three members of text: the text has a limit. */
static void test_text_is_limited(void **state)
{
    (void)state;
    CLEANUP_BUF data = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;
    const char *reason = NULL;
    for (int i = 0; i < 1000000; i++)
        buf_append(&data, "\x1a\x00", 2);
    assert_int_equal(protojson_from_binary(TREE, buf_bytes(&data), &out, &reason), -E2BIG);
    assert_string_equal(reason, "the JSON would be too long");
    assert_int_equal(out.len, 0);
}

/* Every prefix and every changed byte of a good message gives an answer, and what is accepted can be read back. */
static void test_damaged_input_never_breaks(void **state)
{
    (void)state;
    static const char hex[] = "0a 01 61 12 07 0a 01 62 1a 02 0a 00 1a 00 1a 03 0a 01 63";
    CLEANUP_BUF good = unhex(hex);
    for (size_t cut = 0; cut <= good.len; cut++)
        for (size_t at = 0; at < cut; at++)
            for (int flip = 1; flip < 256; flip += 5) {
                CLEANUP_BUF out = BUF_INIT;
                CLEANUP_BUF back = BUF_INIT;
                const char *reason = NULL;
                char *copy = bytes_dup((struct bytes){good.data, cut});
                copy[at] = (char)(copy[at] ^ flip);
                if (protojson_from_binary(TREE, (struct bytes){copy, cut}, &out, &reason) == 0 &&
                    protojson_to_binary(TREE, buf_bytes(&out), 100, &back, &reason) != 0 &&
                    !memmem(out.data, out.len, "\\u0000", 6))
                    fail_msg("%s: %.*s", reason, (int)out.len, out.data);
                free(copy);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chat_message),
        cmocka_unit_test(test_scalars_to_binary),
        cmocka_unit_test(test_base64_in_all_its_forms),
        cmocka_unit_test(test_scalars_to_json),
        cmocka_unit_test(test_last_value_counts_and_unknown_fields_are_skipped),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_nested_messages),
        cmocka_unit_test(test_oneof),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_agrees_with_protobuf_c),
        cmocka_unit_test(test_json_that_is_refused),
        cmocka_unit_test(test_binary_that_is_refused),
        cmocka_unit_test(test_depth_is_limited_both_ways),
        cmocka_unit_test(test_text_is_limited),
        cmocka_unit_test(test_damaged_input_never_breaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
