/* Static files: opened without following links, held in memory with their gzip form, checked against the disk at most once
 * a second. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <zlib.h>

#include "internal.h"
#include "util/error.h"

#define CACHE_BYTES (64u << 20) /* of all files; over it the cache starts anew */
#define FILE_BYTES (32 << 20)   /* larger ones are not served */
#define GZIP_MIN_BYTES 512
#define FRESH_MS 1000

static const struct file_type {
    const char *extension, *type, *cache;
    bool text, html;
} types[] = {
    /* What makes up a page is asked for again each time (304), so that parts of two versions never meet. */
    {".html", "text/html; charset=utf-8", "no-cache", true, true},
    {".js", "text/javascript; charset=utf-8", "no-cache", true, false},
    {".mjs", "text/javascript; charset=utf-8", "no-cache", true, false},
    {".css", "text/css; charset=utf-8", "no-cache", true, false},
    {".json", "application/json", "no-cache", true, false},
    {".geojson", "application/geo+json", "no-cache", true, false},
    {".map", "application/json", "no-cache", true, false},
    {".webmanifest", "application/manifest+json", "no-cache", true, false},
    {".txt", "text/plain; charset=utf-8", "no-cache", true, false},
    {".md", "text/plain; charset=utf-8", "no-cache", true, false},
    {".proto", "text/plain; charset=utf-8", "no-cache", true, false},
    {".svg", "image/svg+xml", "public, max-age=86400", true, false},
    {".png", "image/png", "public, max-age=86400", false, false},
    {".jpg", "image/jpeg", "public, max-age=86400", false, false},
    {".jpeg", "image/jpeg", "public, max-age=86400", false, false},
    {".gif", "image/gif", "public, max-age=86400", false, false},
    {".webp", "image/webp", "public, max-age=86400", false, false},
    {".ico", "image/x-icon", "public, max-age=86400", false, false},
    {".woff2", "font/woff2", "public, max-age=86400", false, false},
    {".wasm", "application/wasm", "public, max-age=86400", true, false},
    {".pbf", "application/x-protobuf", "public, max-age=86400", true, false},
    {".pmtiles", "application/octet-stream", "public, max-age=86400", false, false},
};
static const struct file_type other_type = {"", "application/octet-stream", "public, max-age=86400", false, false};

/* Between the parts stand the origins of server.web_sources. */
static const char policy_connect[] = "default-src 'self'; style-src 'self'; script-src 'self'; worker-src 'self' blob:; "
                                     "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self' ws: wss:";
static const char policy_images[] = "; img-src 'self' data: blob:";

struct static_file {
    char *path;
    const struct file_type *type;
    struct timespec mtime;
    off_t size;
    ino_t inode;
    struct buf plain, gzip; /* gzip empty: not worth it */
    char etag[64], gzip_etag[64];
    uint64_t checked_ms;
    UT_hash_handle hh;
};

struct static_files {
    int dir_fd;
    struct buf policy; /* of pages */
    size_t bytes;
    struct static_file *files;
};

static void write_policy(struct buf *out, char *const *sources, size_t count)
{
    buf_append_str(out, policy_connect);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, " %s", sources[i]);
    buf_append_str(out, policy_images);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, " %s", sources[i]);
}

struct static_files *static_new(const char *dir, char *const *sources, size_t source_count)
{
    int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        log_warn("folder of static files cannot be opened", LOG_STR("dir", dir), LOG_STR("error", strerror(errno)));
        return NULL;
    }
    struct static_files *s = xcalloc(1, sizeof *s);
    s->dir_fd = fd;
    write_policy(&s->policy, sources, source_count);
    return s;
}

static void drop(struct static_files *s, struct static_file *f)
{
    HASH_DEL(s->files, f);
    s->bytes -= f->plain.len + f->gzip.len;
    buf_done(&f->plain);
    buf_done(&f->gzip);
    free(f->path);
    free(f);
}

static void drop_all(struct static_files *s)
{
    struct static_file *f, *next;
    HASH_ITER(hh, s->files, f, next)
    {
        drop(s, f);
    }
}

void static_free(struct static_files *s)
{
    if (!s)
        return;
    drop_all(s);
    close(s->dir_fd);
    buf_done(&s->policy);
    free(s);
}

/* ---- finding and loading ---- */

