/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config.h"
#include "hub/hub.h"
#include "session/rights.h"

static const char base[] = "[[namespace]]\nname = 'open'\npublish = true\n"
                           "[[namespace]]\nname = 'closed'\nsubscribe = false\n"
                           "[[namespace]]\nname = 'users'\npublish = true\nanonymous = false\n"
                           "[[namespace]]\nname = 'members'\npublish = true\npublish_subscribed = true\n"
                           "[[namespace]]\nname = 'secret'\nread_history = false\nread_presence = false\n"
                           "[[namespace]]\nname = 'named'\npattern = '[a-z]+'\n"
                           "[[namespace]]\nname = 'plain'\nuser_channels = ''\ntoken_channels = ''\n"
                           "[[namespace]]\nname = 'map'\nkeyed = true\nmap_publish = true\nmap_remove = true\n"
                           "[[namespace]]\nname = 'rows'\nkeyed = true\nmap_publish = true\nclient_key = 'user'\n"
                           "[[namespace]]\nname = 'default'\n";

static struct config *load(const char *more)
{
    char path[] = "/tmp/crier-rights-XXXXXX";
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    FILE *file = fdopen(mkstemp(path), "w");
    fprintf(file, "%s%s", base, more);
    fclose(file);
    struct config *c = config_load(path, NULL, 0, &faults, &notes);
    unlink(path);
    if (!c)
        fail_msg("%.*s", (int)faults.len, faults.data);
    return c;
}

static struct config *config;

static int set_up(void **state)
{
    (void)state;
    config = load("");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    config_free(config);
    return 0;
}

struct check {
    const char *channel, *user;
    enum right right;
    unsigned facts;
    int want; /* enum crier_error */
};

enum {
    OK = CRIER_OK,
    NO = CRIER_ERR_PERMISSION_DENIED,
    BAD = CRIER_ERR_BAD_REQUEST,
    NONE = CRIER_ERR_UNKNOWN_CHANNEL,
    SUB = RIGHT_SUBSCRIBED,
    TOKEN = RIGHT_HAS_TOKEN,
};

static void expect(const struct config *c, const struct check *checks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct check *k = &checks[i];
        struct bytes channel = bytes_of(k->channel);
        enum crier_error got = rights_of_user(c, config_namespace_of(c, channel), k->user, channel, k->right, k->facts);
        if ((int)got != k->want)
            fail_msg("row %zu: %s of '%s' (right %d, facts %u) gave %d, not %d", i, k->channel, k->user, (int)k->right,
                     k->facts, (int)got, k->want);
    }
}

#define EXPECT(...)                                                                                                    \
    do {                                                                                                               \
        static const struct check rows[] = {__VA_ARGS__};                                                              \
        expect(config, rows, sizeof rows / sizeof *rows);                                                              \
    } while (0)

static void test_namespace_gives_rights(void **state)
{
    (void)state;
    EXPECT({"open:a", "", RIGHT_SUBSCRIBE, 0, OK}, {"open:a", "", RIGHT_PUBLISH, 0, OK},
           {"open:a", "", RIGHT_HISTORY, 0, OK}, {"open:a", "", RIGHT_PRESENCE, 0, OK},
           {"open:a", "ann", RIGHT_MAP_PUBLISH, SUB, NO}, {"a", "ann", RIGHT_PUBLISH, SUB, NO},
           {"closed:a", "ann", RIGHT_SUBSCRIBE, 0, NO}, {"closed:a", "ann", RIGHT_HISTORY, 0, NO},
           {"closed:a", "ann", RIGHT_PRESENCE, 0, NO}, {"closed:a", "ann", RIGHT_SUBSCRIBE, TOKEN, OK},
           {"closed:a", "ann", RIGHT_HISTORY, SUB, OK}, {"closed:a", "ann", RIGHT_PRESENCE, SUB, OK},
           {"closed:a", "ann", RIGHT_PUBLISH, SUB, NO}, {"nowhere:a", "ann", RIGHT_SUBSCRIBE, TOKEN, NONE});
}

