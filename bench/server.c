/* A Swift faster than any client, so that what is measured is the client.
 *
 * One thread, one epoll, loopback only. It prints the port that the system chose and ends with
 * the process that started it. It stores nothing:
 *
 *   GET  /auth/v1.0                 a token; /tls/PORT/auth/v1.0 the same, for a TLS front
 *   PUT  /v1/A/C/O                  201 with the ETag of the request; without one, the MD5 of
 *                                   the body, unless O begins with "unhashed"
 *   GET  /v1/A/C/sN   HEAD          N bytes of a fixed pattern and their MD5; also ranges
 *   GET  /v1/A/C/archive   HEAD     the file that the program was started for, whole or a range;
 *                                   its ETag is not its MD5, which nobody who reads a part needs
 *   any other object                is absent: 404; DELETE is always 204, POST 202
 *   GET  /v1/A/cN?limit=&marker=    a JSON listing of N objects; prefixes are ignored
 *   PUT, POST, HEAD of a container  201, 204, 204; one for segments is absent until somebody
 *                                   puts something there
 *   POST /v1/A?bulk-delete          every line of the body is an object that is gone now
 *   GET  /info                      that it has a bulk delete, and static large objects
 *   GET  /stats                     connections, authentications, requests and bytes sent until now
 *
 * Its second argument, if it has one, is a delay in milliseconds: so long it keeps each answer to a request
 * of an object back, as a network would.
 *
 * Each answer of the account AUTH_close ends its connection. Bodies that need no hash are
 * thrown away inside the kernel (recv with MSG_TRUNC): receiving costs next to nothing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD_LIMIT 16384
#define PATTERN_SIZE (1 << 20)
#define LISTED 200000
#define PAGE 10000

/* MD5, as in RFC 1321: the one hash that Swift speaks. */

struct md5 {
    uint32_t state[4];
    uint64_t length;
    uint8_t block[64];
};

static uint32_t word_at(const uint8_t *bytes, int index)
{
    uint32_t word;
    memcpy(&word, bytes + 4 * index, 4); /* little-endian, as every machine that is measured */
    return word;
}

#define TURN(f, a, b, c, d, k, s, t) \
    a += (f) + m[k] + t;             \
    a = b + ((a << s) | (a >> (32 - s)));
#define F(b, c, d) (d ^ (b & (c ^ d)))
#define G(b, c, d) (c ^ (d & (b ^ c)))
#define H(b, c, d) (b ^ c ^ d)
#define I(b, c, d) (c ^ (b | ~d))
#define FOUR(f, k, step, s1, s2, s3, s4, t1, t2, t3, t4)          \
    TURN(f(b, c, d), a, b, c, d, (k) & 15, s1, t1)                \
    TURN(f(a, b, c), d, a, b, c, ((k) + step) & 15, s2, t2)       \
    TURN(f(d, a, b), c, d, a, b, ((k) + 2 * step) & 15, s3, t3)   \
    TURN(f(c, d, a), b, c, d, a, ((k) + 3 * step) & 15, s4, t4)

static void md5_block(uint32_t state[4], const uint8_t *bytes)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], m[16];
    for (int i = 0; i < 16; i++)
        m[i] = word_at(bytes, i);
    FOUR(F, 0, 1, 7, 12, 17, 22, 0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee)
    FOUR(F, 4, 1, 7, 12, 17, 22, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501)
    FOUR(F, 8, 1, 7, 12, 17, 22, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be)
    FOUR(F, 12, 1, 7, 12, 17, 22, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821)
    FOUR(G, 1, 5, 5, 9, 14, 20, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa)
    FOUR(G, 5, 5, 5, 9, 14, 20, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8)
    FOUR(G, 9, 5, 5, 9, 14, 20, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed)
    FOUR(G, 13, 5, 5, 9, 14, 20, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a)
    FOUR(H, 5, 3, 4, 11, 16, 23, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c)
    FOUR(H, 1, 3, 4, 11, 16, 23, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70)
    FOUR(H, 13, 3, 4, 11, 16, 23, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05)
    FOUR(H, 9, 3, 4, 11, 16, 23, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665)
    FOUR(I, 0, 7, 6, 10, 15, 21, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039)
    FOUR(I, 12, 7, 6, 10, 15, 21, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1)
    FOUR(I, 8, 7, 6, 10, 15, 21, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1)
    FOUR(I, 4, 7, 6, 10, 15, 21, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391)
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
}

