#ifndef CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_
#define CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_

#include <linux/filter.h>

#include <vector>

namespace crisp::runtime {

// A filter with the verdicts of `program` for every architecture, number and argument, in less
// code.
//
// libseccomp compares with every syscall that a profile names, three times over for x86-64 and its
// two older ABIs; the kernel translates, compiles and, to find out what is always allowed, runs
// that for every number whenever a process takes the filter. Profiles name their syscalls in long
// runs of equal verdicts, so this has one comparison per run: a binary search over the ends of the
// runs for each architecture, and behind it the parts of `program` that look at arguments, as they
// are.
//
// What it does not understand (arithmetic before the first argument is looked at, say), and what it
// would not make shorter, it returns unchanged.
std::vector<sock_filter> CondenseFilter(const std::vector<sock_filter>& program);

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_SECCOMP_SECCOMP_CONDENSE_H_
