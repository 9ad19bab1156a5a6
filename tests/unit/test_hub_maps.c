/* Maps: pages of the state, changes meanwhile, conditions on keys, expiry, clearing; kept here and kept by a broker. */
#include "hub/history_call.h"
#include "hub/map.h"
#include "hub_harness.h"

static const char config[] = "[server]\nlisten = \"127.0.0.1:0\"\nweb = \"\"\n"
                             "[[bridge]]\nname = \"b\"\ndriver = \"fake\"\nservers = \"x\"\n"
                             "[[namespace]]\nname = \"map\"\nhistory = 10\nkeyed = true\n"
                             "[[namespace]]\nname = \"ttl\"\nhistory = 10\nkeyed = true\nkey_ttl = \"10s\"\n"
                             "[[namespace]]\nname = \"brief\"\nhistory = 0\nkeyed = true\nkey_ttl = \"10s\"\nmap = \"ephemeral\"\n"
                             "[[namespace]]\nname = \"table\"\nhistory = 10\nkeyed = true\nmap = \"off\"\n"
                             "[[namespace]]\nname = \"bus\"\nhistory = 10\nkeyed = true\nkey_ttl = \"10s\"\n"
                             "[[namespace]]\nname = \"chat\"\nhistory = 10\n"
                             "[[source]]\nbridge = \"b\"\ntopic = \"bus\"\nchannel = \"bus:all\"\nfrom = \"earliest\"\n"
                             "[[sink]]\nchannel = \"bus:*\"\nbridge = \"b\"\ntopic = \"bus\"\n";

static struct bridge *broker;
static struct bridge_source_sub *sub;
static struct listener live;

static int setup(void **state)
{
    (void)state;
    world_open(config);
    live = (struct listener){0};
    broker = fake_bridge("b");
    sub = &broker->subs[0];
    fake_ready(broker);
    fake_assign(sub, 0, 1, "log", 0, 0);
    fake_caught_up(sub);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close();
    listener_done(&live);
    return 0;
}

/* ---- changes ---- */

struct detail {
    bool done;
    enum crier_error error;
    enum publish_suppressed suppressed;
    int64_t offset;
    char epoch[CHANNEL_EPOCH_SIZE];
};

struct change {
    const char *channel, *key, *payload; /* payload NULL: remove */
    const char *tags, *id;
    enum publish_key_mode mode;
    uint64_t version;
    const char *version_epoch;
};

static void on_changed(struct hub_call *call, void *owner)
{
    struct hub_publish *p = (struct hub_publish *)call;
    struct detail *d = p->arg;
    (void)owner;
    *d = (struct detail){true, p->error, p->suppressed, p->offset, ""};
    memcpy(d->epoch, p->epoch, sizeof d->epoch);
    hub_publish_free(p);
}

static void change(struct detail *d, const struct change *c)
{
    struct hub_publish *p = hub_publish_new(&world.inbox, bytes_of(c->channel), bytes_of(c->payload), on_changed);
    *d = (struct detail){0};
    p->arg = d;
    p->map = true;
    p->has_key = c->key != NULL;
    if (c->key)
        buf_append_str(&p->key, c->key);
    p->tags = xstrdup(c->tags);
    p->message_id = xstrdup(c->id);
    p->key_mode = c->mode;
    p->version = c->version;
    p->version_epoch = xstrdup(c->version_epoch);
    hub_call_post(&world.hub, &p->call);
    turn();
}

