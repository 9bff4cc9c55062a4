package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    *platform         `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// image is what build made: every blob by its digest, and the manifests in the order in which a
// registry accepts them. The last of these is top.
type image struct {
	blobs     map[string][]byte
	manifests []descriptor
	top       descriptor
}

type mediaTypes struct{ manifest, index, config, layer string }

var formats = map[string]mediaTypes{
	"oci": {
		"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
		"application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar",
	},
	"docker": {
		"application/vnd.docker.distribution.manifest.v2+json",
		"application/vnd.docker.distribution.manifest.list.v2+json",
		"application/vnd.docker.container.image.v1+json",
		"application/vnd.docker.image.rootfs.diff.tar",
	},
}

func build(s *spec) (*image, error) {
	built := &image{blobs: map[string][]byte{}}
	top, err := built.add(s)
	built.top = top
	return built, err
}

func (i *image) blob(mediaType string, content []byte) descriptor {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(content))
	i.blobs[digest] = content
	return descriptor{MediaType: mediaType, Digest: digest, Size: len(content)}
}

func (i *image) manifest(mediaType string, content map[string]any) (descriptor, error) {
	bytes, err := json.Marshal(content)
	if err != nil {
		return descriptor{}, err
	}
	made := i.blob(mediaType, bytes)
	i.manifests = append(i.manifests, made)
	return made, nil
}

func (i *image) add(s *spec) (descriptor, error) {
	if s.Format == "" {
		s.Format = "oci"
	}
	types, known := formats[s.Format]
	if !known {
		return descriptor{}, fmt.Errorf("unknown format %q", s.Format)
	}
	if len(s.Images) == 0 {
		return i.addImage(s, types)
	}
	var members []descriptor
	for _, member := range s.Images {
		if member.Format == "" {
			member.Format = s.Format
		}
		made, err := i.add(&member)
		if err != nil {
			return descriptor{}, err
		}
		made.Platform = member.platform()
		made.Annotations = member.Annotations
		members = append(members, made)
	}
	index := map[string]any{"schemaVersion": 2, "mediaType": types.index, "manifests": members}
	if len(s.Annotations) > 0 {
		index["annotations"] = s.Annotations
	}
	return i.manifest(types.index, index)
}

func (s *spec) platform() *platform {
	if s.Platform != nil {
		return s.Platform
	}
	return &platform{OS: "linux", Architecture: runtime.GOARCH}
}

func (i *image) addImage(s *spec, types mediaTypes) (descriptor, error) {
	layers := []descriptor{}
	diffIDs, history := []string{}, []map[string]any{}
	for n, l := range s.Layers {
		archive, err := l.archive()
		if err != nil {
			return descriptor{}, fmt.Errorf("layer %d: %w", n, err)
		}
		blob, suffix, err := l.compress(archive)
		if err != nil {
			return descriptor{}, fmt.Errorf("layer %d: %w", n, err)
		}
		layers = append(layers, i.blob(types.layer+layerSuffix(s.Format, suffix), blob))
		diffIDs = append(diffIDs, fmt.Sprintf("sha256:%x", sha256.Sum256(archive)))
		history = append(history, map[string]any{
			"created": epoch.UTC(), "created_by": fmt.Sprintf("mkimage layer %d", n),
		})
	}
	where := s.platform()
	config := map[string]any{
		"created": epoch.UTC(), "os": where.OS, "architecture": where.Architecture,
		"config": s.Config, "history": history,
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs},
	}
	if where.Variant != "" {
		config["variant"] = where.Variant
	}
	if s.Config == nil {
		config["config"] = map[string]any{}
	}
	bytes, err := json.Marshal(config)
	if err != nil {
		return descriptor{}, err
	}
	manifest := map[string]any{
		"schemaVersion": 2, "mediaType": types.manifest,
		"config": i.blob(types.config, bytes), "layers": layers,
	}
	if len(s.Annotations) > 0 && s.Format == "oci" {
		manifest["annotations"] = s.Annotations
	}
	return i.manifest(types.manifest, manifest)
}

func layerSuffix(format, compression string) string {
	switch {
	case compression == "":
		return ""
	case format == "docker":
		return "." + compression
	}
	return "+" + compression
}

// writeLayout writes the image as an OCI layout of its own. A name, if there is one, goes where
// containerd (the whole reference) and the OCI (its tag) look for it.
func (i *image) writeLayout(folder, name string) error {
	blobs := filepath.Join(folder, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for digest, content := range i.blobs {
		path := filepath.Join(blobs, strings.TrimPrefix(digest, "sha256:"))
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	top := i.top
	if name != "" {
		top.Annotations = map[string]string{
			"io.containerd.image.name":          name,
			"org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:],
		}
	}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": formats["oci"].index, "manifests": []descriptor{top},
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "index.json"), index, 0o644); err != nil {
		return err
	}
	marker := []byte(`{"imageLayoutVersion":"1.0.0"}`)
	return os.WriteFile(filepath.Join(folder, "oci-layout"), marker, 0o644)
}
