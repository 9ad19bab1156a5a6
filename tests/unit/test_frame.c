#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hub/frame.h"

static const struct frame_channel channel = {.name = {"chat:a", 6}, .message_type = 1};

static struct frame_block *one(enum frame_form form, const struct publication_parts *parts)
{
    struct frame_builder b;
    struct publication *p = publication_new(parts);
    frame_builder_init(&b, form, &channel);
    frame_builder_add(&b, p);
    publication_unref(p);
    struct frame_block *block = frame_builder_finish(&b);
    assert_int_equal(block->count, 1);
    assert_int_equal(block->marks[0].offset, parts->offset);
    assert_int_equal(block->marks[0].end, block->len);
    return block;
}

static void assert_bytes(const struct frame_block *block, const void *expected, size_t len)
{
    assert_int_equal(block->len, len);
    assert_memory_equal(block->bytes, expected, len);
}

static void frames_are_ready_for_the_socket_in_every_form(void **state)
{
    static const struct publication_parts parts = {
        .offset = 7, .time_ms = 12, .key = {"k", 1}, .payload = {"{\"a\":\"b\"}", 9}};
    static const char binary[] = "\x82\x0d\x01\0\0\0{\"a\":\"b\"}";
    static const char text[] = "{\"type\":1,\"channel\":\"chat:a\",\"offset\":7,\"payload\":";
    static const char poll[] = "{\"offset\":7,\"time\":12,\"key\":\"k\",\"data\":{\"a\":\"b\"}},";
    (void)state;

    struct frame_block *b = one(FORM_TYPED_BINARY, &parts);
    assert_bytes(b, binary, sizeof binary - 1);
    frame_block_unref(b);

    b = one(FORM_TYPED_OBJECT, &parts);
    assert_int_equal((unsigned char)b->bytes[0], 0x81);
    assert_int_equal(b->bytes[1], b->len - 2);
    assert_memory_equal(b->bytes + 2, text, sizeof text - 1);
    assert_memory_equal(b->bytes + b->len - 10, "{\"a\":\"b\"}}", 10);
    frame_block_unref(b);

    b = one(FORM_TYPED_STRING, &parts);
    assert_memory_equal(b->bytes + b->len - 16, "\"{\\\"a\\\":\\\"b\\\"}\"}", 16);
    frame_block_unref(b);

    b = one(FORM_POLL, &parts);
    assert_bytes(b, poll, sizeof poll - 1);
    frame_block_unref(b);
}

static void payloads_that_are_no_json_reach_pollers_as_text_or_base64(void **state)
{
    static const struct publication_parts text = {.offset = 1, .payload = {"plain \"text\"", 12}};
    static const struct publication_parts bytes = {.offset = 2, .payload = {"\xff\xfe", 2}};
    static const char as_text[] = "{\"offset\":1,\"time\":0,\"data\":\"plain \\\"text\\\"\"},";
    static const char as_base64[] = "{\"offset\":2,\"time\":0,\"b64data\":\"//4=\"},";
    (void)state;
    struct frame_block *b = one(FORM_POLL, &text);
    assert_bytes(b, as_text, sizeof as_text - 1);
    frame_block_unref(b);
    b = one(FORM_POLL, &bytes);
    assert_bytes(b, as_base64, sizeof as_base64 - 1);
    frame_block_unref(b);
}

static void a_tombstone_says_which_key_went(void **state)
{
    static const struct publication_parts parts = {.offset = 3, .key = {"bus 1", 5}, .payload = {NULL, 0}};
    static const char poll[] = "{\"offset\":3,\"time\":0,\"key\":\"bus 1\",\"removed\":true},";
    static const char payload[] = "{\"key\":\"bus 1\",\"removed\":true}";
    (void)state;
    struct frame_block *b = one(FORM_POLL, &parts);
    assert_bytes(b, poll, sizeof poll - 1);
    frame_block_unref(b);
    b = one(FORM_TYPED_BINARY, &parts);
    assert_memory_equal(b->bytes + 6, payload, sizeof payload - 1);
    frame_block_unref(b);
}

static void long_messages_get_the_long_header(void **state)
{
    static char payload[70000];
    const struct publication_parts parts = {.offset = 1, .payload = {payload, sizeof payload}};
    (void)state;
    struct frame_block *b = one(FORM_TYPED_BINARY, &parts);
    static const unsigned char header[] = {0x82, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x74}; /* 70004 */
    assert_bytes(b, b->bytes, 10 + 4 + sizeof payload);
    assert_memory_equal(b->bytes, header, sizeof header);
    frame_block_unref(b);
}

static void a_block_marks_each_frame_and_notices_repeat_the_offset(void **state)
{
    const struct publication_parts parts = {.offset = 5, .payload = BYTES_LIT("1")};
    struct frame_builder b;
    (void)state;
    struct publication *p = publication_new(&parts);
    frame_builder_init(&b, FORM_TYPED_BINARY, &channel);
    frame_builder_add(&b, p);
    frame_builder_add_notice(&b, &(struct frame_notice){.type = TYPED_JOIN, .json = BYTES_LIT("{}")}, 5);
    struct frame_block *block = frame_builder_finish(&b);
    assert_int_equal(block->count, 2);
    assert_int_equal(block->marks[1].offset, 5);
    assert_int_equal(block->marks[0].end, 2 + 4 + 1);
    assert_int_equal(block->marks[1].end, block->len);
    frame_block_unref(block);
    publication_unref(p);
    frame_builder_init(&b, FORM_POLL, &channel);
    frame_builder_add_notice(&b, &(struct frame_notice){.type = TYPED_JOIN, .json = BYTES_LIT("{}")}, 5);
    assert_null(frame_builder_finish(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_ready_for_the_socket_in_every_form),
        cmocka_unit_test(payloads_that_are_no_json_reach_pollers_as_text_or_base64),
        cmocka_unit_test(a_tombstone_says_which_key_went),
        cmocka_unit_test(long_messages_get_the_long_header),
        cmocka_unit_test(a_block_marks_each_frame_and_notices_repeat_the_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
