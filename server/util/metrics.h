/* Counters, gauges and histograms with one writer thread each, summed when /metrics is read.
 *
 * Every engine thread calls metrics_thread_init() once; metric_add() then is a plain add to that thread's own cache
 * lines (relaxed atomics, no locked instruction). Metrics with labels that are only known at run time (bridges,
 * namespaces) are written by collectors, called on the thread that owns the data. */
#ifndef CRIER_UTIL_METRICS_H
#define CRIER_UTIL_METRICS_H

#include "bytes.h"

/* id, prometheus name, type, help. Names carry the unit. */
#define METRICS(X)                                                                                                     \
    X(M_CONNECTIONS, "crier_connections", "gauge", "Open TCP connections of any kind.")                                \
    X(M_SESSIONS, "crier_sessions", "gauge", "Open sessions: WebSocket connections and streams.")                      \
    X(M_STREAMS, "crier_streams", "gauge", "Open streamed responses; each is a session, too.")                         \
    X(M_SUBSCRIPTIONS, "crier_subscriptions", "gauge", "Subscriptions of sessions.")                                   \
    X(M_HANDSHAKES, "crier_handshakes_total", "counter", "WebSocket handshakes done and streams begun.")               \
    X(M_HANDSHAKES_REFUSED, "crier_handshakes_refused_total", "counter", "WebSocket handshakes and streams refused.")  \
    X(M_MESSAGES_IN, "crier_messages_in_total", "counter", "Messages received from sessions.")                         \
    X(M_MESSAGES_OUT, "crier_messages_out_total", "counter", "Replies, acknowledgements and direct messages sent.")    \
    X(M_BYTES_IN, "crier_bytes_in_total", "counter", "Bytes received.")                                                \
    X(M_BYTES_OUT, "crier_bytes_out_total", "counter", "Bytes sent.")                                                  \
    X(M_COMPRESSIONS, "crier_compressions_total", "counter", "Messages compressed, each once for all that it goes to.")  \
    X(M_COMPRESS_BYTES_IN, "crier_compress_bytes_in_total", "counter", "Bytes of these before compression.")           \
    X(M_COMPRESS_BYTES_OUT, "crier_compress_bytes_out_total", "counter", "Bytes of these as they are sent, each once.") \
    X(M_INFLATE_BYTES_IN, "crier_inflate_bytes_in_total", "counter", "Bytes of compressed messages of sessions.")      \
    X(M_INFLATE_BYTES_OUT, "crier_inflate_bytes_out_total", "counter", "Bytes of these, inflated.")                    \
    X(M_DELIVERIES, "crier_deliveries_total", "counter", "Publications delivered to sessions.")                        \
    X(M_SENDS, "crier_sends_total", "counter", "Socket writes that carried publications.")                             \
    X(M_NEWCOMERS_WAITING, "crier_newcomers_waiting", "gauge", "New connections whose input waits for its turn.")       \
    X(M_CLIENTS_BEHIND, "crier_clients_behind", "gauge", "Connections whose socket takes no more at the moment.")    \
    X(M_VIEWERS, "crier_viewers", "gauge", "Boxes of sessions in views.")                                              \
    X(M_VIEW_MESSAGES, "crier_view_messages_total", "counter", "Messages to viewers.")                                 \
    X(M_VIEW_ITEMS, "crier_view_items_total", "counter", "Items in messages to viewers.")                              \
    X(M_VIEW_RESETS, "crier_view_resets_total", "counter", "Times a viewer got everything in its box: new, or slow.")  \
    X(M_GAPS, "crier_gaps_total", "counter", "Times a session fell off the frame log.")                                \
    X(M_RECOVERIES, "crier_recoveries_total", "counter", "Subscriptions that asked to resume from a position.")        \
    X(M_RECOVERIES_FAILED, "crier_recoveries_failed_total", "counter", "Resumes answered with recovered: false.")      \
    X(M_PUBLICATIONS, "crier_publications_total", "counter", "Publications that entered a channel.")                   \
    X(M_CHANNELS, "crier_channels", "gauge", "Channels in memory.")                                                    \
    X(M_HISTORY_BYTES, "crier_history_bytes", "gauge", "Bytes of publications held in memory.")                        \
    X(M_PUBLISHES, "crier_publishes_total", "counter", "Publish requests of clients, REST and modules.")               \
    X(M_PUBLISHES_FAILED, "crier_publishes_failed_total", "counter", "Publish requests answered with an error.")       \
    X(M_PUBLISHES_UNKNOWN, "crier_publishes_unknown_total", "counter", "Publishes with no broker answer in time.")     \
    X(M_PUBLISHES_PENDING, "crier_publishes_pending", "gauge", "Publishes that wait for the broker.")                  \
    X(M_DEAD_LETTERS, "crier_dead_letters_total", "counter", "Records moved to a dead-letter topic.")                  \
    X(M_DEAD_LETTERS_LOST, "crier_dead_letters_dropped_total", "counter", "Bad records without a dead-letter topic.")  \
    X(M_RATE_LIMITED, "crier_rate_limited_total", "counter", "Messages refused by a rate limit.")                      \
    X(M_LIMIT_MESSAGE_BYTES, "crier_limit_message_bytes_total", "counter", "Messages over message_bytes.")             \
    X(M_LIMIT_FRAGMENTS, "crier_limit_fragments_total", "counter", "Messages over fragments.")                         \
    X(M_LIMIT_CONNECTIONS, "crier_limit_connections_total", "counter", "Connections refused: too many in all.")        \
    X(M_LIMIT_ADDRESS, "crier_limit_connections_address_total", "counter", "Connections refused: too many of one address.") \
    X(M_LIMIT_SUBSCRIPTIONS, "crier_limit_subscriptions_total", "counter", "Subscriptions refused: too many.")         \
    X(M_LIMIT_CHANNELS, "crier_limit_channels_total", "counter", "Channels refused: too many in memory.")               \
    X(M_LIMIT_MESSAGE_TIME, "crier_limit_message_time_total", "counter", "Messages that took longer than message_ms.") \
    X(M_LIMIT_HEADER, "crier_limit_header_bytes_total", "counter", "Request heads over header_bytes.")                 \
    X(M_LIMIT_BODY, "crier_limit_body_bytes_total", "counter", "Request bodies over body_bytes.")                      \
    X(M_LIMIT_RECOVER, "crier_limit_recover_total", "counter", "Resumes over recover: handed over in pages, or the table anew.")     \
    X(M_LIMIT_LOG_READS, "crier_limit_log_reads_total", "counter", "Histories refused: too many wait to read a broker.") \
    X(M_FRAME_LOG_BYTES, "crier_frame_log_bytes", "gauge", "Memory of the frame logs of all loops.")                   \
    X(M_LIMIT_HANDSHAKE, "crier_limit_handshake_timeouts_total", "counter", "Connections cut: no request in time.")    \
    X(M_LIMIT_OUTBOX, "crier_limit_outbox_total", "counter", "Sessions closed: too many unsent replies.")              \
    X(M_IDLE_CLOSED, "crier_idle_closed_total", "counter", "Connections closed because nothing came from them.")       \
    X(M_HTTP_REQUESTS, "crier_http_requests_total", "counter", "HTTP requests answered.")                              \
    X(M_HTTP_ERRORS, "crier_http_errors_total", "counter", "HTTP requests answered with 4xx or 5xx.")

