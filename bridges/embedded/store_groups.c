#include "embedded/store_private.h"

int store_position_get(struct store *s, const char *group, const struct store_partition *p, int64_t *ret_next)
{
    return store_get(s, ret_next, ST_POSITION_GET, "ti", group, p->slot);
}

int store_position_set(struct store *s, const char *group, const struct store_partition *p, int64_t next)
{
    return store_run(s, ST_POSITION_SET, "tii", group, p->slot, next);
}

/* An expiry further away than any that is written now comes from before the clock was set back. */
int store_member_renew(struct store *s, const char *group, const struct store_topic *t, const char *member,
                       int64_t now_ms, int64_t expires_ms, int32_t *ret_place, int32_t *ret_members)
{
    int r = store_run(s, ST_MEMBER_EXPIRE, "tiii", group, t->id, now_ms, 2 * expires_ms - now_ms);
    if (r == 0)
        r = store_run(s, ST_MEMBER_RENEW, "titi", group, t->id, member, expires_ms);
    if (r < 0)
        return r;
    sqlite3_stmt *st = store_bind(s, ST_MEMBER_PLACE, &r, "tit", group, t->id, member);
    if (!st)
        return r;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *ret_place = sqlite3_column_int(st, 0);
        *ret_members = sqlite3_column_int(st, 1);
    }
    r = store_fail(s, rc);
    sqlite3_reset(st);
    return r;
}

int store_member_leave(struct store *s, const char *group, const struct store_topic *t, const char *member)
{
    return store_run(s, ST_MEMBER_LEAVE, "tit", group, t->id, member);
}

int store_lease_take(struct store *s, const char *group, const struct store_partition *p, const char *member,
                     int64_t now_ms, int64_t expires_ms, bool *ret_mine)
{
    int r = store_run(s, ST_LEASE_TAKE, "titii", group, p->slot, member, now_ms, expires_ms);
    if (r == 0)
        *ret_mine = sqlite3_changes(s->db) > 0;
    return r;
}

int store_lease_release(struct store *s, const char *group, const struct store_partition *p, const char *member)
{
    return store_run(s, ST_LEASE_RELEASE, "tit", group, p->slot, member);
}
