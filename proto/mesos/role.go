package mesos

import (
	"fmt"
	"strings"
)

// DefaultRole is the role of frameworks that name none. Resources of this role are unreserved.
const DefaultRole = "*"

// ValidateRole reports why role cannot be a role, nil if it can. A role is a path of names, as in
// `eng/web/staging`, or DefaultRole.
func ValidateRole(role string) error {
	if role == DefaultRole {
		return nil
	}
	if role == "" {
		return fmt.Errorf("role is empty: use %q for the default role", DefaultRole)
	}
	if strings.HasPrefix(role, "/") || strings.HasSuffix(role, "/") {
		return fmt.Errorf("role %s starts or ends with a slash: slashes only separate names, as in \"eng/web\"", quote(role))
	}
	if i := strings.IndexFunc(role, isForbiddenInRole); i >= 0 {
		return fmt.Errorf("role %s has %q at byte %d: spaces, backslashes and control characters are not allowed", quote(role), rune(role[i]), i)
	}
	for name := range strings.SplitSeq(role, "/") {
		switch {
		case name == "":
			return fmt.Errorf("role %s has an empty name between two slashes", quote(role))
		case name == "." || name == ".." || name == DefaultRole:
			return fmt.Errorf("role %s has the name %q in its path: any other than \".\", \"..\" and %q is allowed", quote(role), name, DefaultRole)
		case name[0] == '-':
			return fmt.Errorf("role %s has the name %s in its path: a name must not start with a dash", quote(role), quote(name))
		}
	}
	return nil
}

// IsSubrole reports whether role lies strictly below parent in the tree of roles.
func IsSubrole(role, parent string) bool {
	return len(role) > len(parent) && role[len(parent)] == '/' && role[:len(parent)] == parent
}

func isForbiddenInRole(r rune) bool { return r == ' ' || r == '\\' || isControl(r) }