#define put(d, channel_, key_, payload_, ...)                                                                          \
    change((d), &(const struct change){.channel = (channel_), .key = (key_), .payload = (payload_), ##__VA_ARGS__})

static int64_t set(const char *channel, const char *key, const char *payload)
{
    struct detail d;
    put(&d, channel, key, payload);
    assert_int_equal(d.error, CRIER_OK);
    assert_int_equal(d.suppressed, NOT_SUPPRESSED);
    return d.offset;
}

/* ---- pages ---- */

struct state_page {
    bool done;
    enum crier_error error;
    struct buf offsets, text, next;
    bool more, unnumbered;
    int64_t position, top;
    size_t keys;
    int shift;
    char epoch[CHANNEL_EPOCH_SIZE];
};

static void page_done(struct state_page *p)
{
    buf_done(&p->offsets);
    buf_done(&p->text);
    buf_done(&p->next);
}

static void on_page(struct hub_call *call, void *owner)
{
    struct hub_map_read *r = (struct hub_map_read *)call;
    struct state_page *p = r->arg;
    (void)owner;
    *p = (struct state_page){.done = true, .error = r->error, .more = r->more, .unnumbered = r->unnumbered,
                             .position = r->position, .top = r->top, .keys = r->keys, .shift = r->shift};
    memcpy(p->epoch, r->epoch, sizeof p->epoch);
    for (uint32_t i = 0; r->block && i < r->block->count; i++)
        buf_printf(&p->offsets, "%lld ", (long long)r->block->marks[i].offset);
    if (r->block)
        buf_append(&p->text, r->block->bytes, r->block->len);
    buf_append_bytes(&p->next, buf_bytes(&r->next));
    text_of(&p->offsets);
    text_of(&p->text);
    text_of(&p->next);
    hub_map_read_free(r);
}

struct request {
    const char *channel;
    int64_t limit;
    const char *cursor, *key;
    const char *epoch; /* NULL: no revision */
    int64_t offset;
    bool shifted;
    enum frame_form form;
    const struct tag_filter *filter;
    const struct geo_box *box;
};

static void read_state(struct state_page *p, const struct request *q)
{
    struct hub_map_read *r = hub_map_read_new(&world.inbox, bytes_of(q->channel), on_page);
    page_done(p);
    *p = (struct state_page){0};
    r->arg = p;
    r->form = q->form ? q->form : FORM_POLL;
    r->limit = q->limit;
    r->has_cursor = q->cursor != NULL;
    if (q->cursor)
        buf_append_str(&r->cursor, q->cursor);
    r->has_key = q->key != NULL;
    if (q->key)
        buf_append_str(&r->key, q->key);
    r->shifted = q->shifted;
    r->filter = q->filter;
    r->box = q->box;
    if (q->epoch) {
        r->has_revision = true;
        r->revision_offset = q->offset;
        snprintf(r->revision_epoch, sizeof r->revision_epoch, "%s", q->epoch);
    }
    hub_call_post(&world.hub, &r->call);
    turn();
}

#define state(p, ...) read_state((p), &(const struct request){__VA_ARGS__})

static void the_state_comes_in_pages_in_byte_order_of_keys(void **state)
{
    struct state_page p = {0};
    (void)state;
    set("map:a", "c", "1");
    set("map:a", "a", "2");
    set("map:a", "b", "3");
    set("map:a", "c", "4");
    state(&p, .channel = "map:a", .limit = 2);
    assert_int_equal(p.error, CRIER_OK);
    assert_string_equal(p.offsets.data, "2 3 ");
    assert_true(p.more);
    assert_string_equal(p.next.data, "b");
    assert_int_equal(p.position, 4);
    assert_int_equal(p.keys, 3);
    assert_false(p.unnumbered);
    state(&p, .channel = "map:a", .limit = 2, .cursor = "b");
    assert_string_equal(p.offsets.data, "4 ");
    assert_false(p.more);
    state(&p, .channel = "map:a", .limit = 3);
    assert_false(p.more);
    state(&p, .channel = "map:a", .limit = -1);
    assert_string_equal(p.offsets.data, "2 3 4 ");
    state(&p, .channel = "map:a", .limit = 0);
    assert_string_equal(p.offsets.data, "");
    assert_int_equal(p.keys, 3);
    assert_false(p.more);
    state(&p, .channel = "map:a", .limit = 1, .key = "b");
    assert_string_equal(p.offsets.data, "3 ");
    state(&p, .channel = "map:a", .limit = -1, .key = "x");
    assert_string_equal(p.offsets.data, "");
    page_done(&p);
}

static void a_large_state_is_cut_by_bytes_too(void **state)
{
    struct state_page p = {0};
    CLEANUP_BUF large = BUF_INIT;
    (void)state;
    buf_append_str(&large, "\"");
    for (int i = 0; i < 600 * 1024; i++)
        buf_append(&large, "x", 1);
    buf_append_str(&large, "\"");
    for (char key[] = "a"; *key <= 'd'; (*key)++)
        set("map:a", key, text_of(&large));
    state(&p, .channel = "map:a", .limit = 100);
    assert_string_equal(p.offsets.data, "1 2 ");
    assert_string_equal(p.next.data, "b");
    state(&p, .channel = "map:a", .limit = -1);
    assert_string_equal(p.offsets.data, "1 2 3 4 ");
    page_done(&p);
}

/* An update, a removal and an insert between two pages: the stale entries are not in the state, the stream tells them. */
static void what_changes_between_pages_comes_by_the_stream(void **state)
{
    struct state_page p = {0};
    struct answer a;
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    for (char key[] = "a"; *key <= 'd'; (*key)++)
        set("map:a", key, "0");
    state(&p, .channel = "map:a", .limit = 2);
    memcpy(epoch, p.epoch, sizeof epoch);
    assert_string_equal(p.offsets.data, "1 2 ");
    set("map:a", "c", "1");
    set("map:a", "a", NULL);
    set("map:a", "cc", "2");
    state(&p, .channel = "map:a", .limit = 2, .cursor = p.next.data[0] == 'b' ? "b" : "?", .epoch = epoch, .offset = p.position);
    assert_string_equal(p.offsets.data, "4 ");
    assert_false(p.more);
    assert_int_equal(p.position, 4);
    assert_int_equal(p.top, 7);
    subscribe(&a, &live, .channel = "map:a", .epoch = epoch, .offset = p.position);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "5 6 7 ");
    set("map:a", "d", "3");
    assert_offsets(&live, "8 ");
    answer_done(&a);
    page_done(&p);
}

static void a_filter_leaves_entries_out_of_the_pages(void **state)
{
    struct detail d;
    struct state_page p = {0};
    struct tag_filter *filter = NULL;
    (void)state;
    for (char key[] = "a"; *key <= 'f'; (*key)++)
        put(&d, "map:a", key, "1", .tags = *key % 2 ? "{\"k\":\"odd\"}" : "{\"k\":\"even\"}");
    const char *reason;
    assert_int_equal(tag_filter_parse(BYTES_LIT("{\"key\":\"k\",\"cmp\":\"eq\",\"val\":\"odd\"}"), CHANNELS_JSON, &filter,
                                      &reason), 0);
    state(&p, .channel = "map:a", .limit = 2, .filter = filter);
    assert_string_equal(p.offsets.data, "1 3 ");
    assert_true(p.more);
    state(&p, .channel = "map:a", .limit = 2, .cursor = "c", .filter = filter);
    assert_string_equal(p.offsets.data, "5 ");
    assert_false(p.more);
    assert_int_equal(p.keys, 6);
    page_done(&p);
    tag_filter_free(filter);
}

static void put_at(struct channel *c, int n, int32_t latitude_e6)
{
    char key[16];
    snprintf(key, sizeof key, "k%05d", n);
    const struct publication_parts parts = {.offset = c->top + 1, .time_ms = 1, .key = bytes_of(key), .payload = BYTES_LIT("1"),
                                            .has_geo = true, .latitude_e6 = latitude_e6, .longitude_e6 = 1};
    channel_append(c, publication_new(&parts));
}

/* Whether a page is found by the order of keys or by place makes no difference. */
static void a_box_leaves_entries_out_of_the_pages_be_they_few_or_many(void **state)
{
    enum { KEYS = 20000, LIMIT = 100 };
    struct state_page p = {0};
    enum crier_error error;
    struct channel *c = hub_channel(&world.hub, BYTES_LIT("map:box"), &error);
    (void)state;
    channel_number_here(c);
    for (int n = 0; n < KEYS; n++)
        put_at(c, n, (n * 7919) % 1000 * 1000);
    for (int wanted = 1; wanted <= 1000; wanted = wanted * 10) { /* of a thousand */
        const struct geo_box box = {0, 0, (wanted - 1) * 1000, 2};
        int next = 0, pages = 0, found = 0;
        CLEANUP_BUF cursor = BUF_INIT;
        do {
            state(&p, .channel = "map:box", .limit = LIMIT, .cursor = cursor.len ? text_of(&cursor) : NULL, .box = &box);
            assert_int_equal(p.error, CRIER_OK);
            for (char *at = p.offsets.data, *end; *at; at = end + 1) {
                int offset = (int)strtol(at, &end, 10); /* key n has offset n + 1 */
                for (; next < offset - 1; next++)
                    assert_true((next * 7919) % 1000 >= wanted);
                assert_true((next++ * 7919) % 1000 < wanted);
                found++;
            }
            cursor.len = 0;
            buf_append_str(&cursor, p.next.data);
            pages++;
        } while (p.more);
        assert_int_equal(found, KEYS * wanted / 1000);
        assert_int_equal(pages, found <= LIMIT ? 1 : found / LIMIT);
    }
    page_done(&p);
}

static void a_revision_of_another_map_is_lost(void **state)
{
    static const struct {
        const char *epoch;
        int64_t offset;
        bool shifted;
        enum crier_error error;
        const char *offsets;
    } cases[] = {{"other", 1, false, CRIER_ERR_UNRECOVERABLE_POSITION, ""},
                 {"", 1, false, CRIER_OK, "1 "},
                 {"", 3, false, CRIER_ERR_UNRECOVERABLE_POSITION, ""},
                 {"", 0, false, CRIER_OK, ""},
                 {"", 0, true, CRIER_OK, "1 2 "},
                 {"other", 0, true, CRIER_ERR_UNRECOVERABLE_POSITION, ""}};
    struct state_page p = {0};
    (void)state;
    set("map:a", "a", "1");
    set("map:a", "b", "2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        state(&p, .channel = "map:a", .limit = -1, .epoch = cases[i].epoch, .offset = cases[i].offset,
              .shifted = cases[i].shifted);
        if (p.error != cases[i].error || strcmp(p.offsets.data, cases[i].offsets) != 0)
            fail_msg("case %zu: %d %s", i, p.error, p.offsets.data);
    }
    page_done(&p);
}

