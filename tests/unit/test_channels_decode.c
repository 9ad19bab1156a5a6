#include "channels.h"

#include "pb_wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define assert_view(view, literal) assert_true(bytes_eq((view), BYTES_LIT(literal)))

static struct channels_decoder decoder;

static int decode(enum channels_encoding encoding, struct bytes message, struct channels_command *ret)
{
    decoder.encoding = encoding;
    decoder.depth_limit = 8;
    return channels_decode(&decoder, &message, ret);
}

static int decode_json(const char *text, struct channels_command *ret)
{
    return decode(CHANNELS_JSON, bytes_of(text), ret);
}

static int free_decoder(void **state)
{
    (void)state;
    channels_decoder_done(&decoder);
    return 0;
}

static void commands_of_a_frame_come_one_by_one(void **state)
{
    (void)state;
    struct channels_command c;
    struct bytes rest =
        BYTES_LIT("{\"id\":1,\"connect\":{\"token\":\"t\"}}\n{\"subscribe\":{\"channel\":\"a\"},\"id\":2}\n{}\n");
    decoder.encoding = CHANNELS_JSON;
    decoder.depth_limit = 8;
    assert_int_equal(channels_decode(&decoder, &rest, &c), 1);
    assert_int_equal(c.method, CHANNELS_CONNECT);
    assert_int_equal(c.id, 1);
    assert_view(c.connect.token, "t");
    assert_int_equal(channels_decode(&decoder, &rest, &c), 1);
    assert_int_equal(c.method, CHANNELS_SUBSCRIBE);
    assert_int_equal(c.id, 2);
    assert_view(c.subscribe.channel, "a");
    assert_int_equal(channels_decode(&decoder, &rest, &c), 1);
    assert_int_equal(c.method, CHANNELS_PONG);
    assert_int_equal(channels_decode(&decoder, &rest, &c), 0);
}

static void malformed_json_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\n",
        " ",
        "\n{}",
        "{}\n\n{}",
        "{",
        "[]",
        "1",
        "{}{}",
        "{} {}",
        "{\"id\":1}",
        "{\"foo\":{}}",
        "{\"id\":1,\"foo\":{}}",
        "{\"connect\":{}}",
        "{\"id\":0,\"connect\":{}}",
        "{\"id\":1,\"connect\":[]}",
        "{\"id\":1,\"connect\":1}",
        "{\"id\":1,\"connect\":null}",
        "{\"id\":-1,\"connect\":{}}",
        "{\"id\":1.0,\"connect\":{}}",
        "{\"id\":4294967296,\"connect\":{}}",
        "{\"id\":\"1\",\"connect\":{}}",
        "{\"id\":1,\"id\":1,\"connect\":{}}",
        "{\"id\":1,\"connect\":{},\"connect\":{}}",
        "{\"id\":1,\"connect\":{},\"ping\":{}}",
        "{\"id\":1,\"connect\":{\"token\":1}}",
        "{\"id\":1,\"connect\":{\"token\":\"a\\u0000b\"}}",
        "{\"id\":1,\"connect\":{\"token\":\"\\ud800\"}}",
        "{\"id\":1,\"connect\":{\"subs\":[]}}",
        "{\"id\":1,\"connect\":{\"subs\":{\"a\":1}}}",
        "{\"id\":1,\"connect\":{\"headers\":{\"a\":1}}}",
        "{\"id\":1,\"connect\":{\"headers\":[]}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"recover\":1}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"channel\":\"b\"}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"offset\":-1}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"offset\":18446744073709551616}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"limit\":2147483648}}",
        "{\"id\":1,\"subscribe\":{\"channel\":\"a\",\"tf\":[]}}",
        "{\"id\":1,\"history\":{\"channel\":\"a\",\"since\":3}}",
        "{\"id\":1,\"publish\":{\"channel\":\"a\",\"data\":{}}\n}",
        "{\"id\":1,\"ping\":{}}x",
        "\xef\xbb\xbf{}",
        "{\"id\":1,\"rpc\":{\"data\":nul}}",
        "{\"id\":1,\"rpc\":{\"data\":\"\xff\"}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct channels_command c = {.id = 77};
        int r;
        struct bytes rest = bytes_of(texts[i]);
        decoder.encoding = CHANNELS_JSON;
        decoder.depth_limit = 8;
        while ((r = channels_decode(&decoder, &rest, &c)) == 1)
            ;
        if (r != -EBADMSG || !decoder.reason)
            fail_msg("accepted: %s", texts[i]);
    }
}

static void unknown_members_are_passed_over(void **state)
{
    (void)state;
    struct channels_command c;
    assert_int_equal(decode_json("{\"x\":[1],\"id\":9,\"rpc\":{\"y\":{},\"method\":\"m\",\"data\":null}}", &c), 1);
    assert_view(c.rpc.method, "m");
    assert_view(c.rpc.data, "null");
    assert_int_equal(decode_json("{\"id\":9,\"history\":{\"channel\":\"c\",\"since\":null,\"reverse\":null}}", &c), 1);
    assert_false(c.history.has_since);
}

