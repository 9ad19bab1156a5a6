/* What deltas are against, in chains and in lists of items. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "hub/delta.h"
#include "hub/frame.h"
#include "proto/fossil.h"
#include "proto/utf8.h"

#define LONG "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0123456789"

static struct publication *made(int64_t offset, const char *key, const char *payload)
{
    const struct publication_parts parts = {.offset = offset, .key = bytes_of(key), .payload = bytes_of(payload)};
    return publication_new(&parts);
}

/* Feeds one publication; what comes out is a delta that makes it of `base`, or with `base` NULL no delta. */
static void next(struct delta_chain *c, struct publication *p, bool wanted, const char *base)
{
    CLEANUP_BUF delta = BUF_INIT, again = BUF_INIT;
    assert_int_equal(delta_chain_next(c, p, wanted, &delta), base != NULL);
    if (base) {
        assert_int_equal(fossil_apply(bytes_of(base), buf_bytes(&delta), 4096, &again), 0);
        assert_true(bytes_eq(buf_bytes(&again), publication_payload(p)));
        assert_true(delta.len < p->payload_len);
    } else {
        assert_int_equal(delta.len, 0);
    }
    publication_unref(p);
}

static void a_delta_is_against_the_publication_before(void **state)
{
    struct delta_chain c;
    (void)state;
    delta_chain_init(&c, false);
    next(&c, made(1, NULL, "{\"n\":1,\"pad\":\"" LONG "\"}"), true, NULL);
    next(&c, made(2, "k", "{\"n\":2,\"pad\":\"" LONG "\"}"), true, "{\"n\":1,\"pad\":\"" LONG "\"}");
    next(&c, made(3, "l", "{\"n\":3,\"pad\":\"" LONG "\"}"), true, "{\"n\":2,\"pad\":\"" LONG "\"}");
    delta_chain_done(&c);
}

static void what_is_no_shorter_or_not_wanted_is_in_full_and_the_chain_goes_on(void **state)
{
    struct delta_chain c;
    (void)state;
    delta_chain_init(&c, false);
    next(&c, made(1, NULL, "{\"a\":\"" LONG "\"}"), true, NULL);
    next(&c, made(2, NULL, "1"), true, NULL);
    next(&c, made(3, NULL, "{\"b\":\"" LONG "\"}"), true, NULL);
    next(&c, made(4, NULL, "{\"c\":\"" LONG "\"}"), false, NULL);
    next(&c, made(5, NULL, "{\"d\":\"" LONG "\"}"), true, "{\"c\":\"" LONG "\"}");
    delta_chain_done(&c);
}

static void in_keyed_channels_each_key_has_its_own_chain_until_it_is_removed(void **state)
{
    struct delta_chain c;
    (void)state;
    delta_chain_init(&c, true);
    next(&c, made(1, "a", "{\"a\":1,\"pad\":\"" LONG "\"}"), true, NULL);
    next(&c, made(2, "b", "{\"b\":1,\"pad\":\"" LONG "\"}"), true, NULL);
    next(&c, made(3, "a", "{\"a\":2,\"pad\":\"" LONG "\"}"), true, "{\"a\":1,\"pad\":\"" LONG "\"}");
    next(&c, made(4, "a", NULL), true, NULL);
    next(&c, made(5, "a", "{\"a\":3,\"pad\":\"" LONG "\"}"), true, NULL);
    next(&c, made(6, "b", "{\"b\":2,\"pad\":\"" LONG "\"}"), true, "{\"b\":1,\"pad\":\"" LONG "\"}");
    delta_chain_done(&c);
}

static void what_is_not_in_the_history_is_no_base(void **state)
{
    const struct publication_parts parts = {
        .offset = 1, .payload = BYTES_LIT("{\"n\":2,\"pad\":\"" LONG "\"}"), .unnumbered = true};
    struct delta_chain c;
    (void)state;
    delta_chain_init(&c, false);
    next(&c, made(1, NULL, "{\"n\":1,\"pad\":\"" LONG "\"}"), true, NULL);
    next(&c, publication_new(&parts), true, NULL);
    next(&c, made(2, NULL, "{\"n\":3,\"pad\":\"" LONG "\"}"), true, NULL);
    delta_chain_done(&c);
}

