/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "config/config_schema.h"

/* Tests run in a folder of their own, so that faults name the file as t.toml. */
static char folder[] = "/tmp/crier-config-XXXXXX";

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(chmod(path, mode), 0);
}

static struct buf read_file(const char *path)
{
    struct buf text = BUF_INIT;
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    for (int c; (c = getc(file)) != EOF;)
        buf_append(&text, &(char){(char)c}, 1);
    fclose(file);
    buf_append(&text, "", 1);
    text.len--;
    return text;
}

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 && mkdir("web", 0700) == 0 ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static int leave_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 ? nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS) : -1;
}

static struct config *load(const char *toml, const char *const *overrides, struct buf *faults, struct buf *notes)
{
    struct config_override list[8];
    size_t count = 0;
    for (; overrides && overrides[count]; count++)
        list[count].text = overrides[count];
    write_file("t.toml", toml, 0600);
    struct config *c = config_load("t.toml", list, count, faults, notes);
    buf_append(faults, "", 1);
    buf_append(notes, "", 1);
    return c;
}

static struct config *load_sound(const char *toml, const char *const *overrides)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *c = load(toml, overrides, &faults, &notes);
    if (!c)
        fail_msg("%s", faults.data);
    assert_string_equal(faults.data, "");
    return c;
}

static void expect_faults(const char *toml, const char *const *overrides, const char *want)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *c = load(toml, overrides, &faults, &notes);
    assert_string_equal(faults.data, want);
    assert_null(c);
}

static void expect_notes(const char *toml, const char *want)
{
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    struct config *c = load(toml, NULL, &faults, &notes);
    assert_string_equal(faults.data, "");
    assert_string_equal(notes.data, want);
    config_free(c);
}

#define BRIDGE "[[bridge]]\nname='b'\ndriver='embedded'\nservers='x.db'\n"
#define CHAT   "[[namespace]]\nname='chat'\n"

/* ---- what is read ---- */

static void test_empty_file_gives_defaults(void **state)
{
    (void)state;
    struct config *c = load_sound("", NULL);
    assert_string_equal(c->server.listen, "127.0.0.1:8800");
    assert_string_equal(c->server.web, "");
    assert_int_equal(c->server.drain_ms, 25000);
    assert_true(c->auth.anonymous);
    assert_int_equal(c->limits.message_bytes, 65536);
    assert_int_equal(c->limits.frame_log_bytes, 262144);
    assert_int_equal(c->limits.ping_ms, 25000);
    assert_int_equal(c->log.level, LOG_LEVEL_INFO);
    assert_false(c->debug.echo || c->debug.insecure);
    assert_int_equal(c->bridge_count + c->namespace_count + c->source_count + c->sink_count + c->module_count, 0);
    assert_null(c->hmac_secret);
    assert_null(c->api_key);
    config_free(c);
}

static void test_values_reach_their_fields(void **state)
{
    (void)state;
    struct config *c =
        load_sound("[server]\nlisten = '[::1]:0'\nloops = 2\nweb = 'web'\n"
                   "[auth]\nallowed_origins = ['https://a.example', 'http://b:81']\nanonymous = false\n"
                   "[limits]\nmessage_bytes = '1MiB'\nping_ms = 1500\nidle_ms = '7d'\n"
                   "[log]\nlevel = 'warn'\nformat = 'json'\n" BRIDGE
                   "options = { acks = 'all', linger.ms = 5, x = [1, 'a', {b = true}], f = 0.5 }\n" CHAT
                   "history_ttl = '15m'\nbehind = 'skip'\nkey_ttl = '250ms'\ncodec = 'protobuf'\n"
                   "[[source]]\nbridge = 'b'\ntopic = 't'\nchannel = 'chat:{key}'\n"
                   "from = 2026-01-31T08:00:00.25+01:00\ntags = { line = '{payload.line}' }\n"
                   "mode = 'shared'\ngroup = 'g'\n"
                   "[[sink]]\nchannel = 'chat:*'\nbridge = 'b'\ntopic = '{channel.1}'\nretain = true\n"
                   "[[relay]]\nfrom_bridge='b'\nfrom_topic='a'\nto_bridge='b'\nto_topic='{topic.0}'\n"
                   "[[module]]\nname = 'm'\nlimit = 5\nrate = { burst = 2, per.user = true }\nlist = ['x']\n",
                   NULL);
    assert_string_equal(c->server.listen, "[::1]:0");
    assert_int_equal(c->auth.allowed_origin_count, 2);
    assert_string_equal(c->auth.allowed_origins[1], "http://b:81");
    assert_int_equal(c->limits.message_bytes, 1 << 20);
    assert_int_equal(c->limits.ping_ms, 1500);
    assert_int_equal(c->limits.idle_ms, 7ll * 86400000);
    assert_int_equal(c->log.level, LOG_LEVEL_WARN);
    assert_int_equal(c->log.format, LOG_FORMAT_JSON);

    const struct config_bridge *b = config_bridge_find(c, "b");
    static const char *const options[][2] = {
        {"acks", "all"}, {"f", "0.5"}, {"linger.ms", "5"}, {"x", "[1,\"a\",{\"b\":true}]"}};
    assert_int_equal(b->option_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(b->options[i].name, options[i][0]);
        assert_string_equal(b->options[i].value, options[i][1]);
    }
    assert_int_equal(b->line, 15);
    assert_int_equal(b->options[0].line, 19);
    assert_int_equal(b->options[0].column, 20);

    assert_int_equal(c->namespaces[0].history_ttl_ms, 900000);
    assert_int_equal(c->namespaces[0].behind, BEHIND_SKIP);
    assert_int_equal(c->namespaces[0].key_ttl_ms, 250);
    assert_int_equal(c->namespaces[0].codec, CODEC_PROTOBUF);
    assert_int_equal(c->sources[0].from, FROM_TIME);
    assert_int_equal(c->sources[0].from_ms, 1769842800250);
    assert_int_equal(c->sources[0].mode, SOURCE_SHARED);
    assert_string_equal(c->sources[0].tags[0].name, "line");
    assert_string_equal(c->sources[0].tags[0].value, "{payload.line}");
    assert_string_equal(c->sources[0].key, "");
    assert_true(c->sinks[0].retain);
    assert_int_equal(c->relays[0].from, FROM_LATEST);

    static const char *const module[][2] = {
        {"limit", "5"}, {"list", "[\"x\"]"}, {"rate.burst", "2"}, {"rate.per.user", "true"}};
    assert_int_equal(c->modules[0].option_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(c->modules[0].options[i].name, module[i][0]);
        assert_string_equal(c->modules[0].options[i].value, module[i][1]);
    }
    config_free(c);
}

