// Package identity makes and reads the certificates by which nodes prove to each other who they are.
//
// One authority signs the certificates of a cluster. It is a certificate and a key, in two files; its key is needed to make
// certificates and for nothing else, so it may lie anywhere.
//
//	ca.pem, ca-key.pem      the authority's: CreateAuthority
//	NAME.pem, NAME-key.pem  a node's: Authority.Create
//
// A node's certificate has its name, the addresses at which it may be dialled, and its roles, each as a URI
// "role:ROLE". What the roles mean is not this package's business.
//
// [Files] reads them for remote.TLS, and reads them again when they change, so that certificates can be renewed while nodes run. A
// node that is exempt from having a certificate has the authority's alone: [Trust].
package identity
