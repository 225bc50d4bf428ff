/* Parameters from structs, and structs from results, by the tables of iommud_methods.c. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void put_bytes(struct iommud_writer *to, const char *bytes, size_t count) {
    if (to->is_full || to->size - to->length < count) {
        to->is_full = true;
        return;
    }
    memcpy(to->start + to->length, bytes, count);
    to->length += count;
}

void iommud_put(struct iommud_writer *to, const char *text) { put_bytes(to, text, strlen(text)); }

void iommud_put_number(struct iommud_writer *to, uint64_t number) {
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    put_bytes(to, digits + at, sizeof digits - at);
}

static void put_string(struct iommud_writer *to, const char *text) {
    static const char hexadecimal[] = "0123456789abcdef";
    put_bytes(to, "\"", 1);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            put_bytes(to, "\\", 1);
        } else if (c < 0x20) {
            char escape[6] = {'\\', 'u', '0', '0', hexadecimal[c >> 4], hexadecimal[c & 15]};
            put_bytes(to, escape, sizeof escape);
            continue;
        }
        put_bytes(to, text, 1);
    }
    put_bytes(to, "\"", 1);
}

static void put_base64(struct iommud_writer *to, const struct iommud_bytes *bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = bytes->start;
    put_bytes(to, "\"", 1);
    for (size_t i = 0; i < bytes->length && !to->is_full; i += 3) {
        size_t left = bytes->length - i;
        uint32_t word = (uint32_t)from[i] << 16;
        if (left > 1) word |= (uint32_t)from[i + 1] << 8;
        if (left > 2) word |= from[i + 2];
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63], left > 1 ? digits[word >> 6 & 63] : '=',
                        left > 2 ? digits[word & 63] : '='};
        put_bytes(to, four, sizeof four);
    }
    put_bytes(to, "\"", 1);
}

static void put_flags(struct iommud_writer *to, const struct iommud_field *field, uint32_t bits) {
    const char *before = "[";
    for (size_t i = 0; i < field->word_count; i++) {
        if (!(bits >> i & 1)) continue;
        iommud_put(to, before);
        put_string(to, field->words[i]);
        before = ",";
    }
    iommud_put(to, before[0] == '[' ? "[]" : "]");
}

static void put_value(struct iommud_writer *to, const struct iommud_field *field, const char *at, size_t count);

static void put_elements(struct iommud_writer *to, const struct iommud_field *field, const char *at, size_t count) {
    iommud_put(to, "[");
    for (size_t i = 0; i < count && !to->is_full; i++) {
        if (i) iommud_put(to, ",");
        put_value(to, field->element, at + i * field->element_size, 0);
    }
    iommud_put(to, "]");
}

static uint64_t choice(const char *at) {
    unsigned value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void put_value(struct iommud_writer *to, const struct iommud_field *field, const char *at, size_t count) {
    const struct iommud_name_or_id *device = (const void *)at;
    switch (field->kind) {
    case IOMMUD_BOOL: iommud_put(to, *(const bool *)at ? "true" : "false"); break;
    case IOMMUD_U32: iommud_put_number(to, *(const uint32_t *)(const void *)at); break;
    case IOMMUD_U64: iommud_put_number(to, *(const uint64_t *)(const void *)at); break;
    case IOMMUD_STRING: put_string(to, *(const char *const *)(const void *)at); break;
    case IOMMUD_BYTES: put_base64(to, (const void *)at); break;
    case IOMMUD_CHOICE:
        if (choice(at) > field->word_count)
            to->is_full = true;
        else
            put_string(to, field->words[choice(at) - 1]);
        break;
    case IOMMUD_FLAGS: put_flags(to, field, *(const uint32_t *)(const void *)at); break;
    case IOMMUD_NAME_OR_ID:
        if (device->name)
            put_string(to, device->name);
        else
            iommud_put_number(to, device->id);
        break;
    case IOMMUD_RECORD: iommud_put_object(to, field->shape, *(const void *const *)(const void *)at); break;
    case IOMMUD_INSIDE: iommud_put_object(to, field->shape, at); break;
    case IOMMUD_LIST: put_elements(to, field, *(const char *const *)(const void *)at, count); break;
    case IOMMUD_ROW: put_elements(to, field, at, field->row); break;
    default: break;
    }
}

/* Whether a parameter is there; `count` is the number of elements of a list. */
static bool is_there(const struct iommud_field *field, const char *at, const char *record, size_t *count) {
    switch (field->kind) {
    case IOMMUD_STRING:
    case IOMMUD_RECORD: return *(const void *const *)(const void *)at != NULL;
    case IOMMUD_BYTES: return field->is_required || ((const struct iommud_bytes *)(const void *)at)->start != NULL;
    case IOMMUD_CHOICE: return choice(at) != 0;
    case IOMMUD_FLAGS: return field->is_required || *(const uint32_t *)(const void *)at != 0;
    case IOMMUD_LIST:
        memcpy(count, record + field->has, sizeof *count);
        return field->is_required || *(const void *const *)(const void *)at != NULL;
    default: return field->has == 0 || *(const bool *)(record + field->has);
    }
}