static void send_needs_no_id(void **state)
{
    (void)state;
    struct channels_command c;
    assert_int_equal(decode_json("{\"send\":{\"data\":{ \"a\" : 1 }}}", &c), 1);
    assert_int_equal(c.method, CHANNELS_SEND);
    assert_view(c.send.data, "{ \"a\" : 1 }");
}

static void nesting_beyond_the_limit_is_e2big(void **state)
{
    (void)state;
    struct channels_command c;
    assert_int_equal(decode_json("{\"id\":1,\"rpc\":{\"data\":[[[[[[1]]]]]]}}", &c), 1);
    assert_int_equal(decode_json("{\"id\":1,\"rpc\":{\"data\":[[[[[[[1]]]]]]]}}", &c), -E2BIG);
    assert_string_equal(decoder.reason, "nested too deep");
}

static void strings_are_unescaped_and_stay_good_until_the_next_command(void **state)
{
    (void)state;
    struct channels_command c;
    assert_int_equal(
        decode_json("{\"id\":1,\"connect\":{\"token\":\"\\u00e9\",\"name\":\"plain\",\"version\":\"\\\"1\\\"\","
                    "\"subs\":{\"a\\nb\":{\"recover\":true,\"epoch\":\"\\\\e\",\"offset\":18446744073709551615},"
                    "\"c\":null}}}",
                    &c),
        1);
    assert_view(c.connect.token, "\xc3\xa9");
    assert_view(c.connect.name, "plain");
    assert_view(c.connect.version, "\"1\"");
    assert_int_equal(c.connect.sub_count, 2);
    assert_view(c.connect.subs[0].channel, "a\nb");
    assert_view(c.connect.subs[0].epoch, "\\e");
    assert_true(c.connect.subs[0].recover);
    assert_true(c.connect.subs[0].offset == UINT64_MAX);
    assert_view(c.connect.subs[1].channel, "c");
}

/* ---- protobuf ---- */

/* Hex; what stands in parentheses has its length in front. */
static const char *append_hex(struct buf *out, const char *hex)
{
    while (*hex && *hex != ')') {
        unsigned byte;
        int taken = 1;
        if (*hex == '(') {
            struct pb_mark mark = pb_open(out, 0);
            hex = append_hex(out, hex + 1);
            pb_close(out, mark);
        } else if (sscanf(hex, "%2x%n", &byte, &taken) == 1) {
            buf_append(out, &(char){(char)byte}, 1);
        }
        hex += taken;
    }
    return hex;
}

static int decode_hex(const char *hex, struct channels_command *ret)
{
    static char kept[512];
    CLEANUP_BUF message = BUF_INIT;
    append_hex(&message, hex);
    assert_true(message.len <= sizeof kept);
    memcpy(kept, message.data, message.len);
    return decode(CHANNELS_PROTOBUF, (struct bytes){kept, message.len}, ret);
}

static void protobuf_commands_are_read_in_place(void **state)
{
    (void)state;
    struct channels_command c;
    assert_int_equal(decode_hex("(0801 22(22 (6a73)))", &c), 1);
    assert_int_equal(c.id, 1);
    assert_int_equal(c.method, CHANNELS_CONNECT);
    assert_view(c.connect.name, "js");
    assert_int_equal(decode_hex("00", &c), 1);
    assert_int_equal(c.method, CHANNELS_PONG);
    /* history{channel:"c", limit:-1, since{offset:300, epoch:"e"}, reverse:true} and an unknown field of each type */
    assert_int_equal(decode_hex("(0802 52(0a(63) 38ffffffffffffffffff01 42(08ac02 12(65)) 4801"
                                "f80101 f1010000000000000000 f201(61) f50100000000))",
                                &c),
                     1);
    assert_int_equal(c.method, CHANNELS_HISTORY);
    assert_int_equal(c.history.limit, -1);
    assert_true(c.history.has_since && c.history.reverse);
    assert_int_equal(c.history.since_offset, 300);
    assert_view(c.history.since_epoch, "e");
}

static void protobuf_maps_become_subs_and_headers(void **state)
{
    (void)state;
    struct channels_command c;
    /* connect{subs{"a":{recover,offset:1},"b":{}}, headers{"k":"v\"","x":""}} */
    assert_int_equal(decode_hex("(0801 22(1a(0a(61) 12(1801 3801)) 1a(0a(62) 12()) 32(0a(6b) 12(7622)) 32(0a(78))))",
                                &c),
                     1);
    assert_int_equal(c.connect.sub_count, 2);
    assert_view(c.connect.subs[0].channel, "a");
    assert_true(c.connect.subs[0].recover);
    assert_int_equal(c.connect.subs[0].offset, 1);
    assert_view(c.connect.subs[1].channel, "b");
    assert_view(c.connect.headers, "{\"k\":\"v\\\"\",\"x\":\"\"}");
}

