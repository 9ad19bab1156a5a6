#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "hub/keyed.h"

static void put(struct keyed *k, int64_t offset, const char *key, const char *payload)
{
    const struct publication_parts parts = {.offset = offset, .key = bytes_of(key), .payload = bytes_of(payload)};
    struct publication *p = publication_new(&parts);
    keyed_put(k, p);
    publication_unref(p);
}

static void collect(struct publication *p, void *arg)
{
    buf_printf(arg, "%lld:%.*s ", (long long)p->offset, (int)publication_key(p).len, publication_key(p).data);
}

static void assert_after(const struct keyed *k, int64_t offset, const char *expected)
{
    CLEANUP_BUF text = BUF_INIT;
    buf_append_str(&text, "");
    keyed_each_after(k, offset, collect, &text);
    buf_append(&text, "", 1);
    assert_string_equal(text.data, expected);
}

static void keeps_the_newest_of_each_key_in_order(void **state)
{
    struct keyed k;
    (void)state;
    keyed_init(&k);
    put(&k, 1, "a", "1");
    put(&k, 2, "b", "2");
    put(&k, 3, "a", "3");
    put(&k, 4, "c", "4");
    assert_int_equal(k.count, 3);
    assert_after(&k, -1, "2:b 3:a 4:c ");
    assert_after(&k, 2, "3:a 4:c ");
    assert_after(&k, 4, "");
    assert_int_equal(keyed_oldest(&k)->offset, 2);
    assert_int_equal(keyed_find(&k, BYTES_LIT("a"))->offset, 3);
    keyed_done(&k);
}

static void a_tombstone_removes_its_key(void **state)
{
    struct keyed k;
    (void)state;
    keyed_init(&k);
    put(&k, 1, "a", "1");
    put(&k, 2, "b", "2");
    put(&k, 3, "a", NULL);
    put(&k, 4, "nobody", NULL);
    assert_after(&k, -1, "2:b ");
    assert_null(keyed_find(&k, BYTES_LIT("a")));
    put(&k, 5, "a", "5");
    assert_after(&k, -1, "2:b 5:a ");
    keyed_done(&k);
    assert_int_equal(k.count, 0);
    assert_int_equal(k.bytes, 0);
}

static void the_empty_key_is_a_key_and_no_key_is_none(void **state)
{
    struct keyed k;
    (void)state;
    keyed_init(&k);
    put(&k, 1, NULL, "1");
    assert_int_equal(k.count, 0);
    put(&k, 2, "", "2");
    put(&k, 3, "", "3");
    assert_after(&k, -1, "3: ");
    keyed_done(&k);
}

struct names {
    struct buf text;
    int left;
};

static bool add_name(struct publication *p, void *arg)
{
    struct names *n = arg;
    buf_append_bytes(&n->text, publication_key(p));
    buf_append_str(&n->text, " ");
    return --n->left != 0;
}

static void assert_names(struct keyed *k, struct bytes after, int most, const char *expected)
{
    struct names n = {.left = most};
    keyed_each_key_after(k, after, add_name, &n);
    buf_append(&n.text, "", 1);
    assert_string_equal(n.text.data, expected);
    buf_done(&n.text);
}

static void keys_come_in_byte_order_in_pages(void **state)
{
    struct keyed k;
    (void)state;
    keyed_init(&k);
    put(&k, 1, "b", "1");
    put(&k, 2, "", "2");
    put(&k, 3, "a", "3");
    put(&k, 4, "ab", "4");
    put(&k, 5, "\xc3\xa9", "5");
    put(&k, 6, "B", "6");
    assert_names(&k, BYTES_NULL, 0, " B a ab b \xc3\xa9 ");
    assert_names(&k, BYTES_NULL, 2, " B ");
    assert_names(&k, BYTES_LIT("B"), 2, "a ab ");
    assert_names(&k, BYTES_LIT("aa"), 0, "ab b \xc3\xa9 "); /* a cursor whose key has gone */
    assert_names(&k, BYTES_LIT("\xff"), 0, "");
    put(&k, 7, "a", NULL);
    put(&k, 8, "aa", "8");
    put(&k, 9, "b", "9");
    assert_names(&k, BYTES_LIT(""), 0, "B aa ab b \xc3\xa9 ");
    keyed_done(&k);
}