static void test_namespace_of_a_channel(void **state)
{
    (void)state;
    struct config *c = load_sound(CHAT "[[namespace]]\nname='default'\n", NULL);
    assert_string_equal(config_namespace_of(c, bytes_of("chat:lobby"))->name, "chat");
    assert_string_equal(config_namespace_of(c, bytes_of("chat:"))->name, "chat");
    assert_string_equal(config_namespace_of(c, bytes_of("chat"))->name, "default");
    assert_string_equal(config_namespace_of(c, BYTES_NULL)->name, "default");
    assert_null(config_namespace_of(c, bytes_of(":lobby")));
    assert_null(config_namespace_of(c, bytes_of("cha:t")));
    assert_null(config_namespace_of(c, bytes_of("chat2:x")));
    assert_null(config_bridge_find(c, "b"));
    config_free(c);
    c = load_sound(CHAT, NULL);
    assert_null(config_namespace_of(c, bytes_of("news")));
    config_free(c);
}

static void test_paths_are_relative_to_the_file(void **state)
{
    (void)state;
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    assert_int_equal(mkdir("sub", 0700), 0);
    write_file("sub/t.toml", "[server]\nweb='.'\nmodule_dir='/abs'\ndriver_dir='d'\n" BRIDGE, 0600);
    const struct config_override override = {"server.module_dir=here"};
    struct config *c = config_load("sub/t.toml", &override, 1, &faults, &notes);
    assert_non_null(c);
    assert_string_equal(c->dir, "sub");
    assert_string_equal(c->server.driver_dir, "sub/d");
    assert_string_equal(c->bridges[0].servers, "sub/x.db");
    assert_string_equal(c->server.module_dir, "here"); /* of the command line: as the shell would take it */
    config_free(c);
}

static void test_durations_and_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},        {"1500", 1500},    {"250ms", 250},    {"90s", 90000},
                {"15m", 900000}, {"24h", 86400000}, {"7d", 604800000}, {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"",
                                      " ",
                                      "s",
                                      "1 s",
                                      "1.5s",
                                      "-1s",
                                      "+1",
                                      "1S",
                                      "1sec",
                                      "1h30m",
                                      "0x10",
                                      "1s ",
                                      "9223372036854775808",
                                      "9223372036854775807s",
                                      "1KiB"};
    int64_t value = -1;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(config_parse_duration(good[i].text, &value), 0);
        assert_int_equal(value, good[i].ms);
    }
    value = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (config_parse_duration(bad[i], &value) != -EINVAL || value != -1)
            fail_msg("accepted '%s'", bad[i]);
    assert_int_equal(config_parse_size("64KiB", &value), 0);
    assert_int_equal(value, 65536);
    assert_int_equal(config_parse_size("2GiB", &value), 0);
    assert_int_equal(value, 2ll << 30);
    assert_int_equal(config_parse_size("7B", &value), 0);
    assert_int_equal(value, 7);
    assert_int_equal(config_parse_size("1KB", &value), -EINVAL);
    assert_int_equal(config_parse_size("1s", &value), -EINVAL);
    assert_int_equal(config_parse_size("9007199254740992KiB", &value), -EINVAL);
}

static void expect_from(const char *from, int64_t want_ms)
{
    CLEANUP_BUF toml = BUF_INIT;
    buf_printf(&toml, BRIDGE CHAT "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{key}'\nfrom='%s'\n", from);
    struct config *c = load_sound(toml.data, NULL);
    assert_int_equal(c->sources[0].from, want_ms < 0 ? FROM_EARLIEST : FROM_TIME);
    if (want_ms >= 0)
        assert_int_equal(c->sources[0].from_ms, want_ms);
    config_free(c);
}

static void test_start_times(void **state)
{
    (void)state;
    expect_from("earliest", -1);
    expect_from("1970-01-01T00:00:01Z", 1000);
    expect_from("2024-02-29T12:00:00.5Z", 1709208000500);
    expect_from("2024-02-29T12:00:00-05:30", 1709227800000);
    expect_from("2024-02-29T12:00:00.123456+00:00", 1709208000123);
    static const char *const bad[] = {"oldest",
                                      "2023-02-29T12:00:00Z",
                                      "2024-02-29 12:00:00Z",
                                      "2024-02-29T12:00:00",
                                      "2024-02-29T25:00:00Z",
                                      "2024-02-29T12:00:00+1:00",
                                      "2024-02-29T12:00:00Zx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CLEANUP_BUF toml = BUF_INIT, want = BUF_INIT;
        buf_printf(&toml, BRIDGE CHAT "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{key}'\nfrom = '%s'\n", bad[i]);
        buf_printf(&want,
                   "t.toml:11:8 source.from: unknown value \"%s\", allowed: \"history\", \"latest\", \"earliest\", a "
                   "time as \"2026-01-31T08:00:00Z\"\n",
                   bad[i]);
        expect_faults(toml.data, NULL, want.data);
    }
}

