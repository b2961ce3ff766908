/* SPDX-License-Identifier: MIT
 *
 * fields: pieces of messages that several of them are made of.
 */
#include "fields.h"

#include <fastalloc/fastalloc.h>
#include <string.h>

void fields_put_text(ProtobufCBinaryData *out, const char *text, size_t size)
{
    out->len = strnlen(text, size - 1);
    out->data = (uint8_t *)text;
}

int fields_get_text(char *text, size_t size, const ProtobufCBinaryData *in, int code,
                    const char *what, struct reason *why)
{
    if (in->len >= size)
        return reason_set(why, code, "%s of %zu bytes is too long: at most %zu fit", what, in->len,
                          size - 1);
    if (in->len > 0 && memchr(in->data, 0, in->len))
        return reason_set(why, code, "%s has a NUL inside", what);
    if (in->len > 0)
        memcpy(text, in->data, in->len);
    text[in->len] = '\0';
    return 0;
}

void fields_put_spec(Fastalloc__Wire__Spec *out, const struct pool_spec *spec)
{
    fastalloc__wire__spec__init(out);
    fields_put_text(&out->name, spec->name, sizeof spec->name);
    fields_put_text(&out->type_name, spec->type_name, sizeof spec->type_name);
    out->type_version = spec->type_version;
    out->lifetime = spec->lifetime;
    out->mode = spec->mode;
    out->max_threads = spec->max_threads;
    out->max_sessions = spec->max_sessions;
    out->flags = spec->flags;
    out->on_death = spec->on_death;
    out->quarantine_ms = spec->quarantine_ms;
    out->growth = spec->growth;
    out->growth_amount = spec->growth_amount;
    out->low_water = spec->low_water;
    out->growth_factor = spec->growth_factor;
    out->object_size = spec->object_size;
    out->alignment = spec->alignment;
    out->capacity = spec->capacity;
    out->max_capacity = spec->max_capacity;
}

int fields_get_spec(struct pool_spec *spec, const Fastalloc__Wire__Spec *in, struct reason *why)
{
    int error;

    memset(spec, 0, sizeof *spec);
    if (!in)
        return 0;
    error = fields_get_text(spec->name, sizeof spec->name, &in->name, FASTALLOC_E_NAME,
                            "the pool's name", why);
    if (!error)
        error = fields_get_text(spec->type_name, sizeof spec->type_name, &in->type_name,
                                FASTALLOC_E_NAME, "the type's name", why);
    if (error)
        return error;
    spec->type_version = in->type_version;
    spec->lifetime = in->lifetime;
    spec->mode = in->mode;
    spec->max_threads = in->max_threads;
    spec->max_sessions = in->max_sessions;
    spec->flags = in->flags;
    spec->on_death = in->on_death;
    spec->quarantine_ms = in->quarantine_ms;
    spec->growth = in->growth;
    spec->growth_amount = in->growth_amount;
    spec->low_water = in->low_water;
    spec->growth_factor = in->growth_factor;
    spec->object_size = in->object_size;
    spec->alignment = in->alignment;
    spec->capacity = in->capacity;
    spec->max_capacity = in->max_capacity;
    return 0;
}

/* The recursion ends because no type of the schema contains itself. */
bool fields_has_unknown(const ProtobufCMessage *message)
{
    const char *base = (const char *)message;
    unsigned i;

    if (message->n_unknown_fields > 0)
        return true;
    for (i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const ProtobufCMessage *const *one = (const void *)(base + field->offset);
        size_t count = 1;

        if (field->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            count = *(const size_t *)(base + field->quantifier_offset);
            one = *(const ProtobufCMessage *const *const *)one;
        } else if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
            count = *(const uint32_t *)(base + field->quantifier_offset) == field->id;
        }
        for (; count > 0; count--, one++)
            if (*one && fields_has_unknown(*one))
                return true;
    }
    return false;
}
