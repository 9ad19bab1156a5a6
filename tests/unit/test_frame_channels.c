/* Publications as pushes and items of the channels wire, and what lies beside the frames for those who filter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "hub/frame.h"

static const struct frame_channel here = {.name = {"chat:a", 6}, .message_type = 1, .epoch = "EPOC"};
static const struct frame_channel log_channel = {.name = {"chat:a", 6}, .shift = 1, .epoch = "EPOC"};
static const struct frame_channel keyed = {.name = {"bus:a", 5}, .keyed = true, .epoch = "EPOC"};

static struct frame_block *one(enum frame_form form, const struct frame_channel *channel,
                               const struct publication_parts *parts)
{
    struct frame_builder b;
    struct publication *p = publication_new(parts);
    frame_builder_init(&b, form, channel);
    frame_builder_add(&b, p);
    publication_unref(p);
    return frame_builder_finish(&b);
}

static void assert_frame(enum frame_form form, const struct frame_channel *channel,
                         const struct publication_parts *parts, const char *expected)
{
    struct frame_block *b = one(form, channel, parts);
    assert_int_equal(b->count, 1);
    assert_int_equal(b->marks[0].offset, parts->offset);
    assert_int_equal(b->marks[0].end, b->len);
    if (b->len != strlen(expected) || memcmp(b->bytes, expected, b->len) != 0)
        fail_msg("form %d: %.*s instead of %s", (int)form, (int)b->len, b->bytes, expected);
    frame_block_unref(b);
}

#define PAYLOAD "{\"a\":\"b\"}"
#define ITEM "{\"data\":" PAYLOAD ",\"offset\":7}"
#define STRING_ITEM "{\"data\":\"{\\\"a\\\":\\\"b\\\"}\",\"offset\":7}"
#define PUSH(item) "{\"push\":{\"channel\":\"chat:a\",\"pub\":" item "}}"
#define BARE "{\"channel\":\"chat:a\",\"pub\":" ITEM "}"

static void each_form_frames_the_same_push_for_its_transport(void **state)
{
    static const struct publication_parts parts = {.offset = 7, .time_ms = 12, .payload = BYTES_LIT(PAYLOAD)};
    (void)state;
    assert_frame(FORM_CHANNELS_JSON, &here, &parts, "\x81\x41" PUSH(ITEM));
    assert_frame(FORM_CHANNELS_SSE, &here, &parts, "data: " PUSH(ITEM) "\n\n");
    assert_frame(FORM_CHANNELS_LINES, &here, &parts, PUSH(ITEM) "\n");
    assert_frame(FORM_CHANNELS_UNI, &here, &parts, "\x81\x38" BARE);
    assert_frame(FORM_CHANNELS_UNI_SSE, &here, &parts, "data: " BARE "\n\n");
    assert_frame(FORM_CHANNELS_UNI_LINES, &here, &parts, BARE "\n");
    assert_frame(FORM_CHANNELS_JSON_STRING, &here, &parts, "\x81\x47" PUSH(STRING_ITEM));
    assert_frame(FORM_CHANNELS_SSE_STRING, &here, &parts, "data: " PUSH(STRING_ITEM) "\n\n");
    assert_frame(FORM_CHANNELS_LINES_STRING, &here, &parts, PUSH(STRING_ITEM) "\n");
    assert_frame(FORM_ITEM_JSON, &here, &parts, ITEM);
    assert_frame(FORM_ITEM_STRING, &here, &parts, STRING_ITEM);
    assert_frame(FORM_PAYLOAD_JSON, &here, &parts, PAYLOAD);
}

static void protobuf_forms_carry_the_bytes_as_they_are(void **state)
{
    static const struct publication_parts parts = {.offset = 7, .payload = {"\xff\x01", 2}};
    (void)state;
    assert_frame(FORM_ITEM_PROTOBUF, &here, &parts, "\x22\x02\xff\x01\x30\x07");
    assert_frame(FORM_CHANNELS_LINES_PROTOBUF, &here, &parts,
                 "\x12\x22\x10\x12\x06" "chat:a" "\x22\x06\x22\x02\xff\x01\x30\x07");
    assert_frame(FORM_CHANNELS_PROTOBUF, &here, &parts,
                 "\x82\x13\x12\x22\x10\x12\x06" "chat:a" "\x22\x06\x22\x02\xff\x01\x30\x07");
}

static void offsets_of_a_log_that_begins_with_0_are_one_higher(void **state)
{
    static const struct publication_parts first = {.offset = 0, .payload = BYTES_LIT("1")};
    static const struct publication_parts second = {.offset = 1, .payload = BYTES_LIT("1")};
    static const struct publication_parts unnumbered = {.offset = 5, .payload = BYTES_LIT("1"), .unnumbered = true};
    (void)state;
    assert_frame(FORM_ITEM_JSON, &log_channel, &first, "{\"data\":1,\"offset\":1,\"epoch\":\"EPOC\"}");
    assert_frame(FORM_ITEM_JSON, &log_channel, &second, "{\"data\":1,\"offset\":2}");
    assert_frame(FORM_ITEM_JSON, &here, &second, "{\"data\":1,\"offset\":1,\"epoch\":\"EPOC\"}");
    assert_frame(FORM_ITEM_JSON, &here, &unnumbered, "{\"data\":1}");
}

static void a_new_epoch_is_told_with_the_first_publication_only(void **state)
{
    const struct publication_parts parts = {.offset = 9, .payload = BYTES_LIT("1")};
    struct frame_channel renumbered = here;
    struct frame_builder b;
    (void)state;
    renumbered.epoch_is_news = true;
    struct publication *p = publication_new(&parts);
    frame_builder_init(&b, FORM_ITEM_JSON, &renumbered);
    frame_builder_add(&b, p);
    frame_builder_add(&b, p);
    publication_unref(p);
    struct frame_block *block = frame_builder_finish(&b);
    static const char expected[] = "{\"data\":1,\"offset\":9,\"epoch\":\"EPOC\"}{\"data\":1,\"offset\":9}";
    assert_int_equal(block->len, sizeof expected - 1);
    assert_memory_equal(block->bytes, expected, sizeof expected - 1);
    frame_block_unref(block);
}

static void keys_tags_publisher_and_removals_are_told(void **state)
{
    static const struct publication_parts parts = {.offset = 3,
                                                   .key = BYTES_LIT("k"),
                                                   .tags = BYTES_LIT("{\"t\":\"v\"}"),
                                                   .info = BYTES_LIT("{\"user\":\"u\",\"client\":\"c\"}"),
                                                   .payload = BYTES_LIT("1")};
    static const struct publication_parts removal = {.offset = 4, .key = BYTES_LIT("k"), .payload = BYTES_NULL};
    (void)state;
    assert_frame(FORM_ITEM_JSON, &keyed, &parts,
                 "{\"data\":1,\"info\":{\"user\":\"u\",\"client\":\"c\"},\"offset\":3,"
                 "\"tags\":{\"t\":\"v\"},\"key\":\"k\"}");
    assert_frame(FORM_ITEM_JSON, &keyed, &removal, "{\"offset\":4,\"key\":\"k\",\"removed\":true}");
    /* a broker's key is not the client's */
    assert_frame(FORM_ITEM_JSON, &here, &removal, "{\"offset\":4,\"removed\":true}");
    assert_frame(FORM_ITEM_STRING, &keyed, &removal, "{\"data\":\"null\",\"offset\":4,\"key\":\"k\",\"removed\":true}");
    assert_frame(FORM_PAYLOAD_JSON, &keyed, &removal, "");
}

