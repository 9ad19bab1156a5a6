/* Fills a Kafka topic with what a simulated city sends in some minutes, as the relay of the bus map writes it: the key is
 * the vehicle, the MQTT topic is in a header.
 *
 *     bench_kafka_city --servers HOST:PORT --topic NAME [--vehicles N] [--seconds N]
 *
 * The records' time is that of the messages; the last are of now. Prints JSON when done. */
#include "examples/realtimemap/city.h"
#include "kafka_producer.h"
#include "util/clock.h"

#include <string.h>

struct feed {
    struct kafka_producer producer;
    int64_t time_ms;
};

static void on_message(const struct city_message *m, void *arg)
{
    struct feed *f = arg;
    const struct kafka_record r = {
        .key = m->vehicle,
        .key_len = strlen(m->vehicle),
        .data = m->payload.data,
        .data_len = m->payload.len,
        .time_ms = f->time_ms,
        .header_name = "crier-topic",
        .header = m->topic.data,
        .header_len = m->topic.len,
    };
    kafka_produce(&f->producer, &r);
}

int main(int argc, char **argv)
{
    struct feed f;
    char error[200];
    int64_t vehicles = bench_arg_int(argc, argv, "vehicles", 2000), seconds = bench_arg_int(argc, argv, "seconds", 300);
    int64_t start_ms = clock_wall_ms() - seconds * 1000;
    const struct city_options options = {(size_t)vehicles, 1, start_ms};
    struct city *city = city_new(&options, error, sizeof error);
    if (!city)
        bench_fail("%s", error);
    kafka_producer_open(&f.producer, bench_arg(argc, argv, "servers", "127.0.0.1:9092"),
                        bench_arg(argc, argv, "topic", "hfp"), true);
    for (int64_t turn = 0; turn < vehicles * seconds; turn++) {
        f.time_ms = start_ms + 1000 + turn * 1000 / vehicles;
        city_step(city, (size_t)(turn % vehicles), f.time_ms, on_message, &f);
    }
    kafka_producer_close(&f.producer);
    city_free(city);
    return 0;
}
