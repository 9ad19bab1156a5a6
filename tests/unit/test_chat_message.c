/* The pure parts of the chatroom module, compiled in here: modules are loaded, not linked. */
#include "examples/chatroom/chat_message.c"
#include "examples/chatroom/chat_rate.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct chat_limits limits = {.message_chars = 10, .name_chars = 5};

static enum chat_error read(const char *json, struct chat_message *m, char reason[CHAT_REASON_BYTES])
{
    *m = (struct chat_message){0};
    return chat_message_read(json, strlen(json), &limits, m, reason);
}

static void a_message_is_read_and_trimmed(void **state)
{
    (void)state;
    struct chat_message m;
    char reason[CHAT_REASON_BYTES];
    const char *json = "{\"message\":\" hi\\nyou \",\"sender\":\" ada \",\"room\":\"a.B-7_\",\"x\":{}}";
    assert_int_equal(read(json, &m, reason), 0);
    assert_string_equal(m.text, "hi\nyou");
    assert_string_equal(m.sender, "ada");
    assert_string_equal(m.room, "a.B-7_");
    chat_message_done(&m);
    assert_int_equal(read("{\"message\":\"hi\",\"sender\":null,\"room\":\"\"}", &m, reason), 0);
    assert_true(!m.sender[0] && !m.room[0] && !m.id[0]);
    chat_message_done(&m);
}

static void an_id_is_read_and_one_that_cannot_be_used_is_none(void **state)
{
    (void)state;
    struct chat_message m;
    char reason[CHAT_REASON_BYTES];
    assert_int_equal(read("{\"message\":\"hi\",\"id\":\"5f.3-a\"}", &m, reason), 0);
    assert_string_equal(m.id, "5f.3-a");
    chat_message_done(&m);
    static const char *const others[] = {"7", "null", "\"\"", "\"a/b\"", "\"\u00fc\""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char json[64];
        snprintf(json, sizeof json, "{\"message\":\"hi\",\"id\":%s}", others[i]);
        assert_int_equal(read(json, &m, reason), 0);
        assert_string_equal(m.id, "");
        chat_message_done(&m);
    }
}

struct refused {
    const char *json;
    enum chat_error code;
    const char *reason;
};

#define BAD_ROOM "a room's name is 1 to 64 of the characters A-Z a-z 0-9 _ . -"

static const struct refused refused[] = {
    {"", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"[1]", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"\"x\"", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"{\"message\":\"a\",\"message\":\"b\"}", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"{\"message\":\"a\\u0000\"}", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"{\"message\":\"a\\ud800\"}", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"{\"message\":\"\xff\"}", CHAT_UNDECODABLE, "the payload is no JSON object"},
    {"{}", CHAT_UNDECODABLE, "message is missing or no string"},
    {"{\"message\":7}", CHAT_UNDECODABLE, "message is missing or no string"},
    {"{\"message\":\" \\n\"}", CHAT_BAD_REQUEST, "the message is empty"},
    {"{\"message\":\"a\\u0007\"}", CHAT_BAD_REQUEST, "the message has control characters"},
    {"{\"message\":\"a\\u001b[0m\"}", CHAT_BAD_REQUEST, "the message has control characters"},
    {"{\"message\":\"12345678901\"}", CHAT_TOO_LARGE, "the message has 11 characters, allowed are 10"},
    {"{\"message\":\"a\",\"sender\":7}", CHAT_UNDECODABLE, "sender is no string"},
    {"{\"message\":\"a\",\"sender\":\"abcdef\"}", CHAT_BAD_REQUEST, "the name has 6 characters, allowed are 5"},
    {"{\"message\":\"a\",\"sender\":\"a\\nb\"}", CHAT_BAD_REQUEST, "the name has control characters"},
    {"{\"message\":\"a\",\"sender\":\"a\\u202eb\"}", CHAT_BAD_REQUEST, "the name has control characters"},
    {"{\"message\":\"a\",\"room\":\"a:b\"}", CHAT_BAD_REQUEST, BAD_ROOM},
    {"{\"message\":\"a\",\"room\":\"#\"}", CHAT_BAD_REQUEST, BAD_ROOM},
    {"{\"message\":\"a\",\"room\":[]}", CHAT_UNDECODABLE, "room is no string"},
};

static void bad_messages_are_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct chat_message m;
        char reason[CHAT_REASON_BYTES];
        int code = (int)read(refused[i].json, &m, reason);
        if (code != (int)refused[i].code || strcmp(reason, refused[i].reason) != 0)
            fail_msg("%s: got %d %s", refused[i].json, code, reason);
        assert_null(m.text);
    }
}

static void limits_count_characters_not_bytes(void **state)
{
    (void)state;
    struct chat_message m;
    char reason[CHAT_REASON_BYTES];
    /* Ten characters of four bytes, five of two. */
    assert_int_equal(read("{\"message\":\"\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00"
                          "\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\\ud83d\\ude00\","
                          "\"sender\":\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\"}", &m, reason), 0);
    assert_int_equal(strlen(m.text), 40);
    chat_message_done(&m);
}

static void what_is_written_has_our_members_only(void **state)
{
    (void)state;
    struct chat_message m = {.text = strdup("a\"b\xc3\xa9"), .room = "lobby", .sender = "ada"};
    char *json = chat_message_write(&m, 1769850300042, "");
    assert_string_equal(json, "{\"message\":\"a\\\"b\xc3\xa9\",\"sender\":\"ada\","
                              "\"timestamp\":\"2026-01-31T09:05:00.042Z\",\"room\":\"lobby\"}");
    free(json);
    json = chat_message_write(&m, 0, "m-1");
    assert_non_null(strstr(json, ",\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"room\":\"lobby\",\"id\":\"m-1\"}"));
    free(json);
    chat_message_done(&m);
}

static void room_names_follow_their_grammar(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(chat_token_valid("lobby", 5));
    assert_true(chat_token_valid(longest, 64));
    assert_false(chat_token_valid(longest, 65));
    assert_false(chat_token_valid("", 0));
    assert_false(chat_token_valid("a b", 3));
    assert_false(chat_token_valid("a\0b", 3));
    assert_false(chat_token_valid("*", 1));
    assert_false(chat_token_valid("\xc3\xbc", 2));
}

static void ten_messages_at_once_then_one_a_second(void **state)
{
    (void)state;
    struct chat_rate r;
    int64_t wait_ms = 0;
    chat_rate_init(&r, 5000);
    for (int i = 0; i < 10; i++)
        assert_true(chat_rate_take(&r, 10, 5000, &wait_ms));
    assert_false(chat_rate_take(&r, 10, 5400, &wait_ms));
    assert_int_equal(wait_ms, 600);
    assert_true(chat_rate_take(&r, 10, 6000, &wait_ms));
    assert_false(chat_rate_take(&r, 10, 6999, &wait_ms));
    /* A long silence gives ten again, not more. */
    for (int i = 0; i < 10; i++)
        assert_true(chat_rate_take(&r, 10, 900000, &wait_ms));
    assert_false(chat_rate_take(&r, 10, 900000, &wait_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_read_and_trimmed),
        cmocka_unit_test(an_id_is_read_and_one_that_cannot_be_used_is_none),
        cmocka_unit_test(bad_messages_are_refused_with_a_reason),
        cmocka_unit_test(limits_count_characters_not_bytes),
        cmocka_unit_test(what_is_written_has_our_members_only),
        cmocka_unit_test(room_names_follow_their_grammar),
        cmocka_unit_test(ten_messages_at_once_then_one_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
