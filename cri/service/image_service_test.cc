#include "cri/service/image_service.h"

#include <grpcpp/create_channel.h>

#include <string>

#include "base/file.h"
#include "base/json.h"
#include "base/testing/status_matchers.h"
#include "base/testing/temp_dir.h"
#include "cri/service/server.h"
#include "cri/testing/fakes.h"

namespace crisp::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kId = "sha256:" + std::string(64, 'a');

class ImageServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto listener = Listener::Bind(path_);
    ASSERT_OK(listener);
    auto server = Server::Start(*std::move(listener), {&service_}, registry_);
    ASSERT_OK(server);
    server_ = *std::move(server);
    stub_ = v1::ImageService::NewStub(
        grpc::CreateChannel("unix://" + path_, grpc::InsecureChannelCredentials()));
  }
  void AddImage(const std::string& user = "") {
    storage::Image image{.id = kId, .size_bytes = 42, .pinned = true};
    image.repo_tags = {"registry.local/a:1", "registry.local/a:2"};
    image.repo_digests = {"registry.local/a@sha256:" + std::string(64, 'd')};
    image.user = user;
    image.config_json = R"({"config":{"Entrypoint":["/bin/x"]}})";
    images_.Add(image);
  }
  v1::ImageStatusResponse StatusOf(const std::string& reference, bool verbose = false) {
    grpc::ClientContext context;
    v1::ImageStatusRequest request;
    request.mutable_image()->set_image(reference);
    request.set_verbose(verbose);
    v1::ImageStatusResponse reply;
    EXPECT_TRUE(stub_->ImageStatus(&context, request, &reply).ok());
    return reply;
  }
  grpc::Status Pull(const v1::PullImageRequest& request,
                    v1::PullImageResponse* reply,
                    std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + timeout);
    return stub_->PullImage(&context, request, reply);
  }

  TempDir dir_;
  std::string path_ = dir_.path() + "/s";
  FakeImageStore images_;
  metrics::Registry registry_;
  Workers threads_{kRpcThreads};
  ImageService::ImageIds in_use_;  // not changed while a call is served
  ImageService service_{threads_, images_, registry_, [](const std::string&) {},
                        [this] { return in_use_; }};
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::ImageService::Stub> stub_;
};

TEST_F(ImageServiceTest, StatusOfAnAbsentImageIsEmptyAndNoError) {
  const v1::ImageStatusResponse reply = StatusOf("registry.local/none:1", true);
  EXPECT_FALSE(reply.has_image());
  EXPECT_TRUE(reply.info().empty());
}

TEST_F(ImageServiceTest, EveryReferenceAnswersAlike) {
  AddImage();
  const v1::ImageStatusResponse by_id = StatusOf(kId);
  EXPECT_EQ(by_id.image().id(), kId);
  EXPECT_EQ(by_id.image().size(), 42u);
  EXPECT_TRUE(by_id.image().pinned());
  EXPECT_THAT(by_id.image().repo_tags(), ElementsAre("registry.local/a:1", "registry.local/a:2"));
  EXPECT_EQ(by_id.image().repo_digests_size(), 1);
  EXPECT_FALSE(by_id.image().spec().image().empty());
  for (const std::string& reference :
       {std::string("registry.local/a:2"), "registry.local/a@sha256:" + std::string(64, 'd')}) {
    EXPECT_EQ(StatusOf(reference).SerializeAsString(), by_id.SerializeAsString());
  }
}

TEST_F(ImageServiceTest, AnImageThatSomebodyUsesUnseenIsPinned) {
  images_.Add({.id = kId, .repo_tags = {"registry.local/a:1"}});
  const auto pinned = [this] {
    grpc::ClientContext one, all, streamed;
    v1::ListImagesResponse list;
    EXPECT_TRUE(stub_->ListImages(&one, {}, &list).ok());
    v1::ListImagesRequest filtered;
    filtered.mutable_filter()->mutable_image()->set_image(kId);
    v1::ListImagesResponse found;
    EXPECT_TRUE(stub_->ListImages(&all, filtered, &found).ok());
    v1::StreamImagesResponse batch;
    EXPECT_TRUE(stub_->StreamImages(&streamed, {})->Read(&batch));
    const bool told = StatusOf("registry.local/a:1").image().pinned();
    EXPECT_EQ(list.images(0).pinned(), told);
    EXPECT_EQ(found.images(0).pinned(), told);
    EXPECT_EQ(batch.images(0).pinned(), told);
    return told;
  };
  EXPECT_FALSE(pinned());
  in_use_.insert(kId);
  EXPECT_TRUE(pinned());
}

TEST_F(ImageServiceTest, UserBecomesExactlyOneOfUidAndUsername) {
  struct Case {
    const char* user;
    int64_t uid;  // -1: none
    const char* name;
  };
  for (const Case& c : {Case{"", 0, ""}, Case{"1002", 1002, ""}, Case{"1003:1004", 1003, ""},
                        Case{"www-data", -1, "www-data"}, Case{"www-data:1004", -1, "www-data"},
                        Case{"0", 0, ""}, Case{"-1", -1, "-1"}, Case{":5", 0, ""}}) {
    AddImage(c.user);
    const v1::Image image = StatusOf(kId).image();
    EXPECT_EQ(image.has_uid() ? image.uid().value() : -1, c.uid) << c.user;
    EXPECT_EQ(image.username(), c.name) << c.user;
  }
}

TEST_F(ImageServiceTest, VerboseInfoHoldsTheImageConfig) {
  AddImage();
  EXPECT_TRUE(StatusOf(kId).info().empty());
  const v1::ImageStatusResponse reply = StatusOf(kId, true);
  ASSERT_OK_AND_ASSIGN(const Json info, ParseJson(reply.info().at("info")));
  EXPECT_EQ(info["imageSpec"]["config"]["Entrypoint"][0], "/bin/x");
}

