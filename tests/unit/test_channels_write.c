#include "channels.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define assert_text(out, literal) assert_true(bytes_eq(buf_bytes(&(out)), BYTES_LIT(literal)))

static const struct channels_style json = {CHANNELS_JSON, CHANNELS_WEBSOCKET, false};

static void raw_values_lose_what_ends_a_line(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct channels_publication p = {.data = BYTES_LIT("{\"a\":\r\n1,\n\n\"b\":2}\n"), .offset = 1};
    channels_append_publication(&out, CHANNELS_JSON, &p);
    assert_text(out, "{\"data\":{\"a\":1,\"b\":2},\"offset\":1}");
    out.len = 0;
    p.data_as_string = true;
    channels_append_publication(&out, CHANNELS_JSON, &p);
    assert_text(out, "{\"data\":\"{\\\"a\\\":\\r\\n1,\\n\\n\\\"b\\\":2}\\n\",\"offset\":1}");
    out.len = 0;
    channels_append_publication(&out, CHANNELS_PROTOBUF, &p);
    assert_text(out, "\x22\x12{\"a\":\r\n1,\n\n\"b\":2}\n\x30\x01");
}

static void some_members_are_always_written(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    channels_append_info(&out, &(struct channels_client_info){0});
    assert_text(out, "{\"user\":\"\",\"client\":\"\"}");
    out.len = 0;
    channels_reply_presence(&out, CHANNELS_JSON, 1, BYTES_NULL);
    assert_text(out, "{\"id\":1,\"presence\":{\"presence\":{}}}");
    out.len = 0;
    channels_reply_presence_stats(&out, CHANNELS_JSON, 1, 0, 0);
    assert_text(out, "{\"id\":1,\"presence_stats\":{\"num_clients\":0,\"num_users\":0}}");
    out.len = 0;
    channels_reply_history(&out, CHANNELS_JSON, 1, &(struct channels_history_result){0});
    assert_text(out, "{\"id\":1,\"history\":{\"publications\":[],\"epoch\":\"\",\"offset\":0}}");
    out.len = 0;
    channels_reply_history(&out, CHANNELS_PROTOBUF, 1, &(struct channels_history_result){0});
    assert_text(out, "\x08\x01\x5a\x00");
}

static void keys_that_are_not_utf8_do_not_spoil_the_message(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct channels_publication p = {.key = BYTES_LIT("a\xff"), .removed = true};
    channels_append_publication(&out, CHANNELS_JSON, &p);
    assert_text(out, "{\"key\":\"a\xef\xbf\xbd\",\"removed\":true}");
    out.len = 0;
    channels_append_publication(&out, CHANNELS_PROTOBUF, &p);
    assert_text(out, "\x5a\x04"
                     "a\xef\xbf\xbd\x60\x01");
}

static void json_of_others_becomes_messages(void **state)
{
    (void)state;
    CLEANUP_BUF out = BUF_INIT;
    struct channels_publication p = {
        .info = BYTES_LIT("{\"user\":\"u\\\"\",\"client\":\"c\",\"conn_info\":{\"n\":1},\"x\":0}"),
        .tags = BYTES_LIT("{\"k\":\"v\",\"n\":1,\"\\u0061\":\"\"}"),
    };
    channels_append_publication(&out, CHANNELS_PROTOBUF, &p);
    assert_text(out, "\x2a\x10\x0a\x02u\"\x12\x01"
                     "c\x1a\x07{\"n\":1}"
                     "\x3a\x06\x0a\x01k\x12\x01v"
                     "\x3a\x05\x0a\x01"
                     "a\x12\x00");
    out.len = 0;
    p = (struct channels_publication){.info = BYTES_LIT("[1]"), .tags = BYTES_LIT("nonsense"), .offset = 1};
    channels_append_publication(&out, CHANNELS_PROTOBUF, &p);
    assert_text(out, "\x2a\x00\x30\x01");
}

/* Payloads around every size at which a header or a length gets a byte longer. */
static void check_frame(const struct channels_style *style, struct bytes channel, size_t size)
{
    CLEANUP_BUF data = BUF_INIT;
    CLEANUP_BUF item = BUF_INIT;
    CLEANUP_BUF out = BUF_INIT;
    CLEANUP_BUF again = BUF_INIT;
    buf_append(&data, "\"", 1);
    while (data.len < size)
        buf_append(&data, "x", 1);
    buf_append(&data, "\"", 1);
    struct channels_publication p = {.data = buf_bytes(&data), .offset = 7};
    size_t mark;
    buf_append(&out, "before", 6);
    buf_append(&again, "before", 6);
    channels_append_publication(&item, style->encoding, &p);
    channels_begin(&out, style, &mark);
    assert_int_equal(mark, 6);
    channels_push_publication(&out, style, channel, &p);
    channels_end(&out, style, mark);
    struct bytes found = channels_item_of_frame(style, (struct bytes){out.data + 6, out.len - 6});
    assert_true(bytes_eq(found, buf_bytes(&item)));
    channels_begin(&again, style, &mark);
    channels_push_item(&again, style, channel, found);
    channels_end(&again, style, mark);
    assert_true(bytes_eq(buf_bytes(&again), buf_bytes(&out)));
}