/* ---- faults ---- */

static void test_every_fault_is_reported_in_the_order_of_the_file(void **state)
{
    (void)state;
    expect_faults(
        "[server]\n"
        "  lisen = 1\n"
        "loops = 'two'\n"
        "listen = 'localhost'\n"
        "[limits]\n"
        "fragments = 0\n"
        "ping_ms = '10 s'\n"
        "message_bytes = '1TB'\n"
        "json_depth = 1025\n"
        "[log]\n"
        "level = 'loud'\n"
        "[auth]\n"
        "anonymous = 'yes'\n"
        "allowed_origins = ['a', 1]\n"
        "[[modul]]\n",
        NULL,
        "t.toml:2:3 server.lisen: unknown key (did you mean listen?), allowed: listen, loops, web, web_sources, node_id, "
        "driver_dir, module_dir, backlog, drain_ms, send_buffer_bytes, compression, "
        "compression_min_bytes, tls\n"
        "t.toml:3:9 server.loops: wrong type, allowed: a whole number, 0 to 64\n"
        "t.toml:4:10 server.listen: not an address \"localhost\", allowed: \"host:port\", \"[ipv6]:port\", port 0 "
        "to 65535\n"
        "t.toml:6:13 limits.fragments: out of range, allowed: a whole number, 1 to 1000000\n"
        "t.toml:7:11 limits.ping_ms: not a duration \"10 s\", allowed: milliseconds or a text as \"250ms\", "
        "\"90s\", \"15m\", \"24h\", \"7d\", 10 to 3600000\n"
        "t.toml:8:17 limits.message_bytes: not a size \"1TB\", allowed: bytes or a text as \"64KiB\", \"1MiB\", "
        "\"2GiB\", 16 to 67108864\n"
        "t.toml:9:14 limits.json_depth: out of range, allowed: a whole number, 1 to 1024\n"
        "t.toml:11:9 log.level: unknown value \"loud\", allowed: \"debug\", \"info\", \"warn\", \"error\"\n"
        "t.toml:13:13 auth.anonymous: wrong type, allowed: true, false\n"
        "t.toml:14:19 auth.allowed_origins: wrong type, allowed: a list of texts\n"
        "t.toml:15:3 modul: unknown key (did you mean module?), allowed: server, auth, limits, log, debug, "
        "bridge, namespace, source, sink, relay, module\n");
}

static void test_sections_of_the_wrong_kind(void **state)
{
    (void)state;
    expect_faults("server = 1\n", NULL, "t.toml:1:1 server: wrong type, allowed: a table [server]\n");
    expect_faults("[bridge]\nname = 'b'\n", NULL, "t.toml:1:2 bridge: wrong type, allowed: tables [[bridge]]\n");
    expect_faults("[[limits]]\n", NULL, "t.toml:1:3 limits: wrong type, allowed: a table [limits]\n");
    expect_faults("module = [1]\n", NULL, "t.toml:1:11 module: wrong type, allowed: tables [[module]]\n");
    expect_faults("[server]\ntls = 'x'\n", NULL, "t.toml:2:1 server.tls: wrong type, allowed: a table [server.tls]\n");
}

static void test_text_that_is_no_toml(void **state)
{
    (void)state;
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    assert_null(load("[server]\nlisten = \n", NULL, &faults, &notes));
    if (strncmp(faults.data, "t.toml:2:10: not TOML: ", 23) != 0)
        fail_msg("%s", faults.data);
    expect_faults("[log]\nlevel = \"a\\u0000b\"\n", NULL, "t.toml:2:9: not TOML: a text with a NUL character\n");
}

static void test_unreadable_file(void **state)
{
    (void)state;
    CLEANUP_BUF faults = BUF_INIT, notes = BUF_INIT;
    assert_null(config_load("none.toml", NULL, 0, &faults, &notes));
    assert_null(config_load("web", NULL, 0, &faults, &notes));
    buf_append(&faults, "", 1);
    assert_string_equal(faults.data, "none.toml: cannot be read: No such file or directory\n"
                                     "web: cannot be read: Is a directory\n");
}

static void test_missing_keys_and_bad_names(void **state)
{
    (void)state;
    expect_faults(
        "\n  [[bridge]]\nname = '../b'\nservers = ''\n", NULL,
        "t.toml:2:3 bridge.driver: missing, allowed: name (kind of broker; `crier drivers` lists them)\n"
        "t.toml:3:8 bridge.name: not a name \"../b\", allowed: 1 to 64 letters, digits, '_', '-', '.', not first "
        "a '.'\n");
    expect_faults(
        "[[module]]\nlimit = 1\n", NULL,
        "t.toml:1:1 module.name: missing, allowed: name (NAME.so in the folder of the modules; the other keys of "
        "the table are the module's own)\n");
}

static void test_unknown_bridges(void **state)
{
    (void)state;
    expect_faults(BRIDGE CHAT "[[source]]\nbridge='bb'\ntopic='t'\nchannel='chat:{key}'\n"
                              "[[sink]]\nchannel='chat:*'\nbridge='kafka'\ntopic='t'\n"
                              "[[relay]]\nfrom_bridge='b'\nfrom_topic='t'\nto_bridge='c'\nto_topic='t'\n",
                  NULL,
                  "t.toml:8:8 source.bridge: unknown bridge \"bb\", allowed: \"b\"\n"
                  "t.toml:13:8 sink.bridge: unknown bridge \"kafka\", allowed: \"b\"\n"
                  "t.toml:18:11 relay.to_bridge: unknown bridge \"c\", allowed: \"b\"\n");
    expect_faults(CHAT "[[sink]]\nchannel='chat:*'\nbridge='kafka'\ntopic='t'\n", NULL,
                  "t.toml:5:8 sink.bridge: unknown bridge \"kafka\", allowed: none is configured\n");
}

