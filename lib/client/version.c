/* SPDX-License-Identifier: MIT
 *
 * version: which library was loaded.
 */
#include <fastalloc/fastalloc.h>

#define TEXT_OF_(number) #number
#define TEXT_OF(number) TEXT_OF_(number)

const char *fastalloc_version(void)
{
    return TEXT_OF(FASTALLOC_VERSION_MAJOR) "." TEXT_OF(FASTALLOC_VERSION_MINOR) "." TEXT_OF(
        FASTALLOC_VERSION_PATCH);
}