static void the_item_of_a_frame_is_found_in_every_style(void **state)
{
    (void)state;
    static const size_t sizes[] = {3,     40,    60,    80,    90,    100,   104,   108,   110,    112,   116,
                                   120,   124,   125,   126,   127,   128,   200,   300,   16300,  16360, 16380,
                                   16384, 17000, 65400, 65440, 65480, 65535, 65536, 70000, 2097152};
    static const char *const channels[] = {"a", "news:today", "with\"quote", "back\\slash\\", "a\",\"pub\":{}"};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t c = 0; c < sizeof channels / sizeof *channels; c++)
            for (int form = 0; form < 12; form++) {
                struct channels_style style = {form & 1 ? CHANNELS_PROTOBUF : CHANNELS_JSON,
                                               (enum channels_transport)(form / 2 % 3), form >= 6};
                if (style.encoding == CHANNELS_JSON || style.transport != CHANNELS_SSE)
                    check_frame(&style, bytes_of(channels[c]), sizes[s]);
            }
}

static void a_frame_of_something_else_has_no_item(void **state)
{
    (void)state;
    static const struct channels_style protobuf = {CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false};
    CLEANUP_BUF out = BUF_INIT;
    for (int i = 0; i < 2; i++) {
        const struct channels_style *style = i ? &protobuf : &json;
        size_t mark;
        out.len = 0;
        channels_begin(&out, style, &mark);
        channels_push_join(&out, style, BYTES_LIT("a"), BYTES_LIT("{\"user\":\"\",\"client\":\"c\"}"), false);
        channels_end(&out, style, mark);
        assert_null(channels_item_of_frame(style, buf_bytes(&out)).data);
        for (size_t n = 0; n < out.len; n++)
            assert_null(channels_item_of_frame(style, (struct bytes){out.data, n}).data);
    }
}

static void messages_are_framed_for_their_transport(void **state)
{
    (void)state;
    static const struct {
        struct channels_style style;
        struct bytes framed;
    } cases[] = {
        {{CHANNELS_JSON, CHANNELS_WEBSOCKET, false}, BYTES_LIT("\x81\x02{}")},
        {{CHANNELS_JSON, CHANNELS_SSE, false}, BYTES_LIT("data: {}\n\n")},
        {{CHANNELS_JSON, CHANNELS_LINES, false}, BYTES_LIT("{}\n")},
        {{CHANNELS_PROTOBUF, CHANNELS_WEBSOCKET, false}, BYTES_LIT("\x82\x01\x00")},
        {{CHANNELS_PROTOBUF, CHANNELS_LINES, false}, BYTES_LIT("\x00")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP_BUF out = BUF_INIT;
        size_t mark;
        channels_begin(&out, &cases[i].style, &mark);
        channels_ping(&out, cases[i].style.encoding);
        channels_end(&out, &cases[i].style, mark);
        assert_true(bytes_eq(buf_bytes(&out), cases[i].framed));
    }
}

static void lines_are_ascii(void **state)
{
    (void)state;
    static const struct channels_style lines = {CHANNELS_JSON, CHANNELS_LINES, false};
    static const struct {
        const char *data, *written;
    } cases[] = {
        {"\"plain\"", "\"plain\""},
        {"\"\xc3\xa4.\xe2\x82\xac.\xf0\x9f\x98\x80\x7f\"", "\"\\u00e4.\\u20ac.\\ud83d\\ude00\x7f\""},
        {"[\"\xed\x9f\xbf\",\"\xf4\x8f\xbf\xbf\"]", "[\"\\ud7ff\",\"\\udbff\\udfff\"]"},
        {"\"\xff\x80\xc3\"", "\"\\ufffd\\ufffd\""}, /* never sent by anyone; must not do harm */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CLEANUP_BUF out = BUF_INIT;
        CLEANUP_BUF wanted = BUF_INIT;
        size_t mark;
        buf_append_str(&out, "\xc3\xa4 before\n");
        channels_begin(&out, &lines, &mark);
        channels_push_message(&out, &lines, bytes_of(cases[i].data));
        channels_end(&out, &lines, mark);
        buf_printf(&wanted, "\xc3\xa4 before\n{\"push\":{\"message\":{\"data\":%s}}}\n", cases[i].written);
        assert_int_equal(out.len, wanted.len);
        assert_memory_equal(out.data, wanted.data, out.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_values_lose_what_ends_a_line),
        cmocka_unit_test(some_members_are_always_written),
        cmocka_unit_test(keys_that_are_not_utf8_do_not_spoil_the_message),
        cmocka_unit_test(json_of_others_becomes_messages),
        cmocka_unit_test(the_item_of_a_frame_is_found_in_every_style),
        cmocka_unit_test(a_frame_of_something_else_has_no_item),
        cmocka_unit_test(messages_are_framed_for_their_transport),
        cmocka_unit_test(lines_are_ascii),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
