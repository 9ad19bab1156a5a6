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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_newest_of_each_key_in_order),
        cmocka_unit_test(a_tombstone_removes_its_key),
        cmocka_unit_test(the_empty_key_is_a_key_and_no_key_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
