/* The connection: lines and descriptors. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* A line that has come, taken apart. */
struct line {
    struct iommud_json id, result, error, params;
    struct iommud_text method;
};

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* MARK: Connecting */

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0) return -errno;
    if (connect(made, (struct sockaddr *)&address, sizeof address) == 0) return made;
    int problem = -errno;
    close(made);
    return problem;
}

static int connect_somewhere(void) {
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    const char *given = getenv("IOMMUD_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
    if (given && *given) return connect_to(given);
    int made = connect_to("/run/iommud/iommud.sock");
    if ((made == -ENOENT || made == -ECONNREFUSED) && runtime && *runtime) {
        int length = snprintf(path, sizeof path, "%s/iommud.sock", runtime);
        made = length < (int)sizeof path ? connect_to(path) : -ENAMETOOLONG;
    }
    if (made == -ENOENT || made == -ECONNREFUSED) {
        snprintf(path, sizeof path, "/tmp/iommud-%u/iommud.sock", (unsigned)getuid());
        made = connect_to(path);
    }
    return made;
}

int iommud_open(struct iommud *client, const char *path, void *buffer, size_t size) {
    memset(client, 0, sizeof *client);
    client->timeout_ms = -1;
    client->out = buffer;
    client->out_size = size / 2;
    client->in = client->out + client->out_size;
    client->in_size = size - client->out_size;
    client->socket = path ? connect_to(path) : connect_somewhere();
    return client->socket < 0 ? client->socket : 0;
}

static void close_descriptors(struct iommud *client) {
    while (client->descriptor_count) close(client->descriptors[--client->descriptor_count]);
}

void iommud_close(struct iommud *client) {
    close_descriptors(client);
    if (client->socket >= 0) close(client->socket);
    client->socket = -1;
}

/* The connection cannot be used any more. */
static int broken(struct iommud *client, int problem) {
    iommud_close(client);
    return -problem;
}

/* MARK: Sending */

static int send_line(struct iommud *client, size_t length, const int *descriptors, unsigned count) {
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int) * IOMMUD_DESCRIPTORS)];
    } control;
    size_t sent = 0;
    while (sent < length) {
        struct iovec bytes = {client->out + sent, length - sent};
        struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
        if (count && sent == 0) {
            message.msg_control = control.space;
            message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
            control.header = (struct cmsghdr){CMSG_LEN(sizeof(int) * count), SOL_SOCKET, SCM_RIGHTS};
            memcpy(CMSG_DATA(&control.header), descriptors, sizeof(int) * count);
        }
        ssize_t done = sendmsg(client->socket, &message, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -errno;
        sent += (size_t)done;
    }
    return 0;
}

/* MARK: Receiving */

static void take_descriptors(struct iommud *client, struct msghdr *message) {
    for (struct cmsghdr *one = CMSG_FIRSTHDR(message); one; one = CMSG_NXTHDR(message, one)) {
        if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (one->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(one) + i * sizeof(int), sizeof descriptor);
            if (client->descriptor_count < IOMMUD_DESCRIPTORS)
                client->descriptors[client->descriptor_count++] = descriptor;
            else
                close(descriptor);
        }
    }
}

/* Reads what there is, or waits for it until the deadline (-1: for ever). */
static int receive(struct iommud *client, int64_t deadline) {
    char control[CMSG_SPACE(sizeof(int) * IOMMUD_DESCRIPTORS)];
    if (client->begin > 0) {
        memmove(client->in, client->in + client->begin, client->end - client->begin);
        client->end -= client->begin;
        client->begin = 0;
    }
    if (client->end == client->in_size) {
        /* The rest of a line that does not fit is passed over. */
        client->is_skipping = true;
        client->end = 0;
    }
    int64_t left = deadline < 0 ? -1 : deadline - now_ms();
    struct pollfd ready = {client->socket, POLLIN, 0};
    int polled = poll(&ready, 1, deadline < 0 ? -1 : left < 0 ? 0 : (int)left);
    if (polled == 0) return -ETIMEDOUT;
    if (polled < 0) return errno == EINTR ? 0 : -errno;
    struct iovec bytes = {client->in + client->end, client->in_size - client->end};
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(client->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0) return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    take_descriptors(client, &message);
    client->end += (size_t)got;
    return got == 0 ? -EPIPE : 0;
}

/* The next line that has come in whole; false: there is none yet. */
static bool next_line(struct iommud *client, struct iommud_json *line, bool *was_too_long) {
    char *start = client->in + client->begin, *end = memchr(start, '\n', client->end - client->begin);
    if (end == NULL) return false;
    *line = (struct iommud_json){start, (size_t)(end - start)};
    client->begin = (size_t)(end - client->in) + 1;
    *was_too_long = client->is_skipping;
    client->is_skipping = false;
    return true;
}

