package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Every file gets the same time, so that digests depend on nothing but content.
var epoch = time.Unix(1700000000, 0)

const xattrKey = "SCHILY.xattr."

// archive makes a layer's uncompressed tar.
func (l *layer) archive() ([]byte, error) {
	if l.Tar != "" {
		return os.ReadFile(l.Tar)
	}
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	if l.Tree != "" {
		if err := addTree(writer, l.Tree, l.Owner); err != nil {
			return nil, err
		}
	}
	for _, e := range l.Entries {
		if err := e.add(writer); err != nil {
			return nil, fmt.Errorf("entry %s: %w", e.Path, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// compress returns the layer's blob and the suffix of its media type.
func (l *layer) compress(archive []byte) ([]byte, string, error) {
	var out bytes.Buffer
	switch l.Compression {
	case "none":
		return archive, "", nil
	case "zstd":
		command := exec.Command("zstd", "-q", "-c")
		command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(archive), &out, os.Stderr
		err := command.Run()
		return out.Bytes(), "zstd", err
	case "", "gzip":
		writer, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil {
			return nil, "", err
		}
		if _, err := writer.Write(archive); err != nil {
			return nil, "", err
		}
		err = writer.Close()
		return out.Bytes(), "gzip", err
	}
	return nil, "", fmt.Errorf("unknown compression %q", l.Compression)
}

func addTree(writer *tar.Writer, root, owner string) error {
	links := map[uint64]string{} // inode to the first name of it
	return filepath.WalkDir(root, func(name string, item fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		header, err := treeHeader(root, name, item)
		if err != nil {
			return err
		}
		if owner != "" {
			if _, err := fmt.Sscanf(owner, "%d:%d", &header.Uid, &header.Gid); err != nil {
				return fmt.Errorf("owner %q is not UID:GID", owner)
			}
		}
		info, err := item.Info()
		if err != nil {
			return err
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Nlink > 1 && header.Typeflag == tar.TypeReg {
			if first, seen := links[stat.Ino]; seen {
				header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			} else {
				links[stat.Ino] = header.Name
			}
		}
		if err := writer.WriteHeader(header); err != nil || header.Typeflag != tar.TypeReg {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(writer, file)
		return err
	})
}

func treeHeader(root, name string, item fs.DirEntry) (*tar.Header, error) {
	info, err := item.Info()
	if err != nil {
		return nil, err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(name); err != nil {
			return nil, err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	header.Name = relative
	if item.IsDir() {
		header.Name += "/"
	}
	header.ModTime, header.AccessTime, header.ChangeTime = epoch, time.Time{}, time.Time{}
	header.Uname, header.Gname = "", ""
	if target == "" {
		header.PAXRecords, err = readXattrs(name)
	}
	return header, err
}

func readXattrs(name string) (map[string]string, error) {
	names := make([]byte, 4096)
	size, err := syscall.Listxattr(name, names)
	if err != nil || size == 0 {
		return nil, nil // a file system without them
	}
	records := map[string]string{}
	for key := range strings.SplitSeq(strings.TrimRight(string(names[:size]), "\x00"), "\x00") {
		value := make([]byte, 4096)
		size, err := syscall.Getxattr(name, key, value)
		if err != nil {
			return nil, fmt.Errorf("xattr %s of %s: %w", key, name, err)
		}
		records[xattrKey+key] = string(value[:size])
	}
	return records, nil
}

var entryTypes = map[string]byte{
	"": tar.TypeReg, "file": tar.TypeReg, "whiteout": tar.TypeReg, "opaque": tar.TypeReg,
	"dir": tar.TypeDir, "symlink": tar.TypeSymlink, "hardlink": tar.TypeLink,
	"char": tar.TypeChar, "block": tar.TypeBlock, "fifo": tar.TypeFifo,
}

func (e *entry) add(writer *tar.Writer) error {
	kind, known := entryTypes[e.Type]
	if !known {
		return fmt.Errorf("unknown type %q", e.Type)
	}
	content := []byte(e.Content)
	if e.Source != "" {
		var err error
		if content, err = os.ReadFile(e.Source); err != nil {
			return err
		}
	}
	header := &tar.Header{
		Typeflag: kind, Name: e.Path, Linkname: e.Target, Size: int64(len(content)),
		Uid: e.UID, Gid: e.GID, ModTime: epoch, Devmajor: e.Major, Devminor: e.Minor, Mode: 0o644,
	}
	if kind == tar.TypeDir {
		header.Name = strings.TrimRight(e.Path, "/") + "/"
		header.Mode = 0o755
	}
	switch e.Type {
	case "whiteout":
		header.Name = path.Join(path.Dir(e.Path), ".wh."+path.Base(e.Path))
	case "opaque":
		header.Name = path.Join(e.Path, ".wh..wh..opq")
	}
	if e.Mode != "" {
		mode, err := strconv.ParseInt(e.Mode, 8, 64)
		if err != nil {
			return err
		}
		header.Mode = mode
	}
	for key, value := range e.Xattrs {
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return fmt.Errorf("xattr %s: %w", key, err)
		}
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords[xattrKey+key] = string(plain)
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}
