#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_

#include <linux/filter.h>

#include <vector>

namespace crisp::runtime {

// Makes a filter with the verdicts of `program` for every architecture, number and argument, in
// less code.
//
// libseccomp compares with every syscall that a profile names, three times over for x86-64 and its
// two older ABIs. The kernel translates and compiles the filter whenever a process takes it, and
// runs it for every number to find out what is always allowed. Profiles name their syscalls in long
// runs of equal verdicts. So the condensed filter has one comparison per run: a binary search over
// the ends of the runs for each architecture. Behind it stand the unchanged parts of `program` that
// look at arguments.
//
// A program that it does not understand (with arithmetic before the first argument is looked at,
// say), or that would not become shorter, is returned unchanged.
std::vector<sock_filter> CondenseFilter(const std::vector<sock_filter>& program);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_
