// The pods of the operator's socket: what the kubelet's view hides of them, and that it stays so.
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/testing/eventually.h"
#include "cri/pods/testing/fake_world.h"
#include "cri/state/serialized_items.h"

namespace crisp::cri {
namespace {

using Ids = std::set<std::string>;

// A pod with a running container, made through `api`.
struct Made {
  std::string pod, container;
};
Made MakeOne(PodApi& api) {
  v1::RunPodSandboxResponse pod;
  EXPECT_OK(api.RunPodSandbox(FakeWorld::PodRequest(), &pod, Operation()));
  v1::CreateContainerResponse container;
  EXPECT_OK(api.CreateContainer(FakeWorld::ContainerRequest(pod.pod_sandbox_id()), &container,
                                Operation()));
  v1::StartContainerRequest start;
  start.set_container_id(container.container_id());
  EXPECT_OK(api.StartContainer(start, nullptr, Operation()));
  return {pod.pod_sandbox_id(), container.container_id()};
}

template <typename Request, typename Reply, typename IdsOf>
Ids Ask(PodApi& api,
        absl::Status (PodApi::*list)(const Request&, Reply*, const Operation&),
        IdsOf ids_of) {
  Reply reply;
  EXPECT_OK((api.*list)(Request(), &reply, Operation()));
  Ids ids;
  ids_of(reply, ids);
  return ids;
}

// What each of the lists has, by its name.
struct Lists {
  Ids pods, containers, container_stats, pod_stats, pod_metrics;
};
Lists ListsOf(PodApi& api) {
  return {.pods = Ask(api, &PodApi::ListPodSandbox,
                      [](v1::ListPodSandboxResponse& reply, Ids& ids) {
                        ExpandSerializedItems(reply);
                        for (const auto& item : reply.items()) ids.insert(item.id());
                      }),
          .containers = Ask(api, &PodApi::ListContainers,
                            [](v1::ListContainersResponse& reply, Ids& ids) {
                              ExpandSerializedItems(reply);
                              for (const auto& item : reply.containers()) ids.insert(item.id());
                            }),
          .container_stats = Ask(api, &PodApi::ListContainerStats,
                                 [](v1::ListContainerStatsResponse& reply, Ids& ids) {
                                   for (const auto& item : reply.stats())
                                     ids.insert(item.attributes().id());
                                 }),
          .pod_stats = Ask(api, &PodApi::ListPodSandboxStats,
                           [](v1::ListPodSandboxStatsResponse& reply, Ids& ids) {
                             for (const auto& item : reply.stats())
                               ids.insert(item.attributes().id());
                           }),
          .pod_metrics = Ask(api, &PodApi::ListPodSandboxMetrics,
                             [](v1::ListPodSandboxMetricsResponse& reply, Ids& ids) {
                               for (const auto& item : reply.pod_metrics())
                                 ids.insert(item.pod_sandbox_id());
                             })};
}

void ExpectLists(PodApi& api, const Ids& pods, const Ids& containers) {
  const Lists lists = ListsOf(api);
  EXPECT_EQ(lists.pods, pods);
  EXPECT_EQ(lists.containers, containers);
  EXPECT_EQ(lists.container_stats, containers);
  EXPECT_EQ(lists.pod_stats, pods);
  EXPECT_EQ(lists.pod_metrics, pods);
}

TEST(OperatorViewTest, NoListOfTheKubeletsHasThem) {
  FakeWorld world;
  const Made kubelets = MakeOne(world.pods());
  // Under the same name: an operator's pod takes none from the kubelet.
  const Made operators = MakeOne(world.operators_pods());
  EXPECT_NE(operators.pod, kubelets.pod);
  for (const bool again : {false, true}) {
    if (again) world.Restart();
    ExpectLists(world.pods(), {kubelets.pod}, {kubelets.container});
    ExpectLists(world.operators_pods(), {kubelets.pod, operators.pod},
                {kubelets.container, operators.container});
    EXPECT_EQ(world.LastContradictions(), "");
  }
}

TEST(OperatorViewTest, TheSameRequestFindsThePodOfItsView) {
  FakeWorld world;
  const Made kubelets = MakeOne(world.pods());
  const Made operators = MakeOne(world.operators_pods());
  for (const bool again : {false, true}) {
    if (again) world.Restart();
    v1::RunPodSandboxResponse reply;
    ASSERT_OK(world.pods().RunPodSandbox(FakeWorld::PodRequest(), &reply, Operation()));
    EXPECT_EQ(reply.pod_sandbox_id(), kubelets.pod);
    ASSERT_OK(world.operators_pods().RunPodSandbox(FakeWorld::PodRequest(), &reply, Operation()));
    EXPECT_EQ(reply.pod_sandbox_id(), operators.pod);
  }
}

TEST(OperatorViewTest, ByTheirIdsTheyAnswerInBothViews) {
  FakeWorld world;
  const Made made = MakeOne(world.operators_pods());
  PodApi* const views[] = {&world.pods(), &world.operators_pods()};
  for (PodApi* const view : views) {
    v1::PodSandboxStatusRequest pod;
    pod.set_pod_sandbox_id(made.pod);
    v1::PodSandboxStatusResponse pod_reply;
    EXPECT_OK(view->PodSandboxStatus(pod, &pod_reply, Operation()));
    EXPECT_EQ(pod_reply.status().id(), made.pod);
    v1::ContainerStatusRequest container;
    container.set_container_id(made.container);
    v1::ContainerStatusResponse container_reply;
    EXPECT_OK(view->ContainerStatus(container, &container_reply, Operation()));
    v1::ContainerStatsRequest stats;
    stats.set_container_id(made.container);
    v1::ContainerStatsResponse stats_reply;
    EXPECT_OK(view->ContainerStats(stats, &stats_reply, Operation()));
  }
}

// Listens to the events of a view.
class Listener {
 public:
  explicit Listener(PodApi& api)
      : thread_([this, &api] {
          (void)api.GetContainerEvents(
              v1::GetEventsRequest(),
              [this](const v1::ContainerEventResponse& event) {
                absl::MutexLock lock(&mutex_);
                ids_.push_back(event.container_id());
                return true;
              },
              source_.operation());
        }) {}
  ~Listener() {
    source_.Cancel();
    thread_.join();
  }
  std::vector<std::string> ids() const {
    absl::MutexLock lock(&mutex_);
    return ids_;
  }
  bool Heard(const std::string& id) const {
    for (const std::string& one : ids()) {
      if (one == id) return true;
    }
    return false;
  }