static void md5_begin(struct md5 *md5)
{
    static const uint32_t start[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    memcpy(md5->state, start, sizeof start);
    md5->length = 0;
}

static void md5_add(struct md5 *md5, const uint8_t *data, size_t size)
{
    size_t held = md5->length % 64;
    md5->length += size;
    if (held) {
        size_t room = 64 - held, part = size < room ? size : room;
        memcpy(md5->block + held, data, part);
        data += part, size -= part;
        if (held + part < 64)
            return;
        md5_block(md5->state, md5->block);
    }
    for (; size >= 64; data += 64, size -= 64)
        md5_block(md5->state, data);
    memcpy(md5->block, data, size);
}

static void md5_end(struct md5 *md5, char hex[33])
{
    uint64_t bits = md5->length * 8;
    uint8_t padding[72] = {0x80}, digest[16];
    size_t held = md5->length % 64, size = (held < 56 ? 56 : 120) - held;
    memcpy(padding + size, &bits, 8);
    md5_add(md5, padding, size + 8);
    memcpy(digest, md5->state, 16);
    for (int i = 0; i < 16; i++)
        sprintf(hex + 2 * i, "%02x", digest[i]);
}

/* What there is to read: a pattern, the MD5 of its beginnings, and one long listing. */

static uint8_t pattern[PATTERN_SIZE];
static char *listing;
static int entry_size;

static void make_pattern(void)
{
    uint64_t x = 88172645463325252ULL;
    for (size_t i = 0; i < PATTERN_SIZE; i += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(pattern + i, &x, 8);
    }
}

static int print_entry(char *text, size_t room, long number)
{
    return snprintf(text, room,
                    ", {\"bytes\": %6ld, \"hash\": \"%032lx\", \"name\": "
                    "\"photos/2026/01/%07ld-image.jpeg\", \"content_type\": \"image/jpeg\", "
                    "\"last_modified\": \"2026-01-02T03:04:05.678900\"}",
                    100000 + number % 899999, number * 2654435761L, number);
}

static void make_listing(void)
{
    entry_size = print_entry(NULL, 0, 0);
    listing = malloc((size_t)LISTED * entry_size + 1);
    for (long i = 0; i < LISTED; i++)
        print_entry(listing + i * entry_size, entry_size + 1, i);
}

static const char *etag_of(long long size)
{
    static struct { long long size; char hex[33]; } known[64];
    static int count;
    for (int i = 0; i < count; i++)
        if (known[i].size == size)
            return known[i].hex;
    struct md5 md5;
    md5_begin(&md5);
    for (long long left = size; left > 0; left -= PATTERN_SIZE)
        md5_add(&md5, pattern, left < PATTERN_SIZE ? left : PATTERN_SIZE);
    int place = count < 64 ? count++ : 63;
    known[place].size = size;
    md5_end(&md5, known[place].hex);
    return known[place].hex;
}

/* One connection: one request at a time, its body, and the answer that follows it. */

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, ANSWER };
enum result { DONE, BLOCKED, BROKEN, WAITING };

struct connection {
    int fd;
    enum state state;
    char in[HEAD_LIMIT + 1];
    size_t filled;
    /* The body that comes in: bytes of it, or of its chunk, that are still to come. */
    long long left;
    bool stores, hashes, counts;
    long lines;
    struct md5 md5;
    char etag[33];
    /* The answer that goes out: its head, a literal, a tail, then so much of the pattern. */
    char head[1024];
    struct iovec parts[3];
    long long pattern_at, pattern_left;
    bool ends;
    uint32_t events;
    /* While its answer is kept back: until when, and who comes after it. */
    bool is_late, waits, has_waited;
    double due;
    struct connection *next;
};

