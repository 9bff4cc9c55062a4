#ifndef CRISP_BENCH_CLIENT_MEASURES_H_
#define CRISP_BENCH_CLIENT_MEASURES_H_

#include <nlohmann/json.hpp>
#include <string>

#include "bench/client/client.h"

namespace crisp::bench {

// One function for each thing that the client measures. Each returns the result to be printed.

// Starts one pod after another, runs one exec in it, and ends it. The first `warm_up` do not count.
nlohmann::ordered_json MeasureLatency(const ClientOptions& options, int count, int warm_up);

// Starts and ends `pods` pods by `parallel` threads. With `hold`, prints the result of the start,
// waits for a line on stdin, and only then ends them.
nlohmann::ordered_json MeasureBurst(const ClientOptions& options,
                                    int pods,
                                    int parallel,
                                    bool hold);

// Makes the calls that a kubelet makes all the time, `count` times.
nlohmann::ordered_json MeasureQueries(const ClientOptions& options, int count);

// Runs execs of `true` in one container. Each starts at its time of the schedule, also while
// earlier ones run, and its latency counts from that time. Gives up `seconds` after the last.
// Before the first exec and after the last, it prints "begin" and "end" and waits for a line.
nlohmann::ordered_json MeasureExecs(const ClientOptions& options, double rate, double seconds);

// Runs a container that writes to its log, and measures the time until it has exited. Prints
// "begin" and "end" as MeasureExecs does.
nlohmann::ordered_json MeasureWriter(const ClientOptions& options,
                                     const std::vector<std::string>& command);

nlohmann::ordered_json MeasurePull(const ClientOptions& options);

// The time from `since` (seconds of the real time clock) until the runtime first reports `pods`
// pods ready and as many containers running.
nlohmann::ordered_json MeasureReturn(const ClientOptions& options, int pods, double since);

// Ends all pods.
nlohmann::ordered_json EndAll(const ClientOptions& options);

}  // namespace crisp::bench

#endif  // CRISP_BENCH_CLIENT_MEASURES_H_
