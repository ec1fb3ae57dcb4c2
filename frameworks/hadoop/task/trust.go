package task

import (
	"fmt"
	"net/http"

	"github.com/stoa-project/stoa/actor/remote/identity"
)

// AuthorityVariable is the variable of a task's environment that holds the certificates, as PEM, by which slaves that speak TLS are
// known; empty where they do not.
const AuthorityVariable = "STOA_HADOOP_AUTHORITY"

// NewFetcher fetches from slaves that speak TLS, if authority is not empty.
func NewFetcher(authority string) (Fetcher, error) {
	if authority == "" {
		return Fetcher{}, nil
	}
	trust, err := identity.Trust([]byte(authority))
	if err != nil {
		return Fetcher{}, fmt.Errorf("$%s: %w", AuthorityVariable, err)
	}
	transport := fetchClient.Transport.(*http.Transport).Clone()
	transport.DialTLSContext = trust.DialHTTP
	return Fetcher{Client: &http.Client{Transport: transport}}, nil
}
