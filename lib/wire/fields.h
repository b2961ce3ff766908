/* SPDX-License-Identifier: MIT
 *
 * fields: what messages and manifests share: text and specs to and from the
 * generated types, and the search for unknown fields.
 */
#ifndef WIRE_FIELDS_H
#define WIRE_FIELDS_H

#include "shm/reason.h"
#include "shm/spec.h"
#include "wire/fastalloc.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

/* Points `out` at the text in a buffer of `size` bytes; copies nothing. */
void fields_put_text(ProtobufCBinaryData *out, const char *text, size_t size);

/* Copies text that must be free of NULs into `size` bytes, with a NUL.
 * `what` names it in the message.  Returns 0 or `code`. */
int fields_get_text(char *text, size_t size, const ProtobufCBinaryData *in, int code,
                    const char *what, struct reason *why);

/* Points `out` at the texts of `spec`; they have to outlive it. */
void fields_put_spec(Fastalloc__Wire__Spec *out, const struct pool_spec *spec);

/* NULL stands for the empty spec.  Returns 0 or FASTALLOC_E_NAME. */
int fields_get_spec(struct pool_spec *spec, const Fastalloc__Wire__Spec *in, struct reason *why);

/* Whether `message`, or one inside it, has a field the schema does not list. */
bool fields_has_unknown(const ProtobufCMessage *message);

#endif