static void test_duplicates(void **state)
{
    (void)state;
    expect_faults(
        BRIDGE BRIDGE CHAT CHAT
        "[[module]]\nname='m'\n[[module]]\nname='m'\n"
        "[[sink]]\nchannel='chat:*'\nbridge='b'\ntopic='t'\n[[sink]]\nchannel='chat:*'\nbridge='b'\ntopic='u'\n",
        NULL,
        "t.toml:6:6 bridge.name: \"b\" is taken, allowed: a name of its own\n"
        "t.toml:12:6 namespace.name: \"chat\" is taken, allowed: a name of its own\n"
        "t.toml:16:6 module.name: \"m\" is taken, allowed: a name of its own\n"
        "t.toml:22:9 sink.channel: \"chat:*\" has a sink already, allowed: one sink a channel pattern\n");
}

static void test_templates_are_checked(void **state)
{
    (void)state;
    expect_faults(
        BRIDGE CHAT "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{kye}'\nkey='{user}'\n"
                    "tags={ a='{payload}', b=1, c='{topic.1}' }\n"
                    "[[sink]]\nchannel='chat:x'\nbridge='b'\ntopic='t{'\nkey='{topic}'\n",
        NULL,
        "t.toml:10:9 source.channel: field {kye} is not known here, allowed: {topic}, {key}, {payload.NAME}, "
        "{header.NAME}, {partition}\n"
        "t.toml:11:5 source.key: field {user} is not known here, allowed: {topic}, {key}, {payload.NAME}, "
        "{header.NAME}, {partition}\n"
        "t.toml:12:10 source.tags.a: malformed field {payload}, allowed: {payload.NAME} or {payload.NAME.NAME}, 8 "
        "names at most\n"
        "t.toml:12:25 source.tags.b: wrong type, allowed: a template\n"
        "t.toml:16:7 sink.topic: brace without its counterpart, allowed: {FIELD}, and {{ or }} for a brace\n"
        "t.toml:17:5 sink.key: field {topic} is not known here, allowed: {channel}, {key}, {user}, "
        "{payload.NAME}\n");
}

static void test_channels_need_their_namespace(void **state)
{
    (void)state;
    expect_faults(
        BRIDGE CHAT "[[source]]\nbridge='b'\ntopic='t'\nchannel='chta:{key}'\n"
                    "[[source]]\nbridge='b'\ntopic='t'\nchannel='news'\n"
                    "[[source]]\nbridge='b'\ntopic='t'\nchannel='{key}'\n" /* may have any */
                    "[[sink]]\nchannel='bus:*'\nbridge='b'\ntopic='t'\n"
                    "[[sink]]\nchannel='*'\nbridge='b'\ntopic='t'\n"
                    "[[sink]]\nchannel='chat:*x'\nbridge='b'\ntopic='t'\n",
        NULL,
        "t.toml:10:9 source.channel: unknown namespace \"chta\" (did you mean \"chat\"?), allowed: \"chat\"\n"
        "t.toml:14:9 source.channel: unknown namespace \"default\", allowed: \"chat\"\n"
        "t.toml:20:9 sink.channel: unknown namespace \"bus\", allowed: \"chat\"\n"
        "t.toml:28:9 sink.channel: not a channel pattern, allowed: a channel, or the beginning of one and a * at "
        "the end\n");
}

static void test_keys_that_depend_on_each_other(void **state)
{
    (void)state;
    expect_faults(
        BRIDGE CHAT "behind = 'conflate'\n"
                    "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{key}'\nmode='shared'\n"
                    "[[relay]]\nfrom_bridge='b'\nfrom_topic='t'\nto_bridge='b'\nto_topic='t'\nmode='shared'\n"
                    "group = ''\n"
                    "[limits]\noutbox_bytes = '8KiB'\n",
        NULL,
        "t.toml:7:10 namespace.behind: \"conflate\" needs keys, allowed: skip, resync, close, or keyed = true\n"
        "t.toml:8:1 source.group: missing, allowed: a name, because of mode = \"shared\"\n"
        "t.toml:19:9 relay.group: missing, allowed: a name, because of mode = \"shared\"\n"
        "t.toml:21:16 limits.outbox_bytes: smaller than message_bytes, allowed: 65536 and more\n");
}

/* The rules of one namespace that contradict each other. */
static void expect_namespace_fault(const char *keys, const char *want)
{
    CLEANUP_BUF toml = BUF_INIT, line = BUF_INIT;
    buf_printf(&toml, "[[namespace]]\nname = 'other'\n[[namespace]]\nname = 'a'\n%s\n", keys);
    buf_append(&toml, "", 1);
    if (want)
        buf_printf(&line, "t.toml:%s\n", want);
    buf_append(&line, "", 1);
    if (want)
        expect_faults(toml.data, NULL, line.data);
    else
        config_free(load_sound(toml.data, NULL));
}

