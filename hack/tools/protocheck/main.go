// Protocheck compares a descriptor set that protoc wrote from cri/api/api.proto with the descriptor
// in the published k8s.io/cri-api module, and says every difference that a peer could notice:
// names, numbers, types, labels, oneofs, map entries, enum values, reserved ranges, methods and
// which of them stream. It ignores options and comments. Exits 1 if there is a difference.
//
//	protoc --include_imports --descriptor_set_out=cri.pb -Icri/api api.proto
//	protocheck cri.pb
package main

import (
	"fmt"
	"os"
	"sort"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protocheck DESCRIPTOR_SET")
		os.Exit(2)
	}
	published := describe(cri.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto)
	ours, err := load(os.Args[1], "runtime.v1")
	if err != nil {
		fmt.Fprintln(os.Stderr, "protocheck:", err)
		os.Exit(2)
	}
	differences := compare(ours, published)
	for _, line := range differences {
		fmt.Println(line)
	}
	if len(differences) > 0 {
		fmt.Printf("protocheck: %d differences\n", len(differences))
		os.Exit(1)
	}
	fmt.Printf("protocheck: all %d names agree with k8s.io/cri-api\n", len(published))
}

// load describes all that a descriptor set holds of one package.
func load(path string, pkg protoreflect.FullName) (map[string]string, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(bytes, set); err != nil {
		return nil, fmt.Errorf("%s is no descriptor set: %w", path, err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	facts := map[string]string{}
	files.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for name, fact := range describe(file) {
			facts[name] = fact
		}
		return true
	})
	return facts, nil
}

func compare(ours, published map[string]string) []string {
	var lines []string
	for name, fact := range published {
		switch mine, ok := ours[name]; {
		case !ok:
			lines = append(lines, fmt.Sprintf("%s: missing here, published as %s", name, fact))
		case mine != fact:
			lines = append(lines, fmt.Sprintf("%s: %s here, published as %s", name, mine, fact))
		}
	}
	for name, fact := range ours {
		if _, ok := published[name]; !ok {
			lines = append(lines, fmt.Sprintf("%s: %s here, not published", name, fact))
		}
	}
	sort.Strings(lines)
	return lines
}

// describe maps the full name of everything declared in a file to all that matters about it.
func describe(file protoreflect.FileDescriptor) map[string]string {
	facts := map[string]string{string(file.Package()): "package, " + file.Syntax().String()}
	for i := range file.Services().Len() {
		service := file.Services().Get(i)
		facts[string(service.FullName())] = "service"
		for j := range service.Methods().Len() {
			method := service.Methods().Get(j)
			facts[string(method.FullName())] = fmt.Sprintf("method(%s%s) returns (%s%s)",
				stream(method.IsStreamingClient()), method.Input().FullName(),
				stream(method.IsStreamingServer()), method.Output().FullName())
		}
	}
	describeEnums(file.Enums(), facts)
	describeMessages(file.Messages(), facts)
	return facts
}

func stream(yes bool) string {
	if yes {
		return "stream "
	}
	return ""
}

// Values are kept under their enum's name: protobuf scopes them beside it, where two enums' values
// could not be told apart.
func describeEnums(enums protoreflect.EnumDescriptors, facts map[string]string) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		facts[string(enum.FullName())] = fmt.Sprintf("enum, %d names and %d ranges reserved",
			enum.ReservedNames().Len(), enum.ReservedRanges().Len())
		for j := range enum.Values().Len() {
			value := enum.Values().Get(j)
			facts[string(enum.FullName())+"."+string(value.Name())] =
				fmt.Sprintf("value %d", value.Number())
		}
	}
}

func describeMessages(messages protoreflect.MessageDescriptors, facts map[string]string) {
	for i := range messages.Len() {
		message := messages.Get(i)
		kind := "message"
		if message.IsMapEntry() {
			kind = "map entry"
		}
		facts[string(message.FullName())] = fmt.Sprintf("%s, %d names and %d ranges reserved",
			kind, message.ReservedNames().Len(), message.ReservedRanges().Len())
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			facts[string(field.FullName())] = describeField(field)
		}
		describeEnums(message.Enums(), facts)
		describeMessages(message.Messages(), facts)
	}
}

func describeField(field protoreflect.FieldDescriptor) string {
	kind := field.Kind().String()
	switch {
	case field.Message() != nil:
		kind = string(field.Message().FullName())
	case field.Enum() != nil:
		kind = string(field.Enum().FullName())
	}
	fact := fmt.Sprintf("%s %s = %d, json %s", field.Cardinality(), kind, field.Number(),
		field.JSONName())
	if field.IsPacked() {
		fact += ", packed"
	}
	if field.HasPresence() {
		fact += ", with presence"
	}
	if oneof := field.ContainingOneof(); oneof != nil {
		fact += ", in oneof " + string(oneof.Name())
	}
	return fact
}
