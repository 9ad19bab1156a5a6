/* Pieces of a JSON text, one after the other, without a tree and without allocation.
 *
 * Pure functions; views point into the text. False: the text is no JSON at this place. */
#ifndef REALTIMEMAP_HFP_JSON_H
#define REALTIMEMAP_HFP_JSON_H

#include "util/bytes.h"

/* What is still to be read. */
struct hfp_json {
    const char *p, *end;
};

/* A JSON value: texts without their quotes, numbers taken apart. */
struct hfp_value {
    enum { HFP_VALUE_NULL, HFP_VALUE_BOOL, HFP_VALUE_NUMBER, HFP_VALUE_TEXT, HFP_VALUE_NESTED } kind;
    bool truth, negative, escaped;
    uint64_t digits; /* the number is +-digits * 10^exponent */
    int exponent;
    struct bytes raw;
};

void hfp_json_skip_space(struct hfp_json *s);
/* Takes one character, with space in front of it. */
bool hfp_json_take(struct hfp_json *s, char c);
/* The rest of a text whose opening quote is taken already. */
bool hfp_json_read_text(struct hfp_json *s, struct bytes *ret, bool *ret_escaped);
bool hfp_json_read_value(struct hfp_json *s, struct hfp_value *ret);
/* Of a value that is a number; may be infinite. */
double hfp_json_number(const struct hfp_value *v);

#endif
