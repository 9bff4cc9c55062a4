#ifndef CRISP_BENCH_CLIENT_MEASURES_H_
#define CRISP_BENCH_CLIENT_MEASURES_H_

#include <nlohmann/json.hpp>
#include <string>

#include "bench/client/client.h"

namespace crisp::bench {

// One function for each thing that the client measures; each answers what is to be printed.

// One pod after another: started, one exec, ended. The first `warm_up` do not count.
nlohmann::ordered_json MeasureLatency(const ClientOptions& options, int count, int warm_up);

// `pods` pods by `parallel` threads. With `hold`, prints the result of the start, waits for a line
// on stdin and only then ends them.
nlohmann::ordered_json MeasureBurst(const ClientOptions& options,
                                    int pods,
                                    int parallel,
                                    bool hold);

// What a kubelet asks all the time, `count` times.
nlohmann::ordered_json MeasureQueries(const ClientOptions& options, int count);

// Execs of `true` in one container, each started at its time of the schedule whether or not those
// before have ended; an exec's latency counts from that time. Gives up `seconds` after the last.
// Before the first exec and after the last "begin" and "end" are printed, each awaiting a line.
nlohmann::ordered_json MeasureExecs(const ClientOptions& options, double rate, double seconds);

// A container that writes to its log; how long until it has exited. Marks as MeasureExecs.
nlohmann::ordered_json MeasureWriter(const ClientOptions& options,
                                     const std::vector<std::string>& command);

nlohmann::ordered_json MeasurePull(const ClientOptions& options);

// How long after `since` (seconds of the real time clock) the runtime first reports `pods` pods
// ready and as many containers running.
nlohmann::ordered_json MeasureReturn(const ClientOptions& options, int pods, double since);

// Ends all pods.
nlohmann::ordered_json EndAll(const ClientOptions& options);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_CLIENT_MEASURES_H_