static void test_options_of_maps_need_keys(void **state)
{
    (void)state;
    static const char *const keys[][2] = {
        {"map", "map = 'persistent'"},         {"map_publish", "map_publish = true"},
        {"map_remove", "map_remove = true"},   {"client_key", "client_key = 'user'"},
        {"debounce_ms", "debounce_ms = '1s'"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        CLEANUP_BUF want = BUF_INIT;
        buf_printf(&want, "5:%d namespace.%s: has no meaning without keys, allowed: only with keyed = true",
                   (int)strlen(keys[i][0]) + 4, keys[i][0]);
        buf_append(&want, "", 1);
        expect_namespace_fault(keys[i][1], want.data);
    }
    expect_namespace_fault("map = 'off'", NULL);
    expect_namespace_fault("keyed = true\nmap_publish = true\nclient_key = 'user'\ndebounce_ms = '1s'", NULL);
    expect_namespace_fault("keyed = true\nclient_key = 'user'",
                           "6:14 namespace.client_key: says which keys clients may change, but they may change none, "
                           "allowed: only with map_publish or map_remove");
}

static void test_kinds_of_maps_and_the_life_time_of_keys(void **state)
{
    (void)state;
    expect_namespace_fault("keyed = true\nmap = 'ephemeral'", "6:7 namespace.map: \"ephemeral\" without a life time of "
                                                              "keys, allowed: only with key_ttl");
    expect_namespace_fault("keyed = true\nmap = 'recoverable'",
                           "6:7 namespace.map: \"recoverable\" without a life time "
                           "of keys, allowed: only with key_ttl");
    expect_namespace_fault("keyed = true\nkey_ttl = '1m'\nmap = 'persistent'",
                           "7:7 namespace.map: \"persistent\" with key_ttl, allowed: key_ttl = 0, or \"ephemeral\", "
                           "\"recoverable\", \"off\"");
    struct config *c = load_sound("[[namespace]]\nname = 'a'\n[[namespace]]\nname = 'b'\nkeyed = true\n"
                                  "[[namespace]]\nname = 'c'\nkeyed = true\nkey_ttl = '1m'\n"
                                  "[[namespace]]\nname = 'd'\nkeyed = true\nkey_ttl = '1m'\nmap = 'ephemeral'\n",
                                  NULL);
    static const enum map_mode want[] = {MAP_OFF, MAP_PERSISTENT, MAP_RECOVERABLE, MAP_EPHEMERAL};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(c->namespaces[i].map, want[i]);
    config_free(c);
}

static void test_rights_that_mean_nothing(void **state)
{
    (void)state;
    expect_namespace_fault("push_join_leave = true", "5:19 namespace.push_join_leave: nobody is told without "
                                                     "join_leave, allowed: only with join_leave = true");
    expect_namespace_fault("publish_subscribed = true",
                           "5:22 namespace.publish_subscribed: limits who may publish, but nobody may, allowed: only "
                           "with publish, map_publish or map_remove");
    expect_namespace_fault(
        "recovery = 'cache'\nhistory = 0\nbehind = 'close'",
        "5:12 namespace.recovery: \"cache\" without a newest publication to give, allowed: only with "
        "history of 1 and more");
}

static void test_mirrors_are_maps(void **state)
{
    (void)state;
    expect_namespace_fault("presence_users = 'users'", "5:18 namespace.presence_users: \"users\" names no namespace, "
                                                       "allowed: a prefix as \"clients:\"");
    expect_namespace_fault("presence_clients = 'no:'", "5:20 namespace.presence_clients: unknown namespace in \"no:\", "
                                                       "allowed: one that is configured");
    expect_namespace_fault("presence_clients = 'a:'\nkeyed = true",
                           "5:20 namespace.presence_clients: \"a:\" is this namespace, allowed: another one");
    expect_namespace_fault("presence_clients = 'other:'",
                           "5:20 namespace.presence_clients: namespace \"other\" is no map, allowed: one with keyed = "
                           "true, and map not \"off\"");
    expect_namespace_fault("presence_clients = 'm:'\n[[namespace]]\nname = 'm'\nkeyed = true", NULL);
}

static void test_signs_and_patterns_of_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"a", ":", "a#", "# ", ",", "#.", "123456789", "\xc3\xa4", "#########"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CLEANUP_BUF keys = BUF_INIT;
        buf_printf(&keys, "token_channels = '%s'%c", bad[i], 0);
        expect_namespace_fault(keys.data, "5:18 namespace.token_channels: not a sign, allowed: \"\" or 1 to 8 ASCII "
                                          "characters that are no letter, digit, space, or one of -_.:,");
    }
    expect_namespace_fault("user_channels = '%,'", "5:17 namespace.user_channels: not a sign, allowed: \"\" or 1 to 8 "
                                                   "ASCII characters that are no letter, digit, space, or one of "
                                                   "-_.:,");
    expect_namespace_fault("pattern = '('", "5:11 namespace.pattern: not a regular expression (Unmatched ( or \\(), "
                                            "allowed: a POSIX extended one");
}

static void expect_fit(const struct config *c, const char *channel, bool fits, const char *rest)
{
    const struct config_namespace *ns = config_namespace_of(c, bytes_of(channel));
    assert_non_null(ns);
    struct bytes got = config_channel_rest(ns, bytes_of(channel));
    if (!bytes_eq_str(got, rest) || config_channel_fits(ns, bytes_of(channel)) != fits)
        fail_msg("%s", channel);
}

static void test_patterns_fit_the_whole_rest(void **state)
{
    (void)state;
    struct config *c = load_sound("[[namespace]]\nname = 'a'\npattern = '[a-z]+|x[0-9]'\n"
                                  "[[namespace]]\nname = 'default'\npattern = '^[0-9]*$'\n"
                                  "[[namespace]]\nname = 'b'\ntoken_channels = '%%'\n",
                                  NULL);
    expect_fit(c, "a:abc", true, "abc");
    expect_fit(c, "a:abc1", false, "abc1");
    expect_fit(c, "a:1abc", false, "1abc");
    expect_fit(c, "a:x7", true, "x7");
    expect_fit(c, "a:", false, "");
    expect_fit(c, "$a:abc", true, "abc");
    expect_fit(c, "123", true, "123");
    expect_fit(c, "$123", true, "123");
    expect_fit(c, "12a", false, "12a");
    expect_fit(c, "b:anything at all:", true, "anything at all:");
    expect_fit(c, "%%b:x", true, "x");
    assert_null(config_namespace_of(c, bytes_of("$b:x")));
    assert_null(config_namespace_of(c, bytes_of("%%a:x")));
    assert_null(config_namespace_of(c, bytes_of("$$a:x")));
    assert_false(config_channel_needs_token(config_namespace_of(c, bytes_of("a:$")), bytes_of("a:$")));
    assert_true(config_channel_needs_token(config_namespace_of(c, bytes_of("$a:")), bytes_of("$a:")));
    config_free(c);
}

