#ifndef CRISP_BASE_TESTING_TEMP_DIR_H_
#define CRISP_BASE_TESTING_TEMP_DIR_H_

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/file.h"

namespace crisp {

// A fresh directory below $TMPDIR or /tmp, removed with its contents by the destructor. For tests.
class TempDir {
 public:
  TempDir() {
    const char* base = getenv("TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/crisp-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) {
      perror("mkdtemp");
      abort();
    }
  }
  ~TempDir() { (void)RemoveTree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace crisp

#endif  // CRISP_BASE_TESTING_TEMP_DIR_H_
