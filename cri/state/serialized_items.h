#ifndef CRISP_CRI_STATE_SERIALIZED_ITEMS_H_
#define CRISP_CRI_STATE_SERIALIZED_ITEMS_H_

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <memory>
#include <string>

namespace crisp::cri {

// A record's item of a list, as a serialized message. It is made once for each version of the
// record, `of`, and is good for no other.
template <typename Record>
struct SerializedItem {
  std::shared_ptr<const Record> of;
  std::shared_ptr<const std::string> bytes;
};

// Adds to `reply` the item of its repeated field `field`. The reply is the same on the wire as if
// the item had been added as a message, but only there: to this process it is an unknown field
// until ExpandSerializedItems().
inline void AddSerializedItem(int field,
                              const std::string& bytes,
                              google::protobuf::Message& reply) {
  reply.GetReflection()->MutableUnknownFields(&reply)->AddLengthDelimited(field, bytes);
}

// Makes messages of a reply's serialized items.
inline void ExpandSerializedItems(google::protobuf::Message& reply) {
  if (reply.GetReflection()->GetUnknownFields(reply).empty()) return;
  reply.ParseFromString(reply.SerializeAsString());
}

}  // namespace crisp::cri

#endif  // CRISP_CRI_STATE_SERIALIZED_ITEMS_H_
