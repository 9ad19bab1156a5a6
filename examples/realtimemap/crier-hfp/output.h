/* Where messages go: an MQTT broker, or a crier over HTTP. Both come back by themselves when the server was away.
 *
 * A struct output belongs to one thread, from output_new() to output_close(). */
#ifndef CRIER_HFP_OUTPUT_H
#define CRIER_HFP_OUTPUT_H

#include "options.h"

#include "util/bytes.h"

struct output_message {
    struct bytes topic, payload;
    struct bytes vehicle; /* 0022.01400; data NULL when the topic names none */
};

struct output_counts {
    uint64_t sent;    /* taken by the server, as far as it says so */
    uint64_t lost;    /* gathered already when the server went away */
    uint64_t refused; /* the server wants them never */
    bool connected;   /* at least once */
};

struct output;

/* Each backend embeds this as its first member. */
struct output_ops {
    /* 0: taken over; -EAGAIN: the server is away or busy, try again; -EACCES: it will never take any. */
    int (*send)(struct output *o, const struct output_message *m);
    /* Hands over what was gathered. As send(); -EAGAIN of a reliable output also while acknowledgements are missing. */
    int (*flush)(struct output *o);
    /* Waits a few seconds for acknowledgements, then lets go of everything. */
    void (*close)(struct output *o, struct output_counts *ret_counts);
};

struct output {
    const struct output_ops *ops;
    struct output_counts counts;
};

/* Counts messages that no attempt will get through; says why the first time. */
void output_refuse(struct output *o, size_t count, const char *reason);

/* Returns 0, or an exit code after a message. Connecting goes on in the background. `reliable`: a message whose fate
 * is not known is sent again. */
int output_new(const struct tool_options *options, bool reliable, struct output **ret);
int output_new_mqtt(const struct tool_options *options, bool reliable, struct output **ret);
int output_new_http(const struct tool_options *options, bool reliable, struct output **ret);

#endif