static void only_maps_are_read_as_maps(void **state)
{
    static const struct {
        const char *channel;
        enum crier_error error;
    } cases[] = {{"chat:a", CRIER_ERR_BAD_REQUEST},      {"table:a", CRIER_ERR_BAD_REQUEST},
                 {"other:a", CRIER_ERR_UNKNOWN_CHANNEL}, {"map:a b", CRIER_ERR_BAD_REQUEST},
                 {"brief:a", CRIER_OK},                  {"map:empty", CRIER_OK}};
    struct state_page p = {0};
    struct detail d;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        state(&p, .channel = cases[i].channel, .limit = -1);
        assert_int_equal(p.error, cases[i].error);
        put(&d, cases[i].channel, "k", "1");
        assert_int_equal(d.error, cases[i].error);
    }
    assert_int_equal(p.position, 0);
    assert_true(*p.epoch);
    put(&d, "map:a", "", "1");
    assert_int_equal(d.error, CRIER_ERR_BAD_REQUEST);
    put(&d, "map:a", NULL, "1");
    assert_int_equal(d.error, CRIER_ERR_BAD_REQUEST);
    page_done(&p);
}

/* ---- conditions ---- */

static void conditions_on_keys(void **state)
{
    static const struct {
        struct change c;
        enum publish_suppressed suppressed;
        int64_t offset;
    } cases[] = {
        {{.key = "a", .payload = "1", .mode = KEY_IF_EXISTS}, SUPPRESSED_KEY_NOT_FOUND, 0},
        {{.key = "a", .payload = "1", .mode = KEY_IF_NEW}, NOT_SUPPRESSED, 1},
        {{.key = "a", .payload = "2", .mode = KEY_IF_NEW}, SUPPRESSED_KEY_EXISTS, 1},
        {{.key = "a", .payload = "2", .mode = KEY_IF_EXISTS}, NOT_SUPPRESSED, 2},
        {{.key = "b"}, SUPPRESSED_KEY_NOT_FOUND, 2},
        {{.key = "a"}, NOT_SUPPRESSED, 3},
        {{.key = "a"}, SUPPRESSED_KEY_NOT_FOUND, 3},
        {{.key = "v", .payload = "", .version = 5}, NOT_SUPPRESSED, 4},
        {{.key = "v", .payload = "1", .version = 5}, SUPPRESSED_VERSION, 4},
        {{.key = "w", .payload = "1", .version = 1}, NOT_SUPPRESSED, 5}, /* versions are of a key */
        {{.key = "v", .payload = "1"}, NOT_SUPPRESSED, 6},               /* one without leaves it */
        {{.key = "v", .payload = "1", .version = 4}, SUPPRESSED_VERSION, 6},
        {{.key = "v", .payload = "1", .version = 4, .version_epoch = "e"}, NOT_SUPPRESSED, 7},
        {{.key = "v", .payload = "1", .version = 1, .mode = KEY_IF_NEW}, SUPPRESSED_VERSION, 7}, /* before the key's mode */
        {{.key = "v", .payload = "1", .version = 9, .mode = KEY_IF_NEW}, SUPPRESSED_KEY_EXISTS, 7},
        {{.key = "i", .payload = "1", .id = "x"}, NOT_SUPPRESSED, 8},
        {{.key = "i", .payload = "1"}, NOT_SUPPRESSED, 9},
        {{.key = "i", .payload = "2", .id = "x", .version = 1, .mode = KEY_IF_NEW}, SUPPRESSED_IDEMPOTENCY, 8}, /* first */
        {{.key = "n", .payload = "null"}, NOT_SUPPRESSED, 10}, /* a value: removals say so */
    };
    struct detail d;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct change c = cases[i].c;
        c.channel = "map:a";
        change(&d, &c);
        if (d.error != CRIER_OK || d.suppressed != cases[i].suppressed || d.offset != cases[i].offset)
            fail_msg("case %zu: %d, %d, %lld", i, d.error, d.suppressed, (long long)d.offset);
        assert_string_equal(d.epoch, find("map:a")->epoch);
    }
    assert_non_null(keyed_find(&find("map:a")->keyed, BYTES_LIT("n")));
    put(&d, "brief:a", "k", "1", .version = 1);
    assert_int_equal(d.error, CRIER_ERR_BAD_REQUEST);
}

