package settings

import (
	"errors"
	"fmt"
)

// UserError is a request that cannot be carried out as it is; the text says
// what to change. It becomes HTTP 400.
type UserError struct{ Text string }

func (e *UserError) Error() string { return e.Text }

// UserErrorf returns a *UserError.
func UserErrorf(format string, args ...any) error {
	return &UserError{Text: fmt.Sprintf(format, args...)}
}

// clientMovedError: the role was written for another client than the mount's
// present one, whose secret is gone.
type clientMovedError struct{ UserError }

func (e *clientMovedError) Unwrap() error { return &e.UserError }

// IsClientMoved reports whether a role cannot mint since its client is no longer the mount's.
func IsClientMoved(err error) bool {
	_, moved := errors.AsType[*clientMovedError](err)
	return moved
}
