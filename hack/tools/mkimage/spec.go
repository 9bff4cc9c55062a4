package main

// spec is an image, or an index of images when Images is set.
type spec struct {
	Format      string            `json:"format"` // "oci" (default) or "docker"
	Layers      []layer           `json:"layers"`
	Config      map[string]any    `json:"config"` // the "config" object of an image's configuration
	Platform    *platform         `json:"platform"`
	Annotations map[string]string `json:"annotations"`
	Images      []spec            `json:"images"`
}

type platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// layer is the sum of its parts, in this order: Tar, Tree, Entries.
type layer struct {
	Compression string  `json:"compression"` // "gzip" (default), "zstd" or "none"
	Tar         string  `json:"tar"`         // an uncompressed archive, taken byte for byte; then no other part
	Tree        string  `json:"tree"`        // a folder: types, modes, links, devices and xattrs are kept
	Owner       string  `json:"owner"`       // "uid:gid" for the tree; "" keeps the files'
	Entries     []entry `json:"entries"`
}

type entry struct {
	Path    string            `json:"path"`
	Type    string            `json:"type"` // "file" (default) dir symlink hardlink char block fifo whiteout opaque
	Mode    string            `json:"mode"` // octal, with setuid and the like; 0755 for folders, else 0644
	UID     int               `json:"uid"`
	GID     int               `json:"gid"`
	Content string            `json:"content"` // of a file
	Source  string            `json:"source"`  // or: the file to copy
	Target  string            `json:"target"`  // of a link
	Major   int64             `json:"major"`
	Minor   int64             `json:"minor"`
	Xattrs  map[string]string `json:"xattrs"` // values in base64
}
