/* SPDX-License-Identifier: MIT
 *
 * Typed pools: a face of one pool, made for one type of object.  Included by fastalloc.h.
 */
#ifndef FASTALLOC_TYPED_H
#define FASTALLOC_TYPED_H

#ifndef FASTALLOC_FASTALLOC_H
#error "include <fastalloc/fastalloc.h>"
#endif

/* FASTALLOC_DEFINE_POOL(orders, struct order) makes a typed face:
 *
 *     orders_pool, orders_handle            distinct struct types: mixing two
 *                                           pools' handles does not compile
 *     int  orders_create(client, const fastalloc_pool_config *, orders_pool *)
 *     int  orders_open(client, name, orders_pool *)
 *     int  orders_open_with(client, name, const fastalloc_pool_config *, orders_pool *)
 *     int  orders_create_local(const fastalloc_pool_config *, orders_pool *)
 *     int  orders_close(orders_pool *)
 *     int  orders_alloc(orders_pool, orders_handle *, struct order **)
 *     int  orders_alloc_wait(orders_pool, orders_handle *, struct order **, uint64_t deadline)
 *     struct order *orders_get(orders_pool, orders_handle)
 *     int  orders_free(orders_pool, orders_handle)
 *     int  orders_adopt(orders_pool, orders_handle)
 *     int  orders_give(orders_pool, orders_handle, uint32_t session)
 *     int  orders_leave(orders_pool, orders_handle, uint64_t deadline)
 *     int  orders_share(orders_pool, orders_handle)
 *     int  orders_ref(orders_pool, orders_handle)
 *     int  orders_unref(orders_pool, orders_handle)
 *     int  orders_alloc_batch(orders_pool, size_t count, orders_handle *, struct order **)
 *     int  orders_free_batch(orders_pool, size_t count, const orders_handle *, size_t *freed)
 *     int  orders_handle_of(orders_pool, const struct order *, orders_handle *)
 *     int  orders_is_mine(orders_pool, orders_handle)
 *     orders_handle orders_root(orders_pool)
 *     int  orders_set_root(orders_pool, orders_handle expected, orders_handle root)
 *     orders_handle orders_none(void)       the handle of no slot; {0} is the same
 *     int  orders_is_none(orders_handle)    1 or 0
 *     int  orders_equal(orders_handle, orders_handle)
 *     size_t orders_index(orders_pool, orders_handle)
 *     char *orders_text(orders_pool, orders_handle, char text[FASTALLOC_HANDLE_TEXT])
 *
 * create and open set the type's name, size and alignment; open_with is for what else a config
 * has that is for opening: the type's version, this process's hooks and advice.  The functions
 * take and return what those of fastalloc.h do, where the rest is explained.  For what has no typed
 * form, the pool and the handle lie within: orders.pool, handle.value.
 *
 * Mixing pools or handles of two faces is an error of the compiler's.  So is an object of another
 * type, but in C for gcc before 14 and clang before 16, which warn of incompatible pointers.  What
 * no compiler can see, opening says: FASTALLOC_E_TYPE, _TYPE_SIZE, _TYPE_VERSION; and a
 * handle of another pool of the same face FASTALLOC_E_HANDLE, as its generations began
 * elsewhere.  (Names end in "_" within, lest they shadow a program's own.) */
#ifdef __cplusplus
#define FASTALLOC_ALIGNOF_(type) alignof(type)
#define FASTALLOC_CAST_(type, pointer) static_cast<type>(pointer)
#else
#define FASTALLOC_ALIGNOF_(type) _Alignof(type)
#define FASTALLOC_CAST_(type, pointer) ((type)(pointer))
#endif