enum metric_id {
#define X(id, name, type, help) id,
    METRICS(X)
#undef X
        METRIC_COUNT
};

enum histogram_id { H_PUBLISH_LATENCY_MS, H_LOOP_TURN_US, H_HUB_TURN_US, HISTOGRAM_COUNT };
#define HISTOGRAM_BUCKETS 20 /* powers of two: bucket i counts values < 2^i, the last one all */

struct metrics_block {
    _Atomic(int64_t) values[METRIC_COUNT];
    _Atomic(uint64_t) histogram[HISTOGRAM_COUNT][HISTOGRAM_BUCKETS + 1];
    _Atomic(uint64_t) histogram_sum[HISTOGRAM_COUNT];
    _Atomic(uint64_t) closes[64]; /* by slot of the close code, see metric_close() */
};

CRIER_API extern _Thread_local struct metrics_block *metrics_own;

CRIER_API void metrics_thread_init(void);
/* Adds the closes-by-code counter; codes outside 1000-4999 count as "other". */
CRIER_API void metric_close(int code);
CRIER_API void metric_observe(enum histogram_id id, uint64_t value);
/* Sum over all threads. */
CRIER_API int64_t metric_total(enum metric_id id);
/* Appends everything in Prometheus text format 0.0.4. Any thread. */
CRIER_API void metrics_render(struct buf *out);

static inline void metric_add(enum metric_id id, int64_t n)
{
    if (!metrics_own)
        metrics_thread_init();
    _Atomic(int64_t) *v = &metrics_own->values[id];
    atomic_store_explicit(v, atomic_load_explicit(v, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