 private:
  CancelSource source_;
  mutable absl::Mutex mutex_;
  std::vector<std::string> ids_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

TEST(OperatorViewTest, NoEventTellsTheKubeletOfThem) {
  FakeWorld world;
  Listener kubelet(world.pods()), operators(world.operators_pods());
  // A listener that has not begun yet hears of none.
  std::vector<Made> kubelets;
  ASSERT_TRUE(Eventually([&] {
    const Made probe = MakeOne(world.pods());
    v1::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(probe.pod);
    EXPECT_OK(world.pods().RemovePodSandbox(remove, nullptr, Operation()));
    return Eventually([&] { return kubelet.Heard(probe.pod) && operators.Heard(probe.pod); },
                      absl::Milliseconds(200));
  }));
  const Made hidden = MakeOne(world.operators_pods());
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(hidden.pod);
  EXPECT_OK(world.operators_pods().RemovePodSandbox(remove, nullptr, Operation()));
  // What comes after it in the kubelet's stream: nothing of the hidden one is still to come then.
  const Made last = MakeOne(world.pods());
  EXPECT_TRUE(Eventually([&] { return kubelet.Heard(last.container); }));
  EXPECT_TRUE(Eventually([&] { return operators.Heard(last.container); }));
  EXPECT_TRUE(operators.Heard(hidden.pod));
  EXPECT_TRUE(operators.Heard(hidden.container));
  EXPECT_FALSE(kubelet.Heard(hidden.pod));
  EXPECT_FALSE(kubelet.Heard(hidden.container));
  world.pods().EndStreams();
}

TEST(OperatorViewTest, TellsTheImagesOfHiddenContainers) {
  FakeWorld world;
  (void)MakeOne(world.pods());
  EXPECT_TRUE(world.pods().queries().ImagesOfOperator().empty());
  const Made made = MakeOne(world.operators_pods());
  for (const bool again : {false, true}) {
    if (again) world.Restart();
    EXPECT_THAT(world.pods().queries().ImagesOfOperator(),
                ::testing::ElementsAre("sha256:" + std::string(64, 'a')));
  }
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(made.pod);
  EXPECT_OK(world.pods().RemovePodSandbox(remove, nullptr, Operation()));
  EXPECT_TRUE(world.pods().queries().ImagesOfOperator().empty());
}

}  // namespace
}  // namespace crisp::cri