void iommud_put_object(struct iommud_writer *to, const struct iommud_shape *shape, const void *record) {
    const char *before = "{";
    for (size_t i = 0; record && i < shape->count; i++) {
        const struct iommud_field *field = &shape->fields[i];
        const char *at = (const char *)record + field->offset;
        size_t count = 0;
        if (!is_there(field, at, record, &count)) continue;
        iommud_put(to, before);
        put_string(to, field->name);
        iommud_put(to, ":");
        put_value(to, field, at, count);
        before = ",";
    }
    iommud_put(to, before[0] == '{' ? "{}" : "}");
}

/* An integer, which may be negative. */
static bool read_integer(struct iommud_json value, int64_t *to) {
    uint64_t number;
    bool is_negative = value.length > 0 && value.start[0] == '-';
    if (is_negative) value = (struct iommud_json){value.start + 1, value.length - 1};
    if (!iommud_number(value, &number) || number > INT64_MAX) return false;
    *to = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

static bool read_double(struct iommud_json value, double *to) {
    char text[64], *end;
    if (value.length >= sizeof text) return false;
    memcpy(text, value.start, value.length);
    text[value.length] = 0;
    *to = strtod(text, &end);
    return end != text;
}

static bool read_value(struct iommud_json value, const struct iommud_field *field, char *at) {
    switch (field->kind) {
    case IOMMUD_BOOL: *(bool *)at = value.start[0] == 't'; return value.start[0] == 't' || value.start[0] == 'f';
    case IOMMUD_U64: return iommud_number(value, (uint64_t *)(void *)at);
    case IOMMUD_INTEGER: return read_integer(value, (int64_t *)(void *)at);
    case IOMMUD_DOUBLE: return read_double(value, (double *)(void *)at);
    case IOMMUD_STRING:
    case IOMMUD_BYTES: return iommud_string(value, (struct iommud_text *)(void *)at);
    case IOMMUD_RECORD: return iommud_read_record(value, field->shape, at);
    case IOMMUD_LIST:
        ((struct iommud_list *)(void *)at)->rest = iommud_inside(value, '[');
        return value.start[0] == '[';
    case IOMMUD_JSON: *(struct iommud_json *)(void *)at = value; return true;
    default: return false;
    }
}

static const struct iommud_field *named(const struct iommud_shape *shape, struct iommud_text name, size_t *guess) {
    for (size_t i = 0; i < shape->count; i++) {
        const struct iommud_field *field = &shape->fields[(*guess + i) % shape->count];
        if (!iommud_equal(name, field->name)) continue;
        *guess += i + 1;
        return field;
    }
    return NULL;
}

bool iommud_read_record(struct iommud_json object, const struct iommud_shape *shape, void *record) {
    struct iommud_json rest = iommud_inside(object, '{'), value;
    struct iommud_text name;
    size_t guess = 0, required = 0;
    memset(record, 0, shape->size);
    if (rest.start == NULL) return false;
    for (size_t i = 0; i < shape->count; i++) required += shape->fields[i].is_required;
    while (iommud_each(&rest, &name, &value)) {
        const struct iommud_field *field = named(shape, name, &guess);
        /* A later daemon has more to say, and null is absent. */
        if (field == NULL || (value.start[0] == 'n' && field->kind != IOMMUD_JSON && field->has != 0)) continue;
        if (!read_value(value, field, (char *)record + field->offset)) return false;
        if (field->has) *((char *)record + field->has) = true;
        required -= field->is_required;
    }
    return required == 0;
}

bool iommud_next_record(struct iommud_list *list, const struct iommud_shape *shape, void *record) {
    struct iommud_json value;
    return iommud_next(list, &value) && iommud_read_record(value, shape, record);
}
