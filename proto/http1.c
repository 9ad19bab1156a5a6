#include "http1.h"

#include <errno.h>
#include <strings.h>

/* tchar of RFC 9110, 5.6.2. */
static bool is_tchar(unsigned char c)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr(others, c));
}

bool http1_is_token(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_tchar((unsigned char)s.data[i]))
            return false;
    return s.len > 0;
}

bool http1_name_eq(struct bytes name, const char *literal)
{
    return name.len == strlen(literal) && strncasecmp(name.data, literal, name.len) == 0;
}

ssize_t http1_head_end(const char *data, size_t len, size_t *scanned)
{
    for (size_t i = *scanned; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c >= 0x20 ? c == 0x7f : c != '\r' && c != '\n' && c != '\t')
            return -400;
        if (c != '\n')
            continue;
        if (i == 0 || data[i - 1] != '\r')
            return -400;
        /* An empty line ahead of the request line is skipped by http1_head_parse (RFC 9112, 2.2). */
        if (i >= 3 && data[i - 2] == '\n') {
            *scanned = i + 1;
            return (ssize_t)(i + 1);
        }
    }
    *scanned = len;
    return 0;
}

/* Splits the next line off; it must end with CRLF and have no CR inside. */
static bool next_line(struct bytes *rest, struct bytes *ret_line)
{
    const char *lf = memchr(rest->data, '\n', rest->len);
    if (!lf || lf == rest->data || lf[-1] != '\r')
        return false;
    *ret_line = (struct bytes){rest->data, (size_t)(lf - rest->data) - 1};
    rest->len -= (size_t)(lf + 1 - rest->data);
    rest->data = lf + 1;
    return !memchr(ret_line->data, '\r', ret_line->len);
}

static bool split_at(struct bytes *rest, char c, struct bytes *ret_left)
{
    const char *at = rest->len ? memchr(rest->data, c, rest->len) : NULL;
    if (!at)
        return false;
    *ret_left = (struct bytes){rest->data, (size_t)(at - rest->data)};
    rest->len -= ret_left->len + 1;
    rest->data = at + 1;
    return true;
}

static struct bytes trim(struct bytes s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.len--;
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static bool starts_with(struct bytes s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && strncasecmp(s.data, prefix, n) == 0;
}

/* Letters, digits, and what names, IPv4 and bracketed IPv6 addresses and ports need. */
static bool is_host(struct bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c && strchr("-._~:[]%", c)))
            return false;
    }
    return true;
}

/* origin-form "/a?b", absolute-form "http://host/a?b", asterisk-form "*" with OPTIONS. */
static int parse_target(struct bytes target, struct http1_head *h)
{
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.data[i] <= 0x20 || (unsigned char)target.data[i] >= 0x7f || target.data[i] == '#')
            return -400;
    if (starts_with(target, "http://") || starts_with(target, "https://")) {
        const char *authority = (const char *)memchr(target.data, '/', target.len) + 2;
        size_t left = target.len - (size_t)(authority - target.data), n = 0;
        while (n < left && authority[n] != '/' && authority[n] != '?')
            n++;
        h->host = (struct bytes){authority, n};
        target = (struct bytes){authority + n, left - n};
        if (n == 0 || !is_host(h->host))
            return -400;
        if (target.len == 0 || target.data[0] == '?') {
            h->path = BYTES_LIT("/");
            h->query = target.len ? (struct bytes){target.data + 1, target.len - 1} : BYTES_NULL;
            return 0;
        }
    }
    if (target.len == 1 && target.data[0] == '*' && bytes_eq_str(h->method, "OPTIONS")) {
        h->path = target;
        return 0;
    }
    if (target.len == 0 || target.data[0] != '/')
        return -400;
    h->path = target;
    struct bytes rest = target;
    if (split_at(&rest, '?', &h->path))
        h->query = rest;
    return 0;
}

static int parse_request_line(struct bytes line, struct http1_head *h)
{
    struct bytes target, rest = line;

    if (!split_at(&rest, ' ', &h->method) || !http1_is_token(h->method))
        return -400;
    if (!split_at(&rest, ' ', &target))
        return -400;
    if (rest.len != 8 || memcmp(rest.data, "HTTP/", 5) != 0 || rest.data[6] != '.')
        return -400;
    if (rest.data[5] < '0' || rest.data[5] > '9' || rest.data[7] < '0' || rest.data[7] > '9')
        return -400;
    if (rest.data[5] != '1' || rest.data[7] > '1')
        return -505;
    h->minor = rest.data[7] - '0';
    return parse_target(target, h);
}