static void bytes_that_are_no_json_are_an_empty_frame_with_a_flag_on_json_forms_only(void **state)
{
    static const enum frame_form json[] = {FORM_CHANNELS_JSON, FORM_CHANNELS_SSE, FORM_CHANNELS_UNI_LINES,
                                           FORM_CHANNELS_JSON_STRING, FORM_CHANNELS_LINES_DELTA, FORM_ITEM_JSON};
    static const struct publication_parts parts = {.offset = 3, .payload = BYTES_LIT("{oops")};
    (void)state;
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) {
        struct frame_block *b = one(json[i], &here, &parts);
        assert_int_equal(b->count, 1);
        assert_int_equal(b->len, 0);
        assert_int_equal(b->marks[0].offset, 3);
        assert_int_equal(b->metas[0].flags, FRAME_NOT_JSON);
        frame_block_unref(b);
    }
    struct frame_block *b = one(FORM_CHANNELS_PROTOBUF, &here, &parts);
    assert_true(b->len > 0);
    assert_null(b->metas);
    frame_block_unref(b);
}

static void joins_are_told_with_a_flag_and_other_notices_are_not(void **state)
{
    static const struct frame_notice join = {
        .type = TYPED_JOIN, .json = {"{}", 2}, .info = BYTES_LIT("{\"user\":\"u\",\"client\":\"c\"}")};
    static const struct frame_notice leave = {
        .type = TYPED_LEAVE, .json = {"{}", 2}, .info = BYTES_LIT("{\"user\":\"u\"}")};
    static const struct frame_notice epoch = {.type = TYPED_SUBSCRIBED, .json = {"{}", 2}};
    static const char expected[] =
        "{\"push\":{\"channel\":\"chat:a\",\"join\":{\"info\":{\"user\":\"u\",\"client\":\"c\"}}}}\n"
        "{\"push\":{\"channel\":\"chat:a\",\"leave\":{\"info\":{\"user\":\"u\"}}}}\n";
    struct frame_builder b;
    (void)state;
    frame_builder_init(&b, FORM_CHANNELS_LINES, &here);
    frame_builder_add_notice(&b, &epoch, 5);
    frame_builder_add_notice(&b, &join, 5);
    frame_builder_add_notice(&b, &leave, 5);
    struct frame_block *block = frame_builder_finish(&b);
    assert_int_equal(block->count, 2);
    assert_int_equal(block->marks[0].offset, 5);
    assert_int_equal(block->len, sizeof expected - 1);
    assert_memory_equal(block->bytes, expected, sizeof expected - 1);
    assert_int_equal(block->metas[0].flags, FRAME_JOIN_LEAVE);
    assert_int_equal(block->metas[1].flags, FRAME_JOIN_LEAVE);
    frame_block_unref(block);
    frame_builder_init(&b, FORM_ITEM_JSON, &here);
    frame_builder_add_notice(&b, &join, 5);
    assert_null(frame_builder_finish(&b));
}

