/* What the files of the client have in common. */
#ifndef IOMMUD_INTERNAL_H
#define IOMMUD_INTERNAL_H

#include "iommud.h"

/* Text that is being written; `is_full` once something did not fit. */
struct iommud_writer {
    char *start;
    size_t size, length;
    bool is_full;
};

void iommud_put(struct iommud_writer *to, const char *text);
void iommud_put_number(struct iommud_writer *to, uint64_t number);
void iommud_put_object(struct iommud_writer *to, const struct iommud_shape *shape, const void *record);

/* The first member from `rest` on, and past it; false: there is no more. */
bool iommud_each(struct iommud_json *rest, struct iommud_text *name, struct iommud_json *value);

/* What stands inside of the brackets of an object ('{') or list ('['); start NULL: it is none. */
struct iommud_json iommud_inside(struct iommud_json value, char bracket);

#endif