static void test_anonymous_needs_the_namespaces_leave(void **state)
{
    (void)state;
    EXPECT({"users:a", "", RIGHT_SUBSCRIBE, 0, NO}, {"users:a", "ann", RIGHT_SUBSCRIBE, 0, OK},
           {"users:a", "", RIGHT_PUBLISH, SUB, NO}, {"users:a", "ann", RIGHT_PUBLISH, 0, OK},
           {"users:a", "", RIGHT_HISTORY, 0, NO}, {"users:a", "", RIGHT_PRESENCE, 0, NO},
           {"users:a", "", RIGHT_SUBSCRIBE, TOKEN, OK}, {"users:a", "", RIGHT_HISTORY, SUB, OK});
}

static void test_only_subscribers_publish(void **state)
{
    (void)state;
    EXPECT({"members:a", "ann", RIGHT_PUBLISH, 0, NO}, {"members:a", "ann", RIGHT_PUBLISH, SUB, OK},
           {"members:a", "", RIGHT_PUBLISH, SUB, OK}, {"members:a", "ann", RIGHT_PUBLISH, TOKEN, NO});
}

static void test_reading_can_be_off(void **state)
{
    (void)state;
    EXPECT({"secret:a", "ann", RIGHT_SUBSCRIBE, 0, OK}, {"secret:a", "ann", RIGHT_HISTORY, 0, NO},
           {"secret:a", "ann", RIGHT_HISTORY, SUB, NO}, {"secret:a", "ann", RIGHT_PRESENCE, SUB | TOKEN, NO});
}

static void test_token_channels(void **state)
{
    (void)state;
    EXPECT({"$open:a", "ann", RIGHT_SUBSCRIBE, 0, NO}, {"$open:a", "ann", RIGHT_SUBSCRIBE, TOKEN, OK},
           {"$open:a", "ann", RIGHT_PUBLISH, 0, NO}, {"$open:a", "ann", RIGHT_PUBLISH, SUB, OK},
           {"$open:a", "ann", RIGHT_HISTORY, 0, NO}, {"$open:a", "ann", RIGHT_HISTORY, SUB, OK},
           {"$open:a", "ann", RIGHT_SUBSCRIBE, SUB, NO}, {"$closed:a", "ann", RIGHT_SUBSCRIBE, TOKEN, OK},
           {"$a", "ann", RIGHT_SUBSCRIBE, 0, NO}, {"open:$a", "ann", RIGHT_SUBSCRIBE, 0, OK},
           {"$plain:a", "ann", RIGHT_SUBSCRIBE, 0, NONE}, {"plain:$a", "ann", RIGHT_SUBSCRIBE, 0, OK});
}

static void test_channels_of_users(void **state)
{
    (void)state;
    EXPECT({"open:x#ann", "ann", RIGHT_SUBSCRIBE, 0, OK}, {"open:x#ann", "ben", RIGHT_SUBSCRIBE, 0, NO},
           {"open:x#ann", "", RIGHT_SUBSCRIBE, 0, NO}, {"open:x#ann,ben", "ben", RIGHT_SUBSCRIBE, 0, OK},
           {"open:x#ann,ben", "en", RIGHT_SUBSCRIBE, 0, NO}, {"open:x#ann,ben", "ann,ben", RIGHT_SUBSCRIBE, 0, NO},
           {"open:#ann", "ann", RIGHT_SUBSCRIBE, 0, OK}, {"open:x#", "", RIGHT_SUBSCRIBE, 0, NO},
           {"open:x#,", "", RIGHT_SUBSCRIBE, 0, NO}, {"#ann", "ann", RIGHT_SUBSCRIBE, 0, OK},
           {"#ann", "ben", RIGHT_SUBSCRIBE, 0, NO}, {"open:x#ann", "ben", RIGHT_PUBLISH, 0, NO},
           {"open:x#ann", "ann", RIGHT_PUBLISH, 0, OK}, {"open:x#ann", "ben", RIGHT_HISTORY, 0, NO},
           {"open:x#ann", "ben", RIGHT_SUBSCRIBE, TOKEN, OK}, {"open:x#ann", "ben", RIGHT_PUBLISH, SUB, OK},
           {"closed:x#ann", "ann", RIGHT_SUBSCRIBE, 0, NO}, {"$open:x#ann", "ann", RIGHT_SUBSCRIBE, 0, NO},
           {"plain:x#ann", "ben", RIGHT_SUBSCRIBE, 0, OK});
}

