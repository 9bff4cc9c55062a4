#ifndef CRISP_STREAMING_WIRE_HEADERS_H_
#define CRISP_STREAMING_WIRE_HEADERS_H_

#include <map>
#include <string>

namespace crisp::streaming {

// Values by lower-case name. A header that was given several times has its first value.
using Headers = std::map<std::string, std::string>;

}  // namespace crisp::streaming

#endif  // CRISP_STREAMING_WIRE_HEADERS_H_