static struct { long connections, authentications, requests; long long sent; } stats;
static struct { const char *path; char *bytes; long long size; } archive;
static int epoll, port;
static double delay; /* in seconds */
static struct connection *first_waiting, *last_waiting;
static char trash[1 << 18];

#define COMMON                                                            \
    "X-Trans-Id: tx0123456789abcdef0123456-0065a1b2c3\r\n"                \
    "X-Openstack-Request-Id: tx0123456789abcdef0123456-0065a1b2c3\r\n"    \
    "Date: Mon, 05 Jan 2026 03:04:05 GMT\r\n"
#define MODIFIED "Last-Modified: Mon, 05 Jan 2026 03:04:05 GMT\r\n"

/* Begin the answer: its status, and the headers that are its own. */
__attribute__((format(printf, 3, 4))) static void answer(struct connection *c, const char *status,
                                                         const char *headers, ...)
{
    char own[512];
    va_list values;
    va_start(values, headers);
    vsnprintf(own, sizeof own, headers, values);
    va_end(values);
    c->parts[0].iov_base = c->head;
    c->parts[0].iov_len = snprintf(c->head, sizeof c->head, "HTTP/1.1 %s\r\n%s" COMMON "%s\r\n",
                                   status, own, c->ends ? "Connection: close\r\n" : "");
}

static void answer_text(struct connection *c, const char *status, bool with_body, char *text)
{
    answer(c, status, "Content-Type: text/plain; charset=UTF-8\r\nContent-Length: %zu\r\n",
           strlen(text));
    if (with_body)
        c->parts[1] = (struct iovec){text, strlen(text)};
}

static void send_away(struct connection *c, size_t sent)
{
    stats.sent += sent;
    for (int i = 0; i < 3 && sent; i++) {
        size_t part = sent < c->parts[i].iov_len ? sent : c->parts[i].iov_len;
        c->parts[i].iov_base = (char *)c->parts[i].iov_base + part;
        c->parts[i].iov_len -= part;
        sent -= part;
    }
    c->pattern_at += sent;
    c->pattern_left -= sent;
}

static enum result flush(struct connection *c)
{
    for (;;) {
        struct iovec out[4];
        int count = 0;
        for (int i = 0; i < 3; i++)
            if (c->parts[i].iov_len)
                out[count++] = c->parts[i];
        if (c->pattern_left) {
            long long at = c->pattern_at % PATTERN_SIZE, size = PATTERN_SIZE - at;
            out[count].iov_base = pattern + at;
            out[count++].iov_len = size < c->pattern_left ? size : c->pattern_left;
        }
        if (!count)
            return DONE;
        struct msghdr message = {.msg_iov = out, .msg_iovlen = count};
        ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN ? BLOCKED : BROKEN;
        send_away(c, sent);
    }
}

/* Requests. The head is in `in`, ended by a NUL; the target has been cut out of it. */

struct request {
    char *method, *target, *headers;
    char *container, *object, *query; /* NULL where there is none */
};

static const char *header(const struct request *r, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = r->headers; line; line = strchr(line, '\n'), line = line ? line + 1 : line)
        if (!strncasecmp(line, name, size) && line[size] == ':')
            return line + size + 1 + strspn(line + size + 1, " ");
    return NULL;
}

static bool header_is(const struct request *r, const char *name, const char *value)
{
    const char *found = header(r, name);
    return found && !strncasecmp(found, value, strlen(value));
}

static bool parse(char *head, struct request *r)
{
    memset(r, 0, sizeof *r);
    char *space = strchr(head, ' '), *end = space ? strchr(space + 1, ' ') : NULL;
    if (!end || !(r->headers = strchr(end, '\n')))
        return false;
    *space = *end = 0;
    r->headers++;
    r->method = head;
    r->target = space + 1;
    if ((r->query = strchr(r->target, '?')))
        *r->query++ = 0;
    if (strncmp(r->target, "/v1/", 4))
        return true;
    char *container = strchr(r->target + 4, '/');
    if (container && container[1]) {
        r->container = container + 1;
        char *object = strchr(r->container, '/');
        if (object && object[1])
            r->object = object + 1;
    }
    return true;
}