static void malformed_protobuf_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const char *const messages[] = {
        "01",                                   /* cut */
        "ff",                                   /* length is cut */
        "ffffffffffffffffff02",                 /* length beyond 64 bits */
        "8080808080808080808000",               /* length of 11 bytes */
        "(0801)",                               /* no method */
        "(22())",                               /* no id */
        "(0801 2000)",                          /* connect as a varint */
        "(0a(01) 22())",                        /* id as bytes */
        "(08ffffffff1f 22())",                  /* id beyond 32 bits */
        "(0801 22 01)",                         /* method is cut */
        "(0801 22(12 01))",                     /* data is cut */
        "(0801 22(0b0c))",                      /* a group */
        "(0801 22(0f00))",                      /* wire type 7 */
        "(0801 22(0200))",                      /* field 0 */
        "(0801 22(0a(ff)))",                    /* not UTF-8 */
        "(0801 22(0a(00)))",                    /* NUL */
        "(0801 22() 5a())",                     /* two methods */
        "(0801 22(1a(08)))",                    /* entry of a map is cut */
        "(0801 22(1a(0801)))",                  /* key as a number */
        "(a206())",                             /* only unknown */
        "(0801 2a(9001 ffffffff7f))",           /* limit beyond 32 bits */
        "(0801 2a(1a(01)))",                    /* recover as bytes */
        "(0801 2a(38ffffffffffffffffff02))",    /* offset beyond 64 bits */
    };
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        struct channels_command c;
        if (decode_hex(messages[i], &c) != -EBADMSG || !decoder.reason)
            fail_msg("accepted: %s", messages[i]);
    }
}

/* ---- emulation ---- */

static void emulation_bodies_outlive_their_commands(void **state)
{
    (void)state;
    struct channels_emulation e;
    struct channels_command c;
    struct bytes body = BYTES_LIT("{\"session\":\"s\",\"node\":\"n\",\"data\":\"{\\\"id\\\":1,\\\"ping\\\":{}}\\n"
                                  "{\\\"id\\\":2,\\\"rpc\\\":{\\\"method\\\":\\\"\\\\u0061\\\"}}\"}");
    decoder.encoding = CHANNELS_JSON;
    decoder.depth_limit = 8;
    assert_int_equal(channels_decode_emulation(&decoder, body, &e), 0);
    assert_view(e.session, "s");
    assert_view(e.node, "n");
    assert_int_equal(channels_decode(&decoder, &e.data, &c), 1);
    assert_int_equal(c.method, CHANNELS_PING);
    assert_int_equal(channels_decode(&decoder, &e.data, &c), 1);
    assert_view(c.rpc.method, "a");
    assert_int_equal(channels_decode(&decoder, &e.data, &c), 0);
}

static void emulation_data_that_is_no_string_is_absent(void **state)
{
    (void)state;
    struct channels_emulation e;
    decoder.encoding = CHANNELS_JSON;
    decoder.depth_limit = 8;
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT("{\"session\":\"s\",\"data\":{\"id\":1}}"), &e), 0);
    assert_null(e.data.data);
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT("{\"session\":1}"), &e), -EBADMSG);
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT("{\"session\":"), &e), -EBADMSG);
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT(""), &e), -EBADMSG);
    decoder.encoding = CHANNELS_PROTOBUF;
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT("\x0a\x01n\x12\x01s\x1a\x02\x01\x02"), &e), 0);
    assert_view(e.node, "n");
    assert_view(e.session, "s");
    assert_view(e.data, "\1\2");
    assert_int_equal(channels_decode_emulation(&decoder, BYTES_LIT("\x0a\x02n"), &e), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_of_a_frame_come_one_by_one),
        cmocka_unit_test(malformed_json_is_refused_with_a_reason),
        cmocka_unit_test(unknown_members_are_passed_over),
        cmocka_unit_test(send_needs_no_id),
        cmocka_unit_test(nesting_beyond_the_limit_is_e2big),
        cmocka_unit_test(strings_are_unescaped_and_stay_good_until_the_next_command),
        cmocka_unit_test(protobuf_commands_are_read_in_place),
        cmocka_unit_test(protobuf_maps_become_subs_and_headers),
        cmocka_unit_test(malformed_protobuf_is_refused_with_a_reason),
        cmocka_unit_test(emulation_bodies_outlive_their_commands),
        cmocka_unit_test(emulation_data_that_is_no_string_is_absent),
    };
    return cmocka_run_group_tests(tests, NULL, free_decoder);
}
