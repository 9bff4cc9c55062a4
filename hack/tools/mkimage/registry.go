package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// registry pushes by the distribution API, with basic authentication if asked to.
type registry struct {
	client         http.Client
	user, password string
}

func newRegistry(user, ca string) (*registry, error) {
	r := &registry{}
	r.user, r.password, _ = strings.Cut(user, ":")
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
		r.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	}
	return r, nil
}

// push uploads to a target such as http://127.0.0.1:5000/library/busybox:1.
func (r *registry) push(target string, built *image) error {
	address, err := url.Parse(target)
	if err != nil {
		return err
	}
	repository, tag, ok := strings.Cut(strings.TrimPrefix(address.Path, "/"), ":")
	if !ok {
		return fmt.Errorf("%s has no tag", target)
	}
	base := address.Scheme + "://" + address.Host + "/v2/" + repository
	isManifest := map[string]bool{}
	for _, m := range built.manifests {
		isManifest[m.Digest] = true
	}
	for digest, content := range built.blobs {
		if isManifest[digest] {
			continue
		}
		if err := r.pushBlob(base, digest, content); err != nil {
			return err
		}
	}
	for _, m := range built.manifests {
		reference := m.Digest
		if m.Digest == built.top.Digest {
			reference = tag
		}
		_, err := r.do("PUT", base+"/manifests/"+reference, m.MediaType, built.blobs[m.Digest], http.StatusCreated)
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *registry) pushBlob(base, digest string, content []byte) error {
	if _, err := r.do("HEAD", base+"/blobs/"+digest, "", nil, http.StatusOK); err == nil {
		return nil
	}
	answer, err := r.do("POST", base+"/blobs/uploads/", "", nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	where, err := answer.Location()
	if err != nil {
		return err
	}
	query := where.Query()
	query.Set("digest", digest)
	where.RawQuery = query.Encode()
	_, err = r.do("PUT", where.String(), "application/octet-stream", content, http.StatusCreated)
	return err
}

func (r *registry) do(method, url, contentType string, body []byte, want int) (*http.Response, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if r.user != "" {
		request.SetBasicAuth(r.user, r.password)
	}
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != want {
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, answer.Status, text)
	}
	return answer, nil
}