/* The bytes of an object that exists: the last part of its name is s and the number. */
/* The file is made after the program was started: it is looked at when it is first asked for. */
static long long open_archive(void)
{
    struct stat about;
    int fd = archive.bytes || !archive.path ? -1 : open(archive.path, O_RDONLY);
    if (fd >= 0 && !fstat(fd, &about)) {
        char *bytes = mmap(NULL, about.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (bytes != MAP_FAILED)
            archive.bytes = bytes, archive.size = about.st_size;
    }
    if (fd >= 0)
        close(fd);
    return archive.bytes ? archive.size : -1;
}

static const char *base_of(const char *object)
{
    const char *slash = strrchr(object, '/');
    return slash ? slash + 1 : object;
}

static bool is_archive(const char *object)
{
    return !strcmp(base_of(object), "archive");
}

static long long size_of(const char *object)
{
    const char *name = base_of(object);
    if (is_archive(object))
        return open_archive();
    return name[0] == 's' && isdigit(name[1]) ? atoll(name + 1) : -1;
}

/* Read one range of an object into first and last; false where there is nothing in it. */
static bool in_range(const char *range, long long size, long long *first, long long *last)
{
    char *end;
    *last = size - 1;
    if (*range == '-') {
        long long count = atoll(range + 1);
        *first = count < size ? size - count : 0;
        return count > 0;
    }
    *first = strtoll(range, &end, 10);
    if (*end == '-' && isdigit(end[1]) && atoll(end + 1) < *last)
        *last = atoll(end + 1);
    return *first <= *last;
}

static void answer_object(struct connection *c, const struct request *r)
{
    long long size = size_of(r->object), first = 0, last = size - 1;
    bool reads = !strcmp(r->method, "GET"), partial = header_is(r, "Range", "bytes=");
    bool mapped = is_archive(r->object);
    char range[100] = "";
    if (size < 0) {
        answer_text(c, "404 Not Found", reads, "<html><h1>Not Found</h1></html>");
        return;
    }
    if (partial && !in_range(header(r, "Range") + 6, size, &first, &last)) {
        answer(c, "416 Requested Range Not Satisfiable",
               "Content-Range: bytes */%lld\r\nContent-Length: 0\r\n", size);
        return;
    }
    if (partial)
        sprintf(range, "Content-Range: bytes %lld-%lld/%lld\r\n", first, last, size);
    answer(c, partial ? "206 Partial Content" : "200 OK",
           "Content-Type: application/octet-stream\r\nContent-Length: %lld\r\n"
           "Accept-Ranges: bytes\r\n" MODIFIED "Etag: %s\r\n%sX-Timestamp: 1767582245.12345\r\n"
           "X-Object-Meta-Mtime: 1767582245.123456\r\n",
           last - first + 1, etag_of(mapped ? 0 : size), range);
    if (reads && mapped)
        c->parts[1] = (struct iovec){archive.bytes + first, last - first + 1};
    else if (reads)
        c->pattern_at = first, c->pattern_left = last - first + 1;
}

static const char *parameter(const struct request *r, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = r->query; at; at = strchr(at, '&'), at = at ? at + 1 : at)
        if (!strncmp(at, name, size) && at[size] == '=')
            return at + size + 1;
    return NULL;
}

/* The number of the first entry after a marker: a name's one run of seven digits says it. */
static long after(const char *marker)
{
    while (marker && *marker && *marker != '&') {
        size_t digits = strspn(marker, "0123456789");
        if (digits == 7)
            return atol(marker) + 1;
        marker += digits ? digits : 1;
    }
    return 0;
}

static bool has_segments;