static void test_address_of_keys(void **state)
{
    (void)state;
    expect_faults("[auth]\njwks_url = 'file:///etc/keys'\npublic_key_file = 'none.pem'\n", NULL,
                  "t.toml:2:12 auth.jwks_url: \"file:///etc/keys\" is no address, allowed: http://... or https://...\n"
                  "t.toml:3:19 auth.public_key_file: \"none.pem\" cannot be read: No such file or directory\n");
    write_file("bad.pem", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0644);
    write_file("bad.json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", 0644);
    expect_faults("[auth]\npublic_key_file = 'bad.pem'\njwks_file = 'bad.json'\n", NULL,
                  "t.toml:2:19 auth.public_key_file: \"bad.pem\": no public key in PEM, allowed: RSA of 2048 bits and "
                  "more, EC, Ed25519\n"
                  "t.toml:3:13 auth.jwks_file: \"bad.json\": a key that is not RSA, EC or OKP, allowed: RSA of 2048 "
                  "bits and more, EC, Ed25519\n");
}

static void test_sources_of_pages_stay_in_their_directive(void **state)
{
    (void)state;
    config_free(load_sound("[server]\nweb_sources = ['https://tiles.example:8443', 'http://[::1]:80']\n", NULL));
    for (const char **bad = (const char *[]){"tiles.example", "https://", "https://a;script-src", "https://a b", "ftp://a", NULL}; *bad; bad++) {
        char text[256], fault[256];
        snprintf(text, sizeof text, "[server]\nweb_sources = ['%s']\n", *bad);
        snprintf(fault, sizeof fault,
                 "t.toml:2:15 server.web_sources: \"%s\" is no origin, allowed: https://host[:port] or http://host[:port]\n", *bad);
        expect_faults(text, NULL, fault);
    }
}

static void test_files_have_to_be_there(void **state)
{
    (void)state;
    write_file("cert.pem", "x", 0600);
    expect_faults("[server]\nweb = 'nowhere'\n[server.tls]\ncert = 'cert.pem'\n", NULL,
                  "t.toml:2:7 server.web: \"nowhere\" is no folder, allowed: a folder, or \"\" for none\n"
                  "t.toml:4:8 server.tls.cert: without a key, allowed: cert and key, or none of them\n");
    expect_faults("[server.tls]\nkey = 'none.pem'\n", NULL,
                  "t.toml:2:7 server.tls.key: without a cert, allowed: cert and key, or none of them\n"
                  "t.toml:2:7 server.tls.key: \"none.pem\" cannot be read: No such file or directory\n");
    config_free(load_sound("[server.tls]\nkey = 'cert.pem'\ncert = 'cert.pem'\n", NULL));
}

static void test_secrets_are_read_and_kept_from_others(void **state)
{
    (void)state;
    write_file("open.key", "0123456789abcdef0123456789abcdef\n", 0604);
    write_file("empty.key", "\n\r\n", 0600);
    write_file("good.key", "0123456789abcdef0123456789abcdef\r\n", 0640);
    write_file("short.key", "short", 0600);
    expect_faults(
        "[auth]\nhmac_secret_file = 'open.key'\napi_key_file = 'none.key'\n", NULL,
        "t.toml:2:20 auth.hmac_secret_file: \"open.key\": everybody can read it, allowed: a file that only its "
        "owner and group can read (chmod o-r)\n"
        "t.toml:3:16 auth.api_key_file: \"none.key\": No such file or directory\n");
    expect_faults("[auth]\nhmac_secret_file = 'empty.key'\n", NULL,
                  "t.toml:2:20 auth.hmac_secret_file: \"empty.key\": empty\n");
    struct config *c = load_sound("[auth]\nhmac_secret_file = 'good.key'\napi_key_file = 'short.key'\n", NULL);
    assert_string_equal(c->hmac_secret, "0123456789abcdef0123456789abcdef");
    assert_string_equal(c->api_key, "short");
    config_free(c);
    expect_notes("[auth]\nhmac_secret_file = 'short.key'\n",
                 "t.toml:2:20 auth.hmac_secret_file: note: the secret has fewer than 32 bytes and can be guessed\n");
}

static void test_notes_are_no_faults(void **state)
{
    (void)state;
    expect_notes(
        BRIDGE CHAT "history = 0\nkey_ttl = 5\n"
                    "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{payload.room}'\ngroup='g'\n"
                    "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{partition}'\n",
        "t.toml:7:11 namespace.history: note: 0 with behind = \"resync\": a client that fell behind can resume only "
        "what the broker still has\n"
        "t.toml:8:11 namespace.key_ttl: note: has no meaning without keyed = true\n"
        "t.toml:12:9 source.channel: note: names neither {key} nor {partition}: on a topic of several partitions "
        "the channel numbers its publications itself, under an epoch of its own\n"
        "t.toml:13:7 source.group: note: has no meaning with mode = \"fanout\"\n");
    expect_notes("[auth]\nanonymous = false\n",
                 "t.toml:2:13 auth.anonymous: note: false, and no key for tokens is configured: nobody may connect\n");
    expect_notes("[auth]\nanonymous = false\njwks_url = 'http://keys.test/'\n",
                 "t.toml:3:12 auth.jwks_url: note: without TLS: who is on the way can replace the keys\n");
    expect_notes("[auth]\nanonymous = false\njwks_url = 'http://127.0.0.1:1/'\n", "");
}