static void metas_begin_with_the_first_frame_that_has_one_and_say_what_filters_look_at(void **state)
{
    static const struct publication_parts parts[] = {
        {.offset = 1, .payload = BYTES_LIT("1")},
        {.offset = 2, .payload = BYTES_LIT("1"), .key = BYTES_LIT("bus"), .tags = BYTES_LIT("{\"t\":\"v\"}")},
        {.offset = 3, .payload = BYTES_LIT("1")},
        {.offset = 4, .payload = BYTES_LIT("1"), .has_geo = true, .latitude_e6 = 60170000, .longitude_e6 = -24930000},
        {.offset = 5, .payload = BYTES_NULL, .key = BYTES_LIT("x")},
        {.offset = 6, .payload = BYTES_LIT("1")},
    };
    struct frame_builder b;
    (void)state;
    frame_builder_init(&b, FORM_TYPED_BINARY, &here);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct publication *p = publication_new(&parts[i]);
        frame_builder_add(&b, p);
        publication_unref(p);
    }
    struct frame_block *block = frame_builder_finish(&b);
    const struct frame_meta *m = block->metas;
    assert_non_null(m);
    assert_int_equal(m[0].key_len + m[0].tags_len + m[0].flags, 0);
    assert_int_equal(m[1].key_len, 3);
    assert_memory_equal(block->meta_bytes + m[1].key, "bus", 3);
    assert_int_equal(m[1].tags_len, 9);
    assert_memory_equal(block->meta_bytes + m[1].tags, "{\"t\":\"v\"}", 9);
    assert_int_equal(m[2].key_len + m[2].tags_len + m[2].flags, 0);
    assert_int_equal(m[3].flags, FRAME_HAS_GEO);
    assert_int_equal(m[3].latitude_e6, 60170000);
    assert_int_equal(m[3].longitude_e6, -24930000);
    assert_int_equal(m[4].flags, FRAME_REMOVED | FRAME_WAS_UNKNOWN | FRAME_RETAGGED);
    assert_memory_equal(block->meta_bytes + m[4].key, "x", 1);
    assert_int_equal(m[5].key_len + m[5].tags_len + m[5].flags, 0);
    frame_block_unref(block);

    block = one(FORM_TYPED_BINARY, &here, &parts[0]);
    assert_null(block->metas);
    frame_block_unref(block);
}

static void only_forms_of_pushes_have_a_style(void **state)
{
    struct channels_style style = {.uni = false};
    (void)state;
    assert_true(frame_form_style(FORM_CHANNELS_UNI_SSE, &style));
    assert_int_equal(style.transport, CHANNELS_SSE);
    assert_int_equal(style.encoding, CHANNELS_JSON);
    assert_true(style.uni);
    assert_true(frame_form_style(FORM_CHANNELS_PROTOBUF_DELTA, &style));
    assert_int_equal(style.transport, CHANNELS_WEBSOCKET);
    assert_int_equal(style.encoding, CHANNELS_PROTOBUF);
    assert_false(frame_form_style(FORM_TYPED_OBJECT, &style));
    assert_false(frame_form_style(FORM_ITEM_JSON, &style));
    assert_false(frame_form_style(FORM_POLL, &style));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_frames_the_same_push_for_its_transport),
        cmocka_unit_test(protobuf_forms_carry_the_bytes_as_they_are),
        cmocka_unit_test(offsets_of_a_log_that_begins_with_0_are_one_higher),
        cmocka_unit_test(a_new_epoch_is_told_with_the_first_publication_only),
        cmocka_unit_test(keys_tags_publisher_and_removals_are_told),
        cmocka_unit_test(bytes_that_are_no_json_are_an_empty_frame_with_a_flag_on_json_forms_only),
        cmocka_unit_test(joins_are_told_with_a_flag_and_other_notices_are_not),
        cmocka_unit_test(metas_begin_with_the_first_frame_that_has_one_and_say_what_filters_look_at),
        cmocka_unit_test(only_forms_of_pushes_have_a_style),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