static void answer_listing(struct connection *c, const struct request *r)
{
    const char *limit = parameter(r, "limit");
    long total = r->container[0] == 'c' ? atol(r->container + 1) : 0;
    long first = after(parameter(r, "marker")), page = limit ? atol(limit) : PAGE;
    total = total < LISTED ? total : LISTED;
    page = page < PAGE ? page : PAGE;
    long count = first >= total ? 0 : total - first < page ? total - first : page;
    long long size = count ? (long long)count * entry_size - 2 : 0; /* the first has no comma */
    answer(c, "200 OK",
           "Content-Type: application/json; charset=utf-8\r\nContent-Length: %lld\r\n"
           "X-Container-Object-Count: %ld\r\nX-Container-Bytes-Used: 1000\r\n" MODIFIED,
           size + 2, total);
    c->head[c->parts[0].iov_len++] = '[';
    if (count)
        c->parts[1] = (struct iovec){listing + first * entry_size + 2, size};
    c->parts[2] = (struct iovec){"]", 1};
}

static void answer_auth(struct connection *c, const struct request *r)
{
    char url[100];
    int front;
    if (!header(r, "X-Auth-User")) {
        answer_text(c, "401 Unauthorized", true, "no user");
        return;
    }
    stats.authentications++;
    if (sscanf(r->target, "/tls/%d/", &front) == 1)
        sprintf(url, "https://127.0.0.1:%d/v1/AUTH_close", front);
    else
        sprintf(url, "http://127.0.0.1:%d/v1/AUTH_test", port);
    answer(c, "200 OK",
           "Content-Length: 0\r\nX-Storage-Url: %s\r\nX-Auth-Token-Expires: 86399\r\n"
           "X-Auth-Token: AUTH_tk0123456789abcdef\r\nX-Storage-Token: AUTH_tk0123456789abcdef\r\n",
           url);
}

/* Of all containers for segments together: none, while nothing large was written. */
static bool are_segments(const struct request *r)
{
    const char *end = r->container ? r->container + strcspn(r->container, "/") : NULL;
    return end && end - r->container > 9 && !strncmp(end - 9, "_segments", 9);
}

static void answer_container(struct connection *c, const struct request *r)
{
    if (are_segments(r) && !has_segments && strcmp(r->method, "PUT"))
        answer_text(c, "404 Not Found", strcmp(r->method, "HEAD"), "no large objects");
    else if (!strcmp(r->method, "GET") && r->container)
        answer_listing(c, r);
    else if (!strcmp(r->method, "PUT"))
        answer_text(c, "201 Created", false, "");
    else
        answer(c, "204 No Content",
               "X-Container-Object-Count: 1\r\nX-Container-Bytes-Used: 1\r\n");
}

static void answer_stats(struct connection *c)
{
    static char text[200];
    sprintf(text, "{\"connections\": %ld, \"authentications\": %ld, \"requests\": %ld, \"sent\": %lld}",
            stats.connections, stats.authentications, stats.requests, stats.sent);
    answer_text(c, "200 OK", true, text);
}

/* Decide the answer; that of a PUT of an object waits for its body. */
static void decide(struct connection *c, const struct request *r)
{
    memset(c->parts, 0, sizeof c->parts);
    c->pattern_left = 0;
    c->stores = r->object && !strcmp(r->method, "PUT");
    c->counts = !r->container && r->query && !strncmp(r->query, "bulk-delete", 11);
    c->is_late = r->object != NULL;
    has_segments |= are_segments(r) && !strcmp(r->method, "PUT");
    c->lines = 1;
    if (!strcmp(r->target, "/stats"))
        answer_stats(c);
    else if (!strncmp(r->target, "/auth/", 6) || !strncmp(r->target, "/tls/", 5))
        answer_auth(c, r);
    else if (!strcmp(r->target, "/info"))
        answer_text(c, "200 OK", true,
                    "{\"swift\": {\"version\": \"2.38.0\"}, "
                    "\"slo\": {\"max_manifest_segments\": 1000}, "
                    "\"bulk_delete\": {\"max_deletes_per_request\": 10000, "
                    "\"max_failed_deletes\": 1000}}");
    else if (strncmp(r->target, "/v1/", 4))
        answer_text(c, "404 Not Found", true, "nothing here");
    else if (!header(r, "X-Auth-Token")) {
        c->stores = c->counts = false;
        answer_text(c, "401 Unauthorized", strcmp(r->method, "HEAD"), "no token");
    } else if (!r->object)
        answer_container(c, r);
    else if (!strcmp(r->method, "DELETE"))
        answer(c, "204 No Content", "Content-Type: text/html; charset=UTF-8\r\n");
    else if (!strcmp(r->method, "POST"))
        answer_text(c, "202 Accepted", false, "");
    else if (!c->stores)
        answer_object(c, r);
}

