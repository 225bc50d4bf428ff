/* Reading JSON in place. The daemon writes it, so what is not JSON only must not be read beyond its end. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "internal.h"

static size_t skip_blanks(const char *text, size_t at, size_t length) {
    while (at < length && (text[at] == ' ' || text[at] == '\t' || text[at] == '\r' || text[at] == '\n')) at++;
    return at;
}

/* Past the closing quote of the string that begins at `at`. */
static size_t skip_string(const char *text, size_t at, size_t length) {
    for (at++; at < length && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < length ? at + 1 : length;
}

/* Whether numbers and words are made of it. */
static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

/* Past the value that begins at `at`; `at` itself where none does. */
static size_t skip_value(const char *text, size_t at, size_t length) {
    size_t depth = 0;
    while (at < length) {
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, at, length);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (depth > 0 && (c == '}' || c == ']')) {
            depth--;
            at++;
        } else if (is_word(c)) {
            while (at < length && is_word(text[at])) at++;
        } else if (depth > 0) {
            at++;
        }
        if (depth == 0) break;
    }
    return at;
}

struct iommud_json iommud_inside(struct iommud_json value, char bracket) {
    if (value.start == NULL || value.length < 2 || value.start[0] != bracket)
        return (struct iommud_json){NULL, 0};
    return (struct iommud_json){value.start + 1, value.length - 2};
}

/* Cuts one value, and the comma behind it, from the beginning of what is left. */
static bool cut_value(struct iommud_json *rest, struct iommud_json *value) {
    if (rest->start == NULL) return false;
    size_t at = skip_blanks(rest->start, 0, rest->length);
    size_t end = skip_value(rest->start, at, rest->length);
    if (end == at) return false;
    *value = (struct iommud_json){rest->start + at, end - at};
    end = skip_blanks(rest->start, end, rest->length);
    if (end < rest->length && rest->start[end] == ',') end++;
    *rest = (struct iommud_json){rest->start + end, rest->length - end};
    return true;
}

bool iommud_each(struct iommud_json *rest, struct iommud_text *name, struct iommud_json *value) {
    if (rest->start == NULL) return false;
    size_t at = skip_blanks(rest->start, 0, rest->length);
    if (at == rest->length || rest->start[at] != '"') return false;
    size_t end = skip_string(rest->start, at, rest->length);
    struct iommud_json key = {rest->start + at, end - at};
    end = skip_blanks(rest->start, end, rest->length);
    if (end == rest->length || rest->start[end] != ':') return false;
    *rest = (struct iommud_json){rest->start + end + 1, rest->length - end - 1};
    return iommud_string(key, name) && cut_value(rest, value);
}

bool iommud_member(struct iommud_json object, const char *name, struct iommud_json *value) {
    struct iommud_json rest = iommud_inside(object, '{');
    struct iommud_text key;
    while (iommud_each(&rest, &key, value))
        if (iommud_equal(key, name)) return true;
    return false;
}

bool iommud_string(struct iommud_json value, struct iommud_text *text) {
    if (value.start == NULL || value.length < 2 || value.start[0] != '"' || value.start[value.length - 1] != '"')
        return false;
    *text = (struct iommud_text){value.start + 1, value.length - 2};
    return true;
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return 16;
}

bool iommud_number(struct iommud_json value, uint64_t *number) {
    struct iommud_text text = {value.start, value.length};
    unsigned base = 10;
    if (iommud_string(value, &text)) {
        if (text.length < 3 || text.start[0] != '0' || text.start[1] != 'x') return false;
        text = (struct iommud_text){text.start + 2, text.length - 2};
        base = 16;
    }
    if (text.start == NULL || text.length == 0) return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned next = (unsigned)digit(text.start[i]);
        if (next >= base || __builtin_mul_overflow(sum, base, &sum) || __builtin_add_overflow(sum, next, &sum))
            return false;
    }
    *number = sum;
    return true;
}

bool iommud_next(struct iommud_list *list, struct iommud_json *value) { return cut_value(&list->rest, value); }

bool iommud_next_number(struct iommud_list *list, uint64_t *number) {
    struct iommud_json value;
    return iommud_next(list, &value) && iommud_number(value, number);
}

bool iommud_next_text(struct iommud_list *list, struct iommud_text *text) {
    struct iommud_json value;
    return iommud_next(list, &value) && iommud_string(value, text);
}

bool iommud_equal(struct iommud_text text, const char *other) {
    return text.start != NULL && strlen(other) == text.length && memcmp(text.start, other, text.length) == 0;
}

static bool is_code_unit(struct iommud_text text, size_t at, uint32_t *unit) {
    if (at + 6 > text.length || text.start[at] != '\\' || text.start[at + 1] != 'u') return false;
    *unit = 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        int next = digit(text.start[i]);
        if (next == 16) return false;
        *unit = *unit << 4 | (uint32_t)next;
    }
    return true;
}

/* The character that an escape at `at` stands for, as UTF-8; `at` goes past it. */
static size_t unescape(struct iommud_text text, size_t *at, char utf8[4]) {
    static const char names[] = "bfnrt", controls[] = "\b\f\n\r\t";
    uint32_t unit, low;
    if (!is_code_unit(text, *at, &unit)) {
        const char *name = *at + 1 < text.length ? memchr(names, text.start[*at + 1], 5) : NULL;
        utf8[0] = name ? controls[name - names] : *at + 1 < text.length ? text.start[*at + 1] : '\\';
        *at += 2;
        return 1;
    }
    *at += 6;
    if (unit >= 0xd800 && unit < 0xdc00 && is_code_unit(text, *at, &low) && low >= 0xdc00 && low < 0xe000) {
        *at += 6;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    if (unit < 0x80) {
        utf8[0] = (char)unit;
        return 1;
    }
    size_t count = unit < 0x800 ? 2 : unit < 0x10000 ? 3 : 4;
    for (size_t i = count - 1; i > 0; i--, unit >>= 6) utf8[i] = (char)(0x80 | (unit & 0x3f));
    utf8[0] = (char)((0xf0 << (4 - count) & 0xff) | unit);
    return count;
}

ssize_t iommud_copy(struct iommud_text text, char *to, size_t size) {
    size_t length = 0;
    for (size_t at = 0; at < text.length;) {
        char utf8[4];
        size_t count = 1;
        if (text.start[at] == '\\')
            count = unescape(text, &at, utf8);
        else
            utf8[0] = text.start[at++];
        if (length + count >= size) return -EMSGSIZE;
        memcpy(to + length, utf8, count);
        length += count;
    }
    if (size == 0) return -EMSGSIZE;
    to[length] = 0;
    return (ssize_t)length;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t iommud_decode(struct iommud_text base64, void *to, size_t size) {
    if (base64.length % 4 != 0) return -EPROTO;
    size_t padding = 0, written = 0;
    while (padding < 2 && padding < base64.length && base64.start[base64.length - 1 - padding] == '=') padding++;
    if (base64.length / 4 * 3 - padding > size) return -EMSGSIZE;
    unsigned char *bytes = to;
    uint32_t word = 0;
    for (size_t i = 0; i < base64.length - padding; i++) {
        int next = base64_digit(base64.start[i]);
        if (next < 0) return -EPROTO;
        word = word << 6 | (uint32_t)next;
        if (i % 4 != 0) bytes[written++] = (unsigned char)(word >> (6 - 2 * (i % 4)) & 0xff);
    }
    return (ssize_t)written;
}