static struct line take_apart(struct iommud_json text) {
    struct line line;
    memset(&line, 0, sizeof line);
    struct iommud_json rest = iommud_inside(text, '{'), value;
    struct iommud_text name;
    while (iommud_each(&rest, &name, &value)) {
        if (iommud_equal(name, "id")) line.id = value;
        if (iommud_equal(name, "result")) line.result = value;
        if (iommud_equal(name, "error")) line.error = value;
        if (iommud_equal(name, "params")) line.params = value;
        if (iommud_equal(name, "method")) iommud_string(value, &line.method);
    }
    return line;
}

static void tell(const struct iommud *client, struct iommud_json params) {
    struct iommud_event event = {.data = params};
    struct iommud_json value;
    if (iommud_member(params, "kind", &value)) iommud_string(value, &event.kind);
    if (iommud_member(params, "sequence", &value)) iommud_number(value, &event.sequence);
    if (client->on_event) client->on_event(client->context, &event);
}

static int refuse(struct iommud *client, struct iommud_json text) {
    struct iommud_json value;
    uint64_t code = 0;
    struct iommud_error *error = &client->error;
    *error = (struct iommud_error){0};
    client->is_refused = true;
    if (iommud_member(text, "code", &value) && value.start[0] == '-') {
        value = (struct iommud_json){value.start + 1, value.length - 1};
        iommud_number(value, &code);
    }
    error->code = -(int)code;
    if (iommud_member(text, "message", &value)) iommud_string(value, &error->message);
    if (iommud_member(text, "data", &error->data)) {
        if (iommud_member(error->data, "reason", &value)) iommud_string(value, &error->reason);
        if (iommud_member(error->data, "hint", &value)) iommud_string(value, &error->hint);
    }
    /* JSON-RPC's codes are below all errnos. */
    return code > 0 && code < 4096 ? -(int)code : -EINVAL;
}

/* MARK: Calls */

/* Events until the reply with this id. An error without id says why the daemon is about to close. */
static int await(struct iommud *client, uint64_t id, int64_t deadline, struct iommud_json *result) {
    for (;;) {
        struct iommud_json text;
        bool was_too_long;
        uint64_t number;
        if (!next_line(client, &text, &was_too_long)) {
            int problem = receive(client, deadline);
            if (problem) return broken(client, -problem);
            continue;
        }
        /* Events fit, unless the buffer is smaller than any reply. */
        if (was_too_long) return -EMSGSIZE;
        struct line line = take_apart(text);
        if (iommud_equal(line.method, "event"))
            tell(client, line.params);
        else if (iommud_number(line.id, &number) ? number == id : line.error.start != NULL) {
            *result = line.result;
            return line.error.start ? refuse(client, line.error) : 0;
        }
    }
}

int iommud_call(struct iommud *client, const struct iommud_method *method, const void *params, const int *descriptors,
                unsigned count, void *reply) {
    struct iommud_writer line = {.start = client->out, .size = client->out_size};
    struct iommud_json result = {0};
    client->is_refused = false;
    close_descriptors(client);
    if (client->socket < 0) return -ENOTCONN;
    if (count > IOMMUD_DESCRIPTORS) return -EINVAL;
    iommud_put(&line, "{\"jsonrpc\":\"2.0\",\"id\":");
    iommud_put_number(&line, ++client->last_id);
    iommud_put(&line, ",\"method\":\"");
    iommud_put(&line, method->name);
    iommud_put(&line, "\",\"params\":");
    iommud_put_object(&line, method->params, params);
    iommud_put(&line, "}\n");
    if (line.is_full) return -EMSGSIZE;
    int64_t deadline = client->timeout_ms < 0 ? -1 : now_ms() + client->timeout_ms;
    int problem = send_line(client, line.length, descriptors, count);
    if (problem && problem != -EPIPE) return broken(client, -problem);
    problem = await(client, client->last_id, deadline, &result);
    if (problem || reply == NULL) return problem;
    if (method->reply == NULL)
        *(struct iommud_json *)reply = result;
    else if (!iommud_read_record(result, method->reply, reply))
        return -EPROTO;
    return 0;
}

int iommud_wait(struct iommud *client, int timeout_ms) {
    struct iommud_json text;
    bool was_too_long, was_told = false;
    int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    if (client->socket < 0) return -ENOTCONN;
    for (;;) {
        while (next_line(client, &text, &was_too_long)) {
            struct line line = take_apart(text);
            if (!was_too_long && iommud_equal(line.method, "event")) tell(client, line.params);
            was_told = true;
        }
        if (was_told) return 0;
        int problem = receive(client, deadline);
        if (problem == -ETIMEDOUT) return problem;
        if (problem) return broken(client, -problem);
    }
}

const struct iommud_error *iommud_refused(const struct iommud *client) {
    return client->is_refused ? &client->error : NULL;
}

unsigned iommud_take_descriptors(struct iommud *client, int *descriptors, unsigned count) {
    if (count > client->descriptor_count) count = client->descriptor_count;
    memcpy(descriptors, client->descriptors, sizeof(int) * count);
    client->descriptor_count -= count;
    memmove(client->descriptors, client->descriptors + count, sizeof(int) * client->descriptor_count);
    return count;
}