/* Opens `path` below the folder, one segment after the other and through no link. Hidden and empty segments are refused. */
static int open_beneath(const struct static_files *s, const char *path)
{
    CLEANUP_BUF copy = BUF_INIT;
    buf_append(&copy, path, strlen(path) + 1);
    int fd = fcntl(s->dir_fd, F_DUPFD_CLOEXEC, 0);

    for (char *segment = copy.data; fd >= 0 && segment;) {
        char *slash = strchr(segment, '/');
        if (slash)
            *slash = 0;
        bool usable = *segment && *segment != '.';
        int flags = slash ? O_PATH | O_DIRECTORY : O_RDONLY | O_NONBLOCK;
        int next = usable ? openat(fd, segment, flags | O_NOFOLLOW | O_CLOEXEC) : -1;
        int error = usable ? errno : ENOENT;
        close(fd);
        if (next < 0)
            return -error;
        fd = next;
        segment = slash ? slash + 1 : NULL;
    }
    return fd < 0 ? -errno : fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static const struct file_type *type_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i].extension) == 0)
            return &types[i];
    return &other_type;
}

static int read_whole(int fd, size_t size, struct buf *out)
{
    buf_reserve(out, size + 1);
    while (out->len < size) {
        ssize_t n = read(fd, out->data + out->len, size - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        out->len += (size_t)n;
    }
    return 0;
}

static void compress_file(struct static_file *f)
{
    z_stream z = {0};

    if (!f->type->text || f->plain.len < GZIP_MIN_BYTES)
        return;
    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return;
    buf_reserve(&f->gzip, deflateBound(&z, f->plain.len));
    z.next_in = (Bytef *)f->plain.data;
    z.avail_in = (uInt)f->plain.len;
    z.next_out = (Bytef *)f->gzip.data;
    z.avail_out = (uInt)f->gzip.capacity;
    if (deflate(&z, Z_FINISH) == Z_STREAM_END)
        f->gzip.len = z.total_out;
    deflateEnd(&z);
    if (f->gzip.len == 0 || f->gzip.len >= f->plain.len - f->plain.len / 16)
        buf_done(&f->gzip);
    else
        f->gzip.data = xrealloc(f->gzip.data, f->gzip.capacity = f->gzip.len);
}

static bool is_same_file(const struct static_file *f, const struct stat *st)
{
    return f->size == st->st_size && f->inode == st->st_ino && f->mtime.tv_sec == st->st_mtim.tv_sec &&
           f->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

static struct static_file *load(struct static_files *s, const char *path, int fd, const struct stat *st)
{
    struct static_file *f = xcalloc(1, sizeof *f);

    f->type = type_of(path);
    f->mtime = st->st_mtim;
    f->size = st->st_size;
    f->inode = st->st_ino;
    if (read_whole(fd, (size_t)st->st_size, &f->plain) < 0) {
        buf_done(&f->plain);
        free(f);
        return NULL;
    }
    unsigned long long changed = (unsigned long long)st->st_mtim.tv_sec * 1000000000ull + (unsigned long long)st->st_mtim.tv_nsec;
    snprintf(f->etag, sizeof f->etag, "\"%llx-%llx\"", changed, (unsigned long long)st->st_size);
    snprintf(f->gzip_etag, sizeof f->gzip_etag, "\"%llx-%llx-gz\"", changed, (unsigned long long)st->st_size);
    compress_file(f);
    f->path = xstrdup(path);
    if (s->bytes + f->plain.len + f->gzip.len > CACHE_BYTES)
        drop_all(s);
    s->bytes += f->plain.len + f->gzip.len;
    HASH_ADD_KEYPTR(hh, s->files, f->path, strlen(f->path), f);
    return f;
}

/* Returns 0, -EISDIR for a folder, another negative errno when there is no file to serve. */
static int find_file(struct static_files *s, const char *path, uint64_t now, struct static_file **ret)
{
    struct static_file *f;
    struct stat st;

    HASH_FIND_STR(s->files, path, f);
    if (f && now - f->checked_ms < FRESH_MS) {
        *ret = f;
        return 0;
    }
    __attribute__((cleanup(close_fd))) int fd = open_beneath(s, path);
    int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? -EISDIR : 0;
    if (r == 0 && (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES))
        r = -EFBIG;
    if (f && (r < 0 || !is_same_file(f, &st))) {
        drop(s, f);
        f = NULL;
    }
    if (r < 0)
        return r;
    if (!f)
        f = load(s, path, fd, &st);
    if (!f)
        return -EIO;
    f->checked_ms = now;
    *ret = f;
    return 0;
}

/* ---- answering ---- */

/* Is there a weight other than zero behind the coding's name? Valid: "", "; q=0.5". None: ";q=0", "; q=0.000". */
static bool has_weight(struct bytes parameters)
{
    const char *q = parameters.len ? memchr(parameters.data, '=', parameters.len) : NULL;
    if (!q)
        return true;
    for (q++; q < parameters.data + parameters.len; q++)
        if (*q >= '1' && *q <= '9')
            return true;
    return false;
}

static bool accepts_gzip(struct bytes list)
{
    struct bytes element;
    while (http1_list_next(&list, &element)) {
        size_t n = 0;
        while (n < element.len && element.data[n] != ';' && element.data[n] != ' ')
            n++;
        struct bytes coding = {element.data, n}, parameters = {element.data + n, element.len - n};
        if (http1_name_eq(coding, "gzip") || bytes_eq_str(coding, "*"))
            return has_weight(parameters);
    }
    return false;
}

static bool etag_matches(struct bytes list, const struct static_file *f)
{
    struct bytes element;
    while (http1_list_next(&list, &element)) {
        if (element.len > 2 && memcmp(element.data, "W/", 2) == 0)
            element = (struct bytes){element.data + 2, element.len - 2};
        if (bytes_eq_str(element, "*") || bytes_eq_str(element, f->etag) || bytes_eq_str(element, f->gzip_etag))
            return true;
    }
    return false;
}

static void answer_file(const struct static_files *s, struct http_request *r, const struct static_file *f)
{
    bool gzip = f->gzip.len && accepts_gzip(http_header_get(r, "accept-encoding"));
    struct http_header headers[6];
    size_t n = 0;

    headers[n++] = (struct http_header){"ETag", bytes_of(gzip ? f->gzip_etag : f->etag)};
    headers[n++] = (struct http_header){"Cache-Control", bytes_of(f->type->cache)};
    if (f->type->text)
        headers[n++] = (struct http_header){"Vary", BYTES_LIT("Accept-Encoding")};
    if (f->type->html) {
        headers[n++] = (struct http_header){"Content-Security-Policy", buf_bytes(&s->policy)};
        headers[n++] = (struct http_header){"Referrer-Policy", BYTES_LIT("no-referrer")};
    }
    if (etag_matches(http_header_get(r, "if-none-match"), f)) {
        http_respond(r, &(struct http_reply){.status = 304, .headers = headers, .header_count = n});
        return;
    }
    if (gzip)
        headers[n++] = (struct http_header){"Content-Encoding", BYTES_LIT("gzip")};
    http_respond(r, &(struct http_reply){200, f->type->type, buf_bytes(gzip ? &f->gzip : &f->plain), headers, n});
}

/* The path has no empty segment here, so the target cannot be read as another host's. */
static void redirect_to_folder(struct http_request *r)
{
    CLEANUP_BUF target = BUF_INIT;

    buf_append_bytes(&target, r->head.path);
    buf_append_str(&target, "/");
    if (r->head.query.data) {
        buf_append_str(&target, "?");
        buf_append_bytes(&target, r->head.query);
    }
    const struct http_header location = {"Location", buf_bytes(&target)};
    http_respond(r, &(struct http_reply){.status = 308, .headers = &location, .header_count = 1});
}

bool static_serve(struct static_files *s, struct http_request *r)
{
    CLEANUP_BUF path = BUF_INIT;
    struct static_file *f = NULL;
    struct bytes asked = http_path(r), method = r->head.method;
    const struct http_header allow = {"Allow", BYTES_LIT("GET, HEAD, OPTIONS")};

    buf_append(&path, asked.data + 1, asked.len - 1);
    if (asked.data[asked.len - 1] == '/')
        buf_append_str(&path, "index.html");
    buf_append(&path, "", 1);
    int e = find_file(s, path.data, net_now(http_net(r)), &f);
    if (e < 0 && e != -EISDIR)
        return false;
    if (bytes_eq_str(method, "OPTIONS"))
        http_respond(r, &(struct http_reply){.status = 204, .headers = &allow, .header_count = 1});
    else if (!bytes_eq_str(method, "GET") && !bytes_eq_str(method, "HEAD"))
        http_respond_status(r, 405, NULL, &allow, 1);
    else if (e == -EISDIR)
        redirect_to_folder(r);
    else
        answer_file(s, r, f);
    return true;
}
