#include "embedded/driver.h"

#include <stdlib.h>

/* ---- hub thread ---- */

static void deliver(struct bridge *b, struct mail *m)
{
    struct read_event *e = CONTAINER_OF(m, struct read_event, mail);
    b->host_ops->on_read(e->cookie, &e->result);
    emb_record_set_done(&e->set);
    emb_bridge_return(b, &e->command);
}

/* ---- store thread ---- */

static void job_free(struct read_job *job)
{
    free(job->topic);
    free(job);
}

static void run_credit(struct worker *w, struct command *c)
{
    (void)w;
    struct read_event *e = CONTAINER_OF(c, struct read_event, command);
    if (--e->job->in_flight == 0 && e->job->finished)
        job_free(e->job);
    free(e);
}

static void send_result(struct worker *w, struct read_job *job, struct read_event *e)
{
    if (emb_record_set_seal(&e->set, bytes_of(job->topic)) < 0)
        log_warn("record with damaged headers", LOG_STR("bridge", w->bridge->name), LOG_STR("topic", job->topic));
    e->job = job;
    e->cookie = job->cookie;
    e->command.run = run_credit;
    e->result.records = e->set.records;
    e->result.count = e->set.count;
    job->finished = e->result.last;
    job->in_flight++;
    emb_worker_mail(w, &e->mail, deliver);
}

static void send_error(struct worker *w, struct read_job *job, int error)
{
    struct read_event *e = xcalloc(1, sizeof *e);
    e->result = (struct bridge_read_result){.last = true, .error = error, .oldest_offset = -1, .end_offset = -1};
    send_result(w, job, e);
}

static int begin(struct worker *w, struct read_job *job)
{
    struct store_topic *t;
    int r = store_topic_find(w->store, bytes_of(job->topic), &t);
    if (r < 0)
        return r;
    if (job->partition < 0 || job->partition >= t->partition_count)
        return -ENOENT;
    struct store_partition *p = &t->partitions[job->partition];
    r = store_partition_load(w->store, p);
    if (r < 0)
        return r;
    job->store = p;
    job->end = p->now.next;
    if (job->to > job->end - 1)
        job->to = job->end - 1;
    if (job->next < p->now.start)
        job->next = p->now.start;
    return 0;
}

static bool on_row(void *arg, const struct store_record *r)
{
    struct record_set *set = arg;
    emb_record_set_copy(set, 0, r);
    return set->data.len < CHUNK_BYTES;
}

static bool on_any(void *arg, const struct store_record *r)
{
    (void)r;
    *(bool *)arg = true;
    return false;
}

/* A slice: true when `e` holds the last records of the range, or as many as are wanted. */
static int read_slice(struct worker *w, struct read_job *job, struct read_event *e)
{
    size_t limit = job->limit < job->left ? job->limit : job->left;
    int r = store_partition_load(w->store, job->store);
    /* Retention was faster than we: records that existed at the beginning have not been handed over. */
    bool overtaken = r == 0 && job->store->now.start > job->next && job->next <= job->to;
    if (r == 0)
        r = store_read(w->store, job->store, job->next, job->to, limit, on_row, &e->set);
    if (r < 0)
        return r;
    for (size_t i = 0; i < e->set.count; i++)
        e->set.records[i].partition = job->partition;
    job->left -= e->set.count;
    job->overtaken |= overtaken;
    if (e->set.count > 0)
        job->next = e->set.records[e->set.count - 1].offset + 1;
    bool rest = false;
    if (e->set.count > 0)
        r = store_read(w->store, job->store, job->next, job->to, 1, on_any, &rest);
    e->result = (struct bridge_read_result){
        .last = !rest || job->left == 0,
        .oldest_offset = job->store->now.start,
        .end_offset = job->end,
        .complete = !rest && !job->overtaken,
    };
    return r;
}

static void step(struct worker *w, struct read_job *job)
{
    struct read_event *e = xcalloc(1, sizeof *e);
    int r = job->store ? 0 : begin(w, job);
    if (r == 0)
        r = read_slice(w, job, e);
    if (r == 0) {
        send_result(w, job, e);
        return;
    }
    emb_record_set_done(&e->set);
    free(e);
    send_error(w, job, r);
}

void emb_reader_add(struct worker *w, struct command *c)
{
    struct read_job *job = CONTAINER_OF(c, struct read_job, command);
    if (!w->store) {
        send_error(w, job, -EAGAIN);
        return;
    }
    job->next_job = NULL;
    if (w->reads)
        w->reads_last->next_job = job;
    else
        w->reads = job;
    w->reads_last = job;
}

static struct read_job *take_next(struct worker *w)
{
    struct read_job *before = NULL, *job = w->reads;
    while (job && job->in_flight >= READ_IN_FLIGHT) {
        before = job;
        job = job->next_job;
    }
    if (!job)
        return NULL;
    if (before)
        before->next_job = job->next_job;
    else
        w->reads = job->next_job;
    if (w->reads_last == job)
        w->reads_last = before;
    return job;
}

/* One slice of the first job that may go on; it then queues up behind the others. */
bool emb_readers_step(struct worker *w)
{
    struct read_job *job = take_next(w);
    if (!job)
        return false;
    step(w, job);
    if (!job->finished)
        emb_reader_add(w, &job->command);
    return true;
}

void emb_readers_cancel(struct worker *w)
{
    while (w->reads) {
        struct read_job *job = w->reads;
        w->reads = job->next_job;
        send_error(w, job, -ECANCELED);
    }
}