/* ---- overrides ---- */

static void test_overrides_replace_keys(void **state)
{
    (void)state;
    static const char *const overrides[] = {"server.listen=[::1]:0",
                                            "limits.ping_ms=1s",
                                            "limits.fragments=7",
                                            "bridge.b.servers=/x/y.db",
                                            "bridge.0.options.security.protocol=SSL",
                                            "namespace.chat.history=5",
                                            "auth.allowed_origins=['http://a']",
                                            NULL};
    struct config *c = load_sound(
        "[limits]\nping_ms = 'bad'\n" BRIDGE "options = { security.protocol = 'PLAIN', a = 1 }\n" CHAT, overrides);
    assert_string_equal(c->server.listen, "[::1]:0");
    assert_int_equal(c->limits.ping_ms, 1000);
    assert_int_equal(c->limits.fragments, 7);
    assert_string_equal(c->bridges[0].servers, "/x/y.db");
    assert_int_equal(c->bridges[0].option_count, 2);
    assert_string_equal(c->bridges[0].options[1].name, "security.protocol");
    assert_string_equal(c->bridges[0].options[1].value, "SSL");
    assert_int_equal(c->namespaces[0].history, 5);
    assert_string_equal(c->auth.allowed_origins[0], "http://a");
    config_free(c);
}

static void test_overrides_reach_every_kind_of_table(void **state)
{
    (void)state;
    write_file("cert.pem", "x", 0600);
    static const char *const overrides[] = {
        "server.tls.cert=cert.pem", "server.tls.key=cert.pem", "module.m.limit=5", "module.m.a.b=text",
        "source.0.from=earliest",   "source.0.tags.x={key}",   "source.0.topic=5", NULL};
    struct config *c = load_sound(
        BRIDGE CHAT "[[source]]\nbridge='b'\ntopic='t'\nchannel='chat:{key}'\n[[module]]\nname='m'\n", overrides);
    assert_string_equal(c->server.tls_key, "cert.pem");
    assert_int_equal(c->modules[0].option_count, 2);
    assert_string_equal(c->modules[0].options[0].value, "5");
    assert_string_equal(c->modules[0].options[1].name, "a.b");
    assert_int_equal(c->sources[0].from, FROM_EARLIEST);
    assert_string_equal(c->sources[0].tags[0].value, "{key}");
    assert_string_equal(c->sources[0].topic, "5"); /* a text needs no quotes */
    config_free(c);
}

static void test_faults_of_overrides(void **state)
{
    (void)state;
    static const char *const overrides[] = {
        "limits.fragments=0", "limits.fragment=1", "bridge.x.servers=y", "source.0.qos=1",
        "listen=1",           "server.web",        "log.level='x",       NULL};
    expect_faults(
        "[log]\nformat = 'xml'\n" BRIDGE, overrides,
        "t.toml:2:10 log.format: unknown value \"xml\", allowed: \"text\", \"json\"\n"
        "-s bridge.x.servers=y: no [[bridge]] \"x\", allowed: the name of one, or 0 to 0\n"
        "-s source.0.qos=1: no [[source]] \"0\", allowed: none, the file has no such table\n"
        "-s listen=1: not an override, allowed: SECTION.KEY=VALUE\n"
        "-s server.web: not an override, allowed: SECTION.KEY=VALUE\n"
        "-s log.level='x: not a TOML value, allowed: a value as in the file, or a text without quotes\n"
        "-s limits.fragments=0 limits.fragments: out of range, allowed: a whole number, 1 to 1000000\n"
        "-s limits.fragment=1 limits.fragment: unknown key (did you mean fragments?), allowed: connections, "
        "connections_per_address, message_bytes, fragments, message_ms, header_bytes, body_bytes, handshake_ms, "
        "keepalive_ms, rate_messages, rate_burst, rate_strikes, handshakes_per_second, newcomer_percent, subscriptions, channels, "
        "channel_name_bytes, outbox_bytes, frame_log_bytes, history_bytes, recover, recover_bytes, pending_publishes, "
        "publish_timeout_ms, ping_ms, pong_ms, idle_ms, connect_ms, refresh_ms, poll_wait_ms, json_depth\n");
}

/* ---- the file and the page in the repository ---- */

static void test_docs_are_those_of_the_code(void **state)
{
    (void)state;
    CLEANUP_BUF page = read_file(SOURCE_DIR "/docs/config.md"), docs = BUF_INIT;
    config_write_docs(&docs);
    buf_append(&docs, "", 1);
    if (strcmp(page.data, docs.data) != 0)
        fail_msg("docs/config.md is stale: build/crier check --docs >docs/config.md");
}

/* The first table of a section in the shipped file, where every key of it has to stand. */
static struct bytes section_text(const struct buf *file, const struct config_section *section)
{
    CLEANUP_BUF head = BUF_INIT;
    buf_printf(&head, section->array ? "[[%s]]\n" : "[%s]\n", section->name);
    const char *start = strstr(file->data, head.data);
    if (!start)
        fail_msg("config.toml has no %s", head.data);
    start += head.len;
    const char *a = strstr(start, "\n["), *b = strstr(start, "\n#[");
    const char *end = a && (!b || a < b) ? a : b;
    return (struct bytes){start, end ? (size_t)(end - start) : strlen(start)};
}

