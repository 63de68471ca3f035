package backend

import (
	"errors"
	"fmt"
)

// UserError is a request that cannot be carried out as it is; the text says
// what to change. It becomes HTTP 400.
type UserError struct{ text string }

func (e *UserError) Error() string { return e.text }

func userErrorf(format string, args ...any) error {
	return &UserError{text: fmt.Sprintf(format, args...)}
}

// clientMovedError: the role was written for another client than the mount's
// present one, whose secret is gone.
type clientMovedError struct{ UserError }

func (e *clientMovedError) Unwrap() error { return &e.UserError }

func isClientMoved(err error) bool {
	_, moved := asError[*clientMovedError](err)
	return moved
}

// asError returns the error of type E that err is, or wraps. (Go 1.26 has it as
// errors.AsType.)
func asError[E error](err error) (found E, ok bool) {
	ok = errors.As(err, &found)
	return found, ok
}
