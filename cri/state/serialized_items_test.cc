#include "cri/state/serialized_items.h"

#include <gtest/gtest.h>

#include "cri/api/api.pb.h"

namespace crisp::cri {
namespace {

namespace v1 = ::runtime::v1;

v1::Container Item(const std::string& id) {
  v1::Container item;
  item.set_id(id);
  (*item.mutable_labels())["app"] = id;
  return item;
}

TEST(SerializedItemsTest, AreTheSameOnTheWireAsMessages) {
  v1::ListContainersResponse ready, typed;
  for (const char* id : {"one", "two"}) {
    AddSerializedItem(v1::ListContainersResponse::kContainersFieldNumber,
                      Item(id).SerializeAsString(), ready);
    *typed.add_containers() = Item(id);
  }
  EXPECT_EQ(ready.containers_size(), 0);
  EXPECT_EQ(ready.SerializeAsString(), typed.SerializeAsString());
}

TEST(SerializedItemsTest, ExpandToMessages) {
  v1::ListContainersResponse reply;
  ExpandSerializedItems(reply);
  EXPECT_EQ(reply.containers_size(), 0);
  AddSerializedItem(v1::ListContainersResponse::kContainersFieldNumber,
                    Item("one").SerializeAsString(), reply);
  ExpandSerializedItems(reply);
  ASSERT_EQ(reply.containers_size(), 1);
  EXPECT_EQ(reply.containers(0).labels().at("app"), "one");
  EXPECT_TRUE(reply.GetReflection()->GetUnknownFields(reply).empty());
}

}  // namespace
}  // namespace crisp::cri
