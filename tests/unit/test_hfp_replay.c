/* Lines of recordings; the tool is a program, so its part is compiled in here. */
#include "examples/realtimemap/crier-hfp/replay_line.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct {
    const char *line;
    int64_t time_ms;
    const char *topic, *payload;
} good[] = {
    {"2024-02-13T16:33:00.005271Z /hfp/v2/deadrun/ongoing/vp/bus/0018/01029 {\"VP\":{}}\n", 1707841980005,
     "/hfp/v2/deadrun/ongoing/vp/bus/0018/01029", "{\"VP\":{}}"},
    {"2024-02-13T16:33:00Z /hfp/v2/a/1004 4/1/It\u00e4keskus (M)/7:20 {\"VP\": {\"desi\": \"a {b\"}}\r\n",
     1707841980000, "/hfp/v2/a/1004 4/1/It\u00e4keskus (M)/7:20", "{\"VP\": {\"desi\": \"a {b\"}}"},
    {"2024-02-29T00:00:59.9Z /a b c nonsense", 1709164859900, "/a b c", "nonsense"},
    {"1970-01-01T00:00:00Z / ", 0, "/", ""},
};

static void lines_are_cut_in_three(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct replay_line line;
        assert_int_equal(replay_line_parse(bytes_of(good[i].line), &line), 0);
        assert_int_equal(line.time_ms, good[i].time_ms);
        assert_true(bytes_eq_str(line.topic, good[i].topic));
        assert_true(bytes_eq_str(line.payload, good[i].payload));
    }
}

static void other_lines_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "\n",
        " ",
        "x",
        "2024-02-13T16:33:00Z",
        "2024-02-13T16:33:00Z ",
        "2024-02-13T16:33:00Z /topic",
        "2024-02-13T16:33:00Z  {\"VP\":{}}",
        "yesterday /topic {}",
        "2024-02-13T16:33:00 /topic {}",
        "2024-02-13T16:33:00Zx /topic {}",
        "2024-02-13T16:33:77Z /topic {}",
        "2024-02-13T16:33:nanZ /topic {}",
        "2024-02-13T16:33:00.00000000000000000000000000000000000000000000000Z /topic {}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct replay_line line = {.time_ms = 77};
        if (replay_line_parse(bytes_of(bad[i]), &line) != -EBADMSG)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(line.time_ms, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_cut_in_three),
        cmocka_unit_test(other_lines_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
