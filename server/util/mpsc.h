/* Unbounded lock-free queue: many producers, one consumer (Vyukov's intrusive algorithm).
 *
 * A node belongs to the queue from push to pop. Order is kept per producer. Producers and the consumer never wait;
 * bounds are the business of whoever fills it (each kind of message has its own limit). */
#ifndef CRIER_UTIL_MPSC_H
#define CRIER_UTIL_MPSC_H

#include <stdatomic.h>
#include <stddef.h>

struct mpsc_node {
    _Atomic(struct mpsc_node *) next;
};

struct mpsc {
    _Atomic(struct mpsc_node *) tail;                       /* producers */
    __attribute__((aligned(64))) struct mpsc_node *head;    /* consumer */
    struct mpsc_node stub;
};

static inline void mpsc_init(struct mpsc *q)
{
    atomic_init(&q->stub.next, NULL);
    atomic_init(&q->tail, &q->stub);
    q->head = &q->stub;
}

static inline void mpsc_push(struct mpsc *q, struct mpsc_node *n)
{
    atomic_store_explicit(&n->next, NULL, memory_order_relaxed);
    struct mpsc_node *prev = atomic_exchange_explicit(&q->tail, n, memory_order_acq_rel);
    atomic_store_explicit(&prev->next, n, memory_order_release);
}

/* Only the consumer. NULL when empty, or when a producer is between its two steps: it will wake the consumer again. */
static inline struct mpsc_node *mpsc_pop(struct mpsc *q)
{
    struct mpsc_node *head = q->head;
    struct mpsc_node *next = atomic_load_explicit(&head->next, memory_order_acquire);
    if (head == &q->stub) {
        if (!next)
            return NULL;
        q->head = next;
        head = next;
        next = atomic_load_explicit(&head->next, memory_order_acquire);
    }
    if (next) {
        q->head = next;
        return head;
    }
    if (head != atomic_load_explicit(&q->tail, memory_order_acquire))
        return NULL;
    mpsc_push(q, &q->stub);
    next = atomic_load_explicit(&head->next, memory_order_acquire);
    if (!next)
        return NULL;
    q->head = next;
    return head;
}

#endif