static void deltas_of_text_are_text_and_those_of_bytes_need_not_be(void **state)
{
    static const char before[] = "{\"t\":\"" LONG "\xc3\xa9" LONG "\"}";
    static const char after[] = "{\"t\":\"" LONG "\xc3\xa8" LONG "\"}";
    struct delta_chain c;
    CLEANUP_BUF delta = BUF_INIT;
    (void)state;
    delta_chain_init(&c, false);
    next(&c, made(1, NULL, before), true, NULL);
    struct publication *p = made(2, NULL, after);
    assert_true(delta_chain_next(&c, p, true, &delta));
    assert_true(utf8_valid(delta.data, delta.len));
    publication_unref(p);
    next(&c, made(3, NULL, "\xff" LONG LONG), true, after);
    next(&c, made(4, NULL, "\xfe" LONG LONG), true, "\xff" LONG LONG);
    delta_chain_done(&c);
}

static void a_list_begins_in_full_and_goes_on_with_deltas(void **state)
{
    static const struct frame_channel channel = {.name = {"chat:a", 6}, .delta_always = true};
    struct frame_builder b;
    CLEANUP_BUF text = BUF_INIT;
    (void)state;
    frame_builder_init(&b, FORM_ITEM_DELTA, &channel);
    for (int i = 1; i <= 3; i++) {
        char payload[200];
        snprintf(payload, sizeof payload, "{\"n\":%d,\"pad\":\"%s\"}", i, LONG);
        struct publication *p = made(i + 1, NULL, payload);
        frame_builder_add(&b, p);
        publication_unref(p);
    }
    struct frame_block *block = frame_builder_finish(&b);
    assert_int_equal(block->count, 3);
    buf_append(&text, block->bytes, block->len);
    buf_append(&text, "", 1);
    static const char full[] = "{\"data\":\"{\\\"n\\\":1,\\\"pad\\\":\\\"" LONG "\\\"}\",\"offset\":2}";
    assert_memory_equal(text.data, full, sizeof full - 1);
    const char *second = text.data + block->marks[0].end, *third = text.data + block->marks[1].end;
    assert_non_null(strstr(second, "\"delta\":true"));
    assert_true(third - second < 70);
    assert_non_null(strstr(third, "\"delta\":true"));
    assert_null(strstr(second, LONG));
    frame_block_unref(block);

    static const struct frame_channel on_request = {.name = {"chat:a", 6}};
    frame_builder_init(&b, FORM_ITEM_DELTA, &on_request);
    for (int i = 1; i <= 2; i++) {
        const struct publication_parts parts = {
            .offset = i, .payload = BYTES_LIT("{\"pad\":\"" LONG "\"}"), .wants_delta = i == 2};
        struct publication *p = publication_new(&parts);
        frame_builder_add(&b, p);
        frame_builder_add(&b, p);
        publication_unref(p);
    }
    block = frame_builder_finish(&b);
    assert_int_equal(block->marks[1].end, 2 * block->marks[0].end); /* nobody asked for a delta of these */
    assert_true(block->marks[2].end - block->marks[1].end < 70);
    frame_block_unref(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delta_is_against_the_publication_before),
        cmocka_unit_test(what_is_no_shorter_or_not_wanted_is_in_full_and_the_chain_goes_on),
        cmocka_unit_test(in_keyed_channels_each_key_has_its_own_chain_until_it_is_removed),
        cmocka_unit_test(what_is_not_in_the_history_is_no_base),
        cmocka_unit_test(deltas_of_text_are_text_and_those_of_bytes_need_not_be),
        cmocka_unit_test(a_list_begins_in_full_and_goes_on_with_deltas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