static void what_is_suppressed_is_not_pushed(void **state)
{
    struct answer a;
    struct detail d;
    (void)state;
    subscribe(&a, &live, .channel = "map:a");
    set("map:a", "a", "1");
    put(&d, "map:a", "a", "2", .mode = KEY_IF_NEW);
    put(&d, "map:a", "b", NULL);
    assert_offsets(&live, "1 ");
    answer_done(&a);
}

static void a_removal_has_the_tags_of_what_it_removes(void **state)
{
    struct answer a;
    struct detail d;
    (void)state;
    subscribe(&a, &live, .channel = "map:a");
    put(&d, "map:a", "a", "1", .tags = "{\"line\":\"550\"}");
    live.text.len = 0;
    set("map:a", "a", NULL);
    assert_non_null(strstr(text_of(&live.text), "\"tags\":{\"line\":\"550\"},\"removed\":true"));
    answer_done(&a);
}

/* ---- the end of keys ---- */

static void sweep(const char *channel)
{
    channel_sweep(find(channel), test_mono_ms, test_wall_ms);
    turn();
}

static void keys_that_nobody_renews_are_removed_in_the_stream(void **state)
{
    struct answer a;
    struct detail d;
    (void)state;
    subscribe(&a, &live, .channel = "ttl:a");
    put(&d, "ttl:a", "x", "1", .tags = "{\"t\":\"x\"}");
    set("ttl:a", "y", "1");
    pass_ms(6000);
    set("ttl:a", "y", "2");
    pass_ms(6000);
    live.text.len = 0;
    sweep("ttl:a");
    assert_offsets(&live, "1 2 3 4 ");
    assert_non_null(strstr(text_of(&live.text), "\"key\":\"x\",\"tags\":{\"t\":\"x\"},\"removed\":true"));
    assert_int_equal(find("ttl:a")->keyed.count, 1);
    answer_done(&a);
    subscribe(&a, &live, .channel = "ttl:a", .epoch = find("ttl:a")->epoch, .offset = 3);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "4 ");
    answer_done(&a);
}