/* "reason (allowed)", as the row of the page has them in its last two columns. */
static struct buf explanation(const char *page, const struct config_section *section, const struct config_key *key)
{
    CLEANUP_BUF head = BUF_INIT, row = BUF_INIT;
    buf_printf(&head, section->array ? "## [[%s]]\n" : "## [%s]\n", section->name);
    buf_printf(&row, "\n| `%s` | ", key->name);
    const char *default_column = strstr(strstr(page, head.data), row.data) + row.len;
    const char *allowed = strstr(default_column, " | ") + 3, *end = strstr(allowed, " | ");
    struct buf text = BUF_INIT;
    buf_printf(&text, "%s (", key->reason);
    for (; allowed < end; allowed++)
        if (*allowed != '`')
            buf_append(&text, allowed, 1);
    buf_append(&text, ")", 2);
    return text;
}

static void check_shipped_key(struct bytes text, const struct config_section *section, const struct config_key *key,
                              const char *page)
{
    char *copy = bytes_dup(text), *line_end;
    CLEANUP_BUF wanted = explanation(page, section, key);
    bool found = false, explained = strstr(copy, wanted.data);
    for (char *line = copy; line && !found; line = line_end ? line_end + 1 : NULL) {
        line_end = strchr(line, '\n');
        bool commented = line[0] == '#';
        CLEANUP_BUF start = BUF_INIT;
        buf_printf(&start, "%s = ", key->name);
        found = strncmp(line + commented, start.data, start.len) == 0;
        if (!found || !commented || !key->preset || strcmp(section->name, "relay") == 0)
            continue;
        const char *value = line + commented + start.len;
        size_t len = strlen(key->preset);
        if (strncmp(value, key->preset, len) != 0 || !strchr(" \n", value[len]))
            fail_msg("config.toml shows another default for %s.%s than %s", section->name, key->name, key->preset);
    }
    free(copy);
    if (!found || !explained)
        fail_msg("config.toml does not %s %s.%s: %s", found ? "explain" : "name", section->name, key->name,
                 wanted.data);
}

static void test_shipped_file_names_every_key(void **state)
{
    (void)state;
    CLEANUP_BUF file = read_file(SOURCE_DIR "/config.toml"), page = BUF_INIT;
    config_write_docs(&page);
    buf_append(&page, "", 1);
    for (size_t i = 0; i < config_section_count; i++)
        for (size_t k = 0; k < config_sections[i].key_count; k++)
            check_shipped_key(section_text(&file, &config_sections[i]), &config_sections[i],
                              &config_sections[i].keys[k], page.data);
}

static void test_shipped_file_is_sound(void **state)
{
    (void)state;
    CLEANUP_BUF file = read_file(SOURCE_DIR "/config.toml");
    struct config *c = load_sound(file.data, NULL);
    assert_string_equal(c->bridges[0].driver, "embedded");
    assert_string_equal(c->modules[0].name, "chatroom");
    assert_int_equal(c->sources[0].from, FROM_HISTORY);
    config_free(c);
}

/* Taking the # away from any line, or from all of them, gives a configuration that works. */
static void test_shipped_file_is_sound_with_everything_on(void **state)
{
    (void)state;
    CLEANUP_BUF file = read_file(SOURCE_DIR "/config.toml"), all = BUF_INIT;
    for (char *line = strtok(file.data, "\n"); line; line = strtok(NULL, "\n")) {
        size_t name = line[0] == '#' ? strspn(line + 1, "abcdefghijklmnopqrstuvwxyz_") : 0;
        bool disabled = line[0] == '#' && (line[1] == '[' || (name && strncmp(line + 1 + name, " = ", 3) == 0));
        buf_printf(&all, "%s\n", line + disabled);
    }
    struct config *c = load_sound(all.data, NULL);
    assert_int_equal(c->bridge_count, 4);
    assert_int_equal(c->relay_count, 1);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_file_gives_defaults),
        cmocka_unit_test(test_values_reach_their_fields),
        cmocka_unit_test(test_namespace_of_a_channel),
        cmocka_unit_test(test_paths_are_relative_to_the_file),
        cmocka_unit_test(test_durations_and_sizes),
        cmocka_unit_test(test_start_times),
        cmocka_unit_test(test_every_fault_is_reported_in_the_order_of_the_file),
        cmocka_unit_test(test_sections_of_the_wrong_kind),
        cmocka_unit_test(test_text_that_is_no_toml),
        cmocka_unit_test(test_unreadable_file),
        cmocka_unit_test(test_missing_keys_and_bad_names),
        cmocka_unit_test(test_unknown_bridges),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_templates_are_checked),
        cmocka_unit_test(test_channels_need_their_namespace),
        cmocka_unit_test(test_keys_that_depend_on_each_other),
        cmocka_unit_test(test_options_of_maps_need_keys),
        cmocka_unit_test(test_kinds_of_maps_and_the_life_time_of_keys),
        cmocka_unit_test(test_rights_that_mean_nothing),
        cmocka_unit_test(test_mirrors_are_maps),
        cmocka_unit_test(test_signs_and_patterns_of_names),
        cmocka_unit_test(test_patterns_fit_the_whole_rest),
        cmocka_unit_test(test_address_of_keys),
        cmocka_unit_test(test_sources_of_pages_stay_in_their_directive),
        cmocka_unit_test(test_files_have_to_be_there),
        cmocka_unit_test(test_secrets_are_read_and_kept_from_others),
        cmocka_unit_test(test_notes_are_no_faults),
        cmocka_unit_test(test_overrides_replace_keys),
        cmocka_unit_test(test_overrides_reach_every_kind_of_table),
        cmocka_unit_test(test_faults_of_overrides),
        cmocka_unit_test(test_docs_are_those_of_the_code),
        cmocka_unit_test(test_shipped_file_names_every_key),
        cmocka_unit_test(test_shipped_file_is_sound),
        cmocka_unit_test(test_shipped_file_is_sound_with_everything_on),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
