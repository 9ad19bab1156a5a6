/* Publications in frames that are compressed: what is, what is not, and that it is the same message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hub/frame.h"
#include "hub/frame_deflate.h"
#include "util/metrics.h"

#define MIN_BYTES 100

static struct frame_deflate deflate;
static struct frame_channel channel = {.name = {"chat:a", 6}, .message_type = 1, .epoch = "EPOC", .deflate = &deflate};

static int setup(void **state)
{
    (void)state;
    frame_deflate_init(&deflate, &(struct config_server){.compression_min_bytes = MIN_BYTES});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    frame_deflate_done(&deflate);
    return 0;
}

static char text[400];

/* A JSON string of `len` bytes; `random` ones do not compress. */
static struct bytes payload_of(size_t len, bool random)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_#+*~^<>!$%&/()=?[]{};:.,@|`'";
    for (size_t i = 0; i < len; i++)
        text[i] = random ? letters[(unsigned)rand() % (sizeof letters - 1)] : 'x';
    text[0] = text[len - 1] = '"';
    return (struct bytes){text, len};
}

static void add(struct frame_builder *b, int64_t offset, struct bytes payload)
{
    struct publication *p = publication_new(&(struct publication_parts){.offset = offset, .payload = payload});
    frame_builder_add(b, p);
    publication_unref(p);
}

static struct frame_block *build(enum frame_form form, const struct bytes *payloads, size_t count)
{
    struct frame_builder b;
    frame_builder_init(&b, form, &channel);
    for (size_t i = 0; i < count; i++)
        add(&b, (int64_t)i + 1, payloads[i]);
    return frame_builder_finish(&b);
}

static struct bytes frame_at(const struct frame_block *b, uint32_t i)
{
    uint32_t start = i ? b->marks[i - 1].end : 0;
    return (struct bytes){b->bytes + start, b->marks[i].end - start};
}

static bool is_compressed(struct bytes frame)
{
    return frame.data[0] & 0x40;
}

static void every_websocket_form_has_a_twin_with_the_same_messages(void **state)
{
    static const enum frame_form forms[] = {FORM_TYPED_BINARY, FORM_TYPED_PROTOBUF, FORM_TYPED_STRING, FORM_TYPED_OBJECT,
                                            FORM_CHANNELS_JSON, FORM_CHANNELS_PROTOBUF, FORM_CHANNELS_UNI,
                                            FORM_CHANNELS_JSON_STRING, FORM_CHANNELS_JSON_DELTA,
                                            FORM_CHANNELS_PROTOBUF_DELTA};
    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        CLEANUP_BUF first = BUF_INIT;
        buf_append_bytes(&first, payload_of(150, false));
        const struct bytes payloads[] = {buf_bytes(&first), payload_of(300, false)};
        struct frame_block *plain = build(forms[i], payloads, 2);
        struct frame_block *twin = build(frame_form_deflated(forms[i], true), payloads, 2);
        assert_int_equal(twin->count, 2);
        assert_int_equal(twin->marks[1].end, twin->len);
        assert_true(twin->len < plain->len / 2);
        for (uint32_t k = 0; k < 2; k++) {
            struct bytes sent = frame_at(twin, k), expected = frame_at(plain, k);
            assert_true(is_compressed(sent));
            assert_false(is_compressed(expected));
            assert_int_equal(twin->marks[k].offset, plain->marks[k].offset);
            assert_true(bytes_eq(frame_inflated(&deflate, sent), expected));
        }
        frame_block_unref(plain);
        frame_block_unref(twin);
    }
}

static void what_is_short_or_does_not_get_shorter_goes_out_as_it_is(void **state)
{
    (void)state;
    CLEANUP_BUF noise = BUF_INIT;
    buf_append_bytes(&noise, payload_of(120, true));
    /* The type of a binary message of the typed wire takes 4 of the bytes. */
    CLEANUP_BUF below = BUF_INIT;
    buf_append_bytes(&below, payload_of(MIN_BYTES - 5, false));
    const struct bytes payloads[] = {buf_bytes(&noise), buf_bytes(&below), payload_of(MIN_BYTES - 4, false)};
    int64_t before = metric_total(M_COMPRESSIONS), in = metric_total(M_COMPRESS_BYTES_IN),
            out = metric_total(M_COMPRESS_BYTES_OUT);
    struct frame_block *plain = build(FORM_TYPED_BINARY, payloads, 3);
    struct frame_block *twin = build(frame_form_deflated(FORM_TYPED_BINARY, true), payloads, 3);
    assert_true(bytes_eq(frame_at(twin, 0), frame_at(plain, 0)));
    assert_true(bytes_eq(frame_at(twin, 1), frame_at(plain, 1)));
    assert_true(is_compressed(frame_at(twin, 2)));
    assert_ptr_equal(frame_inflated(&deflate, frame_at(twin, 0)).data, frame_at(twin, 0).data);
    size_t tried = frame_at(plain, 0).len + frame_at(plain, 2).len;
    assert_int_equal(metric_total(M_COMPRESSIONS) - before, 2); /* the noise was tried */
    assert_int_equal(metric_total(M_COMPRESS_BYTES_IN) - in, tried);
    assert_int_equal(metric_total(M_COMPRESS_BYTES_OUT) - out, frame_at(twin, 0).len + frame_at(twin, 2).len);
    frame_block_unref(plain);
    frame_block_unref(twin);
}