static void an_ephemeral_map_tells_its_changes_to_who_reads_it(void **state)
{
    struct state_page p = {0};
    struct answer a;
    (void)state;
    set("brief:a", "a", "1");
    set("brief:a", "b", "1");
    state(&p, .channel = "brief:a", .limit = 1);
    assert_true(p.unnumbered);
    assert_true(*p.epoch);
    set("brief:a", "a", NULL);
    subscribe(&a, &live, .channel = "brief:a", .epoch = p.epoch, .offset = p.position);
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "3 ");
    pass_ms(60001 + 10000);
    sweep("brief:a");
    answer_done(&a);
    page_done(&p);
}

static void on_cleared(struct hub_call *call, void *owner)
{
    struct hub_map_clear *m = (struct hub_map_clear *)call;
    (void)owner;
    *(enum crier_error *)m->arg = m->error;
    hub_map_clear_free(m);
}

static enum crier_error clear(const char *channel)
{
    enum crier_error error = CRIER_ERR_INTERNAL;
    struct hub_map_clear *m = hub_map_clear_new(&world.inbox, bytes_of(channel), on_cleared);
    m->arg = &error;
    hub_call_post(&world.hub, &m->call);
    turn();
    return error;
}

static void clearing_begins_a_new_epoch(void **state)
{
    struct state_page p = {0};
    struct answer a;
    struct detail d;
    char epoch[CHANNEL_EPOCH_SIZE];
    (void)state;
    set("map:a", "a", "1");
    set("map:a", "b", "1");
    memcpy(epoch, find("map:a")->epoch, sizeof epoch);
    subscribe(&a, &live, .channel = "map:a");
    assert_int_equal(clear("map:a"), CRIER_OK);
    assert_int_equal(live.epochs, 1);
    assert_string_not_equal(live.epoch, epoch);
    state(&p, .channel = "map:a", .limit = -1);
    assert_string_equal(p.offsets.data, "");
    assert_int_equal(p.keys, 0);
    state(&p, .channel = "map:a", .limit = -1, .epoch = epoch, .offset = 2);
    assert_int_equal(p.error, CRIER_ERR_UNRECOVERABLE_POSITION);
    put(&d, "map:a", "a", "1", .mode = KEY_IF_NEW);
    assert_int_equal(d.suppressed, NOT_SUPPRESSED);
    assert_int_equal(d.offset, 1);
    assert_string_equal(d.epoch, live.epoch);
    answer_done(&a);
    page_done(&p);
    assert_int_equal(clear("map:new"), CRIER_OK);
    assert_int_equal(clear("bus:all"), CRIER_ERR_NOT_AVAILABLE);
    assert_int_equal(clear("chat:a"), CRIER_ERR_BAD_REQUEST);
    assert_int_equal(clear("other:a"), CRIER_ERR_UNKNOWN_CHANNEL);
}