static void expect_body(struct connection *c, const struct request *r)
{
    const char *etag = header(r, "ETag"), *length = header(r, "Content-Length");
    c->hashes = c->stores && !etag && strncmp(r->object, "unhashed", 8);
    if (c->hashes)
        md5_begin(&c->md5);
    strcpy(c->etag, "00000000000000000000000000000000");
    if (c->stores && etag) /* with or without quotes */
        strncpy(c->etag, etag + (*etag == '"'), 32);
    c->left = length ? atoll(length) : 0;
    c->state = header_is(r, "Transfer-Encoding", "chunked") ? CHUNK_SIZE : BODY;
    if (header_is(r, "Expect", "100-continue"))
        send(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
}

/* Look at a piece of a body that somebody wants to know of. */
static void take(struct connection *c, const char *data, size_t size)
{
    if (c->hashes)
        md5_add(&c->md5, (const uint8_t *)data, size);
    for (const char *at = data; c->counts && (at = memchr(at, '\n', data + size - at)); at++)
        c->lines++;
}

static void drop(struct connection *c, size_t size)
{
    memmove(c->in, c->in + size, c->filled - size);
    c->filled -= size;
}

static enum result read_head(struct connection *c)
{
    struct request request;
    char *end = memmem(c->in, c->filled, "\r\n\r\n", 4);
    if (!end)
        return c->filled == HEAD_LIMIT ? BROKEN : BLOCKED;
    end[3] = 0;
    if (!parse(c->in, &request))
        return BROKEN;
    stats.requests++;
    c->ends = header_is(&request, "Connection", "close") ||
              !strncmp(request.target, "/v1/AUTH_close/", 15);
    decide(c, &request);
    expect_body(c, &request);
    drop(c, end + 4 - c->in);
    return DONE;
}

/* Take what has arrived of a body, then what the socket has, until nothing is left of it. */
static enum result read_body(struct connection *c)
{
    while (c->left) {
        size_t held = (long long)c->filled < c->left ? c->filled : (size_t)c->left;
        if (held) {
            take(c, c->in, held);
            drop(c, held);
            c->left -= held;
            continue;
        }
        bool reads = c->hashes || c->counts;
        size_t most = reads ? sizeof trash : 1 << 30;
        size_t size = c->left < (long long)most ? (size_t)c->left : most;
        ssize_t got = recv(c->fd, trash, size, reads ? 0 : MSG_TRUNC);
        if (got <= 0)
            return got < 0 && errno == EAGAIN ? BLOCKED : BROKEN;
        if (reads)
            take(c, trash, got);
        c->left -= got;
    }
    return DONE;
}

static enum result read_chunk_size(struct connection *c)
{
    char *end = memmem(c->in, c->filled, "\r\n", 2);
    if (!end)
        return BLOCKED;
    c->left = strtoll(c->in, NULL, 16);
    size_t size = end + 2 - c->in;
    if (!c->left) { /* the last one, and the empty line after it */
        if (c->filled < size + 2)
            return BLOCKED;
        size += 2;
    }
    drop(c, size);
    c->state = c->left ? CHUNK : ANSWER;
    return DONE;
}

static enum result read_chunk_end(struct connection *c)
{
    if (c->filled < 2)
        return BLOCKED;
    drop(c, 2);
    c->state = CHUNK_SIZE;
    return DONE;
}

static void store(struct connection *c)
{
    if (c->hashes)
        md5_end(&c->md5, c->etag);
    answer(c, "201 Created",
           "Content-Type: text/html; charset=UTF-8\r\nContent-Length: 0\r\nEtag: %s\r\n" MODIFIED,
           c->etag);
    c->stores = false;
}

static void answer_count(struct connection *c)
{
    static char text[200];
    sprintf(text, "{\"Number Deleted\": %ld, \"Number Not Found\": 0, \"Errors\": [], "
                  "\"Response Status\": \"200 OK\", \"Response Body\": \"\"}", c->lines);
    answer_text(c, "200 OK", true, text);
    c->counts = false;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static enum result keep_back(struct connection *c)
{
    c->waits = true;
    c->due = now() + delay;
    c->next = NULL;
    if (first_waiting)
        last_waiting->next = c;
    else
        first_waiting = c;
    last_waiting = c;
    return WAITING;
}

static enum result give_answer(struct connection *c)
{
    if (delay && c->is_late && !c->has_waited)
        return keep_back(c);
    if (c->stores)
        store(c);
    if (c->counts)
        answer_count(c);
    enum result result = flush(c);
    if (result == DONE) {
        c->state = HEAD;
        c->has_waited = false;
        if (c->ends)
            return BROKEN;
    }
    return result;
}

static enum result step(struct connection *c)
{
    enum result result;
    switch (c->state) {
    case HEAD:
        return read_head(c);
    case BODY:
    case CHUNK:
        result = read_body(c);
        if (result == DONE)
            c->state = c->state == BODY ? ANSWER : CHUNK_END;
        return result;
    case CHUNK_SIZE:
        return read_chunk_size(c);
    case CHUNK_END:
        return read_chunk_end(c);
    default:
        return give_answer(c);
    }
}

/* Receive into the buffer, except a body's bytes, which read_body takes from the socket. */
static enum result receive(struct connection *c)
{
    if ((c->state == BODY || c->state == CHUNK) && !c->filled)
        return DONE;
    ssize_t got = recv(c->fd, c->in + c->filled, HEAD_LIMIT - c->filled, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? DONE : BROKEN;
    c->filled += got;
    return DONE;
}

static void end(struct connection *c)
{
    close(c->fd);
    free(c);
}

static void serve(struct connection *c)
{
    if (c->waits)
        return;
    enum result result = c->state == ANSWER ? DONE : receive(c);
    while (result == DONE)
        result = step(c);
    if (result == BROKEN) {
        end(c);
        return;
    }
    uint32_t events = result == WAITING ? 0 : c->state == ANSWER ? EPOLLOUT : EPOLLIN;
    if (events != c->events) {
        struct epoll_event event = {.events = events, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->events = events;
    }
}

/* Give the answers whose time has come; return the milliseconds until the next one, -1 for none. */
static int serve_waiting(void)
{
    while (first_waiting) {
        struct connection *c = first_waiting;
        double left = c->due - now();
        if (left > 0)
            return (int)(left * 1000) + 1;
        first_waiting = c->next;
        c->waits = false;
        c->has_waited = true;
        serve(c);
    }
    return -1;
}

static void welcome(int listener)
{
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct connection *c = calloc(1, sizeof *c);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        c->fd = fd;
        c->events = EPOLLIN;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
        stats.connections++;
    }
}

static int listen_anywhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &size)) {
        perror("no port");
        exit(1);
    }
    port = ntohs(address.sin_port);
    return listener;
}

int main(int count_of_words, char **words)
{
    archive.path = count_of_words > 1 ? words[1] : NULL;
    delay = count_of_words > 2 ? atof(words[2]) / 1000 : 0;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    make_pattern();
    make_listing();
    int listener = listen_anywhere();
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    printf("%d\n", port);
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(epoll, ready, 256, serve_waiting());
        for (int i = 0; i < count; i++)
            if (ready[i].data.ptr)
                serve(ready[i].data.ptr);
            else
                welcome(listener);
    }
}
