package main

import (
	"maps"
	"reflect"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func published() map[string]string {
	return describe(cri.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto)
}

func TestDescribesEveryKindOfThing(t *testing.T) {
	facts := published()
	for name, fact := range map[string]string{
		"runtime.v1.ImageService.ImageStatus":              "method(runtime.v1.ImageStatusRequest) returns (runtime.v1.ImageStatusResponse)",
		"runtime.v1.RuntimeService.GetContainerEvents":     "method(runtime.v1.GetEventsRequest) returns (stream runtime.v1.ContainerEventResponse)",
		"runtime.v1.SecurityProfile.ProfileType.Localhost": "value 2",
		"runtime.v1.ImageSpec.image_ref":                   "optional string = 20, json imageRef",
		"runtime.v1.ImageSpec.AnnotationsEntry":            "map entry, 0 names and 0 ranges reserved",
	} {
		if facts[name] != fact {
			t.Errorf("%s is %q, not %q", name, facts[name], fact)
		}
	}
}

func TestSaysWhatDiffers(t *testing.T) {
	ours := maps.Clone(published())
	delete(ours, "runtime.v1.ImageService.ImageStatus")
	ours["runtime.v1.Mount.readonly"] = "optional string = 3, json readonly"
	ours["runtime.v1.Mount.colour"] = "optional string = 99, json colour"
	want := []string{
		"runtime.v1.ImageService.ImageStatus: missing here, published as method(runtime.v1.ImageStatusRequest) returns (runtime.v1.ImageStatusResponse)",
		"runtime.v1.Mount.colour: optional string = 99, json colour here, not published",
		"runtime.v1.Mount.readonly: optional string = 3, json readonly here, published as optional bool = 3, json readonly",
	}
	if got := compare(ours, published()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestSameIsNoDifference(t *testing.T) {
	if got := compare(published(), published()); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}