/* ---- kept by a broker ---- */

static void changes_go_to_the_broker_and_the_state_follows_what_comes_back(void **state)
{
    struct state_page p = {0};
    struct answer a;
    struct detail d;
    (void)state;
    subscribe(&a, &live, .channel = "bus:all");
    put(&d, "bus:all", "v1", "{\"x\":1}", .tags = "{\"line\":\"550\"}");
    assert_string_equal(broker->publishes[0].key, "v1");
    assert_string_equal(broker->publishes[0].headers, "crier-tag-line=550;");
    state(&p, .channel = "bus:all", .limit = -1);
    assert_int_equal(p.keys, 0);
    fake_stored(broker, 0, 0, 0);
    fake_give_with_header(sub, 0, 0, "v1", "{\"x\":1}", "crier-tag-line", "550");
    turn();
    assert_int_equal(d.error, CRIER_OK);
    assert_int_equal(d.offset, 0);
    state(&p, .channel = "bus:all", .limit = -1);
    assert_string_equal(p.offsets.data, "0 ");
    assert_int_equal(p.shift, 1);
    put(&d, "bus:all", "v1", NULL);
    assert_null(broker->publishes[1].payload);
    live.text.len = 0;
    fake_give(sub, 0, 1, "v1", NULL);
    fake_stored(broker, 1, 0, 1);
    turn();
    assert_non_null(strstr(text_of(&live.text), "\"tags\":{\"line\":\"550\"},\"removed\":true"));
    state(&p, .channel = "bus:all", .limit = -1);
    assert_int_equal(p.keys, 0);
    put(&d, "bus:all", "never", NULL); /* may be on its way from another node */
    assert_int_equal(broker->publish_count, 3);
    fake_stored(broker, 2, 0, 2);
    turn();
    put(&d, "bus:all", "never", "1", .mode = KEY_IF_EXISTS);
    assert_int_equal(d.suppressed, SUPPRESSED_KEY_NOT_FOUND);
    assert_int_equal(broker->publish_count, 3);
    answer_done(&a);
    page_done(&p);
}

static void give_now(int64_t offset, const char *key, const char *payload)
{
    struct bridge_record r = fake_record(sub, 0, offset, key, payload);
    r.time_ms = test_wall_ms;
    broker->host_ops->on_records(sub->cookie, &r, 1);
    turn();
}

