// Mkimage builds container images for tests from a JSON description, and pushes them to a registry
// or writes them as an OCI layout. Equal descriptions and files give equal digests.
//
//	mkimage [-layout DIR [-name REFERENCE]] [-push URL/REPOSITORY:TAG ...] [-user NAME:PASSWORD] [-ca FILE] IMAGE.json
//
// It prints the digest of what was written. The description is a spec (see spec.go); names of files
// in it are relative to the working directory. "-" reads it from standard input.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, " ") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

func main() {
	var pushes repeated
	layout := flag.String("layout", "", "write an OCI layout into this `folder`")
	name := flag.String("name", "", "the `reference` that the layout gives the image")
	flag.Var(&pushes, "push", "push to this `URL/REPOSITORY:TAG`; may be repeated")
	user := flag.String("user", "", "`name:password` for the registry")
	ca := flag.String("ca", "", "`file` with the certificates that the registry's must be signed by")
	flag.Parse()
	if flag.NArg() != 1 || (*layout == "" && len(pushes) == 0) {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *layout, *name, pushes, *user, *ca); err != nil {
		fmt.Fprintf(os.Stderr, "mkimage: %s: %v\n", flag.Arg(0), err)
		os.Exit(1)
	}
}

func run(path, layout, name string, pushes []string, user, ca string) error {
	image, err := readSpec(path)
	if err != nil {
		return err
	}
	built, err := build(image)
	if err != nil {
		return err
	}
	if layout != "" {
		if err := built.writeLayout(layout, name); err != nil {
			return err
		}
	}
	registry, err := newRegistry(user, ca)
	if err != nil {
		return err
	}
	for _, target := range pushes {
		if err := registry.push(target, built); err != nil {
			return err
		}
	}
	fmt.Println(built.top.Digest)
	return nil
}

func readSpec(path string) (*spec, error) {
	in := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	bytes, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	image := &spec{}
	decoder := json.NewDecoder(strings.NewReader(string(bytes)))
	decoder.DisallowUnknownFields()
	return image, decoder.Decode(image)
}
