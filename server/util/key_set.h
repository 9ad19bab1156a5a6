/* Public keys that tokens are verified with, from PEM texts and JSON Web Key Sets (RFC 7517).
 *
 * Filled by one thread, then constant and shared; the last reference frees. Keys of other kinds, for other uses, or too
 * weak are left out, so that one key of a set does not take the others with it. */
#ifndef CRIER_UTIL_KEY_SET_H
#define CRIER_UTIL_KEY_SET_H

#include <openssl/evp.h>

#include "bytes.h"

#define KEY_SET_MAX      64
#define KEY_RSA_MIN_BITS 2048
#define KEY_FILE_LIMIT   (1 << 20)

enum key_kind { KEY_RSA, KEY_EC, KEY_ED25519 };

struct verify_key {
    enum key_kind kind;
    int curve_bits;  /* KEY_EC: 256, 384, 521 */
    char *id;        /* kid; NULL none */
    char *algorithm; /* the one it is for; NULL: all of its kind */
    EVP_PKEY *key;
};

struct key_set {
    atomic_uint refs;
    size_t count;
    struct verify_key keys[KEY_SET_MAX];
};

CRIER_API struct key_set *key_set_new(void);
CRIER_API struct key_set *key_set_ref(struct key_set *s);
CRIER_API void key_set_unref(struct key_set *s); /* accepts NULL */

/* Fills in kind and curve. False for a key that nothing here can be done with. */
CRIER_API bool key_classify(const EVP_PKEY *key, struct verify_key *ret);

/* 0 when at least one key was taken; -EINVAL with a constant reason when there is none. Several PEM texts may follow
 * each other. */
CRIER_API int key_set_add_pem(struct key_set *s, struct bytes text, const char **ret_reason);
CRIER_API int key_set_add_jwks(struct key_set *s, struct bytes text, const char **ret_reason);
/* Appends a file; -errno with a reason. */
CRIER_API int key_file_read(const char *path, struct buf *ret, const char **ret_reason);

#endif