/* No record of the log says that a key has expired: the removal shares the offset of the record before it. */
static void an_expired_key_of_a_log_is_told_to_who_comes_back(void **state)
{
    static const struct {
        int64_t offset;
        bool recovered;
        const char *offsets;
    } cases[] = {{0, true, "1 1 2 "}, {1, true, "1 2 "}, {2, true, ""}};
    struct answer a;
    (void)state;
    subscribe(&a, &live, .channel = "bus:all");
    answer_done(&a);
    give_now(0, "x", "1");
    pass_ms(6000);
    give_now(1, "y", "1");
    pass_ms(6000);
    sweep("bus:all");
    assert_offsets(&live, "0 1 1 ");
    give_now(2, "y", "2");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        subscribe(&a, &live, .channel = "bus:all", .epoch = find("bus:all")->epoch, .offset = cases[i].offset);
        assert_int_equal(a.recovered, cases[i].recovered);
        assert_string_equal(a.offsets.data, cases[i].offsets);
        answer_done(&a);
    }
}

/* The log is read up to where memory begins, and memory tells of the key that expired since. */
static void an_expired_key_is_told_after_what_the_log_gives(void **state)
{
    struct answer a;
    (void)state;
    give_now(0, "old", "1");
    pass_ms(6000);
    for (int64_t i = 1; i <= 5; i++)
        give_now(i, "y", "1");
    pass_ms(6000);
    sweep("bus:all"); /* "old" goes at 5 */
    for (int64_t i = 6; i <= 12; i++)
        give_now(i, "y", "1");
    assert_int_equal(find("bus:all")->history.floor, 3);
    subscribe(&a, &live, .channel = "bus:all", .epoch = find("bus:all")->epoch, .offset = 1);
    assert_int_equal(broker->reads[0].read.from_offset, 2);
    assert_int_equal(broker->reads[0].read.to_offset, 3);
    const struct bridge_record records[] = {fake_record(sub, 0, 2, "y", "1"), fake_record(sub, 0, 3, "y", "1")};
    fake_read_part(broker, 0, records, 2);
    fake_read_end(broker, 0, 0, 13, true, 0);
    turn();
    assert_true(a.recovered);
    assert_string_equal(a.offsets.data, "2 3 4 5 5 6 7 8 9 10 11 12 ");
    answer_done(&a);
}

/* Once the removal has left the history, positions up to it say too little: the table is handed over anew. */
static void an_expiry_that_is_forgotten_cannot_be_resumed_over(void **state)
{
    struct answer a;
    (void)state;
    give_now(0, "x", "1");
    pass_ms(11000);
    sweep("bus:all");
    for (int64_t i = 1; i <= 10; i++)
        give_now(i, "y", "1");
    assert_int_equal(find("bus:all")->history.lost, 0);
    subscribe(&a, &live, .channel = "bus:all", .epoch = find("bus:all")->epoch, .offset = 0);
    assert_false(a.recovered);
    assert_string_equal(a.offsets.data, "10 ");
    answer_done(&a);
    subscribe(&a, &live, .channel = "bus:all", .epoch = find("bus:all")->epoch, .offset = 1);
    assert_true(a.recovered);
    answer_done(&a);
}

static void the_stream_of_a_map_is_its_history(void **state)
{
    struct answer a;
    (void)state;
    set("map:a", "a", "1");
    set("map:a", "a", NULL);
    subscribe(&a, &live, .channel = "map:a", .epoch = find("map:a")->epoch, .offset = 0);
    assert_string_equal(a.offsets.data, "1 2 ");
    answer_done(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_state_comes_in_pages_in_byte_order_of_keys),
        TEST(a_large_state_is_cut_by_bytes_too),
        TEST(what_changes_between_pages_comes_by_the_stream),
        TEST(a_filter_leaves_entries_out_of_the_pages),
        TEST(a_box_leaves_entries_out_of_the_pages_be_they_few_or_many),
        TEST(a_revision_of_another_map_is_lost),
        TEST(only_maps_are_read_as_maps),
        TEST(conditions_on_keys),
        TEST(what_is_suppressed_is_not_pushed),
        TEST(a_removal_has_the_tags_of_what_it_removes),
        TEST(keys_that_nobody_renews_are_removed_in_the_stream),
        TEST(an_ephemeral_map_tells_its_changes_to_who_reads_it),
        TEST(clearing_begins_a_new_epoch),
        TEST(changes_go_to_the_broker_and_the_state_follows_what_comes_back),
        TEST(an_expired_key_of_a_log_is_told_to_who_comes_back),
        TEST(an_expired_key_is_told_after_what_the_log_gives),
        TEST(an_expiry_that_is_forgotten_cannot_be_resumed_over),
        TEST(the_stream_of_a_map_is_its_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
