#ifndef CRISP_BASE_TESTING_TEST_HUNG_FILE_SYSTEM_H_
#define CRISP_BASE_TESTING_TEST_HUNG_FILE_SYSTEM_H_

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {

// A FUSE file system whose daemon says hello, takes every request and answers none, like a volume
// whose server has gone. A thread that touches it sleeps until the destructor, and not even SIGKILL
// wakes it.
class HungFileSystem {
 public:
  // Mounts it on an existing directory. Takes root.
  static absl::StatusOr<std::unique_ptr<HungFileSystem>> Mount(const std::string& directory) {
    UniqueFd device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (!device) return ErrnoError(errno, "open /dev/fuse");
    const std::string options =
        absl::StrCat("fd=", device.get(), ",rootmode=40000,user_id=0,group_id=0");
    if (mount("hung", directory.c_str(), "fuse", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
      return ErrnoError(errno, absl::StrCat("mount a hung file system on ", directory));
    }
    return std::unique_ptr<HungFileSystem>(new HungFileSystem(directory, std::move(device)));
  }

  ~HungFileSystem() {
    stop_ = true;
    server_.join();
    device_.reset();  // all that wait get an error
    (void)umount2(directory_.c_str(), MNT_DETACH);
  }

  // The number of requests that wait for their answer.
  int waiting() const { return waiting_; }

 private:
  HungFileSystem(std::string directory, UniqueFd device)
      : directory_(std::move(directory)),
        device_(std::move(device)),
        server_([this] { Serve(); }) {}

  void Serve() {
    std::vector<char> buffer(1 << 20);
    while (!stop_) {
      pollfd wait{.fd = device_.get(), .events = POLLIN};
      if (poll(&wait, 1, 20) <= 0) continue;
      const ssize_t got = read(device_.get(), buffer.data(), buffer.size());
      if (got < static_cast<ssize_t>(sizeof(fuse_in_header))) continue;
      fuse_in_header request;
      std::memcpy(&request, buffer.data(), sizeof(request));
      if (request.opcode == FUSE_INIT) {
        AnswerInit(request.unique);
      } else if (request.opcode != FUSE_INTERRUPT && request.opcode != FUSE_FORGET) {
        ++waiting_;
      }
    }
  }

  void AnswerInit(uint64_t unique) {
    struct {
      fuse_out_header header;
      fuse_init_out init;
    } answer = {};
    answer.header.len = sizeof(answer);
    answer.header.unique = unique;
    answer.init.major = FUSE_KERNEL_VERSION;
    answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
    answer.init.max_readahead = 65536;
    answer.init.max_write = 4096;
    (void)!write(device_.get(), &answer, sizeof(answer));
  }

  const std::string directory_;
  UniqueFd device_;
  std::atomic<bool> stop_{false};
  std::atomic<int> waiting_{0};
  std::thread server_;
};

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_TEST_HUNG_FILE_SYSTEM_H_
