#ifndef CRISP_RUNTIME_CLIENT_TESTING_SHIM_TEST_POD_H_
#define CRISP_RUNTIME_CLIENT_TESTING_SHIM_TEST_POD_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/file.h"
#include "base/testing/temp_dir.h"
#include "gtest/gtest.h"
#include "runtime/client/shim_client.h"
#include "runtime/plan/launch_plan.h"

namespace crisp::runtime {

std::vector<pid_t> ChildrenOf(pid_t pid);
std::string CommOf(pid_t pid);  // empty when it has ended
// As the kernel says in /proc: 'R', 'S', 'D', 'T', 'Z', …; 0 when there is none.
char StateOf(pid_t pid);
bool Gone(pid_t pid);  // eventually

// Collects what shims report.
class RecordingObserver : public ShimObserver {
 public:
  void OnContainerExit(absl::string_view pod,
                       absl::string_view id,
                       const ExitRecord& record) override;
  void OnExecExit(absl::string_view pod, absl::string_view id, const ExitRecord& record) override;
  void OnShimDeath(absl::string_view pod) override;
  // Waits for minutes; exit_code -1 when nothing came.
  ExitRecord WaitContainer(const std::string& id);
  ExitRecord WaitExec(const std::string& id);
  bool WaitDeath(const std::string& pod);
  bool HasExec(const std::string& id);  // by now

 private:
  ExitRecord Wait(absl::flat_hash_map<std::string, ExitRecord>* map, const std::string& id);
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, ExitRecord> containers_, execs_, deaths_;
};

// A pool, one pod and busybox containers below a temporary directory. Everything ends with it.
class ShimTest : public ::testing::Test {
 public:
  ~ShimTest() override;

 protected:
  void SetUp() override;
  void TearDown() override;

  void StartPool();
  PodPlan MakePod();
  void StartPod(const PodPlan& plan);
  void StartPod() { StartPod(MakePod()); }
  // A container that runs `sh -c script` in its own upper directory over the busybox layer.
  ContainerPlan MakeContainer(const std::string& script);
  // Creates, starts and waits. Returns the log's text without its prefixes.
  std::string Run(const ContainerPlan& plan, int expected_exit = 0);
  std::string RunScript(const std::string& script, int expected_exit = 0) {
    return Run(MakeContainer(script), expected_exit);
  }
  ExecPlan MakeExec(const std::string& container_id, const std::string& script);
  // Runs an exec to its end. Returns its stdout and stderr together.
  std::string RunExec(const ExecPlan& plan, int expected_exit = 0);
  // The whole lines of the log: the last one may be on its way.
  std::string LogOf(const ContainerPlan& plan, bool raw = false);
  // True if the log has come to hold the text.
  bool AwaitLog(const ContainerPlan& plan, const std::string& text);
  // Put it at the beginning of a script, which then waits for Go().
  const std::string kOnGo = "while test ! -e /tmp/go; do sleep 0.02; done; ";
  void Go(const ContainerPlan& plan) {
    EXPECT_EQ(RunExec(MakeExec(plan.container_id, "touch /tmp/go")), "");
  }
  // A directory below the storage root.
  std::string MakeDir(const std::string& name);
  std::string MakeBusybox(const std::string& name);  // a layer with a shell
  ProcessPlan MakeProcess(const std::string& script);

  TempDir dir_;
  std::string storage_, busybox_layer_;
  // For what nodes have in memory, and for logs: a file system of its own there. A disk that is
  // busy with others for seconds is what ShimLogTest is for.
  std::string run_;
  RecordingObserver observer_;
  std::unique_ptr<ShimPool> pool_;
  std::shared_ptr<Shim> shim_;
  std::vector<std::string> containers_;
  int count_ = 0;
};

}  // namespace crisp::runtime

#endif  // CRISP_RUNTIME_CLIENT_TESTING_SHIM_TEST_POD_H_