#define FASTALLOC_DEFINE_POOL(prefix, type)                                                        \
    typedef struct prefix##_pool {                                                                 \
        fastalloc_pool *pool;                                                                      \
    } prefix##_pool;                                                                               \
    typedef struct prefix##_handle {                                                               \
        fastalloc_handle value;                                                                    \
    } prefix##_handle;                                                                             \
                                                                                                   \
    __attribute__((unused)) static inline void prefix##_typed_(fastalloc_pool_config *config_)     \
    {                                                                                              \
        config_->type_name = #type;                                                                \
        config_->object_size = sizeof(type);                                                       \
        if (config_->alignment < FASTALLOC_ALIGNOF_(type))                                         \
            config_->alignment = FASTALLOC_ALIGNOF_(type);                                         \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_create(                                     \
        fastalloc_client *client_, const fastalloc_pool_config *config_, prefix##_pool *out_)      \
    {                                                                                              \
        fastalloc_pool_config typed_ = *config_;                                                   \
        prefix##_typed_(&typed_);                                                                  \
        return fastalloc_pool_create(client_, &typed_, &out_->pool);                               \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_create_local(                               \
        const fastalloc_pool_config *config_, prefix##_pool *out_)                                 \
    {                                                                                              \
        fastalloc_pool_config typed_ = *config_;                                                   \
        prefix##_typed_(&typed_);                                                                  \
        return fastalloc_pool_create_local(&typed_, &out_->pool);                                  \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_open_with(                                  \
        fastalloc_client *client_, const char *name_, const fastalloc_pool_config *config_,        \
        prefix##_pool *out_)                                                                       \
    {                                                                                              \
        fastalloc_pool_config expected_ = *config_;                                                \
        prefix##_typed_(&expected_);                                                               \
        return fastalloc_pool_open(client_, name_, &expected_, &out_->pool);                       \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_open(                                       \
        fastalloc_client *client_, const char *name_, prefix##_pool *out_)                         \
    {                                                                                              \
        fastalloc_pool_config config_;                                                             \
        fastalloc_pool_config_init(&config_);                                                      \
        return prefix##_open_with(client_, name_, &config_, out_);                                 \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_close(prefix##_pool *pool_)                 \
    {                                                                                              \
        return fastalloc_pool_close(pool_->pool);                                                  \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_alloc(                                      \
        prefix##_pool pool_, prefix##_handle *handle_, type **object_)                             \
    {                                                                                              \
        void *address_;                                                                            \
        int error_ = fastalloc_alloc(pool_.pool, &handle_->value, &address_);                      \
        if (!error_ && object_)                                                                    \
            *object_ = FASTALLOC_CAST_(type *, address_);                                          \
        return error_;                                                                             \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_alloc_wait(                                 \
        prefix##_pool pool_, prefix##_handle *handle_, type **object_, uint64_t deadline_)         \
    {                                                                                              \
        void *address_;                                                                            \
        int error_ = fastalloc_alloc_wait(pool_.pool, &handle_->value, &address_, deadline_);      \
        if (!error_ && object_)                                                                    \
            *object_ = FASTALLOC_CAST_(type *, address_);                                          \
        return error_;                                                                             \
    }                                                                                              \
    __attribute__((unused)) static inline type *prefix##_get(prefix##_pool pool_,                  \
                                                             prefix##_handle handle_)              \
    {                                                                                              \
        return FASTALLOC_CAST_(type *, fastalloc_get(pool_.pool, handle_.value));                  \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_free(prefix##_pool pool_,                   \
                                                            prefix##_handle handle_)               \
    {                                                                                              \
        return fastalloc_free(pool_.pool, handle_.value);                                          \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_adopt(prefix##_pool pool_,                  \
                                                             prefix##_handle handle_)              \
    {                                                                                              \
        return fastalloc_adopt(pool_.pool, handle_.value);                                         \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_receive(                                    \
        prefix##_pool pool_, prefix##_handle handle_, type **object_)                              \
    {                                                                                              \
        void *found_ = NULL;                                                                       \
        int error_ = fastalloc_receive(pool_.pool, handle_.value, &found_);                        \
                                                                                                   \
        if (!error_ && object_)                                                                    \
            *object_ = FASTALLOC_CAST_(type *, found_);                                            \
        return error_;                                                                             \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_give(                                       \
        prefix##_pool pool_, prefix##_handle handle_, uint32_t session_)                           \
    {                                                                                              \
        return fastalloc_give(pool_.pool, handle_.value, session_);                                \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_leave(                                      \
        prefix##_pool pool_, prefix##_handle handle_, uint64_t deadline_)                          \
    {                                                                                              \
        return fastalloc_leave(pool_.pool, handle_.value, deadline_);                              \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_share(prefix##_pool pool_,                  \
                                                             prefix##_handle handle_)              \
    {                                                                                              \
        return fastalloc_share(pool_.pool, handle_.value);                                         \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_ref(prefix##_pool pool_,                    \
                                                           prefix##_handle handle_)                \
    {                                                                                              \
        return fastalloc_ref(pool_.pool, handle_.value);                                           \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_unref(prefix##_pool pool_,                  \
                                                             prefix##_handle handle_)              \
    {                                                                                              \
        return fastalloc_unref(pool_.pool, handle_.value);                                         \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_alloc_batch(                                \
        prefix##_pool pool_, size_t count_, prefix##_handle *handles_, type **objects_)            \
    {                                                                                              \
        size_t i_;                                                                                 \
        int error_ =                                                                               \
            fastalloc_alloc_batch(pool_.pool, count_, handles_ ? &handles_->value : NULL, NULL);   \
        for (i_ = 0; !error_ && objects_ && i_ < count_; i_++)                                     \
            objects_[i_] = prefix##_get(pool_, handles_[i_]);                                      \
        return error_;                                                                             \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_free_batch(                                 \
        prefix##_pool pool_, size_t count_, const prefix##_handle *handles_, size_t *freed_)       \
    {                                                                                              \
        return fastalloc_free_batch(pool_.pool, count_, handles_ ? &handles_->value : NULL,        \
                                    freed_);                                                       \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_handle_of(                                  \
        prefix##_pool pool_, const type *object_, prefix##_handle *handle_)                        \
    {                                                                                              \
        return fastalloc_handle_of(pool_.pool, object_, &handle_->value);                          \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_is_mine(prefix##_pool pool_,                \
                                                               prefix##_handle handle_)            \
    {                                                                                              \
        return fastalloc_handle_is_mine(pool_.pool, handle_.value);                                \
    }                                                                                              \
    __attribute__((unused)) static inline prefix##_handle prefix##_root(prefix##_pool pool_)       \
    {                                                                                              \
        prefix##_handle root_;                                                                     \
        root_.value = fastalloc_pool_root(pool_.pool);                                             \
        return root_;                                                                              \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_set_root(                                   \
        prefix##_pool pool_, prefix##_handle expected_, prefix##_handle root_)                     \
    {                                                                                              \
        return fastalloc_pool_set_root(pool_.pool, expected_.value, root_.value);                  \
    }                                                                                              \
    __attribute__((unused)) static inline prefix##_handle prefix##_none(void)                      \
    {                                                                                              \
        prefix##_handle none_;                                                                     \
        none_.value = 0;                                                                           \
        return none_;                                                                              \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_is_none(prefix##_handle handle_)            \
    {                                                                                              \
        return handle_.value == 0;                                                                 \
    }                                                                                              \
    __attribute__((unused)) static inline int prefix##_equal(prefix##_handle one_,                 \
                                                             prefix##_handle other_)               \
    {                                                                                              \
        return one_.value == other_.value;                                                         \
    }                                                                                              \
    __attribute__((unused)) static inline size_t prefix##_index(prefix##_pool pool_,               \
                                                                prefix##_handle handle_)           \
    {                                                                                              \
        return fastalloc_handle_index(pool_.pool, handle_.value);                                  \
    }                                                                                              \
    __attribute__((unused)) static inline char *prefix##_text(                                     \
        prefix##_pool pool_, prefix##_handle handle_, char text_[FASTALLOC_HANDLE_TEXT])           \
    {                                                                                              \
        return fastalloc_handle_text(pool_.pool, handle_.value, text_);                            \
    }                                                                                              \
    struct prefix##_pool

#endif /* FASTALLOC_TYPED_H */