static int on_content_length(struct http1_head *h, struct bytes value)
{
    if (h->content_length >= 0 || value.len == 0)
        return -400;
    int64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return -400;
        if (n > INT64_MAX / 10 - 1)
            return -413;
        n = n * 10 + (value.data[i] - '0');
    }
    h->content_length = n;
    return 0;
}

static int on_transfer_encoding(struct http1_head *h, struct bytes value)
{
    if (h->chunked || h->minor == 0)
        return -400;
    if (!http1_name_eq(value, "chunked"))
        return -501;
    h->chunked = true;
    return 0;
}

static int on_host(struct http1_head *h, struct bytes value, bool *seen)
{
    if (*seen || !is_host(value))
        return -400;
    *seen = true;
    if (!h->host.data) /* an absolute-form target wins (RFC 9112, 3.2.2) */
        h->host = value;
    return 0;
}

static int parse_field(struct bytes line, struct http1_head *h, bool *host_seen)
{
    struct http1_field f;

    f.value = line;
    if (!split_at(&f.value, ':', &f.name) || !http1_is_token(f.name)) /* also obs-fold, and a blank before the colon */
        return -400;
    f.value = trim(f.value);
    if (h->field_count == HTTP1_FIELDS_MAX)
        return -431;
    h->fields[h->field_count++] = f;

    if (http1_name_eq(f.name, "host"))
        return on_host(h, f.value, host_seen);
    if (http1_name_eq(f.name, "content-length"))
        return on_content_length(h, f.value);
    if (http1_name_eq(f.name, "transfer-encoding"))
        return on_transfer_encoding(h, f.value);
    return 0;
}

static int check_expect(struct http1_head *h)
{
    struct bytes expect = http1_field_get(h, "expect");
    if (!expect.data)
        return 0;
    if (!http1_name_eq(expect, "100-continue"))
        return -417;
    h->expect_continue = h->minor == 1;
    return 0;
}

int http1_head_parse(const char *head, size_t len, struct http1_head *ret)
{
    struct bytes rest = {head, len}, line;
    bool host_seen = false;

    if (rest.len >= 2 && memcmp(rest.data, "\r\n", 2) == 0)
        rest = (struct bytes){rest.data + 2, rest.len - 2};
    ret->query = ret->host = BYTES_NULL;
    ret->content_length = -1;
    ret->chunked = ret->expect_continue = false;
    ret->field_count = 0;

    int r = next_line(&rest, &line) ? parse_request_line(line, ret) : -400;
    while (r == 0) {
        if (!next_line(&rest, &line))
            return -400;
        if (line.len == 0)
            break;
        r = parse_field(line, ret, &host_seen);
    }
    if (r < 0)
        return r;
    if (ret->minor == 1 && !host_seen)
        return -400;
    if (ret->chunked && ret->content_length >= 0)
        return -400;
    ret->keep_alive = ret->minor == 1 ? !http1_field_has_token(ret, "connection", "close")
                                      : http1_field_has_token(ret, "connection", "keep-alive");
    return check_expect(ret);
}

struct bytes http1_field_get(const struct http1_head *h, const char *name)
{
    for (size_t i = 0; i < h->field_count; i++)
        if (http1_name_eq(h->fields[i].name, name))
            return h->fields[i].value;
    return BYTES_NULL;
}

bool http1_list_next(struct bytes *rest, struct bytes *ret_element)
{
    while (rest->len) {
        struct bytes element = *rest;
        if (!split_at(rest, ',', &element))
            *rest = BYTES_NULL;
        *ret_element = trim(element);
        if (ret_element->len)
            return true;
    }
    return false;
}

bool http1_field_has_token(const struct http1_head *h, const char *name, const char *token)
{
    for (size_t i = 0; i < h->field_count; i++) {
        struct bytes rest = h->fields[i].value, element;
        if (!http1_name_eq(h->fields[i].name, name))
            continue;
        while (http1_list_next(&rest, &element))
            if (http1_name_eq(element, token))
                return true;
    }
    return false;
}