static void notices_and_empty_frames_keep_their_places(void **state)
{
    (void)state;
    struct frame_builder b;
    frame_builder_init(&b, frame_form_deflated(FORM_CHANNELS_JSON, true), &channel);
    add(&b, 1, BYTES_LIT("no json")); /* an empty frame */
    frame_builder_add_notice(&b, &(struct frame_notice){.type = TYPED_JOIN, .json = BYTES_LIT("{}"),
                                                        .info = payload_of(200, false)}, 1);
    add(&b, 2, payload_of(200, false));
    struct frame_block *block = frame_builder_finish(&b);
    assert_int_equal(block->count, 3);
    assert_int_equal(frame_at(block, 0).len, 0);
    assert_int_equal(block->metas[0].flags, FRAME_NOT_JSON);
    assert_int_equal(block->metas[1].flags, FRAME_JOIN_LEAVE);
    assert_true(is_compressed(frame_at(block, 1)));
    assert_true(is_compressed(frame_at(block, 2)));
    frame_block_unref(block);
}

static void a_twin_stays_one_on_its_way_to_deltas_and_its_items_are_plain(void **state)
{
    struct channels_style style;
    const enum frame_form json = frame_form_deflated(FORM_CHANNELS_JSON, true);
    (void)state;
    assert_int_equal(frame_form_deflated(FORM_CHANNELS_JSON, false), FORM_CHANNELS_JSON);
    assert_int_not_equal(json, FORM_CHANNELS_JSON);
    assert_int_equal(frame_form_plain(json), FORM_CHANNELS_JSON);
    assert_true(FORM_COUNT <= FORM_DEFLATED);
    assert_int_equal(frame_form_before_deltas(json), frame_form_deflated(FORM_CHANNELS_JSON_STRING, true));
    assert_int_equal(frame_form_of_deltas(json), frame_form_deflated(FORM_CHANNELS_JSON_DELTA, true));
    assert_true(frame_form_has_deltas(frame_form_of_deltas(json)));
    assert_int_equal(frame_form_items(frame_form_of_deltas(json)), FORM_ITEM_DELTA);
    assert_int_equal(frame_form_items(frame_form_deflated(FORM_CHANNELS_PROTOBUF, true)), FORM_ITEM_PROTOBUF);
    assert_true(frame_form_style(json, &style));
    assert_int_equal(style.transport, CHANNELS_WEBSOCKET);
    assert_false(frame_form_style(frame_form_deflated(FORM_TYPED_OBJECT, true), &style));
}

static void messages_of_every_length_form_come_back(void **state)
{
    static const size_t sizes[] = {100, 125, 126, 127, 65535, 65536, FRAME_DEFLATE_MAX, FRAME_DEFLATE_MAX + 1};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CLEANUP_BUF big = BUF_INIT;
        for (size_t n = 4; n < sizes[i]; n++)
            buf_append(&big, &"abc"[n % 3], 1);
        const struct bytes payload = buf_bytes(&big);
        struct frame_block *plain = build(FORM_TYPED_BINARY, &payload, 1);
        struct frame_block *twin = build(frame_form_deflated(FORM_TYPED_BINARY, true), &payload, 1);
        assert_int_equal(is_compressed(frame_at(twin, 0)), sizes[i] <= FRAME_DEFLATE_MAX);
        assert_true(bytes_eq(frame_inflated(&deflate, frame_at(twin, 0)), frame_at(plain, 0)));
        frame_block_unref(plain);
        frame_block_unref(twin);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_websocket_form_has_a_twin_with_the_same_messages),
        cmocka_unit_test(what_is_short_or_does_not_get_shorter_goes_out_as_it_is),
        cmocka_unit_test(notices_and_empty_frames_keep_their_places),
        cmocka_unit_test(a_twin_stays_one_on_its_way_to_deltas_and_its_items_are_plain),
        cmocka_unit_test(messages_of_every_length_form_come_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