TEST_F(ImageServiceTest, ListFiltersOneImageAndStreamAgrees) {
  AddImage();
  images_.Add({.id = "sha256:" + std::string(64, 'c'), .size_bytes = 1});
  const auto count = [&](const std::string& filter) {
    grpc::ClientContext context;
    v1::ListImagesRequest request;
    if (!filter.empty()) request.mutable_filter()->mutable_image()->set_image(filter);
    v1::ListImagesResponse reply;
    EXPECT_TRUE(stub_->ListImages(&context, request, &reply).ok());
    grpc::ClientContext stream_context;
    v1::StreamImagesRequest stream_request;
    *stream_request.mutable_filter() = request.filter();
    auto reader = stub_->StreamImages(&stream_context, stream_request);
    v1::StreamImagesResponse batch;
    int streamed = 0;
    while (reader->Read(&batch)) streamed += batch.images_size();
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_EQ(streamed, reply.images_size());
    return reply.images_size();
  };
  EXPECT_EQ(count(""), 2);
  EXPECT_EQ(count("registry.local/a:1"), 1);
  EXPECT_EQ(count("registry.local/absent:1"), 0);
}

TEST_F(ImageServiceTest, StreamOfManyImagesSendsEachOnce) {
  for (int i = 0; i < 2300; ++i) {
    images_.Add(
        {.id = "sha256:" + std::string(60, 'e') + std::to_string(1000 + i), .size_bytes = 1});
  }
  grpc::ClientContext context;
  auto reader = stub_->StreamImages(&context, {});
  v1::StreamImagesResponse batch;
  int streamed = 0, batches = 0;
  while (reader->Read(&batch)) {
    streamed += batch.images_size();
    ++batches;
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(streamed, 2300);
  EXPECT_EQ(batches, 3);
}

TEST_F(ImageServiceTest, PullHandsOnCredentialsAndDeadline) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image("registry.local/new:1");
  request.mutable_image()->set_runtime_handler("whatever");
  v1::AuthConfig* auth = request.mutable_auth();
  auth->set_username("u");
  auth->set_password("p");
  auth->set_auth("a");
  auth->set_server_address("s");
  auth->set_identity_token("i");
  auth->set_registry_token("r");
  v1::PullImageResponse reply;
  ASSERT_TRUE(Pull(request, &reply).ok());
  EXPECT_EQ(reply.image_ref(), "sha256:" + std::string(64, 'b'));
  EXPECT_EQ(StatusOf("registry.local/new:1").image().id(), reply.image_ref());
  EXPECT_EQ(images_.last_auth.username, "u");
  EXPECT_EQ(images_.last_auth.password, "p");
  EXPECT_EQ(images_.last_auth.auth, "a");
  EXPECT_EQ(images_.last_auth.server_address, "s");
  EXPECT_EQ(images_.last_auth.identity_token, "i");
  EXPECT_EQ(images_.last_auth.registry_token, "r");
  EXPECT_LT(images_.last_deadline, absl::Now() + absl::Seconds(11));
  EXPECT_THAT(registry_.Text(), HasSubstr("crisp_image_pulls_total{result=\"OK\"} 1"));
}

TEST_F(ImageServiceTest, PullErrorsKeepTheirCodeAndText) {
  v1::PullImageRequest request;
  v1::PullImageResponse reply;
  EXPECT_EQ(Pull(request, &reply).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request.mutable_image()->set_image("registry.local/new:1");
  images_.pull_error = absl::UnavailableError("RegistryUnavailable: registry.local: refused");
  const grpc::Status down = Pull(request, &reply);
  EXPECT_EQ(down.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_THAT(down.error_message(), StartsWith("RegistryUnavailable"));
  images_.pull_error = absl::UnauthenticatedError("no");
  EXPECT_EQ(Pull(request, &reply).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_THAT(registry_.Text(), HasSubstr("crisp_image_pulls_total{result=\"UNAUTHENTICATED\"} 1"));
  EXPECT_THAT(registry_.Text(), HasSubstr("crisp_image_pulls_in_flight 0"));
  EXPECT_EQ(Pull(request, &reply, std::chrono::milliseconds(-1000)).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ImageServiceTest, RemoveByAnyReferenceTakesTheImageAndIsIdempotent) {
  AddImage();
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    v1::RemoveImageRequest request;
    request.mutable_image()->set_image("registry.local/a:1");
    v1::RemoveImageResponse reply;
    EXPECT_TRUE(stub_->RemoveImage(&context, request, &reply).ok());
    EXPECT_FALSE(StatusOf("registry.local/a:2").has_image());
  }
}

TEST_F(ImageServiceTest, FsInfoFillsBothLists) {
  grpc::ClientContext context;
  v1::ImageFsInfoResponse reply;
  ASSERT_TRUE(stub_->ImageFsInfo(&context, {}, &reply).ok());
  ASSERT_EQ(reply.image_filesystems_size(), 1);
  ASSERT_EQ(reply.container_filesystems_size(), 1);
  EXPECT_EQ(reply.image_filesystems(0).fs_id().mountpoint(), "/store");
  EXPECT_EQ(reply.image_filesystems(0).used_bytes().value(), 11u);
  EXPECT_EQ(reply.image_filesystems(0).inodes_used().value(), 2u);
  EXPECT_EQ(reply.image_filesystems(0).timestamp(), 1000000000);
  EXPECT_EQ(reply.container_filesystems(0).fs_id().mountpoint(), "/store");
  EXPECT_EQ(reply.container_filesystems(0).used_bytes().value(), 7u);
}

}  // namespace
}  // namespace crisp::cri