static void test_names_fit_the_pattern(void **state)
{
    (void)state;
    EXPECT({"named:abc", "", RIGHT_SUBSCRIBE, 0, OK}, {"named:abc1", "", RIGHT_SUBSCRIBE, 0, BAD},
           {"named:", "", RIGHT_PUBLISH, SUB, BAD}, {"$named:abc", "", RIGHT_SUBSCRIBE, TOKEN, OK},
           {"$named:1", "", RIGHT_SUBSCRIBE, TOKEN, BAD});
}

static void test_maps(void **state)
{
    (void)state;
    EXPECT({"map:a", "", RIGHT_MAP_PUBLISH, 0, OK}, {"map:a", "", RIGHT_MAP_REMOVE, 0, OK},
           {"map:a", "ann", RIGHT_PUBLISH, 0, NO}, {"rows:a", "ann", RIGHT_MAP_PUBLISH, 0, OK},
           {"rows:a", "", RIGHT_MAP_PUBLISH, 0, NO}, {"rows:a", "ann", RIGHT_MAP_REMOVE, SUB, NO},
           {"$map:a", "ann", RIGHT_MAP_PUBLISH, 0, NO}, {"$map:a", "ann", RIGHT_MAP_PUBLISH, SUB, OK});
}

static void test_insecure_allows_all_but_wrong_names(void **state)
{
    (void)state;
    struct config *c = load("[debug]\ninsecure = true\n");
    static const struct check rows[] = {
        {"closed:a", "", RIGHT_SUBSCRIBE, 0, OK},    {"$open:a", "", RIGHT_SUBSCRIBE, 0, OK},
        {"open:x#ann", "", RIGHT_PUBLISH, 0, OK},    {"secret:a", "", RIGHT_HISTORY, 0, OK},
        {"users:a", "", RIGHT_MAP_REMOVE, 0, OK},    {"named:1", "", RIGHT_SUBSCRIBE, 0, BAD},
        {"nowhere:a", "", RIGHT_SUBSCRIBE, 0, NONE},
    };
    expect(c, rows, sizeof rows / sizeof *rows);
    config_free(c);
}

static void test_restricted_names(void **state)
{
    (void)state;
    static const char *const names[] = {"$open:a", "open:#ann", "$x", "x#"};
    for (size_t i = 0; i < 4; i++)
        assert_true(rights_restricted(config_namespace_of(config, bytes_of(names[i])), bytes_of(names[i])));
    static const char *const others[] = {"open:a", "plain:#ann", "open:$a", "x"};
    for (size_t i = 0; i < 4; i++)
        assert_false(rights_restricted(config_namespace_of(config, bytes_of(others[i])), bytes_of(others[i])));
}

static void test_names_of_users_and_tokens_are_names(void **state)
{
    (void)state;
    static const char *const good[] = {"$chat:lobby", "dialog#ann,ben", "a:b#c@d.e", "x~1=3!"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(channel_name_valid(config, bytes_of(good[i])));
    static const char *const bad[] = {"",   "a/b", "a+b", "a%b",      "a b",   "a\n", "a\"b", "a\\b",
                                      "a*", "a?",  "a[",  "\xc3\xa4", "a\x7f", "{a}", "a'b",  "<a>"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(channel_name_valid(config, bytes_of(bad[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_namespace_gives_rights),
        cmocka_unit_test(test_anonymous_needs_the_namespaces_leave),
        cmocka_unit_test(test_only_subscribers_publish),
        cmocka_unit_test(test_reading_can_be_off),
        cmocka_unit_test(test_token_channels),
        cmocka_unit_test(test_channels_of_users),
        cmocka_unit_test(test_names_fit_the_pattern),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_insecure_allows_all_but_wrong_names),
        cmocka_unit_test(test_restricted_names),
        cmocka_unit_test(test_names_of_users_and_tokens_are_names),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