/* Thousands of keys in order and in none, with removals: the tree stays whole. */
static void the_order_holds_under_many_changes(void **state)
{
    struct keyed k;
    char name[16];
    (void)state;
    keyed_init(&k);
    keyed_each_key_after(&k, BYTES_NULL, add_name, NULL);
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%04d", i);
        put(&k, i + 1, name, "x");
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%04d", i * 7919 % 5000);
        if (i % 10)
            put(&k, 5001 + i, name, i % 3 ? NULL : "y");
    }
    struct names n = {.left = 0};
    keyed_each_key_after(&k, BYTES_NULL, add_name, &n);
    assert_int_equal(n.text.len, k.count * 5);
    for (size_t i = 5; i < n.text.len; i += 5)
        assert_true(memcmp(n.text.data + i - 5, n.text.data + i, 4) < 0);
    buf_done(&n.text);
    keyed_done(&k);
}

static void remove_it(struct publication *p, void *arg)
{
    const struct publication_parts parts = {.key = publication_key(p), .payload = BYTES_NULL};
    struct publication *removal = publication_new(&parts);
    keyed_put(arg, removal);
    publication_unref(removal);
}

static void what_is_renewed_does_not_expire(void **state)
{
    struct keyed k;
    (void)state;
    keyed_init(&k);
    for (int64_t i = 1; i <= 4; i++) {
        const char name[] = {(char)('a' + i), 0};
        const struct publication_parts parts = {
            .offset = i, .time_ms = i * 100, .key = bytes_of(name), .payload = BYTES_LIT("1")};
        struct publication *p = publication_new(&parts);
        keyed_put(&k, p);
        publication_unref(p);
    }
    assert_true(keyed_renew(&k, BYTES_LIT("c"), 1000));
    assert_false(keyed_renew(&k, BYTES_LIT("x"), 1000));
    keyed_each_expired(&k, 350, remove_it, &k);
    assert_names(&k, BYTES_NULL, 0, "c e ");
    keyed_each_expired(&k, 1001, remove_it, &k);
    assert_int_equal(k.count, 0);
    keyed_done(&k);
}

static void a_key_keeps_its_version_until_it_goes(void **state)
{
    struct keyed k;
    const struct publication_parts parts = {
        .offset = 1, .key = BYTES_LIT("a"), .payload = BYTES_LIT("1"), .version = 7, .version_epoch = BYTES_LIT("e")};
    struct publication *p = publication_new(&parts);
    (void)state;
    keyed_init(&k);
    keyed_put(&k, p);
    publication_unref(p);
    put(&k, 2, "a", "2");
    const struct version *v = keyed_version(&k, BYTES_LIT("a"));
    assert_int_equal(v->number, 7);
    assert_string_equal(v->epoch, "e");
    put(&k, 3, "a", NULL);
    assert_null(keyed_version(&k, BYTES_LIT("a")));
    put(&k, 4, "a", "4");
    assert_int_equal(keyed_version(&k, BYTES_LIT("a"))->number, 0);
    keyed_done(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_in_byte_order_in_pages),
        cmocka_unit_test(the_order_holds_under_many_changes),
        cmocka_unit_test(what_is_renewed_does_not_expire),
        cmocka_unit_test(a_key_keeps_its_version_until_it_goes),
        cmocka_unit_test(keeps_the_newest_of_each_key_in_order),
        cmocka_unit_test(a_tombstone_removes_its_key),
        cmocka_unit_test(the_empty_key_is_a_key_and_no_key_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
