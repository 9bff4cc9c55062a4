#ifndef CRISP_CLI_CLIENT_ARCHIVE_SOURCE_H_
#define CRISP_CLI_CLIENT_ARCHIVE_SOURCE_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace crisp::cli {

// The source of `crisp images import`: a file, standard input ("-"), or the output of a program
// that runs as the user. An OCI layout's directory goes through tar; an archive of xz or bzip2 goes
// through that program.
class ArchiveSource {
 public:
  static absl::StatusOr<std::unique_ptr<ArchiveSource>> Open(const std::string& path);
  ~ArchiveSource();
  ArchiveSource(const ArchiveSource&) = delete;
  ArchiveSource& operator=(const ArchiveSource&) = delete;

  int fd() const { return fd_.get(); }
  // Called after the last byte. An error if the program, if there is one, has failed.
  absl::Status Finish();

 private:
  explicit ArchiveSource(UniqueFd fd, std::string program = "", pid_t pid = 0)
      : fd_(std::move(fd)), program_(std::move(program)), pid_(pid) {}

  UniqueFd fd_;
  const std::string program_;
  pid_t pid_;  // 0 if there is none, or if it was waited for
};

}  // namespace crisp::cli

#endif  // CRISP_CLI_CLIENT_ARCHIVE_SOURCE_H_
