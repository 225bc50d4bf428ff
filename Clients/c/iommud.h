/*
 * A small client of iommud: one thread, one connection, no memory but what the caller gives it.
 *
 * Methods are in iommud_methods.h, which is generated: iommud_ioas_map(client, &params, &reply) is `ioas.map`. Every
 * function that returns int returns 0, or a negative errno; iommud_refused() tells the daemon's refusals from what
 * befell the connection. Text, lists and JSON in replies and errors point into the client's buffer: they last until the
 * next call.
 */
#ifndef IOMMUD_H
#define IOMMUD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The kernel passes no more descriptors in one message. */
#define IOMMUD_DESCRIPTORS 253

/* A JSON value as it came; start is NULL where there is none. */
struct iommud_json {
    const char *start;
    size_t length;
};

/* What stands between the quotes of a JSON string; iommud_copy() resolves its escapes. */
struct iommud_text {
    const char *start;
    size_t length;
};

/* Bytes of the caller's, in parameters. */
struct iommud_bytes {
    const void *start;
    size_t length;
};

/* A device in parameters: its name, or its id where name is NULL. */
struct iommud_name_or_id {
    const char *name;
    uint32_t id;
};

/* A list in a reply; the functions iommud_next… take one element after the other from it. */
struct iommud_list {
    struct iommud_json rest;
};

/* Why the last call failed, where the daemon refused it. */
struct iommud_error {
    int code;                   /* -errno, or the JSON-RPC code (-32602: a mistake in the parameters) */
    struct iommud_text reason;  /* a word for programs, such as "not_mapped" */
    struct iommud_text message; /* what is wrong, for a person, with the remedy */
    struct iommud_text hint;    /* the remedy alone */
    struct iommud_json data;    /* all of the above and the objects involved */
};

/*
 * Something that happened. iommud_event_fault_read() and its like fill the struct of its kind; of kind "lost" that has
 * the count of the events that are missing.
 */
struct iommud_event {
    struct iommud_text kind;
    uint64_t sequence;
    struct iommud_json data;
};

struct iommud {
    int socket;
    /* Milliseconds that a call may take; -1: as long as it takes. After -ETIMEDOUT the connection is closed. */
    int timeout_ms;
    /* Told each event in its place between the replies, also while a call waits. May be NULL; may make no calls. */
    void (*on_event)(void *context, const struct iommud_event *event);
    void *context;

    /* The client's own from here on. */
    uint64_t last_id;
    char *out, *in;
    size_t out_size, in_size, begin, end;
    bool is_skipping, is_refused;
    struct iommud_error error;
    int descriptors[IOMMUD_DESCRIPTORS];
    unsigned descriptor_count;
};

/*
 * Connects. path NULL: $IOMMUD_SOCKET, else where a daemon answers of those that iommuctl tries. The first half of the
 * buffer has to hold the longest request, the second half the longest reply or event; 128 KiB suit most, and what does
 * not fit is -EMSGSIZE.
 */
int iommud_open(struct iommud *client, const char *path, void *buffer, size_t size);

/* Ends the connection, and with it a private session. */
void iommud_close(struct iommud *client);

/* The daemon's refusal of the last call; NULL: it was not refused. */
const struct iommud_error *iommud_refused(const struct iommud *client);

/* Takes over descriptors that came with the last reply, count at most. Those not taken are closed by the next call. */
unsigned iommud_take_descriptors(struct iommud *client, int *descriptors, unsigned count);

/* Takes in what has come, or waits for it so long (-1: for ever); 0 after events, -ETIMEDOUT if nothing came. */
int iommud_wait(struct iommud *client, int timeout_ms);

/* Whether text is this. */
bool iommud_equal(struct iommud_text text, const char *other);

/* Copies text with its escapes resolved and a NUL behind it; the length without NUL, -EMSGSIZE if it does not fit. */
ssize_t iommud_copy(struct iommud_text text, char *to, size_t size);

/* Decodes base64; the number of bytes, -EMSGSIZE if they do not fit, -EPROTO if it is not base64. */
ssize_t iommud_decode(struct iommud_text base64, void *to, size_t size);

/* The member of an object; false: it has none of that name, or is no object. */
bool iommud_member(struct iommud_json object, const char *name, struct iommud_json *value);

/* An integer or "0x…"; false: it is none, or does not fit. */
bool iommud_number(struct iommud_json value, uint64_t *number);

/* A string; false: it is none. */
bool iommud_string(struct iommud_json value, struct iommud_text *text);

/* The next element of a list; false: there is no more, or it is not of that type. */
bool iommud_next(struct iommud_list *list, struct iommud_json *value);
bool iommud_next_number(struct iommud_list *list, uint64_t *number);
bool iommud_next_text(struct iommud_list *list, struct iommud_text *text);

/* What follows is for iommud_methods.h. */

enum iommud_kind {
    IOMMUD_BOOL = 1,   /* bool */
    IOMMUD_U32,        /* uint32_t; in replies int64_t */
    IOMMUD_U64,        /* uint64_t */
    IOMMUD_INTEGER,    /* int64_t, replies only */
    IOMMUD_DOUBLE,     /* double, replies only */
    IOMMUD_STRING,     /* const char *, NULL: absent; in replies struct iommud_text */
    IOMMUD_BYTES,      /* struct iommud_bytes; in replies the base64 as struct iommud_text */
    IOMMUD_CHOICE,     /* enum, 0: absent; parameters only */
    IOMMUD_FLAGS,      /* uint32_t of bits, 0: absent; parameters only */
    IOMMUD_NAME_OR_ID, /* struct iommud_name_or_id */
    IOMMUD_RECORD,     /* pointer to a struct, NULL: absent; in replies the struct */
    IOMMUD_INSIDE,     /* the struct itself; elements of parameters only */
    IOMMUD_LIST,       /* pointer to the elements, and their number; in replies struct iommud_list */
    IOMMUD_ROW,        /* a fixed number of elements in place; elements of parameters only */
    IOMMUD_JSON        /* struct iommud_json; replies only */
};

struct iommud_shape;

struct iommud_field {
    const char *name;
    enum iommud_kind kind;
    size_t offset;
    /* Where `bool has_…` or the number of elements is; 0: there is none. */
    size_t has;
    bool is_required;
    const struct iommud_shape *shape;
    const char *const *words;
    size_t word_count;
    /* Of lists and rows: what each element is, its size, and how many a row has. */
    const struct iommud_field *element;
    size_t element_size;
    size_t row;
};

struct iommud_shape {
    const struct iommud_field *fields;
    size_t count;
    size_t size;
};

struct iommud_method {
    const char *name;
    const struct iommud_shape *params;
    const struct iommud_shape *reply;
};

int iommud_call(struct iommud *client, const struct iommud_method *method, const void *params, const int *descriptors,
                unsigned count, void *reply);
bool iommud_read_record(struct iommud_json object, const struct iommud_shape *shape, void *record);
bool iommud_next_record(struct iommud_list *list, const struct iommud_shape *shape, void *record);

#ifdef __cplusplus
}
#endif
#endif
